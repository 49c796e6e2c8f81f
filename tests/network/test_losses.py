"""Each loss is its formula, on numbers small enough to check by hand."""

from math import sqrt
from typing import get_args

import pytest
import torch

from drrn.core.config import LossName
from drrn.network.losses import LOSSES, charbonnier

SR = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[0.0, 0.0], [0.0, 0.0]]]], dtype=torch.float64)
HR = torch.tensor([[[[1.0, 2.5], [1.0, 4.0]]], [[[0.0, 0.0], [0.0, -1.0]]]], dtype=torch.float64)
APART = [0, 0.5, 2, 0, 0, 0, 0, 1]

BY_HAND: dict[LossName, float] = {
    "mse": sum(d**2 for d in APART) / 8,
    "l1": sum(APART) / 8,
    "charbonnier": sum(sqrt(d**2 + 1e-6) for d in APART) / 8,
    "euclidean": sum(d**2 for d in APART) / (2 * 2),  # the paper's: the sum over a patch, halved, over 2 patches
}


def test_every_name_has_its_function() -> None:
    assert set(LOSSES) == set(get_args(LossName)) == set(BY_HAND)


@pytest.mark.parametrize("name", get_args(LossName))
def test_a_loss_is_its_formula(name: LossName) -> None:
    assert LOSSES[name](SR, HR).item() == pytest.approx(BY_HAND[name], abs=1e-12)
    assert LOSSES[name](HR, SR).item() == pytest.approx(BY_HAND[name], abs=1e-12)


@pytest.mark.parametrize("name", get_args(LossName))
def test_a_loss_pulls_sr_towards_hr(name: LossName) -> None:
    sr = SR.clone().requires_grad_()
    LOSSES[name](sr, HR).backward()
    assert sr.grad is not None
    assert torch.equal(sr.grad.sign(), (SR - HR).sign())


def test_charbonnier_has_a_slope_where_l1_has_a_corner() -> None:
    assert charbonnier(SR, SR).item() == pytest.approx(1e-3)
    assert charbonnier(SR, SR, epsilon=0.5).item() == pytest.approx(0.5)
