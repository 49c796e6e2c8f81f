"""Images in memory: what they accept, and that their samples are kept."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from drrn.media.image import Image

SHAPES = array_shapes(min_dims=3, max_dims=3, max_side=9).filter(lambda shape: shape[2] <= 4)


@given(st.sampled_from([np.uint8, np.uint16]).flatmap(lambda dtype: arrays(dtype, SHAPES)))
def test_integer_samples_survive_a_round_trip(array: Any) -> None:
    picture = Image.from_array(array)
    assert picture.bits == 8 * array.itemsize
    assert picture.pixels.shape == (*array.shape[:2], 1 if array.shape[2] < 3 else 3)
    assert (picture.alpha is not None) == (array.shape[2] in (2, 4))
    assert picture.to_array().dtype == array.dtype
    assert np.array_equal(picture.to_array(), array)


def test_all_16_bit_levels_survive_a_round_trip() -> None:
    array = np.arange(65536, dtype=np.uint16).reshape(512, 128)
    assert np.array_equal(Image.from_array(array).to_array()[..., 0], array)


def test_a_plane_becomes_a_gray_image() -> None:
    picture = Image.from_array(np.zeros((2, 3), np.uint8))
    assert (picture.height, picture.width, picture.pixels.shape[2], picture.alpha) == (2, 3, 1, None)


def test_floats_are_rounded_once() -> None:
    image = Image.from_array(np.array([[-1e-6, 0.0, 0.49 / 255, 0.51 / 255, 1.0, 1 + 1e-6]], np.float32))
    assert image.to_array().ravel().tolist() == [0, 0, 0, 1, 255, 255]


@pytest.mark.parametrize("value", [-0.1, 1.1, 255.0, float("inf")])
def test_floats_outside_0_to_1_are_refused_with_their_range(value: float) -> None:
    with pytest.raises(ValueError, match=rf"must be in .* got .*{value:g}"):
        Image.from_array(np.array([[0.5, value]]))


def test_arrays_in_the_other_byte_order_are_read() -> None:
    array = np.array([[0, 258, 65535]], ">u2")
    assert Image.from_array(array).to_array()[..., 0].tolist() == array.tolist()


def test_the_rows_of_a_tall_image_keep_their_order() -> None:
    array = np.arange(200 * 3 * 4, dtype=np.uint16).reshape(200, 3, 4)
    assert np.array_equal(Image.from_array(array).to_array(), array)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"pixels": np.zeros((2, 3), np.float32)}, r"`pixels` must be .*, got \(2, 3\)"),
        ({"pixels": np.zeros((2, 3, 2), np.float32)}, "`pixels` must be"),
        ({"pixels": np.zeros((0, 3, 3), np.float32)}, "`pixels` must be"),
        ({"pixels": np.zeros((2, 3, 1), np.float32), "alpha": np.ones((3, 2), np.float32)}, "`alpha` must be"),
        ({"pixels": np.zeros((2, 3, 1), np.float32), "dpi": (0, 72)}, "`dpi` must be"),
        ({"pixels": np.zeros((2, 3, 1), np.float32), "dpi": (72, float("nan"))}, "`dpi` must be"),
    ],
)
def test_values_that_are_not_an_image_are_refused(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Image(**fields)


@pytest.mark.parametrize("array", [np.zeros((2, 3, 5), np.uint8), np.zeros((2, 3), np.int32), np.full((2, 3), np.nan)])
def test_arrays_that_are_not_an_image_are_refused(array: Any) -> None:
    with pytest.raises(ValueError, match="`array` must be"):
        Image.from_array(array)


def test_an_image_from_an_array_needs_no_decoder() -> None:
    """Arrays do not need libvips."""
    script = "import sys, drrn.media.image; sys.exit('pyvips' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
