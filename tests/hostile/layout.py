"""Where sizes, counts and offsets are stored in a file of each format: what mutations set to extreme values.

Each function walks a valid file. In a damaged one it finds the fields before the damage.
"""

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

SMALL_BOX = 1 << 12
"""Most bytes of a box that is not considered pixel data."""
MOST_WORDS = 512
"""Most bytes that are treated as integers."""


class Field(NamedTuple):
    """An integer in a file."""

    at: int
    size: int
    """Bytes."""
    order: Literal["little", "big"]


def png(content: bytes) -> Iterator[Field]:
    at = 8
    while at + 12 <= len(content):
        length, name = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        yield Field(at, 4, "big")
        if name in (b"IHDR", b"acTL", b"fcTL"):
            yield from words(at + 8, length, 4, "big")
        if name == b"IHDR":
            yield from words(at + 16, 5, 1, "big")
        at += 12 + length


def jpeg(content: bytes) -> Iterator[Field]:
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4])
        yield Field(at + 2, 2, "big")
        if 0xC0 <= marker <= 0xCF:  # the frame, its tables
            yield Field(at + 4, 1, "big")
            yield from words(at + 5, 4, 2, "big")
            yield from words(at + 9, length - 7, 1, "big")
        if marker == 0xDA:
            return
        at += 2 + length


def gif(content: bytes) -> Iterator[Field]:
    yield from words(6, 4, 2, "little")
    yield from words(10, 2, 1, "little")
    at = 13 + (3 << (content[10] & 7) + 1 if content[10] & 0x80 else 0)
    while at + 10 < len(content) and content[at] in (0x21, 0x2C):
        if content[at] == 0x2C:  # a picture: its place and size, its flags, the size of its codes
            yield from words(at + 1, 8, 2, "little")
            flags = content[at + 9]
            at += 10 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
            yield Field(at, 1, "little")
            at += 1
        else:
            yield from words(at + 3, content[at + 2], 1, "little")
            at += 2
        while at < len(content) and content[at]:
            yield Field(at, 1, "little")
            at += 1 + content[at]
        at += 1


def riff(content: bytes) -> Iterator[Field]:
    yield Field(4, 4, "little")
    at = 12
    while at + 8 <= len(content):
        name, length = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        yield Field(at + 4, 4, "little")
        if name == b"LIST":  # of an AVI, lists of chunks
            at += 12
            continue
        if name in (b"avih", b"strh", b"strf"):
            yield from words(at + 8, length, 4, "little")
        if name in (b"VP8X", b"ANMF", b"ANIM"):
            yield from words(at + 8, 16, 1, "little")
            yield from words(at + 8 + 4 * (name == b"VP8X"), 6, 3, "little")
        if name in (b"VP8 ", b"VP8L"):
            yield from words(at + 8, 10, 2, "little")
        at += 24 if name == b"ANMF" else 8 + length + length % 2


def tiff(content: bytes) -> Iterator[Field]:
    order: Literal["little", "big"] = "little" if content[:2] == b"II" else "big"
    wide = content[2:4] in (b"+\0", b"\0+")
    offset, count, header = (8, 8, 8) if wide else (4, 2, 4)
    yield Field(header, offset, order)
    at = int.from_bytes(content[header : header + offset], order)
    for _ in range(4):
        if not 8 <= at < len(content):
            return
        entries = min(int.from_bytes(content[at : at + count], order), 64)
        yield Field(at, count, order)
        step = 4 + 2 * offset
        for place in range(at + count, at + count + entries * step, step):
            yield from words(place, 4, 2, order)
            yield from words(place + 4, 2 * offset, offset, order)
        at += count + entries * step
        yield Field(at, offset, order)
        at = int.from_bytes(content[at : at + offset], order)


def bmp(content: bytes) -> Iterator[Field]:
    yield from words(2, 24, 4, "little")
    yield from words(26, 4, 2, "little")
    yield from words(30, min(int.from_bytes(content[10:14], "little"), 138) - 30, 4, "little")


def boxes(content: bytes) -> Iterator[Field]:
    """Fields of ISO base media files, such as AVIF and MP4."""
    yield from _boxes(content, 0, len(content))


def dicom(content: bytes) -> Iterator[Field]:
    at = 132
    while at + 8 <= len(content):
        kind = content[at + 4 : at + 6]
        long = kind in (b"OB", b"OW", b"OF", b"SQ", b"UN", b"UT", b"UC", b"UR")
        if not kind.isalpha():  # implicit
            size, begin, field = 4, at + 8, Field(at + 4, 4, "little")
        elif long:
            size, begin, field = 4, at + 12, Field(at + 8, 4, "little")
        else:
            size, begin, field = 2, at + 8, Field(at + 6, 2, "little")
        yield from words(at, 4, 2, "little")
        yield field
        length = int.from_bytes(content[field.at : field.at + size], "little")
        if length <= 4:
            yield from words(begin, length, 2, "little")
        at = begin + (0 if kind == b"SQ" or length == 0xFFFFFFFF else length)


def begins(content: bytes) -> Iterator[Field]:
    """Fields of files that begin with the length of a header."""
    yield Field(0, 8, "little")


def anywhere(content: bytes) -> Iterator[Field]:
    """Fields of formats with variable-length sizes anywhere, such as Matroska."""
    yield from words(0, MOST_WORDS, 1, "big")


def none(content: bytes) -> Iterator[Field]:
    return iter(())


def words(at: int, length: int, size: int, order: Literal["little", "big"]) -> Iterator[Field]:
    """Consecutive integers of `size` bytes."""
    for begin, end in pairwise(range(at, at + min(length, MOST_WORDS) + 1, size)):
        yield Field(begin, end - begin, order)


def _boxes(content: bytes, at: int, end: int, depth: int = 0) -> Iterator[Field]:
    while at + 8 <= end and depth < 8:
        length, name = struct.unpack_from(">L4s", content, at)
        last = min(at + length, end) if length >= 8 else end
        yield Field(at, 4, "big")
        if name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"iprp", b"ipco", b"edts", b"dinf", b"meta"):
            yield from _boxes(content, at + 8 + 4 * (name == b"meta"), last, depth + 1)
        elif name != b"mdat" and last - at < SMALL_BOX:
            yield from words(at + 8, last - at - 8, 4, "big")
            yield from words(at + 8, last - at - 8, 2, "big")
        at = last
