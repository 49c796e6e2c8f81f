"""A part that is enlarged on its own has the same levels as in the whole result."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drrn.engines import EngineName
from drrn.engines.selection import is_compiled
from drrn.media.image import Image
from drrn.upscaling.batch.planning import Request, plan
from drrn.upscaling.formats.job import Hooks
from drrn.upscaling.place import enlarge_place
from drrn.upscaling.upscaler import Upscaler
from drrn.weights.store import load
from tests.small_weights import random_weights, small_weights

MODELS: list[dict[str, Any]] = [
    {"channels": 1, "unshuffle": 1},
    {"channels": 1, "unshuffle": 3},
    {"channels": 3, "unshuffle": 2},
    {"scales": (2, 3, 4)},
]
ENGINES: list[EngineName] = ["reference", "native"] if is_compiled() else ["reference"]


def arrays(height: int, width: int) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(1)
    color = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    holes = np.dstack([color, rng.integers(0, 3, (height, width, 1)).astype(np.uint8) * 127])
    holes[: height // 2, : width // 2, 3] = 0
    flat = color.copy()
    flat[:, width // 3 :] = 255
    opaque = holes.copy()
    opaque[..., 3] = 255
    return {
        "RGB": color,
        "gray": color[..., :1],
        "gray as RGB": color[..., :1].repeat(3, axis=2),
        "16 bit": (color.astype(np.uint16) * 257) ^ 5,
        "alpha": holes,
        "gray and alpha": holes[..., 2:],
        "opaque alpha": opaque,
        "half white": flat,
        "one color": np.full((height, width, 3), (1, 2, 3), np.uint8),
    }


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_a_part_has_the_same_levels_as_in_the_whole_result(engine: EngineName, model: dict[str, Any]) -> None:
    upscaler, kinds = Upscaler(random_weights(model), engine=engine, threads=1), arrays(30, 41)
    for name in kinds if engine == "native" else ("RGB", "16 bit", "alpha"):  # NumPy is slow
        array = kinds[name]
        for size in [(60, 82), (75, 93), (31, 200)] if engine == "native" else [(75, 93)]:
            whole = upscaler.upscale(array, size=(size[1], size[0]))
            for rows, columns in [((0, 12), (0, 9)), ((17, 31), (23, 82)), ((25, 26), (40, 41)), ((0, 31), (0, 82))]:
                place = slice(*rows), slice(*columns)
                part = enlarge_place(upscaler, array, place, size)
                assert part.dtype == array.dtype
                difference = np.abs(part.astype(int) - whole[place])
                # NumPy's sums depend on the shapes of what is multiplied
                assert difference.max() <= (engine == "reference"), f"{name} to {size} at {place}"


@pytest.mark.skipif(not is_compiled(), reason="the native engine was not compiled here")
def test_a_part_far_from_the_border_has_the_same_bits_as_the_whole(kernels: str) -> None:
    """With 16 bits and many pixels, different rounding in neighboring blocks would show."""
    upscaler = Upscaler(small_weights(gain=1), threads=1)
    array = np.random.default_rng(3).integers(0, 1 << 16, (150, 160, 1)).astype(np.uint16)
    whole = upscaler.upscale(array, scale=2)
    for top, left in [(101, 97), (104, 99), (107, 101)]:
        place = slice(top, top + 90), slice(left, left + 120)
        assert np.array_equal(enlarge_place(upscaler, array, place, (300, 320)), whole[place]), (top, left)


@pytest.mark.slow
@pytest.mark.skipif(not is_compiled(), reason="the native engine was not compiled here")
@settings(max_examples=25)
@given(st.data())
def test_any_part_matches_the_whole_with_a_packaged_model(data: st.DataObject) -> None:
    upscaler = Upscaler(load("tiny"), threads=1)
    array = np.random.default_rng(3).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    height = data.draw(st.integers(41, 160))
    width = data.draw(st.integers(51, 200))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    place = slice(top, bottom), slice(left, right)
    whole = upscaler.upscale(Image.from_array(array), size=(width, height)).to_array()
    np.testing.assert_array_equal(enlarge_place(upscaler, array, place, (height, width)), whole[place])


@pytest.mark.skipif(not is_compiled(), reason="the native engine was not compiled here")
def test_a_part_across_strips_matches_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("planes", "cost", "formats.strips"):
        monkeypatch.setattr(f"drrn.upscaling.{module}.MAX_TILE", 96)
    array = arrays(60, 150)["RGB"]
    source, target = tmp_path / "photo.png", tmp_path / "large.png"
    Image.from_array(array).save(source)
    upscaler = Upscaler(small_weights(unshuffle=2), threads=1)
    job = plan(source, target, Request(2))
    cost = job.format.estimate(job, upscaler)
    assert cost.tile[1] < 300 / 2
    job.format.enlarge(job, upscaler, Hooks())
    whole = Image.open(target).to_array()
    for left in (0, 40, 90, 101, 203):
        place = slice(33, 90), slice(left, left + 97)
        np.testing.assert_array_equal(enlarge_place(upscaler, array, place, (120, 300), cost.tile), whole[place])


def test_a_part_can_not_be_enlarged_with_an_ensemble() -> None:
    with pytest.raises(ValueError, match="must not be an ensemble"):
        enlarge_place(
            Upscaler(small_weights(), ensemble=True),
            np.zeros((4, 4, 3), np.uint8),
            (slice(0, 1), slice(0, 1)),
            (8, 8),
        )
