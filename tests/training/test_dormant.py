"""Dormant features are found and reset, and the output of the network stays the same."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from drrn.core.config import DRRNConfig
from drrn.network.model import DRRN
from drrn.training.dormant import DORMANT_SHARE, active_shares, groups, reset_dormant
from tests.training.small_training import QUICK, SMALL, make_images, train

CONFIG = DRRNConfig(blocks=2, units=2, width=6, unshuffle=2)
X = torch.rand((4, 1, 32, 32), generator=torch.Generator().manual_seed(2))


def network(config: DRRNConfig, seed: int) -> DRRN:
    torch.manual_seed(seed)
    net = DRRN(config)
    net.init_weights()
    return net.eval()


@torch.no_grad()
def kill(net: DRRN, feature: int) -> None:
    """Close the ReLU of one feature in every group, as can happen in training."""
    for makers, _ in groups(net):
        for maker in makers:
            maker.weight[feature] = -maker.weight[feature].abs()
            if maker.bias is not None:
                maker.bias[feature] = -0.1


def alive(net: DRRN) -> list[list[bool]]:
    """For each group, which features are active often enough."""
    lit = active_shares(net, X.expand(-1, net.config.channels, -1, -1))
    return [
        (torch.stack([lit[conv] for conv in readers]).amax(0) >= DORMANT_SHARE).tolist() for _, readers in groups(net)
    ]


def made_by(net: DRRN) -> list[Sequence[nn.Conv2d]]:
    """For each group, the convolutions that compute its features."""
    return [makers for makers, _ in groups(net)]


def is_of(now: Tensor, then: Tensor) -> bool:
    """Whether the filters are equal, except for inputs that they now ignore."""
    return bool(((now == then) | (now == 0)).all()) and bool(now.flatten(1).any(1).all())


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        replace(CONFIG, share=False),
        replace(CONFIG, bias=False),
        replace(CONFIG, skip="chain", channels=3),
        replace(CONFIG, skip="none"),
        replace(CONFIG, skip="rectified", blocks=1),
        replace(CONFIG, units=0),
    ],
    ids=["shared", "not shared", "no biases", "chain", "none", "rectified", "no units"],
)
@torch.no_grad()
def test_dormant_features_are_reset_without_changing_the_output(config: DRRNConfig) -> None:
    net, average, new = network(config, 4), network(config, 3), network(config, 1)
    kill(net, 4)
    dead = [[not lives for lives in group] for group in alive(net)]
    assert all(group[4] for group in dead)
    x = X.expand(-1, config.channels, -1, -1)
    before, was = net(x), deepcopy(net)

    assert reset_dormant(net, [average], new, x) == sum(map(sum, dead))

    torch.testing.assert_close(net(x), before, atol=1e-6, rtol=0)
    for group, makers, followers, anew, old in zip(dead, *(made_by(n) for n in (net, average, new, was)), strict=True):
        at = torch.tensor(group)
        for maker, follower, fresh, past in zip(makers, followers, anew, old, strict=True):
            assert is_of(maker.weight[at], fresh.weight[at])
            assert is_of(follower.weight[at], fresh.weight[at])
            assert is_of(maker.weight[~at], past.weight[~at])
            assert maker.bias is None or not maker.bias[at].any()


def test_a_reset_feature_receives_gradients_again() -> None:
    net = network(CONFIG, 0)
    kill(net, 4)
    assert heard(net, 4) == 0
    reset_dormant(net, [], network(CONFIG, 1), X)
    assert heard(net, 4) >= 4


def heard(net: DRRN, feature: int) -> int:
    """How many convolutions get a gradient for a feature."""
    net.zero_grad()
    net(X).square().mean().backward()
    gradients = [reader.weight.grad for _, readers in groups(net) for reader in readers]
    return sum(bool(gradient[:, feature].any()) for gradient in gradients if gradient is not None)


def test_active_features_are_unchanged() -> None:
    net = network(replace(CONFIG, blocks=1, width=3), 0)
    assert all(map(all, alive(net)))
    before = deepcopy(net.state_dict())
    assert reset_dormant(net, [], network(net.config, 1), X) == 0
    assert all(torch.equal(before[name], now) for name, now in net.state_dict().items())


def test_measuring_activity_does_not_update_batch_norms() -> None:
    net = network(replace(CONFIG, batch_norm=True), 0).train()
    before = deepcopy(net.state_dict())
    active_shares(net, X)
    assert all(torch.equal(before[name], now) for name, now in net.state_dict().items())


@pytest.mark.slow
def test_a_training_resets_dormant_features_for_the_requested_epochs(tmp_path: Path) -> None:
    data = make_images(tmp_path / "pictures")
    for epochs in (0, 1):
        how = replace(QUICK, learning_rate=0.3, recycle=epochs)
        _, log = train(tmp_path / f"{epochs}", data, how, replace(SMALL, width=8))
        assert len([note for note in log.notes if note.startswith("Dormant features reset")]) == epochs
