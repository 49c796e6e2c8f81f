"""Image descriptions that programs store in a TIFF: ImageJ's, OME-XML, tifffile's and Aperio's.

They state sizes in pixels or the size of a pixel. Any other description is left unchanged.
"""

import json
import re
from fractions import Fraction
from typing import Any, Final

from drrn.media.metadata import numbers
from drrn.media.metadata.xml import Document, Edit, InvalidXMLError

Size = tuple[int, int]
"""Width and height."""

_ORIGIN: Final = re.compile(rb"^([xy])origin=([^\r\n]*)", re.MULTILINE)
_MICRONS: Final = re.compile(rb"(\bMPP\s*=\s*)([\d.]+)")
_OUTLINES: Final = ("ROI", "ROIRef")
"""OME-XML elements that hold pixel coordinates in formats of their own."""


def remove_parts(text: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Remove outlines of regions, and the file's name and UUID, from OME-XML. Returns the text and what was lost."""
    if (document := _ome(text)) is None:
        return text, ()
    edits: list[Edit] = [(each.span, b"") for each in document.elements if each.name[1] in (*_OUTLINES, "UUID")]
    edits += [(each.span, b"") for each in document.attributes if each.element == 0 and each.name[1] == "UUID"]
    has_outlines = any(each.name[1] == "ROI" for each in document.elements)
    return document.edited(edits), ("without the regions of its OME-XML",) if has_outlines else ()


def swap_sides(text: bytes) -> bytes:
    """Swap width and height in a description."""
    if (document := _ome(text)) is None:
        return text
    edits: list[Edit] = []
    for owned in _pixels(document):
        for name in ("Size{}", "PhysicalSize{}", "PhysicalSize{}Unit"):
            first, second = owned.get(name.format("X")), owned.get(name.format("Y"))
            if first and second:
                edits += [(first, text[second]), (second, text[first])]
    return document.edited(edits)


def resize(text: bytes, before: Size, after: Size) -> bytes:
    """Adjust the description to the new size of the image."""
    factors = {axis: Fraction(new, old) for axis, new, old in zip("XY", after, before, strict=True)}
    if text.startswith(b"ImageJ="):
        return _ORIGIN.sub(lambda m: m[1] + b"origin=" + _number(m[2], factors[m[1].decode().upper()]), text)
    if text.startswith(b"Aperio"):
        return _MICRONS.sub(lambda m: m[1] + _number(m[2], 1 / factors["X"]), text)
    if text.startswith(b"{"):
        return _resize_shape(text, before, after)
    if document := _ome(text):
        return _resize_ome(document, factors, dict(zip("XY", after, strict=True)))
    return text


def _number(text: bytes, factor: Fraction) -> bytes:
    written = text.decode("latin-1")
    number = numbers.parse(written)
    return text if number is None else f"{float(number * factor):.10g}".encode()


def _resize_shape(text: bytes, before: Size, after: Size) -> bytes:
    """Adjust the shape in tifffile's JSON, where height and width are next to each other."""
    try:
        described: Any = json.loads(text.rstrip(b"\0"))
    except (ValueError, RecursionError):
        return text
    shape: Any = described.get("shape") if isinstance(described, dict) else None
    for at in range(len(shape) - 1 if isinstance(shape, list) else 0):
        if shape[at : at + 2] == [before[1], before[0]]:
            shape[at : at + 2] = [after[1], after[0]]
            return json.dumps(described).encode() + b"\0"
    return text


def _ome(text: bytes) -> Document | None:
    """Parse OME-XML; None for anything else."""
    if b"<OME" not in text[:4096] and b":OME" not in text[:4096]:
        return None
    try:
        document = Document(text)
    except InvalidXMLError:
        return None
    return document if document.elements[0].name[1] == "OME" else None


def _pixels(document: Document) -> list[dict[str, slice]]:
    """Return the spans of the attributes of each image's Pixels element, by name."""
    of_elements: dict[int, dict[str, slice]] = {
        number: {} for number, element in enumerate(document.elements) if element.name[1] == "Pixels"
    }
    for attribute in document.attributes:
        if attribute.element in of_elements:
            of_elements[attribute.element][attribute.name[1]] = attribute.content
    return [*of_elements.values()]


def _resize_ome(document: Document, factors: dict[str, Fraction], sides: dict[str, int]) -> bytes:
    edits: list[Edit] = []
    for owned in _pixels(document):
        for axis, factor in factors.items():
            if size := owned.get(f"Size{axis}"):
                edits.append((size, str(sides[axis]).encode()))
            if spacing := owned.get(f"PhysicalSize{axis}"):
                edits.append((spacing, _number(document.content[spacing], 1 / factor)))
    return document.edited(edits)
