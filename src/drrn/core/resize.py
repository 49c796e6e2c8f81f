"""MATLAB's `imresize(..., "bicubic")`, the degradation that every super-resolution benchmark is made with.

Pillow, OpenCV and torch's `interpolate` each differ from it in the antialiasing, at the borders or in the
rounding, so scores made with them compare with nobody's.
"""

from functools import lru_cache
from math import ceil
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", np.float32, np.float64)
Scalar = TypeVar("Scalar", bound=np.generic)


def imresize(planes: NDArray[Float], height: int, width: int) -> NDArray[Float]:
    """Resize the last two axes with MATLAB's antialiased bicubic kernel.

    Args:
        planes: (..., H, W), floating point; any range.
        height, width: the wanted size, in pixels.

    Returns:
        (..., height, width), the dtype of `planes`. Not clipped: a cubic kernel overshoots at edges, and only
        who stores the result knows its range. An axis that keeps its size keeps its values.

    MATLAB takes the axis that shrinks most first; the two orders agree to rounding error.
    """
    if height < 1 or width < 1:
        raise ValueError(f"`height` and `width` must be at least 1, got {height} and {width}.")
    rows = _resize_rows(planes, height)
    return np.ascontiguousarray(_resize_rows(rows.swapaxes(-1, -2), width).swapaxes(-1, -2))


def degrade(hr: NDArray[Float], scale: float) -> NDArray[Float]:
    """The lr of `hr` (..., H, W): each side divided by `scale` and rounded, by `imresize`, not rounded nor clipped.

    Crop with `modcrop` first where the protocol wants lr to be exactly `scale` times smaller.
    """
    height, width = hr.shape[-2:]
    return imresize(hr, max(round(height / scale), 1), max(round(width / scale), 1))


def modcrop(planes: NDArray[Scalar], scale: float) -> NDArray[Scalar]:
    """`planes` (..., H, W) without the last rows and columns that are no whole multiple of `scale`.

    A fractional scale keeps the largest size that an lr of whole pixels gives back exactly, rounded.
    """
    # 33 / 1.1 is a hair less than 30, hence the 1e-9
    height, width = (round(int(side / scale + 1e-9) * scale) for side in planes.shape[-2:])
    return planes[..., :height, :width]


def _resize_rows(x: NDArray[Float], n: int) -> NDArray[Float]:
    """(..., H, W) -> (..., n, W): a weighted sum of whole rows, so that memory is read in its own order."""
    if x.shape[-2] == n:
        return x
    index, weight = _taps(x.shape[-2], n)
    out = np.zeros((*x.shape[:-2], n, x.shape[-1]), x.dtype)
    for tap in range(index.shape[1]):
        out += x[..., index[:, tap], :] * weight[:, tap, None].astype(x.dtype)
    return out


@lru_cache(maxsize=64)
def _taps(n_in: int, n_out: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Which input samples make each output sample, and how much of each: two (n_out, taps)."""
    scale = n_out / n_in
    squeeze = min(scale, 1.0)  # shrinking widens the kernel: that is the antialiasing
    support = 4 / squeeze
    # written as MATLAB writes it, so that its rounding errors are the same too
    centre = (np.arange(n_out) + 1) / scale + 0.5 * (1 - 1 / scale) - 1
    first = np.floor(centre - support / 2).astype(np.intp) + 1
    index = first[:, None] + np.arange(ceil(support) + 1)
    weight = _cubic(squeeze * (centre[:, None] - index))
    used = np.any(weight != 0, axis=0)
    return _mirror(index[:, used], n_in), (weight / weight.sum(1, keepdims=True))[:, used]


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel with a = -0.5 (Keys 1981, eq. 15)."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return near * (x <= 1) + far * ((x > 1) & (x <= 2))


def _mirror(index: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Indices past an edge come back from it, the edge sample twice: ... 1 0 | 0 1 2 ..."""
    index = index % (2 * n)
    return np.minimum(index, 2 * n - 1 - index)
