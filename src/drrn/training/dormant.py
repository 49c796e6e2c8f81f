"""Reset dormant features: those that almost never pass their ReLU, and so no longer learn.

Reference: Sokar et al., "The Dormant Neuron Phenomenon in Deep Reinforcement Learning", ICML 2023, algorithm 1 (ReDo).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from drrn.network.model import DRRN

DORMANT_SHARE = 1e-3
"""A feature is dormant if it passes its ReLU at a smaller share of all pixels."""

Group = tuple[Sequence[nn.Conv2d], Sequence[nn.Conv2d]]
"""The convolutions that write a group of features (which is their sum), and those that read it."""


@torch.no_grad()
def reset_dormant(net: DRRN, averages: Iterable[DRRN], new: DRRN, ilr: Tensor) -> int:
    """Give the dormant features of `net` the filters they have in `new`, and set the weights that read them to 0.

    A dormant feature has no gradient and hardly ever recovers. After the reset it responds again, and the network
    learns from 0 what it is good for. The output changes only by the little that dormant features contributed.

    Args:
        net: the network, changed in place.
        averages: running averages of its weights, changed in the same places.
        new: the same network with random weights.
        ilr: (B, channels, H, W), the images on which features are measured.

    Returns:
        How many features were dormant.
    """
    shares, count = active_shares(net, ilr), 0
    for (_, readers), (new_writers, _), *targets in zip(
        groups(net), groups(new), groups(net), *map(groups, averages), strict=True
    ):
        dormant = torch.stack([shares[conv] for conv in readers]).amax(0) < DORMANT_SHARE
        count += int(dormant.sum())
        for target_writers, target_readers in targets:
            for writer, random in zip(target_writers, new_writers, strict=True):
                writer.weight[dormant] = random.weight[dormant]
                if writer.bias is not None and random.bias is not None:
                    writer.bias[dormant] = random.bias[dormant]
            for reader in target_readers:
                reader.weight[:, dormant] = 0
    return count


def groups(net: DRRN) -> Iterator[Group]:
    """All groups of features of a network, always in the same order."""
    blocks: list[Any] = list(net.blocks)
    enters = [block.enter.conv for block in blocks]
    for block, enter, following in zip(blocks, enters, [*enters[1:], net.leave.conv], strict=True):
        yield [enter, *block.second], [*block.first, following]
        for first, second in zip(block.first, block.second, strict=True):
            yield [first], [second]


def active_shares(net: DRRN, ilr: Tensor) -> dict[nn.Conv2d, Tensor]:
    """For each convolution that reads features: the share of pixels at which each feature passes its ReLU.

    Of a convolution that several units share, the unit with the largest share counts. Leaves `net` in evaluation mode.
    """
    shares: dict[nn.Conv2d, Tensor] = {}

    def record(conv: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(conv, nn.Conv2d)
        share = (inputs[0] > 0).float().mean((0, 2, 3))
        shares[conv] = torch.maximum(shares[conv], share) if conv in shares else share

    hooks = [conv.register_forward_pre_hook(record) for _, readers in groups(net) for conv in readers]
    net.eval()(ilr)
    for hook in hooks:
        hook.remove()
    return shares
