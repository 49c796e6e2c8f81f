"""Degradations have the stated strength, and are the same for the same seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from drrn.core.color import luma
from drrn.core.resize import imresize, modcrop
from drrn.data.degradations import (
    KERNELS,
    PhotoDegradations,
    Strength,
    add_noise,
    blur,
    compress_jpeg,
    degrade_photo,
    downscale,
)
from drrn.data.pairs import make_pairs, pictures_in, read_levels, unit
from drrn.data.patches import Pool
from tests.training.small_training import make_images

STRONG = Strength(blur=1.5, noise=12, quality=(30, 95), other_kernels=0.5, odds=(1, 1, 1))


def noise_of(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((3, height, width), np.float32)


@pytest.mark.parametrize(("sigmas", "angle"), [((2.0, 2.0), 0.7), ((2.5, 1.0), 0.0), ((2.5, 1.0), np.pi / 2)])
def test_blur_is_a_gaussian_along_its_axes(sigmas: tuple[float, float], angle: float) -> None:
    """Compared with SciPy, whose axes are (rows, columns): at an angle of 0, the first axis is along the columns."""
    planes = noise_of(40, 50)
    rows_columns = sigmas[::-1] if angle == 0 else sigmas
    wanted = [gaussian_filter(plane, rows_columns, mode="reflect", truncate=8) for plane in planes.astype(float)]
    assert np.abs(blur(planes, sigmas, angle) - wanted).max() < 1e-3


def test_rotated_blur_is_blur_of_the_rotated_image() -> None:
    planes = noise_of(40, 40)
    turned = blur(np.rot90(planes, axes=(1, 2)).copy(), (3.0, 1.0), np.pi / 4)
    assert np.allclose(np.rot90(blur(planes, (3.0, 1.0), -np.pi / 4), axes=(1, 2)), turned, atol=1e-4)


@pytest.mark.parametrize("kernel", ["bicubic", "area", *KERNELS])
@pytest.mark.parametrize("scale", [1.5, 2, 3])
def test_downscaling_keeps_position_and_mean(kernel: str, scale: float) -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 60, dtype=np.float32), (3, 48, 60)).copy()
    small = downscale(ramp, scale, kernel)
    assert small.shape == (3, round(48 / scale), round(60 / scale))
    inside = slice(4, -4)
    assert np.allclose(small[..., inside], imresize(ramp, *small.shape[1:])[..., inside], atol=2e-3)


def test_area_averages_what_a_pixel_covers() -> None:
    planes = noise_of(12, 18)
    assert np.allclose(downscale(planes, 3, "area"), planes.reshape(3, 4, 3, 6, 3).mean((2, 4)), atol=1e-6)
    (row,) = downscale(np.array([[[1, 2, 4]]], np.float32), 1.5, "area")[0]
    assert np.allclose(row, [(1 + 2 / 2) / 1.5, (2 / 2 + 4) / 1.5])


def test_noise_has_its_strength_and_poisson_noise_grows_with_brightness() -> None:
    gray = np.full((3, 200, 200), 128, np.uint8)
    assert add_noise(gray, sigma=5, rng=np.random.default_rng(0)).std() == pytest.approx(5, rel=0.03)
    dark, bright = (np.full((3, 200, 200), level, np.uint8) for level in (40, 160))
    spread = [add_noise(each, sigma=10, poisson=True, rng=np.random.default_rng(0)).std() for each in (dark, bright)]
    assert spread[1] / spread[0] == pytest.approx(2, rel=0.05)


def test_jpeg_loses_more_at_lower_quality_and_chroma_when_subsampled() -> None:
    image = (noise_of(64, 64) * 255).astype(np.uint8)
    off = {quality: np.abs(compress_jpeg(image, quality=quality).astype(int) - image).mean() for quality in (95, 50)}
    assert off[50] > off[95]
    sharp = compress_jpeg(image, quality=95, subsampled=False).astype(int)
    assert np.abs(sharp - image).mean() < off[95] / 2


def test_degradations_depend_on_the_seed() -> None:
    hr = read_like(40, 52)
    first, again, other = (degrade_photo(hr, 2, STRONG, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (3, 20, 26) and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def read_like(height: int, width: int) -> np.ndarray:
    return (imresize(noise_of(height // 4, width // 4), height, width).clip(0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_photo_degradations_follow_the_order_of_pairs(tmp_path: Path, channels: int) -> None:
    """Without degradations they equal the clean pairs."""
    paths = pictures_in([make_images(tmp_path / "a", count=3, height=40, width=50)])
    none = Strength(blur=0, noise=0, quality=(100, 100), other_kernels=0, odds=(0, 0, 0))
    degradations = PhotoDegradations(paths, (2, 3, 2), channels, none, seed=0)  # type: ignore[arg-type]
    pool = Pool.from_pairs(make_pairs(paths, (2, 3, 2), channels))  # type: ignore[arg-type]
    ilr = degradations.ilr(0)
    assert ilr.shape == pool.ilr.shape and ilr.dtype == pool.ilr.dtype
    assert np.abs(ilr.astype(float) - pool.ilr).max() < 0.005, "lr has 8 bits here"


@pytest.mark.parametrize("odds", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], ids=str)
def test_a_degradation_without_odds_never_comes(odds: tuple[float, float, float]) -> None:
    strength = replace(STRONG, other_kernels=0, quality=(30, 30), odds=odds)
    flat = np.full((3, 64, 64), 128, np.uint8)
    edge = flat.copy()
    edge[:, :, 40:] = 90
    none = replace(strength, odds=(0, 0, 0))

    def changes(hr: np.ndarray) -> bool:
        one, other = (degrade_photo(hr, 2, each, np.random.default_rng(7)) for each in (strength, none))
        return not np.array_equal(one, other)

    assert changes(flat) == (odds[1] > 0), "noise alone changes a flat image"
    assert changes(edge) == any(odds)


def test_each_epoch_degrades_differently_but_reproducibly(tmp_path: Path) -> None:
    paths = pictures_in([make_images(tmp_path / "a", count=2)])
    degradations = PhotoDegradations(paths, (2,), 1, replace(STRONG, odds=(0.5, 0.5, 0.5)), seed=0)
    epochs = [degradations.ilr(epoch) for epoch in (0, 0, 1, 2, 3)]
    assert np.array_equal(epochs[0], epochs[1]) and not any(np.array_equal(epochs[0], each) for each in epochs[2:])


def test_luma_is_computed_from_degraded_colors(tmp_path: Path) -> None:
    (path,) = pictures_in([make_images(tmp_path / "a", count=1)])
    spoiler = PhotoDegradations([path], (2,), 1, STRONG, seed=3)
    hr = modcrop(read_levels(path, 3), 2)
    lr = unit(degrade_photo(hr, 2, STRONG, np.random.default_rng([3, 5, 0, 0])))
    wanted = imresize(luma(lr)[None], *hr.shape[1:])
    assert np.array_equal(spoiler.ilr(5), wanted.astype(np.float16).reshape(1, -1))
