"""Which items of an AVIF are its image, and how many pixels its decoder makes before it crops and turns them."""

import struct
from mmap import mmap
from typing import Final, NamedTuple

from drrn.errors import ImageError
from drrn.media.metadata.avif import boxes, links, meta_of, primary_of

Block = bytes | mmap
IMAGES: Final = (b"av01", b"grid", b"iovl", b"iden", b"tmap", b"hvc1", b"jpeg")
TO_ITS_IMAGE: Final = (b"auxl", b"thmb", b"prem")
"""References from an alpha channel, a map or a thumbnail to the image that it belongs to."""


class Layout(NamedTuple):
    """What the description says of the images in the file."""

    width: int
    """Of the primary image as it is stored, in pixels, as the next."""
    height: int
    coded: int
    """Pixels of it, or of all its tiles, or of its alpha channel, whichever are most."""
    others: int
    """Images that are no part of the primary one, nor a map or a thumbnail of it."""


def read_layout(file: Block) -> Layout | None:
    """None where the description is missing or damaged."""
    found = meta_of(file)
    try:
        primary, kinds, references, sizes = primary_of(found), _items(found), _references(found), _sizes(found)
        width, height = sizes[primary]
    except (struct.error, IndexError, KeyError):
        return None
    parts = {primary}
    for kind, start, to in references:  # a tone map is made of the image and its gain map
        if kind == b"dimg" and kinds.get(start) == b"tmap" and primary in to:
            parts |= {start, *to}
    for _ in range(len(kinds)):  # whatever belongs to a part is one
        before = len(parts)
        for kind, start, to in references:
            if kind == b"dimg" and start in parts:
                parts.update(to)
            elif kind in TO_ITS_IMAGE and parts.intersection(to):
                parts.add(start)
        if len(parts) == before:
            break
    tiles = [each for kind, start, to in references if kind == b"dimg" and start == primary for each in to]
    beside = [start for kind, start, to in references if kind == b"auxl" and primary in to]
    areas = {number: size[0] * size[1] for number, size in sizes.items()}
    coded = [width * height, sum(areas.get(each, 0) for each in tiles), *(areas.get(each, 0) for each in beside)]
    return Layout(width, height, max(coded), len(kinds.keys() - parts))


def check_stored(layout: Layout, name: str, max_pixels: int) -> None:
    """Raises ImageError: it has no pixels, or more than that before it is cropped."""
    if not layout.width or not layout.height:
        raise ImageError(f"{name} is {layout.width} x {layout.height}: it has no pixels.")
    if layout.coded > max_pixels:
        raise ImageError(
            f"{name} is stored as {layout.width} x {layout.height}, {layout.coded:,} pixels; the limit is "
            f"{max_pixels:,} (--max-pixels)."
        )


def _items(found: dict[bytes, bytes]) -> dict[int, bytes]:
    """The kinds of the images that a viewer may show."""
    listed, kinds = found.get(b"iinf", b""), {}
    for kind, body in boxes(listed, 6 if listed[:1] == b"\0" else 8, len(listed)):
        if kind != b"infe" or body[0] not in (2, 3):
            continue
        wide = body[0] == 3
        number, at = int.from_bytes(body[4 : 8 if wide else 6]), 10 if wide else 8
        is_hidden = bool(body[3] & 1)
        if body[at : at + 4] in IMAGES and not is_hidden:
            kinds[number] = body[at : at + 4]
    return kinds


def _references(found: dict[bytes, bytes]) -> list[tuple[bytes, int, tuple[int, ...]]]:
    """Kind, from which item, and to which."""
    listed, references = found.get(b"iref", b""), []
    code = "H" if listed[:1] == b"\0" else "L"
    for kind, body in boxes(listed, 4, len(listed)):
        start, count = struct.unpack_from(f">{code}H", body)
        references.append((kind, start, struct.unpack_from(f">{count}{code}", body, struct.calcsize(f">{code}H"))))
    return references


def _sizes(found: dict[bytes, bytes]) -> dict[int, tuple[int, int]]:
    """Width and height of the items, as they are stored."""
    inner = dict(boxes(found.get(b"iprp", b""), 0, len(found.get(b"iprp", b""))))
    every = [*boxes(inner.get(b"ipco", b""), 0, len(inner.get(b"ipco", b"")))]
    sizes = {}
    for number, indices in links(inner.get(b"ipma", b"")).items():
        for index in indices:
            if 0 < index <= len(every) and every[index - 1][0] == b"ispe":
                width, height = struct.unpack_from(">LL", every[index - 1][1], 4)
                sizes[number] = (width, height)
    return sizes
