"""Give features that are dead new filters, so that what a network computes stays: revive.py FROM TO.

From the repository's root, data being there. Unlike `drrn train --recycle`, it also sets the new filters' size and
bias, so that what they make has the deviation of the living features of their layer, and a mean of 0.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drrn.data.pairs import make_pairs
from drrn.engines.pytorch import build
from drrn.weights.store import load, save

SELDOM = 1e-3

weights = load(sys.argv[1])
net = build(weights)
torch.manual_seed(0)
paths = sorted(Path("data/BSDS500/train").iterdir())[::20]
pairs = [pair for scale in (1.4, 2, 2.8, 4) for pair in make_pairs(paths, [scale], 1)]
x = torch.cat([torch.from_numpy(pair.ilr.astype("float32"))[None, ..., :128, :128] for pair in pairs])
relu = F.relu


def before_relus() -> list[Tensor]:
    """What each ReLU is given, in order: at a block's entrance, then two for each of its units."""
    seen: list[Tensor] = []
    F.relu = lambda features: (seen.append(features), relu(features))[1]
    net(x)
    F.relu = relu
    return seen


def made(block: int, inner: bool) -> list[Tensor]:
    """The features of a block, or those between the two convolutions of its units, at each time that they are read."""
    seen, units = before_relus(), net.config.units
    first = block * (1 + 2 * units)
    if inner:
        return seen[first + 2 : first + 1 + 2 * units : 2]
    return [*seen[first + 1 : first + 1 + 2 * units : 2], seen[first + 1 + 2 * units]]


def dead(features: list[Tensor]) -> Tensor:
    return torch.stack([(f > 0).float().mean((0, 2, 3)) for f in features]).amax(0) < SELDOM


def renew(conv: nn.Conv2d, which: Tensor, gain: float = 1) -> None:
    """He's filters."""
    conv.weight[which] = torch.randn_like(conv.weight[which]) * (2 / conv.weight[0].numel()) ** 0.5 * gain
    if conv is net.blocks[0].enter.conv:
        conv.weight[which] -= conv.weight[which].mean((1, 2, 3), keepdim=True)
    conv.bias[which] = 0


def settle(conv: nn.Conv2d, which: Tensor, features: Tensor) -> None:
    mean, deviation = features.mean((0, 2, 3)), features.std((0, 2, 3))
    factor = deviation[~which].median() / deviation[which]
    conv.weight[which] *= factor[:, None, None, None]
    conv.bias[which] = -mean[which] * factor


with torch.no_grad():
    for number, block in enumerate(net.blocks):
        following = net.blocks[number + 1].enter.conv if number + 1 < len(net.blocks) else net.leave.conv
        which = dead(made(number, inner=False))
        sys.stdout.write(f"block {number + 1}: {int(which.sum())} features")
        if which.any():
            renew(block.enter.conv, which)
            renew(block.second[0], which, gain=0.3)
            block.first[0].weight[:, which] = 0
            following.weight[:, which] = 0
            settle(block.enter.conv, which, made(number, inner=False)[0])
        which = dead(made(number, inner=True))
        sys.stdout.write(f", {int(which.sum())} within units\n")
        if which.any():
            renew(block.first[0], which)
            block.second[0].weight[:, which] = 0
            settle(block.first[0], which, made(number, inner=True)[0])

state = net.state_dict()
save(replace(weights, tensors={name: state[name].numpy() for name in weights.tensors}), Path(sys.argv[2]))
