"""How many features of trained networks are dead, on six pictures of BSDS500/test: dead.py MODEL ... > dead.csv

From the repository's root, data being there. A feature is dead that passes its ReLU at fewer than one place in a
thousand at each unit.
"""

import csv
import sys
from pathlib import Path

import torch
from drrn.training.recycle import SELDOM, groups, shares

from drrn.data.pairs import make_pairs
from drrn.engines.pytorch import build
from drrn.weights.store import load

pairs = list(make_pairs(sorted(Path("data/BSDS500/test").iterdir())[:6], [2, 3, 4], 1))
rows = csv.writer(sys.stdout, lineterminator="\n")
rows.writerow(["model", "block", "of the block", "within its units", "width"])
for model in sys.argv[1:]:
    weights = load(model)
    net = build(weights)
    with torch.no_grad():
        seen = [shares(net, torch.from_numpy(pair.ilr.astype("float32"))[None]) for pair in pairs]
    dead = []
    for _, readers in groups(net):
        share = torch.stack([torch.stack([lit[conv] for conv in readers]).amax(0) for lit in seen]).mean(0)
        dead.append(int((share < SELDOM).sum()))
    for number in range(weights.config.blocks):
        rows.writerow([Path(model).stem, number + 1, dead[2 * number], dead[2 * number + 1], weights.config.width])
