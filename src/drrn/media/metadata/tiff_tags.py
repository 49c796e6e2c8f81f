"""Read the tags of TIFF, BigTIFF and EXIF: positions and values."""

import struct
from collections.abc import Collection, Mapping
from typing import Final, Literal, NamedTuple, Self

from drrn.media.buffer import Buffer

Order = Literal["<", ">"]
AnyBuffer = Buffer | bytearray
SIZES: Final = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), 1)) | {16: 8, 17: 8, 18: 8}
"""Size of one value in bytes, by TIFF's type number; the last three types are BigTIFF's."""
BYTE, SHORT, LONG, RATIONAL, UNDEFINED, SIGNED_RATIONAL, DIRECTORY = 1, 3, 4, 5, 7, 10, 13
WIDTH, HEIGHT, ORIENTATION, ACROSS, DOWN, UNIT = 0x100, 0x101, 0x112, 0x11A, 0x11B, 0x128
EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
PIXELS_ACROSS, PIXELS_DOWN, MAKER_NOTE = 0xA002, 0xA003, 0x927C
IPTC = 0x83BB
PHOTOMETRIC, INKS = 0x106, 5
STRIP_ROWS, TILE_ROWS = 0x116, 0x143
NO_UNIT, INCHES, CENTIMETERS, MILLIMETERS, MICROMETERS = 1, 2, 3, 4, 5
"""Resolution units. NO_UNIT means unknown, or given only in the description of a TIFF; the last two are not in the
standard, but in micrographs.
"""
MAX_ENTRIES = 0xFFFF
"""Most entries in a directory. A BigTIFF could have more, but libtiff reads no more."""
MAX_BYTES = 1 << 24
"""Most bytes of values carried over from one directory; longer values are dropped."""


class MalformedError(Exception):
    """The data is not TIFF or EXIF, or its directory lies beyond the end."""


class Tag(NamedTuple):
    """A value as stored in the file, or a nested directory."""

    kind: int
    values: int
    """The number of values."""
    value: bytes
    directory: Mapping[int, "Tag"] | None = None


class Directory(NamedTuple):
    """The positions of a directory's tags; values are read on demand."""

    order: Order
    wide: bool
    """Whether it belongs to a BigTIFF."""
    slots: dict[int, tuple[int, int, int]]
    """tag -> (type, count, offset of the value); values that extend beyond the block are left out"""
    end: int
    """Position of the next directory's offset."""
    begin: int
    """Position of the first entry."""

    @classmethod
    def first(cls, block: AnyBuffer) -> Self:
        """Parse the first directory of an EXIF block, a TIFF or a BigTIFF.

        Raises:
            MalformedError: there is none.
        """
        order: Order = "<" if block[:2] == b"II" else ">"
        wide = block[2:4] in (b"+\0", b"\0+")
        if block[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            raise MalformedError("No TIFF header.")
        try:
            (at,) = struct.unpack_from(f"{order}Q" if wide else f"{order}L", block, 8 if wide else 4)
        except struct.error as error:
            raise MalformedError("The TIFF header is cut short.") from error
        return cls.at(block, at, order, wide=wide)

    @classmethod
    def at(cls, block: AnyBuffer, at: int, order: Order, *, wide: bool = False) -> Self:
        """Parse the directory at this offset.

        Raises:
            MalformedError: it extends beyond the block, or overlaps the header.
        """
        if at < 8:
            raise MalformedError("The directory lies in the header.")
        number, entry, offset = ("Q", "HHQ", "Q") if wide else ("H", "HHL", "L")
        inline = struct.calcsize(offset if wide else "<L")
        slots = {}
        try:
            (entries,) = struct.unpack_from(order + number, block, at)
            begin, step = at + struct.calcsize(order + number), struct.calcsize(order + entry) + inline
            if entries > MAX_ENTRIES or begin + entries * step > len(block):
                raise MalformedError("The directory is cut short.")
            for place in range(begin, begin + entries * step, step):
                tag, kind, count = struct.unpack_from(order + entry, block, place)
                size, value = count * SIZES.get(kind, 0), place + step - inline
                if size > inline:
                    (value,) = struct.unpack_from(order + offset, block, value)
                if size and value + size <= len(block):
                    slots[tag] = (kind, count, value)
        except (struct.error, OverflowError) as error:
            raise MalformedError("The directory lies beyond the end.") from error
        return cls(order, wide, slots, begin + entries * step, begin)

    def bytes(self, block: AnyBuffer, tag: int) -> bytes | None:
        """Return a tag's value as stored; None if it is missing or longer than `MAX_BYTES`."""
        kind, count, at = self.slots.get(tag, (0, 0, 0))
        size = count * SIZES.get(kind, 0)
        return bytes(block[at : at + size]) if 0 < size <= MAX_BYTES else None

    def integers(self, block: AnyBuffer, tag: int) -> tuple[int, ...]:
        """Return a tag's values, at most 16; empty if it is missing or not of an integer type."""
        kind, count, at = self.slots.get(tag, (0, 0, 0))
        code = {BYTE: "B", SHORT: "H", LONG: "L", DIRECTORY: "L", 16: "Q", 18: "Q"}.get(kind)
        return struct.unpack_from(f"{self.order}{min(count, 16)}{code}", block, at) if code else ()

    def inner(self, block: AnyBuffer, tag: int) -> "Directory | None":
        """Return the directory that a tag points to; None if there is none."""
        for at in self.integers(block, tag)[:1]:
            try:
                return Directory.at(block, at, self.order, wide=self.wide)
            except MalformedError:
                return None
        return None

    def tags(self, block: AnyBuffer, wanted: Collection[int] = (), *, depth: int = 2) -> dict[int, Tag]:
        """Return the `wanted` tags (by default all) with their values, including nested directories.

        They can be written to another block. A maker's note is left out: its offsets would no longer be valid.
        """
        found, left = {}, MAX_BYTES
        for tag, (kind, count, at) in self.slots.items():
            size = count * SIZES[kind]
            if (wanted and tag not in wanted) or tag == MAKER_NOTE or kind > DIRECTORY or size > left:
                continue
            if tag not in (EXIF, GPS, INTEROPERABILITY):
                found[tag], left = Tag(kind, count, bytes(block[at : at + size])), left - size
            elif depth and (inner := self.inner(block, tag)):
                found[tag] = Tag(LONG, 1, b"", inner.tags(block, depth=depth - 1))
        return found
