"""BT.601 in studio range, and rounding as MATLAB rounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import DTypeLike

from drrn.core.color import levels, luma, rgb, ycbcr

seeds = st.integers(0, 2**32 - 1)

GOLDEN = {  # ITU-R BT.601 and MATLAB's rgb2ycbcr of uint8 colors
    (255, 255, 255): (235, 128, 128),
    (0, 0, 0): (16, 128, 128),
    (255, 0, 0): (81, 90, 240),
    (0, 255, 0): (145, 54, 34),
    (0, 0, 255): (41, 240, 110),
    (255, 255, 0): (210, 16, 146),
    (0, 255, 255): (170, 166, 16),
    (255, 0, 255): (106, 202, 222),
    (128, 128, 128): (126, 128, 128),
}


@pytest.mark.parametrize("color", GOLDEN)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_colors_have_the_levels_of_the_standard(color: tuple[int, int, int], dtype: DTypeLike) -> None:
    planes = (np.array(color, dtype) / 255).astype(dtype)[:, None, None]
    assert tuple(levels(ycbcr(planes))[:, 0, 0].tolist()) == GOLDEN[color]


def test_white_is_235_and_black_is_16() -> None:
    # a known port has 64.738 for 65.738, and its white is 234
    assert luma(np.ones((3, 1, 1)))[0, 0] * 255 == pytest.approx(235, abs=1e-12)
    assert luma(np.zeros((3, 1, 1)))[0, 0] * 255 == pytest.approx(16, abs=1e-12)


@given(seeds)
@settings(deadline=None)
def test_luma_is_the_first_plane_of_ycbcr(seed: int) -> None:
    picture = np.random.default_rng(seed).random((3, 4, 5))
    np.testing.assert_allclose(luma(picture), ycbcr(picture)[0], rtol=1e-15)


@given(seeds, st.sampled_from([(np.float32, 1e-6), (np.float64, 1e-14)]))
@settings(deadline=None)
def test_the_inverse_restores_the_image(seed: int, kind: tuple[DTypeLike, float]) -> None:
    picture = np.random.default_rng(seed).random((3, 6, 4)).astype(kind[0])
    back = rgb(ycbcr(picture))
    assert back.dtype == picture.dtype and back.shape == picture.shape
    assert np.abs(back - picture).max() <= kind[1]


@given(st.floats(0, 1))
@settings(deadline=None)
def test_gray_has_neutral_chroma(value: float) -> None:
    np.testing.assert_allclose(ycbcr(np.full((3, 1, 1), value))[1:] * 255, 128, rtol=1e-13)


def test_all_colors_stay_in_studio_range() -> None:
    corners = np.stack(np.meshgrid([0.0, 1.0], [0.0, 1.0], [0.0, 1.0])).reshape(3, 2, 4)
    y, *chroma = ycbcr(corners) * 255
    assert y.min() > 16 - 1e-9 and y.max() < 235 + 1e-9
    assert np.min(chroma) == pytest.approx(16) and np.max(chroma) == pytest.approx(240)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("top", [255, 65535])
def test_every_level_survives_a_division(top: int, dtype: DTypeLike) -> None:
    whole = np.arange(top + 1, dtype=dtype)
    rounded = levels((whole / np.asarray(top, dtype)).astype(dtype), top)
    assert rounded.dtype == dtype and np.array_equal(rounded, whole)


def test_halves_are_rounded_up_and_not_to_even() -> None:
    halves = np.arange(0.5, 254)
    exact = halves[(halves / 255) * 255 == halves]  # those that a division and a product bring back
    assert len(exact) > 200
    assert np.array_equal(levels(exact / 255), exact + 0.5)
    assert levels(np.array([0.5]), 65535) == 32768


@pytest.mark.parametrize("top", [255, 65535])
def test_levels_outside_the_range_are_clipped(top: int) -> None:
    assert levels(np.array([-np.inf, -1, -1e-9, 1 + 1e-9, 7, np.inf]), top).tolist() == [0, 0, 0, top, top, top]


@given(st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None)
def test_rounding_is_monotonic_and_moves_by_half_a_level_at_most(a: float, b: float) -> None:
    low, high = levels(np.array(sorted([a, b])))
    assert low <= high
    assert abs(low - 255 * min(a, b)) <= 0.5 + 1e-12
