"""Parts of pictures as PNG, for previews and for the comparison of before and after."""

from dataclasses import replace
from typing import Any, Final

from drrn.errors import UsageError

MAX_CROP: Final = 2_000_000
"""Most pixels of a preview or view."""
Box = tuple[int, int, int, int]
"""(left, top, width, height) in pixels."""
Place = tuple[slice, slice]
"""Rows and columns."""


def check_inside(region: Box, width: int, height: int) -> None:
    """Raises UsageError: the region is not inside a picture of this size."""
    left, top, across, down = region
    if left + across > width or top + down > height:
        raise UsageError(f"{across}x{down}+{left}+{top} is not inside the {width}x{height} pixels of the result.")


def crop_place(crop: Box, width: int, height: int) -> Place:
    """Rows and columns of a crop. Raises UsageError: it is too large, or not inside a picture of this size."""
    check_inside(crop, width, height)
    left, top, across, down = crop
    if across * down > MAX_CROP:
        raise UsageError(f"A preview has at most {MAX_CROP:,} pixels, got {across}x{down}.")
    return slice(top, top + down), slice(left, left + across)


def _scale_span(first: int, length: int, whole: int, target: int) -> slice:
    """Scale a span of pixels along an axis of `whole` pixels to one of `target` pixels; at least one pixel is left."""
    start = min(round(first * target / whole), target - 1)
    return slice(start, min(max(start + round(length * target / whole), start + 1), target))


def region_place(region: Box, size: tuple[int, int], width: int | None) -> tuple[Place, tuple[int, int]]:
    """Scale a region of a picture so that it is `width` pixels wide.

    Args:
        size: (width, height) of the picture.
        width: the wanted width; None for that of the region. Reduced to the width of the region, and to what `MAX_CROP`
            allows.

    Returns:
        Rows and columns of the scaled region, and the (height, width) of the whole scaled picture.

    Raises:
        UsageError: the region is not inside the picture.
    """
    (left, top, across, down), (wide, high) = region, size
    check_inside(region, wide, high)
    most = min(across, int((MAX_CROP * across / down) ** 0.5)) or 1
    factor = min(width or across, most) / across
    target = max(round(high * factor), 1), max(round(wide * factor), 1)
    return (_scale_span(top, down, high, target[0]), _scale_span(left, across, wide, target[1])), target


def resize_place(samples: Any, place: Place, size: tuple[int, int]) -> Any:
    """Resize an image by bicubic, but compute only a part of the result.

    It works in bands, so that memory depends on the size of the part.

    Args:
        samples: (H, W, channels), 8-bit or 16-bit.
        place: rows and columns of the result to compute.
        size: (height, width) of the whole result.

    Returns:
        (rows, columns, channels), 8-bit.
    """
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
    """Encode (H, W, channels) samples as a PNG, with the ICC profile for correct colors and no other metadata."""
    from drrn.media.image import Image
    from drrn.media.images import files

    return files.to_png(replace(Image.from_array(samples), icc=icc))
