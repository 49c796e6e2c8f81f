"""Determine which page of a TIFF is the image, whether its samples are supported, and by which decoder.

Pages are found from the directories, before a decoder is started.
"""

import struct
from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from itertools import islice
from mmap import mmap
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drrn.errors import ImageError
from drrn.media.images import directories
from drrn.media.images.directories import (
    BANDS,
    BITS,
    COLOR,
    COMPRESSION,
    EXTRA,
    KIND,
    MASK,
    PLANES,
    ROWS,
    SMALLER,
    SUBFILE,
    TILE_WIDTH,
)
from drrn.media.metadata import tiff_tags
from drrn.media.metadata.tiff_tags import CENTIMETERS, INCHES, Directory
from drrn.tables import plural

RGB, PALETTE, CMYK, YCBCR = 2, 3, 5, 6
COLORS: Final = {0: 1, 1: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}
"""PhotometricInterpretation -> number of color bands: gray (2), RGB, palette, CMYK, YCbCr."""
DEPTHS: Final[dict[int, tuple[Container[int], str]]] = {
    PALETTE: ((1, 2, 4, 8), "with a palette 1, 2, 4 and 8"),
    CMYK: ((8, 16), "in CMYK 8 and 16"),
    YCBCR: ((8,), "in YCbCr 8"),
}
"""Colors -> the bits per sample that can be read, and the words for them in an error; gray and RGB can have 1 to 16."""
OTHERS: Final = {8: "CIE Lab", 9: "ICC Lab", 10: "ITU Lab", 32803: "a raw photo", 34892: "a raw photo"}
RAW: Final = (32803, 34892)
"""Interpretations of raw sensor data: color filter array, and linear raw."""
NAMELESS: Final = "without a photometric interpretation, so its colors are unknown"
UNDEFINED: Final = 4
"""The SampleFormat of samples whose type is not stated, which TIFF 6.0 takes for unsigned integers."""
DIVIDED: Final = "colors divided by alpha"
DEVELOP: Final = "Develop it to a 16-bit TIFF first, as darktable or dcraw -T -6 do."
SUB_IFDS, OLD_SUBFILE, DNG_VERSION, STRIP_SIZES = 0x14A, 0xFF, 0xC612, 0x117
COEFFICIENTS, SUBSAMPLING, REFERENCES = 0x211, 0x212, 0x214
JPEG, OLD_JPEG = 7, 6
BY_LIBVIPS: Final = (1, 2, 3, 4, 5, JPEG, 8, 32771, 32773, 32946, 50001)
"""Compressions that the libvips packaged with drrn can decode."""
NAMES: Final = {
    **{OLD_JPEG: "old-style JPEG", 34661: "JBIG", 34712: "JPEG 2000", 33003: "JPEG 2000", 33005: "JPEG 2000"},
    **{34887: "LERC", 34892: "lossy JPEG of DNG", 34925: "LZMA", 34927: "Zstandard", 50000: "ZSTD", 50002: "JPEG XL"},
    **{32766: "NeXT", 32809: "ThunderScan", 34676: "SGI LogLuv", 34677: "SGI LogLuv", 34713: "Nikon's raw"},
}
MOST_PAGES = 4096
MOST_SUBSAMPLING: Final = 4


class Page(NamedTuple):
    """The page of a TIFF that is the image."""

    number: int
    """Position in the chain of pages, from 0."""
    directory: Directory
    left_out: tuple[str, ...]
    """What else the file holds, as `without its thumbnail`."""


def find_page(file: mmap, name: str) -> Page:
    """Find the only page that is neither a reduced copy nor a mask.

    Raises:
        ImageError: there are none or several of them, or it is a camera's raw photo.
        MalformedError: there is no first directory.
    """
    pages = list(_pages(file))
    kinds = [_subfile(file, page) for page in pages]
    if raw := _raw_kind(file, pages):
        raise ImageError(f"{name} is {raw}, which can't be read. {DEVELOP}")
    full = [number for number, kind in enumerate(kinds) if not kind & (SMALLER | MASK)]
    if len(full) > 1:
        raise ImageError(f"{name} has {len(full)} pages or frames; a single picture can be read.")
    if _lies_within(file, pages):
        raise ImageError(
            f"{name} begins with a smaller copy of an image that is stored in a SubIFD, as in raw photos, and "
            f"can't be read there. {DEVELOP}"
        )
    if not full and len(pages) > 1:
        raise ImageError(f"{name} has {len(pages)} smaller copies of an image, and not the image itself.")
    number = full[0] if full else 0
    within = [_subfile(file, page) for page in _nested(file, pages)]
    copies, masks = (sum(bool(kind & bit) for kind in (*kinds, *within)) for bit in (SMALLER, MASK))
    left_out = []
    if not full:
        left_out.append("a page marked as a smaller copy taken as the image")
    elif copies:
        left_out.append("without its thumbnail" if copies == 1 else f"without its {copies} smaller copies")
    if full and masks:
        left_out.append("without its mask")
    if others := sum(not kind & (SMALLER | MASK) for kind in within):
        left_out.append(f"without {plural(others, 'image')} in SubIFDs")
    return Page(number, pages[number], tuple(left_out))


def is_raw_photo(path: Path) -> bool:
    """Whether the file is a camera's raw photo based on TIFF, such as DNG, NEF, CR2, ARW or PEF."""
    try:
        with directories.mapped(path) as file:
            pages = list(_pages(file)) if file is not None else []
            return file is not None and (_raw_kind(file, pages) is not None or _lies_within(file, pages))
    except (OSError, tiff_tags.MalformedError):
        return False


def check_samples(file: mmap, page: Directory, name: str) -> None:
    """Raise an ImageError if libvips would misinterpret the samples or report them as damaged."""

    def said(tag: int, default: int) -> tuple[int, ...]:
        return page.integers(file, tag) or (default,)

    bits, kinds, color, bands = said(BITS, 1), said(KIND, 1), said(COLOR, -1)[0], said(BANDS, 1)[0]
    if not set(kinds) <= {1, UNDEFINED}:
        kind = {2: "signed", 3: "floating point"}.get(kinds[0], "of no known type")
        raise ImageError(f"{name} has samples that are {kind}; unsigned integers can be read.")
    if color not in COLORS:
        kind = OTHERS.get(color, f"of photometric interpretation {color}" if color >= 0 else NAMELESS)
        raise ImageError(f"{name} is {kind}; gray, palette, RGB, YCbCr and CMYK can be read.")
    readable, known = DEPTHS.get(color, (range(1, 17), "1 to 16"))
    if len(set(bits)) > 1 or bits[0] not in readable:
        depths = ", ".join(map(str, bits[:4] if len(set(bits)) > 1 else bits[:1]))
        raise ImageError(f"{name} has samples of {depths} bit; {known}, the same in all bands, can be read.")
    if color == YCBCR and _has_every_chroma(file, page) and page.integers(file, SUBSAMPLING) != (1, 1):
        raise ImageError(
            f"{name} is YCbCr without subsampling that is not marked as such. Set its tag first: "
            f"tiffset -s {SUBSAMPLING} 1 1 FILE."
        )
    extra = bands - COLORS[color]
    if extra and color == YCBCR:
        raise ImageError(f"{name} is YCbCr with alpha; YCbCr alone, and RGB and gray with alpha, can be read.")
    is_alpha = said(EXTRA, 0) in ((1,), (2,)) or has_nameless_alpha(file, page)
    if extra and (extra != 1 or color in (PALETTE, CMYK) or not is_alpha):
        raise ImageError(f"{name} has {bands} bands; colors and one alpha channel can be read.")


def has_nameless_alpha(file: mmap, page: Directory) -> bool:
    """Whether it is RGB with a fourth sample of unspecified meaning, which other programs also take for alpha."""
    color, bands = (page.integers(file, tag)[:1] for tag in (COLOR, BANDS))
    return color == (2,) and bands == (4,) and EXTRA not in page.slots


def foreign(file: mmap, page: Directory) -> str:
    """Return why libvips can't decode it, as `compressed by ZSTD`; empty if it can."""
    compression = (page.integers(file, COMPRESSION) or (1,))[0]
    planar = page.integers(file, PLANES)[:1] == (2,)
    if compression not in BY_LIBVIPS:
        return f"compressed by {NAMES.get(compression, f'method {compression}')}"
    if page.integers(file, tiff_tags.UNIT)[:1] not in ((), (tiff_tags.NO_UNIT,), (INCHES,), (CENTIMETERS,)):
        return "with an unusual unit of resolution"
    bits, color = ((page.integers(file, tag) or (1,))[0] for tag in (BITS, COLOR))
    if bits not in ((8, 16) if color == RGB else (1, 2, 4, 8, 16)):
        return f"of {bits} bit"
    if planar and TILE_WIDTH in page.slots:
        return "in tiles of single bands"
    return "YCbCr in single bands" if planar and _is_ycbcr(file, page) else ""


def converted(file: mmap, page: Page) -> Iterator[str]:
    """List what is converted when the page is decoded."""
    directory = page.directory
    color, bits = directory.integers(file, COLOR)[:1], (directory.integers(file, BITS) or (1,))[0]
    if color == (PALETTE,):
        yield "palette to RGB"
    elif bits not in (8, 16):
        yield f"{bits} bit to {8 if bits < 8 else 16}"
    if _is_ycbcr(file, directory):
        yield "YCbCr to RGB"
    if directory.integers(file, EXTRA) == (1,):
        yield DIVIDED
    if has_nameless_alpha(file, directory):
        yield "a fourth band of no stated kind to alpha"
    yield from page.left_out


def is_opaque(image: Any, file: mmap, page: Directory) -> bool:
    """Whether libvips has added an alpha channel that the file lacks, as it does for subsampled YCbCr."""
    return _is_ycbcr(file, page) and image.bands == 4


def is_ycbcr(file: mmap, page: Directory) -> bool:
    """Whether libvips returns YCbCr unconverted: without subsampling it treats it as RGB."""
    return _is_ycbcr(file, page) and page.integers(file, SUBSAMPLING) == (1, 1)


def rgb(file: mmap, page: Directory, rows: Callable[[], Iterator[NDArray[np.uint8]]]) -> Iterator[NDArray[np.uint8]]:
    """Convert bands of YCbCr rows (h, W, 3) to RGB as in TIFF 6.0, section 21."""
    red, green, blue = _rationals(file, page, COEFFICIENTS, (0.299, 0.587, 0.114))
    ends = np.array(_rationals(file, page, REFERENCES, (0, 255, 128, 255, 128, 255)), np.float32).reshape(3, 2)
    low, span = ends[:, 0], np.where(ends[:, 1] == ends[:, 0], 1, ends[:, 1] - ends[:, 0])
    for band in rows():
        y, cb, cr = np.moveaxis((band - low) / span * np.array([255, 127, 127], np.float32), 2, 0)
        r, b = y + cr * (2 - 2 * red), y + cb * (2 - 2 * blue)
        g = y - (red * (r - y) + blue * (b - y)) / (green or 1)
        yield np.dstack([r, g, b]).round().clip(0, 255).astype(np.uint8)


def _is_ycbcr(file: mmap, page: Directory) -> bool:
    """Whether it is YCbCr without JPEG compression (a JPEG decoder converts to RGB itself)."""
    compression = (page.integers(file, COMPRESSION) or (1,))[0]
    return page.integers(file, COLOR)[:1] == (YCBCR,) and compression not in (JPEG, OLD_JPEG)


def _has_every_chroma(file: mmap, page: Directory) -> bool:
    """Whether uncompressed YCbCr in strips has two chroma samples for each pixel, whatever subsampling it states."""
    width, height, rows = ((page.integers(file, tag) or (0,))[0] for tag in (tiff_tags.WIDTH, tiff_tags.HEIGHT, ROWS))
    rows = min(rows or height, height)
    is_plain = (page.integers(file, COMPRESSION) or (1,))[0] == 1 and min(width, rows) > MOST_SUBSAMPLING
    return is_plain and page.integers(file, STRIP_SIZES)[:1] == (3 * width * rows,)


def _pages(file: mmap) -> Iterator[Directory]:
    """Return the directories of the chain, up to the first damaged one."""
    first = Directory.first(file)
    yield first
    pages = directories.chain(file, first)
    next(pages)
    try:
        yield from islice(pages, MOST_PAGES)
    except tiff_tags.MalformedError:
        return


def _subfile(file: mmap, page: Directory) -> int:
    """Return the bits of NewSubfileType, or their equivalent in the older SubfileType."""
    old = page.integers(file, OLD_SUBFILE)[:1] == (2,)
    return (page.integers(file, SUBFILE) or (SMALLER if old else 0,))[0]


def _raw_kind(file: mmap, pages: list[Directory]) -> str | None:
    """Return what to call a camera's raw photo; None if it is not one."""
    first = pages[0]
    is_raw = any((page.integers(file, COLOR) or (0,))[0] in RAW for page in (*pages, *_nested(file, pages)))
    begins_small = bool(_subfile(file, first) & SMALLER) or SUB_IFDS in first.slots
    if file[8:10] == b"CR":
        return "a raw photo of a camera (CR2)"
    if DNG_VERSION in first.slots and (is_raw or begins_small):
        return "a raw photo of a camera (DNG)"
    return "a raw photo of a camera" if is_raw else None


def _lies_within(file: mmap, pages: list[Directory]) -> bool:
    """Whether the image is nested in the first page: all pages are reduced copies or masks, or smaller than it."""
    if SUB_IFDS not in pages[0].slots:
        return False
    largest = max(_area(file, page) for page in pages)
    return all(_subfile(file, page) & (SMALLER | MASK) for page in pages) or any(
        not _subfile(file, page) & (SMALLER | MASK) and _area(file, page) > largest for page in _nested(file, pages)
    )


def _area(file: mmap, page: Directory) -> int:
    """Return the number of pixels of a page."""
    width, height = ((page.integers(file, tag) or (0,))[0] for tag in (tiff_tags.WIDTH, tiff_tags.HEIGHT))
    return width * height


def _nested(file: mmap, pages: list[Directory]) -> list[Directory]:
    """Return the images in SubIFDs of the pages, without damaged ones."""
    found = []
    for page in pages:
        for at in page.integers(file, SUB_IFDS):
            with suppress(tiff_tags.MalformedError):
                found.append(Directory.at(file, at, page.order, wide=page.wide))
    return found


def _rationals(file: mmap, page: Directory, tag: int, default: tuple[float, ...]) -> tuple[float, ...]:
    """Return the values of a tag, or `default` if it has fewer."""
    kind, count, at = page.slots.get(tag, (0, 0, 0))
    if count != len(default):
        return default
    if kind != tiff_tags.RATIONAL:
        return page.integers(file, tag) or default
    numbers = struct.unpack_from(f"{page.order}{2 * count}L", file, at)
    return tuple(above / (below or 1) for above, below in zip(numbers[::2], numbers[1::2], strict=True))
