"""Fill colors under full transparency, so that they do not bleed into visible edges when enlarged."""

import numpy as np
from numpy.typing import NDArray


def fill_transparent(pixels: NDArray[np.float32], alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill colors (H, W, C) under transparent pixels, where `alpha` (H, W) is 0, from the nearest visible ones.

    Colors under full transparency are often black.
    """
    if alpha.all() or not alpha.any():
        return pixels
    filled = _filled(pixels * alpha[..., None], alpha)
    return np.where(alpha[..., None] > 0, pixels, filled)


def _filled(weighted: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of `weighted` over cells of 1, 2, 4, ... pixels, each over the smallest cell with any weight."""
    known = weight > 0
    mean = np.divide(weighted, np.where(known, weight, 1)[..., None], dtype=np.float32)
    if known.all():
        return mean
    coarse = _filled(_pooled(weighted), _pooled(weight[..., None])[..., 0])
    height, width = weight.shape
    return np.where(known[..., None], mean, coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width])


def _pooled(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums over cells of 2x2: (H, W, C) -> half of both, rounded up."""
    x = np.pad(x, ((0, x.shape[0] % 2), (0, x.shape[1] % 2), (0, 0)))
    return x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]
