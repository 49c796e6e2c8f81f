"""`imresize` equals that of MATLAB up to rounding, and obeys the laws of a symmetric, linear, normalized kernel."""

from math import ceil, floor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drrn.core import resize
from drrn.core.resize import SamplePositions, degrade, imresize, imresize_place, modcrop, resample, source_of

sides = st.integers(1, 24)
seeds = st.integers(0, 2**32 - 1)
scales = st.integers(11, 160).map(lambda tenths: tenths / 10)


def noise(seed: int, *shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random(shape)


def assert_near(ours: NDArray[np.float64], theirs: NDArray[np.float64], tolerance: float = 1e-12) -> None:
    """A failure shows the largest difference and where it is."""
    assert ours.shape == theirs.shape
    difference = np.abs(ours - theirs)
    at = np.unravel_index(difference.argmax(), difference.shape)
    assert difference[at] <= tolerance, f"{difference[at]:.3g} at {tuple(map(int, at))}"


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["butterfly", "woman"])
@pytest.mark.parametrize(("source", "wanted"), [("im_gt_y", "im_l_y"), ("im_l_y", "im_b_y")], ids=["shrink", "enlarge"])
def test_imresize_equals_matlab(data: Path, name: str, scale: int, source: str, wanted: str) -> None:
    # golden: MATLAB's own doubles, 0..255, of twtygqyy/pytorch-vdsr (data/SOURCES.md); measured 1.7e-13
    with np.load(data / "matlab_ref" / f"{name}_x{scale}.npz") as arrays:
        theirs = arrays[wanted]
        assert_near(imresize(arrays[source], *theirs.shape), theirs)


@given(sides, sides, sides, sides, seeds)
@settings(deadline=None)
def test_imresize_matches_the_sum_written_out(height: int, width: int, rows: int, columns: int, seed: int) -> None:
    x = noise(seed, height, width)
    theirs = along_rows(along_rows(x, rows).T, columns).T
    assert_near(imresize(x, rows, columns), theirs)


def along_rows(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """The definition, one sample at a time: mirrored borders, and a kernel that is widened when shrinking."""
    if n == len(x):
        return x
    wide = max(len(x) / n, 1)
    values = []
    for i in range(n):
        center = (i + 0.5) * len(x) / n - 0.5
        reach = range(floor(center - 2 * wide), ceil(center + 2 * wide) + 1)
        weights = [keys((center - j) / wide) for j in reach]
        mirrored = [j if 0 <= j < len(x) else ~j % (2 * len(x)) for j in reach]
        mirrored = [j if j < len(x) else 2 * len(x) - 1 - j for j in mirrored]
        values.append(sum(w * x[j] for w, j in zip(weights, mirrored, strict=True)) / sum(weights))
    return np.array(values)


def keys(t: float) -> float:
    t = abs(t)
    if t <= 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0


@given(sides, sides, sides, sides, st.floats(-1e3, 1e3, allow_subnormal=False))
@settings(deadline=None)
def test_a_constant_is_kept(height: int, width: int, rows: int, columns: int, value: float) -> None:
    np.testing.assert_allclose(imresize(np.full((height, width), value), rows, columns), value, rtol=1e-14)


@given(sides, sides, seeds)
@settings(deadline=None)
def test_the_same_size_keeps_the_values(height: int, width: int, seed: int) -> None:
    x = noise(seed, height, width)
    assert np.array_equal(imresize(x, height, width), x)


@given(sides, sides, sides, sides, seeds)
@settings(deadline=None)
def test_both_axes_are_treated_alike(height: int, width: int, rows: int, columns: int, seed: int) -> None:
    x = noise(seed, height, width)
    assert_near(imresize(x.T.copy(), columns, rows), imresize(x, rows, columns).T)


@given(sides, sides, sides, sides, seeds)
@settings(deadline=None)
def test_the_axes_can_be_resized_one_after_the_other(h: int, w: int, rows: int, columns: int, seed: int) -> None:
    x = noise(seed, h, w)
    assert_near(imresize(imresize(x, h, columns), rows, columns), imresize(x, rows, columns))


@given(sides, sides, sides, sides, st.floats(-8, 8), seeds)
@settings(deadline=None)
def test_imresize_is_linear(h: int, w: int, rows: int, columns: int, factor: float, seed: int) -> None:
    a, b = noise(seed, 2, h, w)
    assert_near(
        imresize(a + factor * b, rows, columns), imresize(a, rows, columns) + factor * imresize(b, rows, columns)
    )


@given(sides, sides, sides, sides, seeds)
@settings(deadline=None)
def test_a_flipped_image_gives_a_flipped_result(h: int, w: int, rows: int, columns: int, seed: int) -> None:
    x = noise(seed, h, w)
    assert_near(imresize(x[::-1, ::-1].copy(), rows, columns), imresize(x, rows, columns)[::-1, ::-1])


@given(st.integers(4, 12), st.integers(2, 5))
@settings(deadline=None)
def test_a_linear_gradient_stays_linear_away_from_the_borders(n: int, scale: int) -> None:
    slope = np.arange(n, dtype=np.float64)[:, None]
    inside = slice(2 * scale, -2 * scale or None)
    enlarged = imresize(slope, n * scale, 1)[inside]
    expected = ((np.arange(n * scale) + 0.5) / scale - 0.5)[inside, None]
    np.testing.assert_allclose(enlarged, expected, atol=1e-12)


@given(sides, sides, sides, sides, seeds)
@settings(deadline=None)
def test_single_precision_stays_single_and_close(h: int, w: int, rows: int, columns: int, seed: int) -> None:
    x = noise(seed, h, w)
    ours = imresize(x.astype(np.float32), rows, columns)
    assert ours.dtype == np.float32
    assert_near(ours.astype(np.float64), imresize(x, rows, columns), 2e-6)


@given(st.lists(st.integers(1, 3), max_size=3), seeds)
@settings(deadline=None)
def test_leading_axes_are_a_stack_of_planes(leading: list[int], seed: int) -> None:
    x = noise(seed, *leading, 5, 7)
    ours = imresize(x, 8, 3)
    assert ours.shape == (*leading, 8, 3)
    for at in np.ndindex(*leading):
        assert np.array_equal(ours[at], imresize(x[at], 8, 3))


def test_the_result_is_contiguous() -> None:
    assert all(imresize(noise(0, 6, 7), *size).flags.c_contiguous for size in [(3, 7), (6, 3), (3, 3), (6, 7)])


def test_an_edge_overshoots_and_is_not_clipped() -> None:
    edge = np.repeat([0.0, 1.0], 8)[:, None]
    enlarged = imresize(edge, 64, 1)
    assert enlarged.min() < -0.05 and enlarged.max() > 1.05


def test_shrinking_removes_frequencies_beyond_the_small_image() -> None:
    stripes = np.tile([0.0, 1.0], 32)[None]
    assert np.ptp(imresize(stripes, 1, 16)[:, 2:-2]) < 1e-12  # without antialiasing it would be 1


@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, 0), (-1, 5)])
def test_a_size_below_one_is_refused(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=rf"must be at least 1, got {height} and {width}\."):
        imresize(np.ones((4, 4)), height, width)


@given(st.integers(1, 60), st.integers(1, 60), scales, seeds)
@settings(max_examples=60, deadline=None)
def test_degrade_divides_each_side_and_rounds(height: int, width: int, scale: float, seed: int) -> None:
    hr = noise(seed, height, width)
    lr = degrade(hr, scale)
    assert lr.shape == (max(round(height / scale), 1), max(round(width / scale), 1))
    assert np.array_equal(lr, imresize(hr, *lr.shape))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_modcrop_keeps_multiples_from_the_first_pixel(scale: int) -> None:
    for height in range(scale, 4 * scale):
        x = noise(0, 3, height, 31)
        cropped = modcrop(x, scale)
        assert cropped.shape == (3, height - height % scale, 31 - 31 % scale)
        assert np.array_equal(cropped, x[:, : cropped.shape[1], : cropped.shape[2]])


@given(st.integers(1, 400), scales)
@settings(max_examples=300, deadline=None)
def test_the_lr_of_a_cropped_image_enlarges_to_its_size(side: int, scale: float) -> None:
    cropped = modcrop(np.empty((side, side)), scale).shape[0]
    assert side - scale < cropped + 0.5 and cropped <= side
    if cropped:
        lr = degrade(np.zeros((cropped, 1)), scale).shape[0]
        assert round(lr * scale) == cropped


def test_a_side_that_is_a_multiple_of_a_fractional_scale_is_kept_whole() -> None:
    for tenths in range(11, 81):
        for side in range(1, 1000):
            if 10 * side % tenths == 0:  # 33 / 1.1 is 29.999999999999996 in floating point
                assert modcrop(np.empty((side, side)), tenths / 10).shape == (side, side), f"{side} at x{tenths / 10}"


def test_modcrop_keeps_the_dtype() -> None:
    assert modcrop(np.ones((5, 5), np.uint8), 2).dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(st.tuples(sides, sides), st.tuples(sides, sides), st.tuples(*[st.floats(0, 1)] * 4), seeds)
def test_a_part_equals_the_whole_to_the_last_bit(
    dtype: type[np.float32], whole: tuple[int, int], size: tuple[int, int], cuts: tuple[float, ...], seed: int
) -> None:
    planes = noise(seed, 2, *whole).astype(dtype)
    rows, columns = (
        slice(first := min(int(one * n), n - 1), max(first + 1, int(other * n)))
        for n, one, other in zip(size, cuts[:2], cuts[2:], strict=True)
    )
    part = planes[:, *source_of((rows, columns), whole, size)]
    ours = imresize_place(part, (rows, columns), whole, size)
    assert ours.dtype == dtype
    assert (ours == imresize(planes, *size)[:, rows, columns]).all()


def test_a_part_needs_little_more_than_its_own_area() -> None:
    assert source_of((slice(100, 120), slice(0, 40)), (1000, 1000), (2000, 2000)) == (slice(48, 62), slice(0, 22))


@given(st.tuples(sides, sides), st.tuples(sides, sides), seeds)
def test_samples_on_the_grid_match_imresize(whole: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    planes = noise(seed, 2, *whole)
    ours = resample(planes, *(SamplePositions(new, new / old, 0.0) for old, new in zip(whole, size, strict=True)))
    assert np.allclose(ours, imresize(planes, *size), rtol=0, atol=1e-12)


def test_samples_can_be_shifted_off_the_grid() -> None:
    slope = np.tile(np.arange(40.0), (6, 1))
    shifted = resample(slope, SamplePositions(6, 1.0, 0.0), SamplePositions(80, 2.0, 0.125))
    assert np.allclose(shifted[:, 8:-8], (np.arange(80) + 0.5)[8:-8] / 2 - 0.5 + 0.125)


@pytest.mark.skipif(resize.compiled is None, reason="drrn was installed without a compiler")
@given(sides, sides, sides, sides, seeds)
@settings(deadline=None)
def test_the_compiled_sums_have_the_bits_of_numpy(height: int, width: int, rows: int, columns: int, seed: int) -> None:
    x = (noise(seed, 2, height, width) - 0.3).astype(np.float32)
    ours = imresize(x, rows, columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resize, "compiled", None)
        theirs = imresize(x, rows, columns)
    assert ours.dtype == theirs.dtype == np.float32 and ours.shape == theirs.shape
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.skipif(resize.compiled is None, reason="drrn was installed without a compiler")
def test_the_compiled_sums_read_nothing_beyond_the_planes() -> None:
    assert resize.compiled
    planes, weight = np.zeros((1, 4, 5), np.float32), np.ones((3, 2), np.float32)
    for add, length, shape in (
        (resize.compiled.weighted_rows, 4, (1, 3, 5)),
        (resize.compiled.weighted_columns, 5, (1, 4, 3)),
    ):
        sums = np.ones(shape, np.float32)
        add(planes, np.full((3, 2), length - 1), weight, sums)
        assert (sums == 0).all()
        for wrong in (length, -1):
            with pytest.raises(ValueError, match="an index is out of range"):
                add(planes, np.full((3, 2), wrong), weight, sums)
        with pytest.raises(ValueError, match="an index and a weight for each tap"):
            add(planes, np.zeros((2, 2), np.int64), weight, sums)
        with pytest.raises(ValueError, match="the sums have another shape"):
            add(planes, np.zeros((3, 2), np.int64), weight, sums[:, :2].copy())
