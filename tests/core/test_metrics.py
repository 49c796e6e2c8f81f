"""PSNR and SSIM match scikit-image with the papers' settings, and bicubic scores what the papers print for it."""

import json
from functools import cache
from math import inf, isnan, log10
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drrn.core.color import levels, luma
from drrn.core.metrics import Score, measure_quality, ms_ssim, psnr, ssim
from drrn.core.resize import degrade, imresize, modcrop

theirs: Any = pytest.importorskip("skimage.metrics")
ndimage: Any = pytest.importorskip("scipy.ndimage")

seeds = st.integers(0, 2**32 - 1)

AS_THE_PAPERS = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
PUBLISHED = {  # Bicubic rows of Table 2 of the DRRN paper (DRRN_FACTS.md section 5): PSNR and SSIM at x2, x3, x4
    "Set5": [(33.66, 0.9299), (30.39, 0.8682), (28.42, 0.8104)],
    "Set14": [(30.24, 0.8688), (27.55, 0.7742), (26.00, 0.7027)],
    "BSD100": [(29.56, 0.8431), (27.21, 0.7385), (25.96, 0.6675)],
}


def planes(seed: int, height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """An image and a degraded copy, in whole levels: smooth with some noise, so that SSIM has structure to compare."""
    rng = np.random.default_rng(seed)
    smooth = imresize(rng.random((4, 4)), height, width)
    return levels(smooth) + 0.0, levels(smooth + rng.normal(0, rng.uniform(0.001, 0.3), (height, width)))


@given(seeds, st.integers(11, 40), st.integers(11, 40))
@settings(max_examples=40, deadline=None)
def test_psnr_and_ssim_match_scikit_image(seed: int, height: int, width: int) -> None:
    a, b = planes(seed, height, width)
    # its mean covers only valid windows, which are 11x11 for this sigma
    assert ssim(a, b) == pytest.approx(theirs.structural_similarity(a, b, **AS_THE_PAPERS), abs=1e-10)
    if not np.array_equal(a, b):
        assert psnr(a, b) == pytest.approx(theirs.peak_signal_noise_ratio(a, b, data_range=255), abs=1e-10)


@pytest.mark.parametrize(("height", "width"), [(176, 176), (203, 191)])
def test_ms_ssim_matches_its_formula_with_scipys_filters(height: int, width: int) -> None:
    a, b = planes(2, height, width)
    expected, x, y = 1.0, a, b
    for scale, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):

        def mean(plane: NDArray[np.float64]) -> Any:
            return ndimage.gaussian_filter(plane, 1.5, radius=5)[5:-5, 5:-5]

        contrast = (2 * (mean(x * y) - mean(x) * mean(y)) + (0.03 * 255) ** 2) / (
            mean(x * x) - mean(x) ** 2 + mean(y * y) - mean(y) ** 2 + (0.03 * 255) ** 2
        )
        whole = theirs.structural_similarity(x, y, **AS_THE_PAPERS)
        expected *= (whole if scale == 4 else contrast.mean()) ** weight
        # as in the authors' msssim.m: the mean with the next pixel, mirrored at the end, of every other one
        x, y = (ndimage.uniform_filter(plane, 2, origin=-1, mode="reflect")[::2, ::2] for plane in (x, y))
    assert 0.1 < ms_ssim(a, b) < 0.99
    assert ms_ssim(a, b) == pytest.approx(expected, abs=1e-10)
    assert ms_ssim(a / 255, b / 255, peak=1) == pytest.approx(expected, abs=1e-10)


def test_ms_ssim_of_equal_negative_and_small_planes() -> None:
    a, _ = planes(4, 180, 176)
    assert ms_ssim(a, a) == pytest.approx(1, abs=1e-12)
    noise = levels(np.random.default_rng(0).random((176, 176))) + 0.0
    assert ssim(noise, 255 - noise) < 0 and ms_ssim(noise, 255 - noise) == 0
    assert isnan(ms_ssim(a[:175], a[:175]))


def test_ssim_of_a_single_window_matches_its_formula() -> None:
    a, b = planes(1, 11, 11)
    _, everywhere = theirs.structural_similarity(a, b, full=True, **AS_THE_PAPERS)
    assert ssim(a, b) == pytest.approx(everywhere[5, 5], abs=1e-12)


def test_a_difference_of_one_level_is_48_decibels() -> None:
    a = np.full((16, 16), 100.0)
    assert psnr(a, a + 1) == pytest.approx(20 * log10(255), abs=1e-12)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_equal_planes_score_infinite_and_one(seed: int) -> None:
    a, _ = planes(seed, 20, 17)
    score = measure_quality(a / 255, a / 255, 2)
    assert score.psnr == inf and score.ssim == pytest.approx(1, abs=1e-12)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_both_planes_are_rounded_before_they_are_compared(seed: int) -> None:
    a, b = planes(seed, 20, 20)
    blurred = np.random.default_rng(seed).uniform(-0.49, 0.49, (2, 20, 20))
    assert measure_quality((a + blurred[0]) / 255, (b + blurred[1]) / 255, 0) == Score(psnr(a, b), ssim(a, b))


def test_values_outside_the_range_are_clipped_first() -> None:
    assert measure_quality(np.full((12, 12), 1.7), np.ones((12, 12)), 0).psnr == inf
    assert measure_quality(np.full((12, 12), -0.3), np.zeros((12, 12)), 0).psnr == inf


@pytest.mark.parametrize("shave", [0, 1, 4])
def test_only_the_shaved_border_is_ignored(shave: int) -> None:
    hr = np.full((20, 20), 0.5)
    for at in [(shave, 10), (10, shave), (19 - shave, 10), (10, 19 - shave)]:
        sr = hr.copy()
        sr[at] = 0.6
        assert measure_quality(sr, hr, shave).psnr < inf
        if shave:
            outside = hr.copy()
            outside[:shave] = outside[-shave:] = outside[:, :shave] = outside[:, -shave:] = 0.9
            assert measure_quality(outside, hr, shave) == (inf, 1)


def test_ssim_of_less_than_a_window_is_nan() -> None:
    a = np.full((18, 14), 0.5, np.float32)
    assert not isnan(measure_quality(a, a, 1).ssim)
    assert isnan(measure_quality(a, a, 2).ssim) and measure_quality(a, a, 2).psnr == inf


def test_a_plane_that_is_all_border_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is empty without 4 pixels on every side"):
        measure_quality(np.zeros((8, 9)), np.zeros((8, 9)), 4)
    measure_quality(np.zeros((9, 9)), np.zeros((9, 9)), 4)


@pytest.mark.parametrize("shape", [(12, 13), (1, 12, 12)])
def test_mismatched_or_multiple_planes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be planes of one size, got \(12, 12\)"):
        measure_quality(np.zeros((12, 12)), np.zeros(shape), 0)
    with pytest.raises(ValueError, match=r"must be planes of one size"):
        measure_quality(np.zeros((1, 12, 12)), np.zeros((1, 12, 12)), 0)


def test_single_and_double_precision_score_the_same() -> None:
    a, b = planes(3, 30, 30)
    double = measure_quality(a / 255, b / 255, 2)
    single = measure_quality((a / 255).astype(np.float32), (b / 255).astype(np.float32), 2)
    assert single == double


SLOWER = {
    ("Set14", False): pytest.mark.slow,
    ("Set14", True): pytest.mark.slow,
    ("BSD100", False): pytest.mark.slow,
    ("BSD100", True): pytest.mark.full,
}


@pytest.mark.parametrize(
    ("name", "scale"),
    [pytest.param(name, scale, marks=SLOWER.get((name, scale > 2), ())) for name in PUBLISHED for scale in (2, 3, 4)],
)
def test_bicubic_scores_match_the_papers(data: Path, name: str, scale: int) -> None:
    # golden: every picture as an independent program scored it (data/SOURCES.md), to the 4 decimals of that file
    elsewhere = json.loads((data / "bicubic_per_image.json").read_text())[name][f"x{scale}"]
    folder = data / {"BSD100": "BSDS500/val"}.get(name, name)
    scores = []
    for stem in elsewhere:
        hr = modcrop(luma_of(next(folder.glob(f"{stem}.*"))), scale)
        scores.append(measure_quality(imresize(degrade(hr, scale), *hr.shape), hr, scale))
        assert scores[-1].psnr == pytest.approx(elsewhere[stem], abs=0.001), stem
    mean_psnr, mean_ssim = np.mean(scores, axis=0)
    published_psnr, published_ssim = PUBLISHED[name][scale - 2]
    assert mean_psnr == pytest.approx(published_psnr, abs=0.01)
    assert mean_ssim == pytest.approx(published_ssim, abs=0.001)


@cache
def luma_of(path: Path) -> NDArray[np.float64]:
    """Luma as the papers read it, by Pillow instead of drrn.media: rounded to 8 bits, unchanged for a gray file."""
    image = pytest.importorskip("PIL.Image")
    with image.open(path) as file:
        pixels = np.asarray(file).astype(np.float64) / 255
    return pixels if pixels.ndim == 2 else levels(luma(pixels.transpose(2, 0, 1))) / 255
