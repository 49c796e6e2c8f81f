"""Each loss matches its formula, on small numbers or written out slowly."""

from math import prod, sqrt
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from drrn.core.loss import LossName
from drrn.network.losses import LOSSES, PERCEPTUAL, SIGMAS, charbonnier, focal_frequency, make_loss, msssim

SR = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[0.0, 0.0], [0.0, 0.0]]]], dtype=torch.float64)
HR = torch.tensor([[[[1.0, 2.5], [1.0, 4.0]]], [[[0.0, 0.0], [0.0, -1.0]]]], dtype=torch.float64)
APART = [0, 0.5, 2, 0, 0, 0, 0, 1]

BY_HAND: dict[LossName, float] = {
    "mse": sum(d**2 for d in APART) / 8,
    "l1": sum(APART) / 8,
    "charbonnier": sum(sqrt(d**2 + 1e-6) for d in APART) / 8,
    "euclidean": sum(d**2 for d in APART) / (2 * 2),  # the paper's: the sum over a patch, halved, over 2 patches
}


def patches(*shape: int, noise: float = 0.1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random hr in [0, 1] and a noisy copy as sr, in float64."""
    rng = torch.Generator().manual_seed(seed)
    hr = torch.rand(shape, generator=rng, dtype=torch.float64)
    return (hr + noise * torch.randn(shape, generator=rng, dtype=torch.float64)).clamp(0, 1), hr


def slope(loss: LossName, sr: Tensor, hr: Tensor) -> Tensor:
    sr = sr.clone().requires_grad_()
    LOSSES[loss](sr, hr).backward()
    assert sr.grad is not None
    return sr.grad


def test_every_name_has_its_function() -> None:
    assert LOSSES.keys() | PERCEPTUAL.keys() == set(get_args(LossName))
    assert not LOSSES.keys() & PERCEPTUAL.keys()


@pytest.mark.parametrize("name", BY_HAND)
def test_a_loss_matches_its_formula(name: LossName) -> None:
    assert LOSSES[name](SR, HR).item() == pytest.approx(BY_HAND[name], abs=1e-12)
    assert LOSSES[name](HR, SR).item() == pytest.approx(BY_HAND[name], abs=1e-12)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_loss_pulls_sr_towards_hr(name: LossName) -> None:
    assert torch.equal(slope(name, SR, HR).sign(), (SR - HR).sign())


def test_charbonnier_is_smooth_at_zero() -> None:
    assert charbonnier(SR, SR).item() == pytest.approx(1e-3)
    assert charbonnier(SR, SR, epsilon=0.5).item() == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 1, 31, 31), (1, 3, 12, 17)])
def test_msssim_matches_windows_written_out(shape: tuple[int, ...]) -> None:
    sr, hr = patches(*shape)
    height, width = shape[2:]
    y, x = np.mgrid[:height, :width]
    found = []
    for a, b in zip(sr.flatten(0, 1).numpy(), hr.flatten(0, 1).numpy(), strict=True):
        for row, column in np.ndindex(height, width):
            cs = []
            for sigma in SIGMAS:
                window = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2))
                window /= window.sum()
                mean_a, mean_b = (window * a).sum(), (window * b).sum()
                var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
                covariance = (window * (a - mean_a) * (b - mean_b)).sum()
                cs.append((2 * covariance + 0.03**2) / (var_a + var_b + 0.03**2))
            luminance = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
            found.append(luminance * prod(cs))
    assert msssim(sr, hr).item() == pytest.approx(1 - np.mean(found), abs=1e-12)
    assert msssim(sr.float(), hr.float()).item() == pytest.approx(1 - np.mean(found), abs=1e-4)


def test_focal_frequency_matches_numpys_weighted_spectrum() -> None:
    sr, hr = patches(2, 3, 9, 14)
    apart = np.fft.fft2(sr.numpy()) / sqrt(9 * 14) - np.fft.fft2(hr.numpy()) / sqrt(9 * 14)
    power = np.abs(apart) ** 2
    weight = np.abs(apart) / np.abs(apart).max((2, 3), keepdims=True)
    assert focal_frequency(sr, hr).item() == pytest.approx((weight * power).mean(), rel=1e-12)
    # a weight without a slope: that of sum(w |F d|^2) / n is the inverse transform of 2 w F d / n
    expected = 2 * np.fft.ifft2(weight * apart).real * sqrt(9 * 14) / apart.size
    np.testing.assert_allclose(slope("focal_frequency", sr, hr).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["msssim", "focal_frequency"])
def test_equal_patches_have_zero_loss_and_gradient(name: LossName) -> None:
    flat = torch.full((1, 1, 31, 31), 0.7)
    for patch in (flat, 0 * flat, patches(1, 1, 31, 31)[1].float()):
        assert LOSSES[name](patch, patch).item() == 0
        assert not slope(name, patch, patch).any()


@pytest.mark.parametrize("name", ["msssim", "focal_frequency"])
def test_gradients_are_always_finite(name: LossName) -> None:
    flat = torch.full((1, 1, 31, 31), 0.7)
    sr, hr = (patch.float() for patch in patches(1, 1, 31, 31))
    for a, b in [(flat, 0 * flat), (0 * flat, hr), (1 - hr, hr), (flat + 1e-7, flat), (1e4 * sr, hr), (1e-30 * sr, hr)]:
        assert LOSSES[name](a, b).isfinite()
        assert slope(name, a, b).isfinite().all()


@pytest.mark.parametrize("level", [10, 1e3, 1e4, 1e6])
def test_msssim_stays_in_range_despite_rounding(level: float) -> None:
    """A diverging network must not get the best validation loss."""
    sr, hr = (patch.float() for patch in patches(1, 1, 31, 31))
    assert 0 <= msssim(level + sr, level + hr) <= 2
    assert 0.5 < msssim(level + sr, hr) < 1.5
    assert slope("msssim", level + sr, hr).isfinite().all()


@pytest.mark.parametrize("name", ["msssim", "focal_frequency"])
def test_a_gradient_step_reduces_the_loss(name: LossName) -> None:
    sr, hr = patches(2, 1, 31, 31)
    step = slope(name, sr, hr)
    nearer = sr - 0.1 * step / step.norm()
    assert LOSSES[name](nearer, hr) < LOSSES[name](sr, hr)
    assert (nearer - hr).norm() < (sr - hr).norm()


def test_a_sum_adds_its_weighted_terms() -> None:
    sr, hr = patches(2, 1, 20, 20)
    mixed = make_loss("0.84*msssim+0.16*l1+focal_frequency")(sr, hr)
    expected = 0.84 * msssim(sr, hr) + 0.16 * LOSSES["l1"](sr, hr) + focal_frequency(sr, hr)
    torch.testing.assert_close(mixed, expected)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_single_loss_is_exactly_its_function(name: LossName) -> None:
    sr, hr = (patch.float() for patch in patches(3, 1, 31, 31))
    given = sr.clone().requires_grad_()
    loss = make_loss(name)(given, hr)
    loss.backward()
    assert torch.equal(loss, LOSSES[name](sr, hr))
    assert given.grad is not None and torch.equal(given.grad, slope(name, sr, hr))


def test_a_loss_without_its_backbone_is_a_misuse() -> None:
    with pytest.raises(ValueError, match=r"vgg needs a backbone"):
        make_loss("l1+vgg")
