"""Write TIFFs with any tags, without drrn and without a library that would correct them."""

import struct
from typing import NamedTuple

WIDTH, HEIGHT, BITS, COMPRESSION, COLOR, OFFSETS, BANDS, ROWS, COUNTS = 256, 257, 258, 259, 262, 273, 277, 278, 279
PLANAR, SUBFILE, SUB_IFDS, EXTRA, SUBSAMPLING, REFERENCES, COEFFICIENTS = 284, 254, 330, 338, 530, 532, 529
SHORT, LONG, RATIONAL = 3, 4, 5


class Page(NamedTuple):
    """A page with one strip, or with one per band."""

    data: list[bytes]
    tags: dict[int, tuple[int, tuple[int, ...]]]
    """Tag -> type and values; a rational has two values."""
    within: "tuple[Page, ...]" = ()
    """Pages in SubIFDs."""


def page(
    width: int,
    height: int,
    data: bytes | list[bytes],
    *,
    color: int = 2,
    bands: int = 3,
    bits: int = 8,
    compression: int = 1,
    within: tuple[Page, ...] = (),
    **more: tuple[int, ...],
) -> Page:
    """A page with further tags of type short, named by their numbers, such as `t254=(1,)`."""
    tags: dict[int, tuple[int, tuple[int, ...]]] = {
        WIDTH: (SHORT, (width,)),
        HEIGHT: (SHORT, (height,)),
        BITS: (SHORT, (bits,) * bands),
        COMPRESSION: (SHORT, (compression,)),
        COLOR: (SHORT, (color,)),
        BANDS: (SHORT, (bands,)),
        ROWS: (SHORT, (height,)),
    }
    tags |= {int(name[1:]): (SHORT, values) for name, values in more.items()}
    return Page([data] if isinstance(data, bytes) else data, tags, within)


def tiff(*pages: Page) -> bytes:
    file = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for each in pages:
        link = add(file, each, link)[1]
    return bytes(file)


def add(file: bytearray, one: Page, link: int) -> tuple[int, int]:
    """Append a page, and point to it from `link`. Returns its offset, and that of its own link."""
    offsets = []
    for strip in one.data:
        offsets.append(len(file))
        file += strip + bytes(len(strip) % 2)
    tags = one.tags | {
        OFFSETS: (LONG, tuple(offsets)),
        COUNTS: (LONG, tuple(len(strip) for strip in one.data)),
    }
    if one.within:
        tags[SUB_IFDS] = LONG, tuple(add(file, inner, -1)[0] for inner in one.within)
    entries = b""
    for tag, (kind, values) in sorted(tags.items()):
        value = struct.pack(f"<{len(values)}{'H' if kind == SHORT else 'L'}", *values)
        if len(value) > 4:
            at, value = len(file), value + bytes(len(value) % 2)
            file += value
            value = struct.pack("<L", at)
        entries += struct.pack("<HHL", tag, kind, len(values) // (2 if kind == RATIONAL else 1)) + value.ljust(4, b"\0")
    at = len(file)
    if link >= 0:
        file[link : link + 4] = struct.pack("<L", at)
    file += struct.pack("<H", len(tags)) + entries + bytes(4)
    return at, len(file) - 4
