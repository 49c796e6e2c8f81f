"""Read the structure of a TIFF from its directories without a decoder: enough to tell a georeferenced raster from a
photograph.

Lengths and counts in the file are checked against its size before use, and nothing is allocated by them.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from stat import S_ISREG
from typing import Final, NamedTuple
from xml.etree import ElementTree

from drrn.media.metadata import tiff_tags
from drrn.media.metadata.tiff_tags import Directory, MalformedError

GEOREFERENCED: Final = {
    *(0x830E, 0x8480, 0x8482, 0x85D8),  # ModelPixelScale, IntergraphMatrix, ModelTiepoint, ModelTransformation
    *(0x87AF, 0xC69C),  # GeoKeyDirectory, RPCCoefficient
}
METADATA, NODATA = 0xA480, 0xA481
"""GDAL's XML metadata, and the value that marks missing measurements."""
MOST_METADATA = 1 << 24
SUBFILE, BITS, COMPRESSION, COLOR, STRIPS, BANDS, ROWS = 0xFE, 0x102, 0x103, 0x106, 0x111, 0x115, 0x116
PLANES, PALETTE, TILE_WIDTH, TILE_HEIGHT, TILES, EXTRA, KIND = 0x11C, 0x140, 0x142, 0x143, 0x144, 0x152, 0x153
SMALLER, MASK = 1, 4
"""Bits of SUBFILE: a reduced copy of another image, and a mask of one."""
MOST_DIRECTORIES = 128


class TiffLayout(NamedTuple):
    """What the first directory states."""

    width: int
    height: int
    bands: int
    bits: int
    """Bits per sample of the first band."""
    kind: int
    """SampleFormat of the first band: 1 unsigned, 2 signed, 3 floating point, 5 and 6 complex."""
    alike: bool
    """Whether the first 16 bands agree in bits and kind."""
    color: int
    """PhotometricInterpretation, or -1."""
    extra: tuple[int, ...]
    """Meaning of the bands beyond the colors: 1 associated alpha, 2 unassociated alpha, 0 unspecified."""
    compression: int
    block: tuple[int, int]
    """(height, width) of a tile or strip."""
    stored: bool
    """Whether there are offsets of tiles or strips."""
    tags: frozenset[int]
    smaller: bool
    """Whether it is marked as a reduced copy of another image."""
    size: int
    """Size of the file in bytes."""


def layout(path: Path) -> TiffLayout | None:
    """Read the layout; None if the file is not a regular file or not a TIFF.

    Raises:
        MalformedError: it has no first directory.
        OSError: it can't be read.
    """
    with mapped(path) as file:
        return _layout(file) if file is not None else None


@contextmanager
def mapped(path: Path) -> Iterator[mmap | None]:
    """Map the content of a TIFF; None if the file is not a regular file or not a TIFF.

    Raises:
        OSError: it can't be read.
    """
    status = path.stat()
    if not S_ISREG(status.st_mode) or status.st_size < 8:  # opening a pipe would wait for a writer
        yield None
        return
    with path.open("rb") as file:
        if file.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            yield None
            return
        with mmap(file.fileno(), 0, access=ACCESS_READ) as block:
            yield block


def has_several(path: Path) -> bool:
    """Whether a TIFF has several images, not counting reduced copies and masks.

    Raises:
        MalformedError: its directories are damaged, in a cycle or too many, or its GDAL metadata is not XML.
        OSError: it can't be read.
    """
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as block:
        first = Directory.first(block)
        _check_metadata(block, first)
        return _has_several(block, first)


def chain(file: mmap, first: Directory) -> Iterator[Directory]:
    """Yield the chain of directories, beginning with `first`.

    Raises:
        MalformedError: one of them is damaged, or the chain returns to an earlier one.
    """
    offset = f"{first.order}{'Q' if first.wide else 'L'}"
    directory, seen = first, set(struct.unpack_from(offset, file, 8 if first.wide else 4))
    while True:
        yield directory
        try:
            (at,) = struct.unpack_from(offset, file, directory.end)
        except struct.error as error:
            raise MalformedError("The directory has no end.") from error
        if not at:
            return
        if at in seen:
            raise MalformedError("The directories have no end.")
        seen.add(at)
        directory = Directory.at(file, at, first.order, wide=first.wide)


def _layout(file: mmap) -> TiffLayout:
    first = Directory.first(file)

    def said(tag: int, default: int) -> tuple[int, ...]:
        return first.integers(file, tag) or (default,)

    width, height, bands = said(tiff_tags.WIDTH, 0)[0], said(tiff_tags.HEIGHT, 0)[0], said(BANDS, 1)[0]
    bits, kinds = said(BITS, 1), said(KIND, 1)
    tiled = TILE_WIDTH in first.slots
    rows, columns = (said(TILE_HEIGHT, 0)[0], said(TILE_WIDTH, 0)[0]) if tiled else (said(ROWS, height)[0], width)
    return TiffLayout(
        width,
        height,
        bands,
        bits[0],
        kinds[0],
        len(set(bits)) == len(set(kinds)) == 1,
        said(COLOR, -1)[0],
        first.integers(file, EXTRA),
        said(COMPRESSION, 1)[0],
        (rows if tiled else min(rows, height), columns),
        (TILES if tiled else STRIPS) in first.slots,
        frozenset(first.slots),
        bool(said(SUBFILE, 0)[0] & SMALLER),
        len(file),
    )


def _check_metadata(file: mmap, first: Directory) -> None:
    """Raise an error if GDAL's metadata is malformed: GDAL would keep only the part that it understands."""
    _, count, at = first.slots.get(METADATA, (0, 0, 0))
    text = file[at : at + count].rstrip(b"\0 ")
    if len(text) > MOST_METADATA or b"<!" in text:  # no document types, hence no entities that expand
        raise MalformedError("GDAL did not write this metadata.")
    try:
        if text:
            ElementTree.fromstring(text.decode())
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise MalformedError("The metadata is not XML.") from error


def _has_several(file: mmap, directory: Directory) -> bool:
    """Whether more than one directory in the chain is neither a reduced copy nor a mask."""
    pages = 0
    for number, page in enumerate(chain(file, directory)):
        if number == MOST_DIRECTORIES:
            raise MalformedError("The directories have no end.")
        pages += not (page.integers(file, SUBFILE) or (0,))[0] & (SMALLER | MASK)
        if pages > 1:
            return True
    return False
