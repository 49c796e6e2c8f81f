"""Colors are brought back into [0, 1], and what clipping would add to or take from a channel is balanced nearby."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drrn.core import gamut
from drrn.core.resize import Place, imresize

seeds = st.integers(0, 2**32 - 1)
sides = st.tuples(st.integers(1, 24), st.floats(1, 8))


def clip(colors: Any, source: Any, place: Place | None = None) -> Any:
    """Clip the whole image, or only a part."""
    whole, size = source.shape[1:], colors.shape[1:]
    at = gamut.window(place or (slice(0, size[0]), slice(0, size[1])), whole, size)
    return gamut.clip(colors[:, *at.outer], source[:, *at.source], at)


def example(seed: int, rows: tuple[int, float], columns: tuple[int, float], noise: float = 0.3) -> tuple[Any, Any]:
    """Pure colors, and an enlargement of them that exceeds [0, 1]."""
    rng = np.random.default_rng(seed)
    source = rng.integers(0, 2, (3, rows[0], columns[0])).astype(np.float32)
    larger = imresize(source, int(rows[0] * rows[1]), int(columns[0] * columns[1]))
    return larger + rng.normal(0, noise, larger.shape).astype(np.float32), source


def nearest(source: Any, height: int, width: int) -> Any:
    """For each pixel, the source pixel that contains its center."""
    rows, columns = (
        ((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip((height, width), source.shape[1:], strict=True)
    )
    return source[:, rows][:, :, columns]


@settings(deadline=None)
@given(seeds, sides, sides)
def test_colors_in_range_are_left_as_they_are(seed: int, rows: tuple[int, float], columns: tuple[int, float]) -> None:
    colors, source = example(seed, rows, columns)
    colors = colors.clip(0, 1)
    assert np.array_equal(clip(colors, source), colors)


@pytest.mark.slow
@settings(deadline=None)
@given(seeds, *[st.tuples(st.integers(1, 20), st.sampled_from([1, 2, 3, 4]))] * 2)
def test_every_channel_stays_between_its_clipped_value_and_its_source_pixel(
    seed: int, rows: tuple[int, float], columns: tuple[int, float]
) -> None:
    colors, source = example(seed, rows, columns)
    result, clipped, goal = clip(colors, source), colors.clip(0, 1), nearest(source, *colors.shape[1:])
    assert (result >= np.minimum(clipped, goal) - 1e-6).all() and (result <= np.maximum(clipped, goal) + 1e-6).all()


@pytest.mark.slow
@settings(deadline=None)
@given(seeds, sides, sides, st.data())
def test_a_part_has_the_same_bits_as_the_whole(
    seed: int, rows: tuple[int, float], columns: tuple[int, float], data: st.DataObject
) -> None:
    colors, source = example(seed, rows, columns)
    ends = [sorted(data.draw(st.sets(st.integers(0, n), min_size=2, max_size=2))) for n in colors.shape[1:]]
    place = slice(*ends[0]), slice(*ends[1])
    assert np.array_equal(clip(colors, source, place), clip(colors, source)[:, *place])


@settings(deadline=None)
@given(seeds, st.integers(1, 40), st.floats(1, 8))
def test_ready_and_needed_rows_match_windows(seed: int, n_in: int, scale: float) -> None:
    n_out = int(n_in * scale)
    there = int(np.random.default_rng(seed).integers(1, n_out + 1))
    ready = gamut.ready(there, n_in, n_out)
    across = slice(0, 1)
    if ready:
        assert gamut.window((slice(0, ready), across), (n_in, 1), (n_out, 1)).outer[0].stop <= there
    if ready < n_out:
        rest = gamut.window((slice(ready, n_out), across), (n_in, 1), (n_out, 1)).outer[0]
        assert rest.start == gamut.needed(ready, n_in, n_out)
        beyond = gamut.window((slice(0, ready + int(scale) + 1), across), (n_in, 1), (n_out, 1)).outer[0].stop
        assert beyond > there  # no row waits without need


def test_pixels_far_from_clipping_do_not_change() -> None:
    colors, source = example(0, (30, 2), (30, 2))
    inside = colors.clip(0, 1)
    inside[:, 30, 30] = (-0.5, 0.5, 1.5)
    changed = np.argwhere((clip(inside, source) != inside.clip(0, 1)).any(axis=0))
    assert len(changed) > 10 and (abs(changed // 2 - 15) <= gamut.REACH).all()


def test_each_channel_keeps_its_sum_if_there_is_room() -> None:
    """There is room above the blue pixel, where the source is 1, and below the red one."""
    source = np.stack([np.zeros((9, 9)), np.full((9, 9), 0.5), np.ones((9, 9))]).astype(np.float32)
    colors = np.full((3, 22, 27), 0.5, np.float32)
    colors[:, 9:11, 12:14] = np.array([-0.4, 0.5, 1.7], np.float32)[:, None, None]
    result = clip(colors, source)
    np.testing.assert_allclose(result.sum(axis=(1, 2)), colors.sum(axis=(1, 2)), rtol=1e-5)
    assert abs(colors.clip(0, 1).sum(axis=(1, 2)) - colors.sum(axis=(1, 2))).max() > 1


def test_a_second_round_compensates_further_cells() -> None:
    """Two cells need more than the one between them can give; the cells beyond have room for the rest."""
    source = np.ones((3, 9, 9), np.float32)
    source[:2] = 0.5
    colors = np.repeat(np.repeat(source, 2, axis=1), 2, axis=2)
    for left, value in ((4, 0.7), (6, 1.4), (8, 0.7), (10, 1.4), (12, 0.7)):
        colors[2, 8:10, left : left + 2] = value
    before = colors[2].sum()
    assert before - colors[2].clip(0, 1).sum() > 3 and abs(before - clip(colors, source)[2].sum()) < 1e-3


def test_the_result_is_in_range_even_where_the_source_is_not() -> None:
    colors, source = example(0, (9, 2), (9, 2))
    result = clip(colors, source * 2 - 0.5)
    assert result.min() == 0 and result.max() == 1


def test_gray_is_clipped_and_no_more() -> None:
    rng = np.random.default_rng(0)
    colors = np.repeat(rng.normal(0.5, 1, (1, 24, 24)), 3, axis=0).astype(np.float32)
    colors += rng.uniform(-1e-6, 1e-6, colors.shape).astype(np.float32)  # as rounding errors do
    source = np.repeat(rng.random((1, 8, 8), np.float32), 3, axis=0)
    assert np.array_equal(clip(colors, source), colors.clip(0, 1))
