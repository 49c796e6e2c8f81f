"""MATLAB's `imresize(..., "bicubic")`, the degradation that every super-resolution benchmark uses.

Pillow, OpenCV and torch's `interpolate` each differ from it in antialiasing, at the borders or in rounding, so scores
obtained with them are not comparable.
"""

from functools import lru_cache
from math import ceil
from types import ModuleType
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

try:
    from drrn.core import _resize

    compiled: ModuleType | None = _resize
except ImportError:  # drrn was installed without a compiler
    compiled = None

Float = TypeVar("Float", np.float32, np.float64)
Scalar = TypeVar("Scalar", bound=np.generic)
Place = tuple[slice, slice]
"""Rows and columns of a plane, each with a start and a stop."""


def imresize(planes: NDArray[Float], height: int, width: int) -> NDArray[Float]:
    """Resize the last two axes with MATLAB's antialiased bicubic kernel.

    Args:
        planes: (..., H, W), floating point; any range.
        height, width: the size of the result, in pixels.

    Returns:
        (..., height, width), the dtype of `planes`. Not clipped: a cubic kernel overshoots at edges, so clip when
        storing. An axis that keeps its size keeps its values.

    MATLAB starts with the axis that shrinks most; the two orders agree up to rounding errors.
    """
    if height < 1 or width < 1:
        raise ValueError(f"`height` and `width` must be at least 1, got {height} and {width}.")
    return np.ascontiguousarray(_resize_axis(_resize_axis(planes, -2, height), -1, width))


def source_of(place: Place, whole: tuple[int, int], size: tuple[int, int]) -> Place:
    """The region of planes of (height, width) `whole` that `place` of their `imresize` to `size` depends on."""
    rows, columns = (_source(*axis) for axis in zip(place, whole, size, strict=True))
    return rows, columns


def imresize_place(part: NDArray[Float], place: Place, whole: tuple[int, int], size: tuple[int, int]) -> NDArray[Float]:
    """`imresize(planes, *size)[..., *place]` to the last bit, from a part of the planes.

    Args:
        part: `planes[..., *source_of(place, whole, size)]`.
        whole: (height, width) of `planes`.
    """
    rows = _resize_axis(part, -2, size[0], whole[0], place[0])
    return np.ascontiguousarray(_resize_axis(rows, -1, size[1], whole[1], place[1]))


def ready(there: int, whole: int, size: int) -> int:
    """How many of the first `size` samples along an axis depend on no more than the first `there` of `whole`."""
    if there == whole or whole == size:
        return size if there == whole else there
    return int(np.searchsorted(np.maximum.accumulate(_taps(whole, size)[0].max(axis=1)), there))


def first_needed(done: int, whole: int, size: int) -> int:
    """The first sample, of `whole`, on which those of `size` from `done` on depend."""
    return _source(slice(done, size), whole, size).start if done < size else whole


class SamplePositions(NamedTuple):
    """The samples to compute along an axis, if they are not simply those of another size."""

    length: int
    scale: float
    """How many times denser they are than the existing samples."""
    shift: float
    """Offset of each from where `imresize` would place it, in existing samples."""


def resample(planes: NDArray[Float], rows: SamplePositions, columns: SamplePositions) -> NDArray[Float]:
    """`imresize` for planes whose samples are not centered in the image, such as chroma.

    Args:
        planes: (..., H, W), floating point; any range.

    Returns:
        (..., rows.length, columns.length), not clipped.
    """
    down = _weighted(planes, -2, *_taps(planes.shape[-2], *rows))
    return _weighted(down, -1, *_taps(planes.shape[-1], *columns))


def degrade(hr: NDArray[Float], scale: float) -> NDArray[Float]:
    """The lr of `hr` (..., H, W) by `imresize`: sides divided by `scale` and rounded, values not rounded or clipped.

    Crop with `modcrop` first if lr must be exactly `scale` times smaller.
    """
    height, width = hr.shape[-2:]
    return imresize(hr, max(round(height / scale), 1), max(round(width / scale), 1))


def modcrop(planes: NDArray[Scalar], scale: float) -> NDArray[Scalar]:
    """`planes` (..., H, W), cropped at the bottom and right to a multiple of `scale`.

    For a fractional scale, to the largest size that enlarging an lr of whole pixels reproduces, rounded.
    """
    # 33 / 1.1 is a hair less than 30, hence the 1e-9
    height, width = (round(int(side / scale + 1e-9) * scale) for side in planes.shape[-2:])
    return planes[..., :height, :width]


def _resize_axis(x: NDArray[Float], axis: int, n: int, whole: int = 0, kept: slice = slice(None)) -> NDArray[Float]:
    """Resize one of the last two axes, -2 or -1, to `n`.

    With `whole`, `x` is the part of that many samples that `_source` names, and only the samples `kept` are computed.
    """
    whole = whole or x.shape[axis]
    if whole == n:
        return x
    index, weight = _taps(whole, n)
    index, weight = index[kept], weight[kept]
    return _weighted(x, axis, index - index.min() if kept != slice(None) else index, weight)


def _weighted(x: NDArray[Float], axis: int, index: NDArray[np.intp], weight: NDArray[np.float64]) -> NDArray[Float]:
    """Sample i along the axis, -2 or -1, is the sum of weight[i, t] times sample index[i, t], in the order of t."""
    factors = weight.astype(x.dtype)
    if compiled and x.dtype == np.float32:
        planes = np.ascontiguousarray(x).reshape(-1, *x.shape[-2:])
        height, width = (len(index), x.shape[-1]) if axis == -2 else (x.shape[-2], len(index))
        sums = np.empty((len(planes), height, width), x.dtype)
        add = compiled.weighted_rows if axis == -2 else compiled.weighted_columns
        add(planes, np.ascontiguousarray(index, np.int64), factors, sums)
        return sums.reshape(*x.shape[:-2], height, width)
    if axis == -1:
        return np.ascontiguousarray(_weighted(x.swapaxes(-1, -2), -2, index, weight).swapaxes(-1, -2))
    total = np.zeros((*x.shape[:-2], len(index), x.shape[-1]), x.dtype)
    for tap in range(index.shape[1]):
        total += x[..., index[:, tap], :] * factors[:, tap, None]
    return total


def _source(kept: slice, whole: int, n: int) -> slice:
    """The samples, of `whole`, that the samples `kept` of `n` depend on."""
    if whole == n:
        return kept
    index = _taps(whole, n)[0][kept]
    return slice(int(index.min()), int(index.max()) + 1)


@lru_cache(maxsize=64)
def _taps(
    n_in: int, n_out: int, scale: float | None = None, shift: float = 0.0
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Which input samples contribute to each output sample, and their weights: two (n_out, taps)."""
    scale = n_out / n_in if scale is None else scale
    squeeze = min(scale, 1.0)  # shrinking widens the kernel, which antialiases
    support = 4 / squeeze
    # in MATLAB's order of operations, for the same rounding errors
    center = (np.arange(n_out) + 1) / scale + 0.5 * (1 - 1 / scale) - 1 + shift
    first = np.floor(center - support / 2).astype(np.intp) + 1
    index = first[:, None] + np.arange(ceil(support) + 1)
    weight = _cubic(squeeze * (center[:, None] - index))
    used = np.any(weight != 0, axis=0)
    return _mirror(index[:, used], n_in), (weight / weight.sum(1, keepdims=True))[:, used]


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel with a = -0.5 (Keys 1981, eq. 15)."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return near * (x <= 1) + far * ((x > 1) & (x <= 2))


def _mirror(index: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Reflect indices beyond an edge, repeating the edge sample: ... 1 0 | 0 1 2 ..."""
    index = index % (2 * n)
    return np.minimum(index, 2 * n - 1 - index)
