"""Compose AVIFs with several items and any properties, box by box, around images encoded by Pillow."""

import io
import struct
from typing import NamedTuple

import numpy as np
from PIL import Image


class Item(NamedTuple):
    """An item of the file. The first one is the primary item."""

    kind: bytes
    data: bytes
    properties: tuple[bytes, ...]
    """Whole boxes."""
    hidden: bool = False


def box(kind: bytes, *body: bytes) -> bytes:
    content = b"".join(body)
    return struct.pack(">L", 8 + len(content)) + kind + content


def full(kind: bytes, version: int, flags: int, *body: bytes) -> bytes:
    return box(kind, struct.pack(">L", version << 24 | flags), *body)


def size(width: int, height: int) -> bytes:
    return full(b"ispe", 0, 0, struct.pack(">LL", width, height))


def crop(width: int, height: int, right: int, down: int) -> bytes:
    """A clean aperture whose center is this many half pixels right of and below the middle of the image."""
    return box(b"clap", struct.pack(">LLLLlLlL", width, 1, height, 1, right, 2, down, 2))


def turn(quarters: int) -> bytes:
    return box(b"irot", bytes([quarters]))


def mirror(axis: int) -> bytes:
    return box(b"imir", bytes([axis]))


def image(array: np.ndarray, *more: bytes, hidden: bool = False) -> Item:
    """An RGB or gray image, losslessly encoded if AV1 allows it; `more` are further properties."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "AVIF", quality=100, subsampling="4:4:4")
    content = file.getvalue()
    found = {kind: body for kind, body in _walk(content)}
    data = found[b"mdat"][-_extent(found[b"iloc"]) :]
    described = tuple(box(kind, found[kind]) for kind in (b"av1C", b"pixi", b"colr") if kind in found)
    return Item(b"av01", data, (size(array.shape[1], array.shape[0]), *described, *more), hidden)


def grid(rows: int, columns: int, width: int, height: int, *properties: bytes) -> Item:
    return Item(
        b"grid", struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height), (size(width, height), *properties)
    )


def avif(items: list[Item], references: list[tuple[bytes, int, tuple[int, ...]]] = [], brands: bytes = b"") -> bytes:  # noqa: B006
    """An AVIF with these items, numbered from 1, and references (kind, from, to)."""
    infos = b"".join(
        full(b"infe", 2, int(item.hidden), struct.pack(">HH", number, 0), item.kind, b"\0")
        for number, item in enumerate(items, 1)
    )
    properties: list[bytes] = []
    links = b""
    for number, item in enumerate(items, 1):
        indices = []
        for each in item.properties:
            if each not in properties:
                properties.append(each)
            essential = each[4:8] in (b"av1C", b"clap", b"irot", b"imir")
            indices.append(properties.index(each) + 1 | (0x80 if essential else 0))
        links += struct.pack(">HB", number, len(indices)) + bytes(indices)
    parts = [
        full(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
        full(b"pitm", 0, 0, struct.pack(">H", 1)),
        full(b"iinf", 0, 0, struct.pack(">H", len(items)), infos),
        box(b"iprp", box(b"ipco", *properties), full(b"ipma", 0, 0, struct.pack(">L", len(items)), links)),
    ]
    if references:
        parts.append(
            full(
                b"iref", 0, 0,
                *(box(kind, struct.pack(f">HH{len(to)}H", start, len(to), *to)) for kind, start, to in references),
            )
        )  # fmt: skip
    head = box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf", brands)
    length = len(head) + len(full(b"meta", 0, 0, *parts, _locations(items, 0))) + 8
    return head + full(b"meta", 0, 0, *parts, _locations(items, length)) + box(b"mdat", *(item.data for item in items))


def _locations(items: list[Item], at: int) -> bytes:
    body = struct.pack(">BBH", 0x44, 0, len(items))
    for number, item in enumerate(items, 1):
        body += struct.pack(">HHHLL", number, 0, 1, at, len(item.data))
        at += len(item.data)
    return full(b"iloc", 0, 0, body)


def _walk(content: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 0
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">L4s", content, at)
        body = content[at + 8 : at + length]
        found.append((kind, body))
        if kind in (b"meta", b"iprp", b"ipco"):
            found += _walk(body[4:] if kind == b"meta" else body)
        at += max(length, 8)
    return found


def _extent(locations: bytes) -> int:
    """Where the length of the last item is stored."""
    return int(struct.unpack_from(">L", locations, len(locations) - 4)[0])
