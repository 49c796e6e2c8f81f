"""Muon: orthogonal steps for convolutions, and Adam for everything else."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.optim import Adam

from drrn.core.config import DRRNConfig
from drrn.network.model import DRRN
from drrn.training.config import TrainConfig
from drrn.training.optimizers import MUON_RATIO, Muon, make_optimizer, orthogonalize

CONFIG = DRRNConfig(blocks=2, units=2, width=8)


def network() -> DRRN:
    torch.manual_seed(0)
    net = DRRN(CONFIG)
    net.init_weights()
    return net


def give(net: DRRN, seed: int) -> dict[str, Tensor]:
    """Give every weight a random gradient, the same for the same seed."""
    rng = torch.Generator().manual_seed(seed)
    gradients = {}
    for name, weight in net.named_parameters():
        weight.grad = gradients[name] = torch.randn(weight.shape, generator=rng)
    return gradients


@pytest.mark.parametrize("shape", [(8, 72), (48, 432), (5, 5), (48, 36), (128, 9)])
@pytest.mark.parametrize("size", [1e-28, 1e-12, 1.0, 1e30])
def test_orthogonalize_brings_singular_values_near_one(shape: tuple[int, int], size: float) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, _, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    result = u.T @ orthogonalize(size * matrix).double() @ v.T
    assert ((result.diagonal() > 0.65) & (result.diagonal() < 1.25)).all()
    torch.testing.assert_close(result, result.diagonal().diag(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [0, 1e-45, 1e-38, 1e-33])
def test_a_tiny_matrix_stays_small_and_finite(size: float) -> None:
    result = orthogonalize(torch.full((3, 9), size))
    assert result.isfinite().all() and result.abs().max() <= 1.25 and (size or not result.any())


def test_muon_moves_convolutions_and_adam_everything_else() -> None:
    net, other = network(), network()
    muon, adam = Muon(net, 0.01), Adam(other.parameters(), lr=0.01)
    for step in range(3):
        before = {name: weight.detach().clone() for name, weight in net.named_parameters()}
        give(net, step), give(other, step)
        muon.step()
        adam.step()
        expected = dict(other.named_parameters())
        for name, weight in net.named_parameters():
            if weight.ndim == 4:
                lengths = torch.linalg.svdvals((before[name] - weight).flatten(1)) / (0.01 * MUON_RATIO)
                assert ((lengths > 0.65) & (lengths < 1.25)).all(), name
            else:
                torch.testing.assert_close(weight, expected[name], msg=name)


def test_muon_uses_nesterov_momentum() -> None:
    net = network()
    muon = Muon(net, 0.01, momentum=0.75)
    name = "blocks.1.second.0.weight"
    first = give(net, 0)[name].clone()
    muon.step()
    before = net.get_parameter(name).detach().clone()
    second = give(net, 1)[name].clone()
    muon.step()
    mean = 0.75 * (0.25 * first) + 0.25 * second
    expected = orthogonalize((0.25 * second + 0.75 * mean).flatten(1)).view(first.shape)
    torch.testing.assert_close(before - net.get_parameter(name), 0.01 * MUON_RATIO * expected)


def test_a_weight_without_gradient_does_not_change() -> None:
    net = network()
    before = {name: weight.detach().clone() for name, weight in net.named_parameters()}
    Muon(net, 0.01).step()
    assert all(torch.equal(weight, before[name]) for name, weight in net.named_parameters())


def test_adam_handles_batch_norms() -> None:
    groups = make_optimizer(DRRN(replace(CONFIG, batch_norm=True)), TrainConfig(optimiser="muon")).param_groups
    assert [{weight.ndim for weight in group["params"]} for group in groups] == [{4}, {1}]


def test_the_optimizer_state_can_be_saved_and_restored() -> None:
    whole, parts = network(), network()
    one, two = (make_optimizer(net, TrainConfig(optimiser="muon")) for net in (whole, parts))
    for step in range(4):
        if step == 2:
            state = two.state_dict()
            two = make_optimizer(parts, TrainConfig(optimiser="muon"))
            two.load_state_dict(state)
        give(whole, step), give(parts, step)
        one.step()
        two.step()
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))


def test_tiny_rows_become_zero() -> None:
    """Their products would be denormal numbers, which make a matrix product seven times as slow."""
    matrix = torch.randn(8, 72, generator=torch.Generator().manual_seed(1))
    matrix[3:] *= 1e-20
    result = orthogonalize(matrix)
    assert result[:3].any() and not result[3:].any()
