"""Features that have died, begun anew.

Reference: Sokar et al., "The Dormant Neuron Phenomenon in Deep Reinforcement Learning", ICML 2023, algorithm 1 (ReDo).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from drrn.network.model import DRRN

SELDOM = 1e-3
"""A feature is dead that passes its ReLU at a smaller share of all places."""

Group = tuple[Sequence[nn.Conv2d], Sequence[nn.Conv2d]]
"""The convolutions whose sum some features are, and those that read them."""


@torch.no_grad()
def recycle(net: DRRN, averages: Iterable[DRRN], new: DRRN, ilr: Tensor) -> int:
    """Give features that are dead in `net` the filters that they have in `new`, and let nobody heed them yet.

    A dead feature has no gradient, and hardly ever comes back. Now it does something, and what it is good for is learnt
    from 0. What the network computes changes by the little that was heard of dead features.

    Args:
        net: the network.
        averages: of its weights, changed in the same places.
        new: the same network with random weights.
        ilr: (B, channels, H, W), where the features are looked for.

    Returns:
        How many features were dead.
    """
    lit, count = shares(net, ilr), 0
    for (_, readers), anew, *ours in zip(groups(net), groups(new), groups(net), *map(groups, averages), strict=True):
        dead = torch.stack([lit[conv] for conv in readers]).amax(0) < SELDOM
        count += int(dead.sum())
        for makers, listeners in ours:
            for maker, fresh in zip(makers, anew[0], strict=True):
                maker.weight[dead] = fresh.weight[dead]
                if maker.bias is not None and fresh.bias is not None:
                    maker.bias[dead] = fresh.bias[dead]
            for listener in listeners:
                listener.weight[:, dead] = 0
    return count


def groups(net: DRRN) -> Iterator[Group]:
    """All groups of features of a network, in one order."""
    blocks: list[Any] = list(net.blocks)
    enters = [block.enter.conv for block in blocks]
    for block, enter, following in zip(blocks, enters, [*enters[1:], net.leave.conv], strict=True):
        yield [enter, *block.second], [*block.first, following]
        for first, second in zip(block.first, block.second, strict=True):
            yield [first], [second]


def shares(net: DRRN, ilr: Tensor) -> dict[nn.Conv2d, Tensor]:
    """For each convolution that reads features, the share of places where each of them passes the ReLU before it, at
    the unit where it is largest. The network is left in evaluation mode."""
    lit: dict[nn.Conv2d, Tensor] = {}

    def look(conv: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(conv, nn.Conv2d)
        now = (given[0] > 0).float().mean((0, 2, 3))
        lit[conv] = torch.maximum(lit[conv], now) if conv in lit else now

    hooks = [conv.register_forward_pre_hook(look) for _, readers in groups(net) for conv in readers]
    net.eval()(ilr)
    for hook in hooks:
        hook.remove()
    return lit
