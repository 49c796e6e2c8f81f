"""One picture as its lr, bicubic, drrn and original: the report's figures 1 to 3."""

from typing import NamedTuple

import numpy as np

from drrn.core.colour import luma
from drrn.core.metrics import judge
from drrn.core.resize import degrade, imresize, modcrop
from drrn.engines.engine import Planes
from drrn.errors import DataError
from drrn.media.picture import Picture
from drrn.upscaling.upscaler import Upscaler, target_size


class Version(NamedTuple):
    """A part of the picture, (channels, h, w) in [0, 1], and what to write above it."""

    caption: str
    planes: Planes


def compare(original: Picture, upscaler: Upscaler, scale: float, window: tuple[int, int, int, int]) -> list[Version]:
    """Lr, bicubic, drrn and original, the middle ones with their PSNR on luma over the whole picture.

    Args:
        original: its alpha is left out.
        scale: above 1 and at most 4.
        window: (left, top, width, height) of the part to show, in pixels of the original.

    Raises:
        UsageError: the scale is out of range.
        DataError: the picture is too small for it.
    """
    target_size(original.width, original.height, scale, None)
    hr = modcrop(np.ascontiguousarray(original.pixels.transpose(2, 0, 1)), scale)
    height, width = hr.shape[1:]
    if min(height, width) <= 2 * round(scale) + 1:
        raise DataError(f"{original.width}x{original.height} pixels are too few to be made {scale:g} times smaller.")
    lr = Picture(pixels=degrade(hr, scale).clip(0, 1).transpose(1, 2, 0))
    bicubic = imresize(np.ascontiguousarray(lr.pixels.transpose(2, 0, 1)), height, width).clip(0, 1)
    sr = upscaler.upscale(lr, size=(width, height)).pixels.transpose(2, 0, 1)
    left, top, across, down = window
    rows, columns = slice(top, top + down), slice(left, left + across)
    small = (slice(None), *(slice(round(s.start / scale), round(s.stop / scale)) for s in (rows, columns)))

    def scored(name: str, planes: Planes) -> Version:
        psnr = judge(_luma(planes), _luma(hr), round(scale)).psnr
        return Version(f"{name} {psnr:.2f} dB", planes[:, rows, columns])

    return [
        Version(f"lr (x{scale:g} smaller)", lr.pixels.transpose(2, 0, 1)[small]),
        scored("bicubic", bicubic),
        scored("drrn", sr),
        Version("original", hr[:, rows, columns]),
    ]


def _luma(planes: Planes) -> Planes:
    return planes[0] if len(planes) == 1 else luma(planes)
