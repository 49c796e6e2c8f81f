"""Only areas that are constant within the reach of the network are restored, and a part matches the whole."""

from math import ceil

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drrn.core.flat import BICUBIC, keep_flat, needed_source

sides = st.integers(1, 30)


def blocks(channels: int, height: int, width: int, seed: int) -> NDArray[np.float32]:
    """Large areas of few values, with some single pixels of other values."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 3, (channels, -(-height // 12), -(-width // 12))).astype(np.float32)
    planes = coarse.repeat(12, axis=1).repeat(12, axis=2)[:, :height, :width].copy()
    planes[:, rng.random((height, width)) < 0.01] = 9
    return planes


@given(st.sampled_from([1, 3]), sides, sides, st.integers(1, 5), st.floats(1.0, 3.5), st.integers(0, 2**31))
@settings(deadline=None, max_examples=40)
def test_exactly_constant_areas_within_reach_are_restored(
    channels: int, height: int, width: int, halo: int, scale: float, seed: int
) -> None:
    """Compared with a loop over the pixels."""
    source = blocks(channels, height, width, seed)
    size = max(round(height * scale), height), max(round(width * scale), width)
    sr = np.full((channels, *size), -1, np.float32)
    place = slice(0, size[0]), slice(0, size[1])
    keep_flat(sr, place, source, (slice(0, height), slice(0, width)), (height, width), size, halo)
    far = [ceil(halo * m / n) + BICUBIC for m, n in zip((height, width), size, strict=True)]
    for row in range(size[0]):
        for column in range(size[1]):
            y, x = (2 * row + 1) * height // (2 * size[0]), (2 * column + 1) * width // (2 * size[1])
            view = source[:, max(y - far[0], 0) : y + far[0] + 1, max(x - far[1], 0) : x + far[1] + 1]
            constant = (view == view[:, :1, :1]).all()
            assert (sr[:, row, column] == (source[:, y, x] if constant else -1)).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 20), st.floats(1.1, 3.0), st.data())
@settings(deadline=None, max_examples=40)
def test_a_part_matches_the_whole(height: int, width: int, halo: int, scale: float, data: st.DataObject) -> None:
    source = blocks(1, height, width, data.draw(st.integers(0, 99)))
    whole, size = (height, width), (ceil(height * scale), ceil(width * scale))
    everything = slice(0, size[0]), slice(0, size[1])
    wanted = np.full((1, *size), -1, np.float32)
    keep_flat(wanted, everything, source, (slice(0, height), slice(0, width)), whole, size, halo)
    starts = [data.draw(st.integers(0, end - 1)) for end in size]
    rows, columns = (slice(a, data.draw(st.integers(a + 1, end))) for a, end in zip(starts, size, strict=True))
    around = needed_source((rows, columns), whole, size, halo)
    found = np.full((1, rows.stop - rows.start, columns.stop - columns.start), -1, np.float32)
    keep_flat(found, (rows, columns), source[:, *around], around, whole, size, halo)
    assert np.array_equal(found, wanted[:, rows, columns])
