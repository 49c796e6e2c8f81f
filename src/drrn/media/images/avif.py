"""Read from an AVIF's boxes which items form its image, and how many pixels the decoder allocates before it crops and
rotates.
"""

import struct
from typing import Final, NamedTuple

from drrn.errors import ImageError
from drrn.media.buffer import Buffer
from drrn.media.metadata.avif import boxes, links, meta_of, primary_of

IMAGES: Final = (b"av01", b"grid", b"iovl", b"iden", b"tmap", b"hvc1", b"jpeg")
TO_ITS_IMAGE: Final = (b"auxl", b"thmb", b"prem")
"""Types of references from an alpha channel, a gain map or a thumbnail to the image it belongs to."""


class AvifLayout(NamedTuple):
    """What the `meta` box states about the images in the file."""

    width: int
    """Width of the primary image as stored, in pixels, before cropping and rotation; likewise the height."""
    height: int
    coded: int
    """The largest of its pixel counts: the image itself, all its tiles, or its alpha channel."""
    others: int
    """The number of images that are neither part of the primary one nor a map or thumbnail of it."""
    multiplied: bool
    """Whether its colors are multiplied by alpha."""


def read_layout(file: Buffer) -> AvifLayout | None:
    """Read the layout; None if the `meta` box is missing or damaged."""
    found = meta_of(file)
    try:
        primary, kinds, references, sizes = primary_of(found), _items(found), _references(found), _sizes(found)
        width, height = sizes[primary]
    except (struct.error, IndexError, KeyError):
        return None
    parts = {primary}
    for kind, start, to in references:  # a tone-mapped image is derived from the image and its gain map
        if kind == b"dimg" and kinds.get(start) == b"tmap" and primary in to:
            parts |= {start, *to}
    for _ in range(len(kinds)):  # what belongs to a part is itself a part
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
    multiplied = any(kind == b"prem" and primary in (start, *to) for kind, start, to in references)
    return AvifLayout(width, height, max(coded), len(kinds.keys() - parts), multiplied)


def check_stored(layout: AvifLayout, name: str, max_pixels: int) -> None:
    """Raise an ImageError if the image has no pixels, or more than `max_pixels` before it is cropped."""
    if not layout.width or not layout.height:
        raise ImageError(f"{name} is {layout.width} x {layout.height}: it has no pixels.")
    if layout.coded > max_pixels:
        raise ImageError(
            f"{name} is stored as {layout.width} x {layout.height}, {layout.coded:,} pixels; the limit is "
            f"{max_pixels:,} (--max-pixels)."
        )


def _items(found: dict[bytes, bytes]) -> dict[int, bytes]:
    """Return the types of the items that a viewer may display."""
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
    """Return the type, the source item and the target items of each reference."""
    listed, references = found.get(b"iref", b""), []
    code = "H" if listed[:1] == b"\0" else "L"
    for kind, body in boxes(listed, 4, len(listed)):
        start, count = struct.unpack_from(f">{code}H", body)
        references.append((kind, start, struct.unpack_from(f">{count}{code}", body, struct.calcsize(f">{code}H"))))
    return references


def _sizes(found: dict[bytes, bytes]) -> dict[int, tuple[int, int]]:
    """Return width and height of the items as stored."""
    inner = dict(boxes(found.get(b"iprp", b""), 0, len(found.get(b"iprp", b""))))
    every = [*boxes(inner.get(b"ipco", b""), 0, len(inner.get(b"ipco", b"")))]
    sizes = {}
    for number, indices in links(inner.get(b"ipma", b"")).items():
        for index in indices:
            if 0 < index <= len(every) and every[index - 1][0] == b"ispe":
                width, height = struct.unpack_from(">LL", every[index - 1][1], 4)
                sizes[number] = (width, height)
    return sizes
