"""XMP too long for one JPEG segment: a main packet, and an extended packet that the main one identifies by its MD5."""

import re
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from hashlib import md5
from typing import Final

from drrn.media.metadata.xml import Attribute, Document, Element, InvalidXMLError
from drrn.media.metadata.xmp_schema import RDF

PREFIX: Final = b"http://ns.adobe.com/xmp/extension/\0"
"""Identifier at the start of a segment that holds a piece of an extended packet."""
NOTE: Final = "http://ns.adobe.com/xmp/note/"
HAS_EXTENDED: Final = (NOTE, "HasExtendedXMP")
MAX_BYTES: Final = 1 << 24
PIECE: Final = 65000
"""Bytes of the packet that one segment holds."""
HEADER: Final = len(PREFIX) + 32 + 8


def find_extended(packet: bytes, segments: Iterable[bytes]) -> bytes | None:
    """Assemble the extended packet that `packet` refers to; None unless the segments hold all of it.

    Args:
        packet: the main packet.
        segments: bodies of the APP1 segments; other kinds are ignored.

    Raises:
        InvalidXMLError: the main packet can't be parsed.
    """
    guid = stated_guid(packet)
    pieces: dict[int, bytes] = {}
    total = 0
    for segment in segments:
        if (
            segment.startswith(PREFIX)
            and len(segment) > HEADER
            and guid == segment[len(PREFIX) :][:32].decode("latin-1")
        ):
            total, at = struct.unpack_from(">LL", segment, HEADER - 8)
            pieces.setdefault(at, segment[HEADER:])
    whole = b"".join(pieces[at] for at in sorted(pieces))
    fits = len(whole) == total <= MAX_BYTES and _guid(whole).decode() == guid
    return whole if whole and fits else None


def stated_guid(packet: bytes) -> str:
    """Return the MD5 of the extended packet that a main packet states, in upper case; empty if it states none."""
    document = Document(packet)
    return next((document.text(part.content).upper() for part in _stated(document)), "")


def set_guid(packet: bytes, extended: bytes | None) -> bytes:
    """Make the main packet refer to this extended one, or to none."""
    document = Document(packet)
    if extended is None:
        return document.edited((part.span, b"") for part in _stated(document))
    return document.edited((part.content, _guid(extended)) for part in _stated(document))


def split(extended: bytes) -> Iterator[bytes]:
    """Yield the bodies of the segments that hold an extended packet."""
    guid = _guid(extended)
    for at in range(0, len(extended), PIECE):
        yield PREFIX + guid + struct.pack(">LL", len(extended), at) + extended[at : at + PIECE]


def merge(packet: bytes, extended: bytes) -> bytes:
    """Merge both into one packet that refers to no extended one.

    Raises:
        InvalidXMLError: one of them is not XMP.
    """
    main, other = Document(set_guid(packet, None)), Document(extended)
    (root, around), (other_root, _) = _rdf(main), _rdf(other)
    outer = other.namespaces(other_root)
    own: defaultdict[int, set[bytes]] = defaultdict(set)
    for each in other.declarations:
        own[each.element].add(each.prefix)
    added = []
    for number, element in enumerate(other.elements):
        if element.parent == other_root:
            text = other.content[element.span]
            name = re.match(rb"<[^\s/>]+", text)
            assert name, "expat found an element here"
            needed = (other.content[each.span] for prefix, each in outer.items() if prefix not in own[number])
            added += [name[0], *needed, text[name.end() :]]
    if around.start == around.stop == main.elements[root].span.stop:  # a self-closing tag
        raise InvalidXMLError("The main packet is empty.")
    return main.edited([(slice(around.stop, around.stop), b"".join(added))])


def _stated(document: Document) -> Iterator[Attribute | Element]:
    """Find where a main packet states the MD5."""
    parts: list[Attribute | Element] = [*document.attributes, *document.elements]
    return (part for part in parts if part.name == HAS_EXTENDED)


def _guid(extended: bytes) -> bytes:
    return md5(extended, usedforsecurity=False).hexdigest().upper().encode()


def _rdf(document: Document) -> tuple[int, slice]:
    for number, element in enumerate(document.elements):
        if element.name == (RDF, "RDF"):
            return number, element.content
    raise InvalidXMLError("It has no RDF.")
