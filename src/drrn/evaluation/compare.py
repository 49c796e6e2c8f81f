"""Compare an image's lr, bicubic, network results and original side by side: the report's figures 1 to 3."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from drrn.core.color import luma
from drrn.core.metrics import measure_quality
from drrn.core.resize import degrade, imresize, modcrop
from drrn.engines.engine import Planes
from drrn.errors import DataError
from drrn.media.image import Image
from drrn.upscaling.size import target_size
from drrn.upscaling.upscaler import Upscaler

Crop = tuple[int, int, int, int]
"""(left, top, width, height), in pixels of the original."""


class Version(NamedTuple):
    """A part of the image, (channels, h, w) in [0, 1], with its caption."""

    caption: str
    planes: Planes


def compare(
    original: Image, upscalers: Mapping[str, Upscaler], scale: float, crops: Sequence[Crop]
) -> list[list[Version]]:
    """For each crop: lr, bicubic, each network's result, and the original.

    The captions of bicubic and of the networks give their PSNR, on luma over the whole image.

    Args:
        original: its alpha is ignored.
        scale: above 1 and at most 8.
        crops: the parts to show.

    Raises:
        UsageError: the scale is out of range.
        DataError: the image is too small for the scale.
    """
    target_size(original.width, original.height, scale, None)
    hr = modcrop(np.ascontiguousarray(original.pixels.transpose(2, 0, 1)), scale)
    height, width = hr.shape[1:]
    if min(height, width) <= 2 * round(scale) + 1:
        raise DataError(
            f"{original.width}x{original.height} pixels are too few to compare at scale {scale:g}. Give a larger "
            "picture, or a smaller --scale."
        )
    lr = Image(pixels=degrade(hr, scale).clip(0, 1).transpose(1, 2, 0))
    small = lr.pixels.transpose(2, 0, 1)
    results = {"bicubic": imresize(np.ascontiguousarray(small), height, width).clip(0, 1)}
    for name, upscaler in upscalers.items():
        results[name] = upscaler.upscale(lr, size=(width, height)).pixels.transpose(2, 0, 1)
    captions = {
        name: f"{name} {measure_quality(_luma(sr), _luma(hr), round(scale)).psnr:.2f} dB"
        for name, sr in results.items()
    }
    rows = []
    for left, top, across, down in crops:
        place = (slice(None), slice(top, top + down), slice(left, left + across))
        smaller = (place[0], *(slice(round(side.start / scale), round(side.stop / scale)) for side in place[1:]))
        rows.append(
            [
                Version(f"lr (x{scale:g} smaller)", small[smaller]),
                *(Version(captions[name], sr[place]) for name, sr in results.items()),
                Version("original", hr[place]),
            ]
        )
    return rows


def _luma(planes: Planes) -> Planes:
    return planes[0] if len(planes) == 1 else luma(planes)
