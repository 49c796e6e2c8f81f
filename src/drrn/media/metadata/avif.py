"""Read color tags, pixel aspect and dropped auxiliary images from the boxes of an AVIF."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from drrn.media.buffer import Buffer
from drrn.media.metadata import color_tags
from drrn.media.metadata.color_tags import Chunk

MAX_BOXES: Final = 1 << 16
MAX_META: Final = 1 << 24
"""Longest `meta` box that is read, in bytes."""
LOST: Final = {b"gainmap": "gain map", b"depth": "depth map", b"hdrgainmap": "gain map"}
"""Suffixes of the types of auxiliary images, and the names used for them in messages."""


class Boxes(NamedTuple):
    color_tags: tuple[Chunk, ...] = ()
    aspect: tuple[float, float] | None = None
    """Relative pixel density, across and down; None for square pixels."""
    lost: tuple[str, ...] = ()
    """Auxiliary images that are not read, each as `without gain map`."""


def read_boxes(file: Buffer) -> Boxes:
    """Read what can be found; damaged boxes count as missing."""
    found = meta_of(file)
    properties = _properties(found)
    primaries, transfer, mastering, light, aspect = 2, 2, b"", b"", None
    for kind, body in properties:
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 10:
            primaries, transfer = struct.unpack_from(">HH", body, 4)
        elif kind == b"mdcv":
            mastering = body
        elif kind == b"clli":
            light = body
        elif kind == b"pasp" and len(body) >= 8:
            wide, high = struct.unpack_from(">LL", body)
            aspect = (float(high), float(wide)) if wide and high and wide != high else None
    if any(kind == b"colr" and body[:4] in (b"prof", b"rICC") for kind, body in properties):
        primaries, transfer = color_tags.SRGB  # an ICC profile takes precedence
    tags = color_tags.from_nclx(primaries & 0xFF, transfer & 0xFF, mastering, light)
    return Boxes(tags, aspect, _lost(found))


def meta_of(file: Buffer) -> dict[bytes, bytes]:
    """Return the boxes inside the `meta` box, by type; empty if it is missing or too long."""
    meta = next((body for kind, body in boxes(file, 0, len(file)) if kind == b"meta"), b"")
    return dict(boxes(meta, 4, len(meta)))


def primary_of(found: dict[bytes, bytes]) -> int:
    """Return the ID of the primary item."""
    primary = found.get(b"pitm", b"")
    return int.from_bytes(primary[4:6] if primary[:1] == b"\0" else primary[4:8])


def boxes(file: Buffer, at: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and body of each box. The body of `mdat`, and of boxes longer than `MAX_META`, is empty."""
    for _ in range(MAX_BOXES):
        if at + 8 > end:
            return
        size, kind = int.from_bytes(file[at : at + 4]), file[at + 4 : at + 8]
        begin = at + 8
        if size == 1:
            size, begin = int.from_bytes(file[at + 8 : at + 16]), at + 16
        stop = end if size == 0 else at + size
        if stop < begin or stop > end:
            return
        yield kind, b"" if kind == b"mdat" or stop - begin > MAX_META else file[begin:stop]
        at = stop


def _properties(found: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """Return the properties of the primary item."""
    inner = dict(boxes(found.get(b"iprp", b""), 0, len(found.get(b"iprp", b""))))
    every = [*boxes(inner.get(b"ipco", b""), 0, len(inner.get(b"ipco", b"")))]
    try:
        indices = links(inner.get(b"ipma", b"")).get(primary_of(found), [])
    except (struct.error, IndexError):
        return []
    return [every[index - 1] for index in indices if 0 < index <= len(every)]


def links(listed: bytes) -> dict[int, list[int]]:
    """Return the property indices, counted from 1, of each item. Raises struct.error or IndexError if the box is cut
    short.
    """
    version, wide = listed[0], bool(listed[3] & 1)
    (entries,) = struct.unpack_from(">L", listed, 4)
    at = 8
    found: dict[int, list[int]] = {}
    for _ in range(min(entries, MAX_BOXES)):
        (item,) = struct.unpack_from(">H" if version < 1 else ">L", listed, at)
        at += 2 if version < 1 else 4
        count, at = listed[at], at + 1
        indices = struct.unpack_from(f">{count}{'H' if wide else 'B'}", listed, at)
        at += count * (2 if wide else 1)
        found.setdefault(item, []).extend(index & (0x7FFF if wide else 0x7F) for index in indices)
    return found


def _lost(found: dict[bytes, bytes]) -> tuple[str, ...]:
    """List the items other than the image and its alpha channel."""
    lost: dict[str, None] = {}
    listed = found.get(b"iinf", b"")
    begin = 6 if listed[:1] == b"\0" else 8
    for kind, body in boxes(listed, begin, len(listed)):
        if kind == b"infe" and b"tmap" in (body[8:12], body[10:14]):
            lost["without gain map"] = None
    inner = dict(boxes(found.get(b"iprp", b""), 0, len(found.get(b"iprp", b""))))
    for kind, body in boxes(inner.get(b"ipco", b""), 0, len(inner.get(b"ipco", b""))):
        for end, part in LOST.items():
            if kind == b"auxC" and body[4:].rstrip(b"\0").lower().endswith(end):
                lost[f"without {part}"] = None
    return tuple(lost)
