"""Read, edit and copy EXIF, which has the structure of a TIFF without an image.

Values are edited in place, and new data is appended: offsets in makers' notes are relative to the start of the block.
The same code adds to TIFF files the tags that libvips does not write.
"""

import struct
from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import Final

import numpy as np

from drrn.media.metadata.tiff_tags import (
    ACROSS,
    CENTIMETERS,
    DOWN,
    EXIF,
    GPS,
    HEIGHT,
    INCHES,
    INKS,
    INTEROPERABILITY,
    LONG,
    MAKER_NOTE,
    MAX_BYTES,
    MICROMETERS,
    MILLIMETERS,
    ORIENTATION,
    PHOTOMETRIC,
    PIXELS_ACROSS,
    PIXELS_DOWN,
    RATIONAL,
    SHORT,
    SIGNED_RATIONAL,
    SIZES,
    UNIT,
    WIDTH,
    AnyBuffer,
    Directory,
    MalformedError,
    Order,
    Tag,
)

ABOUT: Final = (
    *(0x10E, 0x10F, 0x110, 0x131, 0x132),  # ImageDescription, Make, Model, Software, DateTime
    *(0x13B, 0x13C, 0x4746, 0x4749, 0x8298),  # Artist, HostComputer, Rating (2), Copyright
    *(0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),  # Windows' title, comment, author, keywords, subject
    *(0x10D, 0x11D),  # DocumentName, PageName
    *(0x13E, 0x13F),  # WhitePoint, PrimaryChromaticities
    *(EXIF, GPS),
)
"""Tags of the first directory that describe the photograph rather than the layout of its samples."""
RESOLUTION: Final = {ACROSS: RATIONAL, DOWN: RATIONAL, UNIT: SHORT}
UNITS: Final = {INCHES: 1.0, CENTIMETERS: 2.54, MILLIMETERS: 25.4, MICROMETERS: 25400.0}
"""Units of resolution -> how many of them are an inch."""
COLORS: Final = (0x13E, 0x13F)
LAYOUT: Final = {
    *range(0xFE, 0x10B),  # NewSubfileType to FillOrder
    *(0x111, 0x112, 0x115, 0x116, 0x117, 0x118, 0x119, 0x11A, 0x11B, 0x11C, 0x120, 0x121, 0x124, 0x125, 0x128, 0x129),
    *(
        0x13D,
        *range(0x140, 0x149),
        0x14A,
        0x14C,
        0x14D,
        0x14E,
        0x150,
        0x152,
        0x153,
        0x154,
        0x155,
        0x15B,
    ),  # from Predictor on
    *range(0x200, 0x20A),  # of JPEG
    *range(0x211, 0x215),  # of YCbCr
    *(0x2BC, 0x8773, INTEROPERABILITY),
}
"""Tags that describe the layout of the samples, or that are carried over by other means."""


def plain(block: bytes) -> bytes | None:
    """Strip the prefix that some formats put before EXIF; None if this is not EXIF."""
    block = block.removeprefix(b"Exif\0\0")
    try:
        Directory.first(block)
    except MalformedError:
        return None
    return block if block[2:4] in (b"*\0", b"\0*") else None  # BigTIFF is not EXIF


def orientation(block: AnyBuffer, page: Directory | None = None) -> int:
    """Return the EXIF orientation, 1 to 8, from a directory (by default the first); 1 if it states none."""
    values = (page or Directory.first(block)).integers(block, ORIENTATION)
    return values[0] if values and 1 <= values[0] <= 8 else 1


def adapt_exif(block: bytes, width: int, height: int, dpi: tuple[float, float] | None) -> bytes:
    """Adapt EXIF to an upright image of this size and `dpi`, and remove its thumbnail.

    Values are changed in place; all other bytes keep their position. With `dpi` None the resolution is left unchanged.
    """
    adapted = bytearray(block)
    first = Directory.first(adapted)
    _set_integers(adapted, first, {ORIENTATION: 1, WIDTH: width, HEIGHT: height})
    adapted[first.end : first.end + 4] = bytes(4)  # no next directory: it would describe the thumbnail
    if photograph := first.inner(adapted, EXIF):
        _set_integers(adapted, photograph, {PIXELS_ACROSS: width, PIXELS_DOWN: height})
    if dpi and states_dpi(block):
        for tag, (_, _, value, _) in resolution(dpi, first.order).items():
            at = first.slots[tag][2]
            adapted[at : at + len(value)] = value
    return bytes(adapted)


def states_dpi(block: AnyBuffer, page: Directory | None = None) -> bool:
    """Whether a directory (by default the first) has all three resolution tags, each of the right type."""
    slots = (page or Directory.first(block)).slots
    return all(tag in slots and slots[tag][:2] == (kind, 1) for tag, kind in RESOLUTION.items())


def dpi(block: AnyBuffer, page: Directory | None = None) -> tuple[float, float] | None:
    """Return the pixels per inch, across and down, from a directory (by default the first); None unless it states both
    and the unit.
    """
    if not states_dpi(block, page):
        return None
    first = page or Directory.first(block)
    inches = UNITS.get(first.integers(block, UNIT)[0])
    numbers = rationals(block, first)
    return (inches * numbers[0], inches * numbers[1]) if numbers and inches else None


def rationals(block: AnyBuffer, directory: Directory) -> tuple[float, float] | None:
    """Return the pixels per unit, across and down; None if one of them is missing or not above 0."""
    numbers = []
    for tag in (ACROSS, DOWN):
        kind, count, at = directory.slots.get(tag, (0, 0, 0))
        above, below = (
            struct.unpack_from(f"{directory.order}LL", block, at) if (kind, count) == (RATIONAL, 1) else (0, 0)
        )
        numbers.append(above / below if below else 0.0)
    return (numbers[0], numbers[1]) if all(numbers) else None


def too_long(directory: Directory) -> set[int]:
    """Return the tags whose values are too long to be carried over."""
    return {tag for tag, (kind, count, _) in directory.slots.items() if count * SIZES.get(kind, 0) > MAX_BYTES}


def has_maker_note(block: AnyBuffer, page: Directory | None = None) -> bool:
    """Whether the EXIF has a maker's note, which can't be copied into a TIFF. False if the EXIF is malformed."""
    try:
        photograph = (page or Directory.first(block)).inner(block, EXIF)
    except MalformedError:
        return False
    return photograph is not None and MAKER_NOTE in photograph.slots


def resolution(pixels: tuple[float, float], order: Order, unit: int = INCHES) -> dict[int, Tag]:
    """Build the tags that state this number of pixels per unit, across and down."""
    most = 1000 if unit == INCHES else max(1, min(1_000_000, int(0xFFFFFFFF / max(*pixels, 1))))
    across, down = (Fraction(value).limit_denominator(most).as_integer_ratio() for value in pixels)
    return {
        ACROSS: Tag(RATIONAL, 1, struct.pack(f"{order}LL", *across)),
        DOWN: Tag(RATIONAL, 1, struct.pack(f"{order}LL", *down)),
        UNIT: Tag(SHORT, 1, struct.pack(f"{order}H", unit)),
    }


def empty(order: Order = "<") -> bytes:
    """Build an EXIF block without tags."""
    header = b"II*\0" if order == "<" else b"MM\0*"
    return header + struct.pack(f"{order}LHL", 8, 0, 0)


def of_tiff(file: AnyBuffer, page: Directory | None = None) -> bytes | None:
    """Build the EXIF block that a TIFF's photograph would have in a JPEG; None if it has no such tags.

    Args:
        page: the directory of the photograph; by default the first.
    """
    first = page or Directory.first(file)
    tags = first.tags(file, ABOUT)
    if first.integers(file, PHOTOMETRIC) == (INKS,):  # CMYK is converted to sRGB, so its colorimetry no longer applies
        tags = {tag: value for tag, value in tags.items() if tag not in COLORS}
    return extended(empty(first.order), tags) if tags else None


def for_tiff(block: bytes, order: Order) -> dict[int, Tag]:
    """Return the tags in `block` that describe the photograph, for a TIFF in this byte order."""
    first = Directory.first(block)
    tags = first.tags(block, ABOUT)
    return tags if first.order == order else _swapped(tags)


def extended(block: AnyBuffer, tags: Mapping[int, Tag]) -> bytes:
    """Return the block with `tags` in its first directory, replacing those with the same numbers."""
    head, tail = extension(block, tags)
    return head + bytes(block[len(head) :]) + tail


def extension(block: AnyBuffer, tags: Mapping[int, Tag], without: Collection[int] = ()) -> tuple[bytes, bytes]:
    """Like `extended`, for a TIFF too large to copy: return its new first bytes, and what to append.

    The new directory is appended and the old one becomes a gap; existing values stay in place.

    Args:
        without: tags to leave out.
    """
    old = Directory.first(block)
    (at,) = struct.unpack_from(f"{old.order}L", block, 4)
    kept = [bytes(block[place : place + 12]) for place in range(at + 2, old.end, 12)]
    entries = {struct.unpack_from(f"{old.order}H", entry)[0]: entry for entry in kept}
    entries = {tag: entry for tag, entry in entries.items() if tag not in without}
    padding = bytes(len(block) % 2)
    begin = len(block) + len(padding)
    laid = _laid(tags, begin, old.order, entries, bytes(block[old.end : old.end + 4]))
    return bytes(block[:4]) + struct.pack(f"{old.order}L", begin), padding + laid


def _laid(tags: Mapping[int, Tag], at: int, order: Order, kept: Mapping[int, bytes], following: bytes = b"") -> bytes:
    """Serialize a directory at offset `at`: entries of `kept` and `tags`, then the values of `tags`."""
    entries = dict(kept)
    begin = at + 2 + 12 * len(kept.keys() | tags.keys()) + 4
    values = bytearray()
    for tag, (kind, count, value, directory) in tags.items():
        if directory is not None:
            value = _laid(directory, begin + len(values), order, {})
        if directory is not None or len(value) > 4:
            where = struct.pack(f"{order}L", begin + len(values))
            values += value + bytes(len(value) % 2)
            value = where
        entries[tag] = struct.pack(f"{order}HHL", tag, kind, count) + value.ljust(4, b"\0")
    listed = b"".join(entries[tag] for tag in sorted(entries))
    return struct.pack(f"{order}H", len(entries)) + listed + following.ljust(4, b"\0") + values


def _set_integers(block: bytearray, directory: Directory, values: Mapping[int, int]) -> None:
    """Overwrite integers in place; a SHORT that cannot hold the value becomes a LONG."""
    for tag, value in values.items():
        kind, count, at = directory.slots.get(tag, (0, 0, 0))
        if count == 1 and kind in (SHORT, LONG):
            kind, code = (SHORT, "H") if kind == SHORT and value < 1 << 16 else (LONG, "L")
            block[at - 6 : at + 4] = struct.pack(f"{directory.order}HL{code}", kind, 1, value).ljust(10, b"\0")


def _swapped(tags: Mapping[int, Tag]) -> dict[int, Tag]:
    """Return the same tags in the other byte order."""
    swapped = {}
    for tag, (kind, count, value, directory) in tags.items():
        width = 4 if kind in (RATIONAL, SIGNED_RATIONAL) else SIZES[kind]  # a rational is two 32-bit integers
        turned = np.frombuffer(value, f"u{width}").byteswap().tobytes()
        swapped[tag] = Tag(kind, count, turned, None if directory is None else _swapped(directory))
    return swapped
