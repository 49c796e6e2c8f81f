"""Memory needed by decoders and encoders, in bytes: slightly above the largest values measured."""

from typing import Final

from drrn.media.buffer import Buffer
from drrn.media.file_format import FileFormat
from drrn.media.metadata import tiff_tags

DECODING_ROWS: Final[dict[FileFormat, int]] = {"PNG": 700, "JPEG": 700, "TIFF": 1050, "BMP": 230, "PNM": 230}
"""Rows held in memory at once; other formats hold all."""
DECODING_PIXEL: Final[dict[FileFormat, int]] = {"WebP": 11, "AVIF": 20, "GIF": 8}
"""Bytes per pixel for formats that hold the whole image."""
COEFFICIENTS: Final = 6
"""Bytes per pixel of a JPEG with several scans, such as a progressive one."""
ENCODING_ROWS: Final[dict[FileFormat, int]] = {"PNG": 350, "JPEG": 350, "TIFF": 500, "BMP": 340, "PNM": 200}
ENCODING_PIXEL: Final[dict[FileFormat, int]] = {"WebP": 36, "GIF": 32}
OPTIMIZED: Final = 1 << 20
"""JPEGs up to this many pixels get optimized Huffman tables, which makes the file some 4 % smaller."""
OPTIMIZED_PIXEL: Final = 15
"""Bytes per pixel that the optimization takes."""
AT_LEAST: Final = 2 << 20


def decoding(
    form: FileFormat,
    width: int,
    height: int,
    bands: int,
    bits: int,
    file: Buffer,
    *,
    multiscan: bool = False,
    page: tiff_tags.Directory | None = None,
) -> int:
    """Bytes needed to decode a file, row by row if the format allows it.

    Args:
        multiscan: a JPEG in which a scan does not hold all components and coefficients.
        page: of a TIFF, the directory of the image.
    """
    row = width * bands * bits // 8
    taken = AT_LEAST + min(DECODING_ROWS.get(form, 0), height) * row + DECODING_PIXEL.get(form, 0) * width * height
    if form == "PNG" and file[28]:  # interlaced
        taken += row * height
    elif form == "JPEG" and multiscan:
        taken += COEFFICIENTS * width * height
    elif form == "TIFF" and page:
        rows = (page.integers(file, tiff_tags.TILE_ROWS) or page.integers(file, tiff_tags.STRIP_ROWS) or (height,))[0]
        taken += len(file) * min(rows, height) // height  # one compressed strip
    return taken


def encoding(form: FileFormat, width: int, height: int, bands: int, bits: int) -> int:
    """Bytes needed to encode rows of samples."""
    taken = AT_LEAST + min(ENCODING_ROWS.get(form, 0), height) * width * bands * bits // 8
    taken += ENCODING_PIXEL.get(form, 0) * width * height
    if form == "JPEG" and width * height <= OPTIMIZED:
        taken += OPTIMIZED_PIXEL * width * height
    return taken
