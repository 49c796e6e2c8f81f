#!/bin/sh
# Trials of a recipe: 4000 steps each on the paper's 291 pictures, judged by every tenth picture of BSDS500/test.
# From the repository's root, data being there: sh docs/log/2026-11-29-trials/trials.sh [NAME ...]
runs=runs/recipe
wanted=" $* "
mkdir -p $runs/judges
ls data/BSDS500/test/* | awk 'NR % 10 == 0' | while read -r picture; do cp -n "$picture" $runs/judges/; done

trial() {
    name=$1
    shift
    case $wanted in "  " | *" $name "*) ;; *) return ;; esac
    [ -e $runs/$name/scores.json ] && return
    drrn train --config docs/log/2026-11-29-runs/tiny.json --data data/T91 data/BSDS500/train --run $runs/$name --device cpu --threads 1 \
        --epochs 10 --epoch-steps 400 --validation-patches 512 --sheet-every 0 "$@" &&
        drrn evaluate $runs/$name/best.safetensors --data $runs/judges --threads 1 --json $runs/$name/scores.json
}

trial preset
trial seed_1 --seed 1
trial charbonnier --loss charbonnier
trial no_average --ema-decay 0
trial gains_1 --unit-gain 1 --leave-gain 1
trial unshuffle_4 --unshuffle 4 --width 96
trial recycle --recycle 7
trial rate_half --learning-rate 5e-4
trial constant --schedule constant
trial chain --skip chain
trial adam --optimiser adam
trial adam_rate_double --optimiser adam --learning-rate 2e-3

# What a teacher made of the lr, in place of the originals, or beside them
[ -e $runs/distil ] || { python docs/log/2026-11-29-trials/distil.py fast $runs/begun && mv $runs/begun $runs/distil; }
pairs="--lr-data $runs/distil/lr --validation-data $runs/distil/held_out"
trial pairs --data $runs/distil/hr $pairs
trial pairs_teacher --data $runs/distil/teacher $pairs
trial pairs_both --data $runs/distil/hr $runs/distil/teacher $pairs
