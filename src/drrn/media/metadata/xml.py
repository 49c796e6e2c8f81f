"""Edit XML that a stranger wrote, in place: what is not edited keeps its bytes.

The document is read by expat alone: no tree is built, nothing is fetched, and a document type, in which entities could
be declared that grow without end, is refused. So is a document that is too large, too deep or of too many parts.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from xml.parsers.expat import ExpatError, ParserCreate

MAX_BYTES: Final = 1 << 24
MAX_PARTS: Final = 1 << 16
"""Elements and attributes together."""
MAX_DEPTH: Final = 256
_ATTRIBUTE: Final = re.compile(rb"\s+([^\s=]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_TAG_NAME: Final = re.compile(rb"<[^\s/>]+")
_TAG_END: Final = re.compile(rb"\s*(/?)>")

Name = tuple[str, str]
"""Namespace and local name."""
Edit = tuple[slice, bytes]
"""Which bytes are replaced, and by what."""


class InvalidXMLError(Exception):
    """It is not well-formed, or not of the kind that is read here."""


class Element(NamedTuple):
    """An element, and where it lies, with all that is in it."""

    name: Name
    parent: int
    """Number of the element around it; -1 at the root."""
    span: slice
    content: slice
    """What lies between its tags; empty where it has but one."""
    has_children: bool


class Attribute(NamedTuple):
    """An attribute of an element, and where it lies."""

    name: Name
    element: int
    content: slice
    """Its value."""
    span: slice
    """With the space before it."""


class Declaration(NamedTuple):
    """A namespace that an element declares."""

    prefix: bytes
    namespace: str
    element: int
    span: slice
    """With the space before it."""


class Document:
    """The parts of a document, by where they lie in its bytes."""

    def __init__(self, content: bytes):
        """Read all of it.

        Raises:
            InvalidXMLError: it can't be read.
        """
        self.content = content
        self.elements: list[Element] = []
        self.attributes: list[Attribute] = []
        self.declarations: list[Declaration] = []
        self._open: list[int] = []
        body = content.rstrip(b"\0")
        if len(body) > MAX_BYTES or b"\0" in body:
            raise InvalidXMLError("It is too long, or not text of bytes.")
        self._parser = parser = ParserCreate(namespace_separator=" ")
        parser.ordered_attributes = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        try:
            parser.Parse(body, True)
        except ExpatError as error:
            raise InvalidXMLError(str(error)) from error
        finally:
            del self._parser  # which holds this object, as this holds it

    def text(self, span: slice) -> str:
        """What is written there, without space around it; references to characters stay as they are."""
        return self.content[span].decode("utf-8", "replace").strip()

    def namespaces(self, element: int) -> dict[bytes, Declaration]:
        """Those that hold within an element, by their prefixes."""
        around = []
        while element >= 0:
            around.append(element)
            element = self.elements[element].parent
        declared = sorted((each for each in self.declarations if each.element in around), key=lambda each: each.element)
        return {each.prefix: each for each in declared}

    def edited(self, edits: Iterable[Edit]) -> bytes:
        """The document with these edits. Of edits one within the other, the outer one counts."""
        pieces, at = [], 0
        for span, replacement in sorted(edits, key=lambda edit: (edit[0].start, -edit[0].stop)):
            if span.start >= at:
                pieces += [self.content[at : span.start], replacement]
                at = span.stop
        return b"".join((*pieces, self.content[at:]))

    def _refuse(self, *_: object) -> None:
        raise InvalidXMLError("It has a document type.")

    def _start(self, name: str, attributes: list[str]) -> None:
        number, begin = len(self.elements), self._parser.CurrentByteIndex
        names = iter(attributes[::2])
        tag = _TAG_NAME.match(self.content, begin)
        if tag is None:
            raise InvalidXMLError("It is not text of bytes.")
        at = tag.end()
        while match := _ATTRIBUTE.match(self.content, at):
            value = slice(*match.span(2 if match[2] is not None else 3))
            span = slice(*match.span())
            if match[1] == b"xmlns" or match[1].startswith(b"xmlns:"):
                prefix = match[1].partition(b":")[2]
                self.declarations.append(Declaration(prefix, self.text(value), number, span))
            else:
                self.attributes.append(Attribute(_name(next(names, "")), number, value, span))
            at = match.end()
        end = _TAG_END.match(self.content, at)
        if end is None:
            raise InvalidXMLError("A tag has no end.")
        parent = self._open[-1] if self._open else -1
        span = slice(begin, end.end())
        self.elements.append(Element(_name(name), parent, span, slice(end.end(), end.end()), False))
        if parent >= 0:
            self.elements[parent] = self.elements[parent]._replace(has_children=True)
        self._open.append(-1 if end[1] else number)
        parts = len(self.elements) + len(self.attributes) + len(self.declarations)
        if parts > MAX_PARTS or len(self._open) > MAX_DEPTH:
            raise InvalidXMLError("It has too many parts.")

    def _end(self, _: str) -> None:
        number = self._open.pop()
        if number < 0:  # a tag that is an element by itself
            return
        element, begin = self.elements[number], self._parser.CurrentByteIndex
        end = self.content.index(b">", begin) + 1
        self.elements[number] = element._replace(
            span=slice(element.span.start, end), content=slice(element.span.stop, begin)
        )


def _name(name: str) -> Name:
    namespace, _, local = name.rpartition(" ")
    return namespace, local
