#!/bin/sh
# Networks of what `tiny` may cost, taught by `fast`: 4000 steps each, judged as the trials of 2026-11-29-trials, whose
# runs/recipe/distil and runs/recipe/judges are taken. From the repository's root:
#     sh docs/log/2026-11-29-taught/networks.sh
#     python docs/log/2026-11-29-trials/table.py runs/networks b2u2w48 > docs/log/2026-11-29-taught/networks.md
given=runs/recipe/distil

network() {
    name=$1
    shift
    drrn train --config docs/log/2026-11-29-trials/preset.json --data $given/teacher --lr-data $given/lr \
        --validation-data $given/held_out --run runs/networks/$name --device cpu --threads 1 "$@" &&
        drrn evaluate runs/networks/$name/best.safetensors --data runs/recipe/judges --threads 1 \
            --json runs/networks/$name/scores.json &&
        cp runs/networks/$name/best.safetensors runs/networks/$name.safetensors  # for drrn bench
}

network b2u2w48
network b3u1w48 --blocks 3 --units 1
network b1u3w48 --blocks 1 --units 3
network b2u2w32 --width 32
network b2u2w32_batch_48 --width 32 --batch-size 48
network b2u3w32 --units 3 --width 32
network b3u2w32 --blocks 3 --width 32
