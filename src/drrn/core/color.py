"""BT.601 luma and chroma, as in MATLAB's `rgb2ycbcr`, and rounding to levels.

Studio range: for R, G, B in [0, 1], luma lies in [16, 235] / 255 and chroma in [16, 240] / 255.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrn.core.resize import Float

FROM_RGB = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
"""ITU-R BT.601 in levels of 255; rows Y, Cb, Cr."""
OFFSET = np.array([16.0, 128.0, 128.0])
TO_RGB = np.linalg.inv(FROM_RGB)


def ycbcr(rgb: NDArray[Float]) -> NDArray[Float]:
    """RGB (3, H, W) in [0, 1] -> Y, Cb, Cr (3, H, W), divided by 255 and not rounded."""
    return _affine(FROM_RGB / 255, rgb, OFFSET / 255)


def rgb(planes: NDArray[Float]) -> NDArray[Float]:
    """The inverse of `ycbcr`: (3, H, W) -> (3, H, W), not clipped."""
    return _affine(TO_RGB * 255, planes, -TO_RGB @ OFFSET)


def luma(rgb: NDArray[Float]) -> NDArray[Float]:
    """The Y plane of `ycbcr`: (3, H, W) -> (H, W)."""
    return _affine(FROM_RGB[:1] / 255, rgb, OFFSET[:1] / 255)[0]


def chroma(rgb: NDArray[Float]) -> NDArray[Float]:
    """The Cb and Cr planes of `ycbcr`: (3, H, W) -> (2, H, W)."""
    return _affine(FROM_RGB[1:] / 255, rgb, OFFSET[1:] / 255)


def levels(plane: NDArray[Float], top: int = 255) -> NDArray[Float]:
    """Round `plane`, in [0, 1], to whole levels 0..top: clipped, halves rounded up, as in MATLAB's `uint8`."""
    scaled = np.clip(plane, 0, 1)
    scaled *= plane.dtype.type(top)
    scaled += plane.dtype.type(0.5)
    return np.floor(scaled, out=scaled)


def divided_by_alpha(samples: NDArray[Any]) -> NDArray[Any]:
    """Undo the multiplication of colors by alpha.

    Args:
        samples: (H, W, channels + 1), uint8 or uint16, alpha last.

    Returns:
        Likewise; colors are rounded down, and those of transparent pixels are as if their alpha were 1 level.
    """
    top = np.iinfo(samples.dtype).max
    alpha = np.maximum(samples[..., -1:], 1).astype(np.uint64)
    colors = np.minimum(samples[..., :-1].astype(np.uint64) * top // alpha, top).astype(samples.dtype)
    return np.concatenate([colors, samples[..., -1:]], axis=2)


def _affine(matrix: NDArray[np.float64], planes: NDArray[Float], offset: NDArray[np.float64]) -> NDArray[Float]:
    """`matrix` @ planes + `offset`, in the same order for every pixel: a crop has the same bits as the whole."""
    mixed, product = np.empty((len(matrix), *planes.shape[1:]), planes.dtype), np.empty_like(planes[0])
    for plane, row, shift in zip(mixed, matrix.astype(planes.dtype), offset.astype(planes.dtype), strict=True):
        np.multiply(planes[0], row[0], out=plane)
        for factor, other in zip(row[1:], planes[1:], strict=True):
            plane += np.multiply(factor, other, out=product)
        plane += shift
    return mixed
