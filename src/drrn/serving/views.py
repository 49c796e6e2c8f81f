"""Parts of pictures as PNG: what a preview and the slider show."""

from dataclasses import replace
from typing import Any, Final

from drrn.errors import UsageError

MAX_CROP: Final = 2_000_000
"""Pixels of a preview or a view."""
Box = tuple[int, int, int, int]
"""(left, top, width, height) in pixels."""
Place = tuple[slice, slice]
"""Rows and columns."""


def check_inside(region: Box, width: int, height: int) -> None:
    """Raises UsageError: the region lies outside of a picture of that size."""
    left, top, across, down = region
    if left + across > width or top + down > height:
        raise UsageError(f"{across}x{down}+{left}+{top} lies outside of the {width}x{height} pixels of the result.")


def crop_place(crop: Box, width: int, height: int) -> Place:
    """Rows and columns of a crop. Raises UsageError: it is too large, or outside of a picture of that size."""
    check_inside(crop, width, height)
    left, top, across, down = crop
    if across * down > MAX_CROP:
        raise UsageError(f"A preview has at most {MAX_CROP:,} pixels, got {across}x{down}.")
    return slice(top, top + down), slice(left, left + across)


def _scale_span(first: int, length: int, whole: int, target: int) -> slice:
    """Where a span of `whole` pixels lies when they become `target`; at least one pixel."""
    start = min(round(first * target / whole), target - 1)
    return slice(start, min(max(start + round(length * target / whole), start + 1), target))


def region_place(region: Box, size: tuple[int, int], width: int | None) -> tuple[Place, tuple[int, int]]:
    """Where a region of a (width, height) `size` lies once it is `width` pixels wide.

    Args:
        width: that of the region if None; never more than that, nor more than `MAX_CROP` allows.

    Returns:
        Rows and columns, and the (height, width) of the whole that they are a part of.

    Raises:
        UsageError: the region lies outside.
    """
    (left, top, across, down), (wide, high) = region, size
    check_inside(region, wide, high)
    most = min(across, int((MAX_CROP * across / down) ** 0.5)) or 1
    factor = min(width or across, most) / across
    target = max(round(high * factor), 1), max(round(wide * factor), 1)
    return (_scale_span(top, down, high, target[0]), _scale_span(left, across, wide, target[1])), target


def resize_place(samples: Any, place: Place, size: tuple[int, int]) -> Any:
    """`place` of the samples resized to `size` (height, width), band by band: memory follows the place."""
    import numpy as np

    from drrn.core.color import levels
    from drrn.core.resize import imresize_place, source_of

    whole, top = (samples.shape[0], samples.shape[1]), 255 if samples.dtype.itemsize == 1 else 65535
    rows, columns = place
    result = np.empty((rows.stop - rows.start, columns.stop - columns.start, samples.shape[2]), np.uint8)
    step = max(64 * size[0] // whole[0], 1)
    for first in range(rows.start, rows.stop, step):
        band = slice(first, min(first + step, rows.stop)), columns
        down, across = source_of(band, whole, size)
        part = np.divide(samples[down][:, across].transpose(2, 0, 1), np.float32(top), dtype=np.float32)
        larger = levels(imresize_place(part, band, whole, size))
        result[first - rows.start : band[0].stop - rows.start] = larger.transpose(1, 2, 0)
    return result


def to_png(samples: Any, icc: bytes | None) -> bytes:
    """A PNG with the ICC profile, so that colors are right, and no other metadata."""
    from drrn.media.image import Image
    from drrn.media.images import files

    return files.to_png(replace(Image.from_array(samples), icc=icc))
