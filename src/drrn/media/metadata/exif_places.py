"""Adjust EXIF values that refer to positions in the image or to the size of its pixels."""

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final

from drrn.media.metadata import descriptions, exif, numbers, tiff_tags
from drrn.media.metadata.tiff_tags import Directory, Tag
from drrn.media.metadata.turns import Area, is_quarter, turn

Size = tuple[int, int]
"""Width and height."""

DESCRIPTION, ASCII = 0x10E, 2
SUBJECT_AREA, SUBJECT_LOCATION = 0x9214, 0xA214
FOCAL_ACROSS, FOCAL_DOWN = 0xA20E, 0xA20F
CODES: Final = {tiff_tags.SHORT: "H", tiff_tags.LONG: "L"}


def remove_parts(block: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Remove what the image description says of parts that are not kept. Returns the block and what was lost."""
    lost: list[str] = []

    def strip(text: bytes) -> bytes:
        stripped, left = descriptions.remove_parts(text)
        lost.extend(left)
        return stripped

    return _edit_description(block, strip), tuple(lost)


def make_upright(block: bytes, orientation: int, stored: Size) -> bytes:
    """Adjust EXIF to an image that has been turned upright, and set its orientation to 1.

    Args:
        orientation: the EXIF orientation, 1 to 8, that was applied.
        stored: width and height as stored in the file.

    Raises:
        MalformedError: parts of the block overlap.
    """
    new = bytearray(block)
    first = Directory.first(new)
    _write(new, first, tiff_tags.ORIENTATION, [1])
    photograph = first.inner(new, tiff_tags.EXIF)
    if is_quarter(orientation):
        _swap(new, first, tiff_tags.ACROSS, tiff_tags.DOWN)
        if photograph:
            _swap(new, photograph, FOCAL_ACROSS, FOCAL_DOWN)
    for tag in (SUBJECT_AREA, SUBJECT_LOCATION):
        if photograph and len(values := photograph.integers(new, tag)) >= 2:
            area = turn(Area(*map(Fraction, (*values, 0, 0)[:4])), orientation, *stored)
            sides = (area.width, area.height) if len(values) == 4 else values[2:]
            _write(new, photograph, tag, [max(int(value), 0) for value in (area.x, area.y, *sides)])
    return _edit_description(bytes(new), descriptions.swap_sides) if is_quarter(orientation) else bytes(new)


def resize(block: bytes, before: Size, after: Size) -> bytes:
    """Scale the values measured in pixels; `exif.adapt_exif` sets the size of the image itself.

    Raises:
        MalformedError: parts of the block overlap.
    """
    across, down = (Fraction(new, old) for new, old in zip(after, before, strict=True))
    new = bytearray(block)
    first = Directory.first(new)
    _scale(new, first, tiff_tags.ACROSS, across)
    _scale(new, first, tiff_tags.DOWN, down)
    if photograph := first.inner(new, tiff_tags.EXIF):
        _scale(new, photograph, FOCAL_ACROSS, across)
        _scale(new, photograph, FOCAL_DOWN, down)
        for tag in (SUBJECT_AREA, SUBJECT_LOCATION):
            if values := photograph.integers(new, tag):
                factors = (across, down, (across + down) / 2) if len(values) == 3 else (across, down, across, down)
                scaled = [numbers.round_half_up(value * factor) for value, factor in zip(values, factors, strict=False)]
                _write(new, photograph, tag, scaled)
    return _edit_description(bytes(new), lambda text: descriptions.resize(text, before, after))


def _edit_description(block: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    kind, count, at = Directory.first(block).slots.get(DESCRIPTION, (0, 0, 0))
    old = block[at : at + count] if kind == ASCII else b""
    new = edit(old)
    return block if new == old else exif.extended(block, {DESCRIPTION: Tag(ASCII, len(new), new)})


def _scale(block: bytearray, directory: Directory, tag: int, factor: Fraction) -> None:
    kind, count, at = directory.slots.get(tag, (0, 0, 0))
    if (kind, count) == (tiff_tags.RATIONAL, 1):
        above, below = struct.unpack_from(f"{directory.order}LL", block, at)
        if above and below:
            struct.pack_into(f"{directory.order}LL", block, at, *numbers.rational(Fraction(above, below) * factor))


def _swap(block: bytearray, directory: Directory, tag: int, other: int) -> None:
    (kind, count, at), (other_kind, other_count, to) = (directory.slots.get(each, (0, 0, 0)) for each in (tag, other))
    if (kind, count) == (other_kind, other_count) == (tiff_tags.RATIONAL, 1):
        block[at : at + 8], block[to : to + 8] = block[to : to + 8], block[at : at + 8]


def _write(block: bytearray, directory: Directory, tag: int, values: Sequence[int]) -> None:
    """Overwrite as many integers as are there; if they no longer fit their type, append them as LONGs."""
    kind, count, at = directory.slots.get(tag, (0, 0, 0))
    if kind not in CODES or count != len(values):
        return
    values = [min(value, numbers.MAX_32_BITS) for value in values]
    if kind == tiff_tags.LONG or max(values) <= 0xFFFF:
        struct.pack_into(f"{directory.order}{count}{CODES[kind]}", block, at, *values)
        return
    for place in range(directory.begin, directory.end, 12):
        if struct.unpack_from(f"{directory.order}H", block, place) == (tag,):
            block += bytes(len(block) % 2)
            struct.pack_into(f"{directory.order}HLL", block, place + 2, tiff_tags.LONG, count, len(block))
            block += struct.pack(f"{directory.order}{count}L", *values)
