#!/bin/sh
# Trials of a recipe: 4000 steps each on the paper's 291 pictures, judged by every tenth picture of BSDS500/test.
# From the repository's root, data being there: sh docs/log/2026-11-28-trials/trials.sh
runs=runs/recipe
mkdir -p $runs/judges
ls data/BSDS500/test/* | awk 'NR % 10 == 0' | while read picture; do cp -n "$picture" $runs/judges/; done

trial() {
    name=$1
    shift
    [ -e $runs/$name/scores.json ] && return
    drrn train --config presets/tiny.json --data data/T91 data/BSDS500/train --run $runs/$name --device cpu --threads 1 \
        --epochs 10 --epoch-steps 400 --validation-patches 512 --sheet-every 0 "$@" &&
        drrn evaluate $runs/$name/best.safetensors --data $runs/judges --threads 1 --json $runs/$name/scores.json
}

trial preset
trial adam --optimiser adam
trial uncentred --no-centred
trial seed_1 --seed 1
trial mse --loss mse --clip 0.003
trial charbonnier --loss charbonnier
trial chain --skip chain
trial gains_1 --unit-gain 1 --leave-gain 1
trial no_average --ema-decay 0
trial all_units --fewest-units 0
trial unshuffle_4 --unshuffle 4 --width 128
trial narrow_deep --units 4 --width 48
trial narrow_blocks --blocks 2 --width 48
trial three_scales --scales 2 3 4
trial even_scales --scales 1.2 1.4 1.6 1.8 2 2.3 2.6 3 3.3 3.6 4
trial patch_48 --patch 48 --batch-size 16
trial patch_96 --patch 96 --batch-size 4
trial rate_half --learning-rate 5e-4
trial rate_double --learning-rate 2e-3
trial unclipped --clip 1
trial constant --schedule constant
trial adam_rate_double --optimiser adam --learning-rate 2e-3

# What a teacher made of the lr, in place of the originals, or beside them: TEACHER=fast sh .../trials.sh
[ -n "$TEACHER" ] || exit 0
[ -e $runs/distil ] || { python docs/log/2026-11-28-trials/distil.py "$TEACHER" $runs/begun && mv $runs/begun $runs/distil; }
pairs="--lr-data $runs/distil/lr --validation-data $runs/distil/held_out"
trial pairs --data $runs/distil/hr $pairs
trial pairs_teacher --data $runs/distil/teacher $pairs
trial pairs_both --data $runs/distil/hr $runs/distil/teacher $pairs
