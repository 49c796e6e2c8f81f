"""PSNR and SSIM by the protocol of the super-resolution papers, used for every table of the project.

Luma is rounded to 8 bits by MATLAB's formula; hr is cropped to a multiple of the scale; lr is made by `imresize` and
not rounded; hr and sr are compared as 8-bit integers, after cropping `scale` pixels from every side.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from drrn.core.color import levels

PROTOCOL = (
    "BT.601 luma rounded to 8 bits; hr cropped to a multiple of the scale; lr by MATLAB's antialiased bicubic, not "
    "rounded; sr rounded to 8 bits; `scale` pixels shaved off every side; PSNR in dB; SSIM with an 11x11 Gaussian of "
    "1.5, valid windows; means over pictures"
)

MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the scales of `ms_ssim`, finest first, from its authors."""

EQUAL = 200.0
"""dB that stand for an infinite PSNR in JSON, which has no infinity."""

Plane = NDArray[np.float32] | NDArray[np.float64]


class Score(NamedTuple):
    """How close sr is to hr: PSNR in dB, infinite if they are equal, and SSIM in [-1, 1]."""

    psnr: float
    ssim: float


def measure_quality(sr: Plane, hr: Plane, shave: int) -> Score:
    """Compare sr (H, W) in [0, 1] to hr, both rounded to 8 bits, without `shave` pixels on every side.

    SSIM is NaN if less than a window of 11x11 pixels remains.
    """
    if sr.shape != hr.shape or sr.ndim != 2:
        raise ValueError(f"`sr` and `hr` must be planes of one size, got {sr.shape} and {hr.shape}.")
    if min(sr.shape) <= 2 * shave:
        raise ValueError(f"A plane of {sr.shape} is empty without {shave} pixels on every side.")
    inside = slice(shave, -shave or None)
    ours, theirs = (levels(plane.astype(np.float64))[inside, inside] for plane in (sr, hr))
    return Score(psnr(ours, theirs), ssim(ours, theirs))


def psnr(a: Plane, b: Plane, peak: float = 255) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(peak^2 / mean squared error)."""
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return 10 * float(np.log10(peak**2 / error)) if error else float("inf")


def ssim(a: Plane, b: Plane, peak: float = 255) -> float:
    """Structural similarity (Wang et al. 2004, eq. 13), as in the authors' `ssim_index.m` without its downsampling."""
    if min(a.shape) < 11:
        return float("nan")
    return _similarity(a.astype(np.float64), b.astype(np.float64), peak)[0]


def ms_ssim(a: Plane, b: Plane, peak: float = 255) -> float:
    """Structural similarity over five scales (Wang et al., "Multiscale structural similarity for image quality
    assessment", 2003, eq. 7). Each scale averages 2x2 pixels of the one before, repeating the last pixel of odd sides.

    The product, over the scales, of the mean contrast and structure (at the last scale, of SSIM) to the power of its
    weight; a mean below 0 counts as 0. NaN if a side has fewer than 176 pixels, which leave 11 at the last scale.
    """
    if min(a.shape) < 176:
        return float("nan")
    x, y = a.astype(np.float64), b.astype(np.float64)
    product = 1.0
    for scale, weight in enumerate(MS_WEIGHTS, start=1):
        whole, contrast = _similarity(x, y, peak)
        product *= max(whole if scale == len(MS_WEIGHTS) else contrast, 0.0) ** weight
        x, y = _halve(x), _halve(y)
    return product


def _similarity(x: NDArray[np.float64], y: NDArray[np.float64], peak: float) -> tuple[float, float]:
    """The mean of SSIM, and of its contrast and structure factors alone."""
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return float(np.mean(above / below)), float(np.mean((2 * covariance + c2) / (var_x + var_y + c2)))


def _blur(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Gaussian mean of every complete 11x11 window: (H, W) -> (H - 10, W - 10)."""
    weight = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    rows = sum(w * plane[i : plane.shape[0] - 10 + i] for i, w in enumerate(weight))
    return np.asarray(sum(w * rows[:, i : plane.shape[1] - 10 + i] for i, w in enumerate(weight)))


def _halve(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """The means of 2x2 pixels."""
    plane = np.pad(plane, [(0, side % 2) for side in plane.shape], mode="edge")
    height, width = plane.shape
    return np.asarray(plane.reshape(height // 2, 2, width // 2, 2).mean((1, 3)))
