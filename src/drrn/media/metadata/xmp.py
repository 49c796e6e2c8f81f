"""Adjust the parts of an XMP packet that refer to pixels or to other parts of the file.

A packet is edited in place; everything not edited keeps its bytes. There are three steps: on reading, statements about
parts that are dropped are removed, and positions are turned upright; on enlarging, values in pixels are scaled; on
writing, sizes and format are set to those of the new file.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from drrn.media.metadata import numbers
from drrn.media.metadata.turns import Area, is_quarter, turn
from drrn.media.metadata.xml import Document, Edit, Name
from drrn.media.metadata.xmp_schema import (
    AREA,
    CONTAINER,
    DC,
    GPANO,
    IPTC,
    LI,
    MICROSOFT,
    ORIENTATION,
    PARTS,
    POINTS,
    RDF,
    REGIONS,
    SCALED,
    SEMANTICS,
    SIZES,
    STORED_PARTS,
    TRANSPARENT,
    XML,
    PixelPair,
)

Size = tuple[int, int]
"""Width and height."""


class Value(NamedTuple):
    """An attribute, or an element that holds only text."""

    name: Name
    text: str
    owner: int
    """Index of the element it belongs to; -1 if it belongs to the image."""
    content: slice
    span: slice


def remove_parts(packet: bytes, *, turned: bool = False) -> tuple[bytes, tuple[str, ...]]:
    """Remove statements about other parts of the file. Returns the packet and what was lost.

    Args:
        turned: the image has been rotated or flipped.

    Raises:
        InvalidXMLError: the packet can't be parsed. The same holds for all functions here.
    """
    document = Document(packet)
    edits: list[Edit] = []
    lost: dict[str, None] = {}
    parts = (*PARTS, *STORED_PARTS) if turned else PARTS
    for value in _values(document):
        for namespace, local, part in parts:
            if not value.name[0].startswith(namespace) or not re.match(local, value.name[1]):
                continue
            if namespace == CONTAINER:
                part = SEMANTICS.get(value.text, "further image") if value.name[1] == "Semantic" else ""
            if part and value.text not in ("0", "-1", "False"):
                lost[f"without {part}"] = None
            edits.append((value.span, b""))
    removed = [(namespace, local) for namespace, local, _ in parts]
    for element in document.elements:
        if any(element.name[0].startswith(space) and re.match(local, element.name[1]) for space, local in removed):
            edits.append((element.span, b""))
    if edits:
        whole = tuple(namespace for namespace, local, _ in parts if not local)
        edits += [(each.span, b"") for each in document.declarations if each.namespace.startswith(whole)]
    return document.edited(edits), tuple(lost)


def make_upright(packet: bytes, orientation: int, stored: Size) -> bytes:
    """Adjust the packet to an image that has been turned upright: set its orientation to 1, and turn positions.

    Args:
        orientation: the EXIF orientation, 1 to 8, that was applied.
        stored: width and height as stored in the file.
    """
    document = Document(packet)
    edits: list[Edit] = []
    for owned, _ in _groups(document):
        if ORIENTATION in owned:
            edits.append((owned[ORIENTATION].content, b"1"))
        if is_quarter(orientation):
            for pair in (*SIZES, *SCALED):
                if not pair.is_place and pair.across in owned and pair.down in owned:
                    first, second = owned[pair.across], owned[pair.down]
                    edits += [_edit(first, second.text), _edit(second, first.text)]
        edits += _turn_area(owned, "center", ((AREA, n) for n in "xywh"), _bounds(owned, AREA, stored), orientation)
        edits += _turn_area(
            owned,
            "corner",
            ((IPTC, n) for n in ("rbX", "rbY", "rbW", "rbH")),
            _bounds(owned, IPTC, stored),
            orientation,
        )
        full, cropped = _size(owned, "FullPano", stored), _size(owned, "CroppedAreaImage", stored)
        names = ("CroppedAreaLeft", "CroppedAreaTop", "CroppedAreaImageWidth", "CroppedAreaImageHeight")
        edits += _turn_area(owned, "corner", ((GPANO, f"{n}Pixels") for n in names), full, orientation)
        sides = ("Left", "Top", "Width", "Height")
        names_of_largest = ((GPANO, f"LargestValidInteriorRect{n}") for n in sides)
        edits += _turn_area(owned, "corner", names_of_largest, cropped, orientation)
        if rectangle := owned.get((MICROSOFT, "Rectangle")):
            edits += _turn_rectangle(rectangle, orientation)
    for listed in _lists(document):
        edits += _turn_point(listed, orientation, stored)
    return document.edited(edits)


def resize(packet: bytes, before: Size, after: Size) -> bytes:
    """Scale the values measured in pixels; `set_size` sets the size of the image itself."""
    document = Document(packet)
    across, down = (Fraction(new, old) for new, old in zip(after, before, strict=True))
    edits: list[Edit] = []
    for owned, owner in _groups(document):
        for pair in SCALED:
            if _counts_pixels(owned, owner, pair):
                edits += _scale(owned.get(pair.across), across)
                edits += _scale(owned.get(pair.down), down) if pair.down != pair.across else []
    for listed in _lists(document):
        for value, factor in zip(listed, _factors(len(listed), across, down), strict=False):
            edits += _scale(value, factor)
    return document.edited(edits)


def set_size(packet: bytes, size: Size, mime: str = "", *, upright: bool = False) -> bytes:
    """Set the size of the image and the MIME type of its file, if the packet states them.

    Args:
        upright: also set the orientation to 1.
    """
    document = Document(packet)
    edits: list[Edit] = []
    for owned, _ in _groups(document):
        for pair in SIZES:
            for name, side in zip((pair.across, pair.down), size, strict=True):
                edits += [_edit(owned[name], str(side))] if name in owned else []
        if upright and ORIENTATION in owned:
            edits.append(_edit(owned[ORIENTATION], "1"))
        if mime and (DC, "format") in owned and owned[DC, "format"].text.startswith("image/"):
            edits.append(_edit(owned[DC, "format"], mime))
    return document.edited(edits)


def _values(document: Document) -> Iterator[Value]:
    for attribute in document.attributes:
        if attribute.name[0] not in (RDF, XML, ""):
            owner = _owner(document, attribute.element)
            yield Value(attribute.name, document.text(attribute.content), owner, attribute.content, attribute.span)
    for element in document.elements:
        if not element.has_children and element.content.start < element.content.stop:
            owner = _owner(document, element.parent)
            yield Value(element.name, document.text(element.content), owner, element.content, element.span)


def _owner(document: Document, number: int) -> int:
    while number >= 0 and document.elements[number].name in TRANSPARENT:
        number = document.elements[number].parent
    return number if number > 0 else -1  # the root element is the packet itself


def _groups(document: Document) -> list[tuple[Mapping[Name, Value], Name]]:
    """Return the values of each owner by name, together with the owner's name."""
    groups: defaultdict[int, dict[Name, Value]] = defaultdict(dict)
    for value in _values(document):
        groups[value.owner].setdefault(value.name, value)
    return [(owned, document.elements[owner].name if owner >= 0 else ("", "")) for owner, owned in groups.items()]


def _lists(document: Document) -> list[list[Value]]:
    """Return the items of each list in `POINTS`."""
    lists: defaultdict[int, list[Value]] = defaultdict(list)
    for value in _values(document):
        if value.name == LI and value.owner >= 0 and document.elements[value.owner].name in POINTS:
            lists[value.owner].append(value)
    return [*lists.values()]


def _counts_pixels(owned: Mapping[Name, Value], owner: Name, pair: PixelPair) -> bool:
    if pair.unit is None:
        return True
    if pair.unit not in owned:
        return owner == (REGIONS, "AppliedToDimensions")
    return owned[pair.unit].text.lower() in pair.pixels


def _factors(count: int, across: Fraction, down: Fraction) -> tuple[Fraction, ...]:
    return (across, down, (across + down) / 2) if count == 3 else (across, down, across, down)


def _scale(value: Value | None, factor: Fraction) -> list[Edit]:
    if value is None or (number := numbers.parse(value.text)) is None:
        return []
    return [_edit(value, numbers.write(number * factor, value.text))]


def _edit(value: Value, text: str) -> Edit:
    return value.content, text.encode()


def _bounds(owned: Mapping[Name, Value], namespace: str, stored: Size) -> tuple[Fraction, Fraction]:
    """Return the sides of the image in the units of its areas: normalized to 1 unless stated otherwise."""
    unit = owned.get((namespace, "unit" if namespace == AREA else "rbUnit"))
    sides = stored if unit and unit.text.lower() == "pixel" else (1, 1)
    return Fraction(sides[0]), Fraction(sides[1])


def _size(owned: Mapping[Name, Value], name: str, stored: Size) -> tuple[Fraction, Fraction]:
    sides = [owned.get((GPANO, f"{name}{side}Pixels")) for side in ("Width", "Height")]
    width, height = (numbers.parse(side.text) if side else None for side in sides)
    return width or Fraction(stored[0]), height or Fraction(stored[1])


def _turn_area(
    owned: Mapping[Name, Value],
    anchor: str,
    names: Iterator[Name],
    bounds: tuple[Fraction, Fraction],
    orientation: int,
) -> list[Edit]:
    """Return edits of x, y, width and height, of which the last two may be missing."""
    values = [owned.get(name) for name in names]
    found = [numbers.parse(value.text) if value else Fraction(0) for value in values]
    if values[0] is None or values[1] is None or None in found:
        return []
    x, y, width, height = (number or Fraction(0) for number in found)
    half = Fraction(1, 2) if anchor == "corner" else Fraction(0)
    area = turn(Area(x + width * half, y + height * half, width, height), orientation, *bounds)
    new = (area.x - area.width * half, area.y - area.height * half, area.width, area.height)
    return [_edit(value, numbers.write(number, value.text)) for value, number in zip(values, new, strict=True) if value]


def _turn_rectangle(rectangle: Value, orientation: int) -> list[Edit]:
    """Return edits of a Microsoft region: left, top, width and height as fractions of the image."""
    found = [numbers.parse(text) for text in rectangle.text.split(",")]
    if len(found) != 4 or None in found:
        return []
    left, top, width, height = (number or Fraction(0) for number in found)
    area = turn(Area(left + width / 2, top + height / 2, width, height), orientation, 1, 1)
    new = (area.x - area.width / 2, area.y - area.height / 2, area.width, area.height)
    return [_edit(rectangle, ", ".join(f"{float(number):.6f}" for number in new))]


def _turn_point(listed: list[Value], orientation: int, stored: Size) -> list[Edit]:
    found = [numbers.parse(value.text) for value in listed]
    if len(found) < 2 or None in found:
        return []
    parts = [number or Fraction(0) for number in found]
    sides = parts[2:4] if len(parts) == 4 else []
    area = turn(Area(parts[0], parts[1], *sides), orientation, *stored)
    new = (area.x, area.y, *((area.width, area.height) if sides else parts[2:]))
    return [_edit(value, numbers.write(number, value.text)) for value, number in zip(listed, new, strict=False)]
