"""Whether an image is clean, or degraded by JPEG or noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from drrn.core.resize import imresize
from drrn.data.degradations import add_noise, compress_jpeg
from drrn.media.image import Image
from drrn.upscaling.condition import CLEAN, blockiness, condition_of, noise_level
from tests.conftest import ROOT


def photo(name: str = "coffee") -> Any:
    """A photo, reduced so that no artifacts of its camera are left: (3, h, w), 8 bits."""
    pixels = Image.open(ROOT / f"samples/{name}.png").pixels.transpose(2, 0, 1)
    smaller = imresize(np.ascontiguousarray(pixels), pixels.shape[1] // 2, pixels.shape[2] // 2)
    return (smaller.clip(0, 1) * 255).round().astype(np.uint8)


def condition(levels: Any, quality: int | None = None) -> Any:
    return condition_of(levels.transpose(1, 2, 0).astype(np.float32) / 255, quality)


@pytest.mark.parametrize("name", ["coffee", "chelsea"])
def test_clean_and_degraded_photos_are_told_apart(name: str) -> None:
    clean, rng = photo(name), np.random.default_rng(0)
    assert condition(clean) == CLEAN and condition(clean[:1]) == CLEAN
    assert condition(compress_jpeg(clean, quality=50)) == (True, "blocks of a JPEG")
    assert condition(compress_jpeg(clean, quality=97)) == CLEAN
    spoilt, reason = condition(add_noise(clean, sigma=8, rng=rng))
    assert spoilt and reason.startswith("noise of ")


def test_the_tables_of_a_jpeg_decide_before_its_pixels() -> None:
    assert condition(photo(), 75) == (True, "JPEG quality 75")
    assert condition(photo(), 95) == (False, "JPEG quality 95")
    noisy = add_noise(photo(), sigma=8, rng=np.random.default_rng(0))
    assert condition(noisy, 95).reason.startswith("noise of ")


def test_jpeg_blocks_are_found_at_any_offset() -> None:
    spoilt = compress_jpeg(photo(), quality=30)[0].astype(np.float32)
    found = [blockiness(spoilt[top:, left:]) for top, left in ((0, 0), (3, 5), (7, 1))]
    assert min(found) > 1.5 and max(found) - min(found) < 0.1


@pytest.mark.parametrize("sigma", [2, 5, 10])
def test_the_noise_level_is_estimated(sigma: int) -> None:
    ramp = np.linspace(50, 200, 256, dtype=np.float32) + np.zeros((256, 1), np.float32)
    noisy = ramp + np.random.default_rng(0).normal(0, sigma, ramp.shape).astype(np.float32)
    assert noise_level(ramp) < 0.01
    assert noise_level(noisy) == pytest.approx(sigma, rel=0.2)


def test_thin_lines_are_not_noise() -> None:
    drawing: NDArray[np.float32] = np.full((240, 320, 3), 230, np.float32)
    y, x = np.mgrid[:240, :320]
    drawing[(x + y) % 14 < 2] = 40, 0, 200
    assert condition_of(drawing / np.float32(255)) == CLEAN
    noisy = drawing + np.random.default_rng(0).normal(0, 6, drawing.shape)
    assert "noise" in condition_of((noisy.clip(0, 255) / 255).astype(np.float32)).reason


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 200, 1), (40, 9, 3)])
def test_the_smallest_images_have_a_condition(shape: tuple[int, int, int]) -> None:
    assert not condition_of(np.zeros(shape, np.float32)).degraded
    condition_of(np.random.default_rng(0).random(shape, np.float32))


def test_drawings_are_clean(tmp_path: Path) -> None:
    page = np.full((200, 240, 3), 255, np.uint8)
    page[20:180:8, 30:200] = page[40:160, 40:200:16] = 0
    assert condition(page.transpose(2, 0, 1)) == CLEAN
