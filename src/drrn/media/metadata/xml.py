"""Edit untrusted XML in place: everything not edited keeps its bytes.

The document is parsed by expat alone: no tree is built and nothing is fetched. Document types are refused, since they
can declare entities that expand without limit; so are documents that are too long, too deep or have too many parts.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from xml.parsers.expat import ExpatError, ParserCreate

MAX_BYTES: Final = 1 << 24
MAX_PARTS: Final = 1 << 16
"""Most elements and attributes together."""
MAX_DEPTH: Final = 256
_ATTRIBUTE: Final = re.compile(rb"\s+([^\s=]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_TAG_NAME: Final = re.compile(rb"<[^\s/>]+")
_TAG_END: Final = re.compile(rb"\s*(/?)>")

Name = tuple[str, str]
"""Namespace and local name."""
Edit = tuple[slice, bytes]
"""The span of bytes to replace, and their replacement."""


class InvalidXMLError(Exception):
    """The document is not well-formed, or not of the expected kind."""


class Element(NamedTuple):
    """An element, and the span of its tags and content."""

    name: Name
    parent: int
    """Index of the parent element; -1 for the root."""
    span: slice
    content: slice
    """Span between its tags; empty for a self-closing tag."""
    has_children: bool


class Attribute(NamedTuple):
    """An attribute of an element, and its span."""

    name: Name
    element: int
    content: slice
    """Span of the value."""
    span: slice
    """Span, including the space before it."""


class Declaration(NamedTuple):
    """A namespace that an element declares."""

    prefix: bytes
    namespace: str
    element: int
    span: slice
    """Span, including the space before it."""


class Document:
    """The elements and attributes of a document, with their byte positions."""

    def __init__(self, content: bytes):
        """Parse the document.

        Raises:
            InvalidXMLError: it can't be parsed.
        """
        self.content = content
        self.elements: list[Element] = []
        self.attributes: list[Attribute] = []
        self.declarations: list[Declaration] = []
        self._open: list[int] = []
        body = content.rstrip(b"\0")
        if len(body) > MAX_BYTES or b"\0" in body:
            raise InvalidXMLError("It is too long, or not in an encoding of single bytes.")
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
            del self._parser  # break the reference cycle: its handlers are methods of this object

    def text(self, span: slice) -> str:
        """Return the text of a span, stripped; character references stay as they are."""
        return self.content[span].decode("utf-8", "replace").strip()

    def namespaces(self, element: int) -> dict[bytes, Declaration]:
        """Return the namespaces in scope within an element, by prefix."""
        around = []
        while element >= 0:
            around.append(element)
            element = self.elements[element].parent
        declared = sorted((each for each in self.declarations if each.element in around), key=lambda each: each.element)
        return {each.prefix: each for each in declared}

    def edited(self, edits: Iterable[Edit]) -> bytes:
        """Apply the edits; of nested edits, only the outermost counts."""
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
            raise InvalidXMLError("It is not in an encoding of single bytes.")
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
        if number < 0:  # a self-closing tag
            return
        element, begin = self.elements[number], self._parser.CurrentByteIndex
        end = self.content.index(b">", begin) + 1
        self.elements[number] = element._replace(
            span=slice(element.span.start, end), content=slice(element.span.stop, begin)
        )


def _name(name: str) -> Name:
    namespace, _, local = name.rpartition(" ")
    return namespace, local
