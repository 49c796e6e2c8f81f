"""What decoders and encoders take, in bytes: measured, a little above what was met."""

from typing import Final

from drrn.media.file_format import FileFormat
from drrn.media.metadata import tiff_tags
from drrn.media.metadata.metadata import Block

DECODING_ROWS: Final[dict[FileFormat, int]] = {"PNG": 700, "JPEG": 700, "TIFF": 1050, "BMP": 230, "PNM": 230}
"""Rows that are there at once; of the other formats, all are."""
DECODING_PIXEL: Final[dict[FileFormat, int]] = {"WebP": 11, "AVIF": 20, "GIF": 8}
"""For each pixel of those."""
COEFFICIENTS: Final = 6
"""For each pixel of a JPEG whose scans lie one behind the other, as in a progressive one."""
ENCODING_ROWS: Final[dict[FileFormat, int]] = {"PNG": 350, "JPEG": 350, "TIFF": 500, "BMP": 340, "PNM": 200}
ENCODING_PIXEL: Final[dict[FileFormat, int]] = {"WebP": 36, "GIF": 32}
OPTIMISED: Final = 1 << 20
"""Pixels of a JPEG up to which its codes are made for it, which saves some 4 % of the file, and takes"""
OPTIMISED_PIXEL: Final = 15
"""bytes for each."""
AT_LEAST: Final = 2 << 20


def decoding(
    form: FileFormat,
    width: int,
    height: int,
    bands: int,
    bits: int,
    file: Block,
    *,
    multiscan: bool = False,
    page: tiff_tags.Directory | None = None,
) -> int:
    """To decode a file, row by row where that can be.

    Args:
        multiscan: it is a JPEG whose scans are not of all it has.
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
        taken += len(file) * min(rows, height) // height  # a strip, as it lies in the file
    return taken


def encoding(form: FileFormat, width: int, height: int, bands: int, bits: int) -> int:
    """To encode rows of that many samples."""
    taken = AT_LEAST + min(ENCODING_ROWS.get(form, 0), height) * width * bands * bits // 8
    taken += ENCODING_PIXEL.get(form, 0) * width * height
    if form == "JPEG" and width * height <= OPTIMISED:
        taken += OPTIMISED_PIXEL * width * height
    return taken
