"""Metadata are put into a file that libvips made of the pixels alone.

libvips doesn't write them as they were: it composes EXIF anew without the tags it doesn't know, claims 25.4 pixels an
inch where none are known, and has no EXIF for TIFF.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from mmap import mmap
from typing import Final

from drrn.errors import ImageError
from drrn.media.images.scratch import let_go
from drrn.media.metadata import exif as tags
from drrn.media.metadata import extended_xmp, jpeg_segments
from drrn.media.metadata.notes import INCH, FileFormat, Metadata, fit_metadata
from drrn.media.metadata.png import CHUNK, png_chunk
from drrn.media.metadata.png import XMP as PNG_XMP
from drrn.media.metadata.xml import InvalidXMLError

Block = bytes | mmap
Piece = bytes | memoryview

SEGMENT: Final = 65533
"""Bytes that a segment of a JPEG holds."""
EXIF, XMP, ICC = b"Exif\0\0", jpeg_segments.XMP, b"ICC_PROFILE\0"
"""How such a segment begins."""
PADDING: Final = re.compile(rb"\s+(?=<\?xpacket end)")
"""Space in an XMP packet, left for programs that edit it in place."""


def embed_metadata(
    encoded: Block, form: FileFormat, notes: Metadata, width: int, height: int, *, alpha: bool
) -> Iterator[Piece]:
    """The file that libvips made of the pixels alone, with `notes` in it, piece by piece.

    EXIF and XMP are those of an upright picture of this size.

    Raises:
        ImageError: the notes are longer than the format can hold.
    """
    notes = fit_metadata(notes, width, height, form)
    if form != "JPEG":
        notes = _in_one_packet(notes)
    match form:
        case "PNG":
            return _png(encoded, notes)
        case "JPEG":
            return _jpeg(encoded, notes)
        case "WebP":
            return _webp(encoded, notes, width, height, alpha=alpha)
        case "TIFF":
            return _tiff(encoded, notes)
        case _:
            raise ValueError(f"{form} is not written with notes.")


def _png(encoded: Block, notes: Metadata) -> Iterator[Piece]:
    yield encoded[:33]  # the signature and IHDR
    yield from png_notes(notes)
    rest = 33
    while encoded[rest + 4 : rest + 8] == b"pHYs":  # libvips' own, which is made up
        rest += 12 + int.from_bytes(encoded[rest : rest + 4])
    yield from _rest(encoded, rest)


def png_notes(notes: Metadata) -> Iterator[bytes]:
    """The chunks of a PNG that hold them."""
    for name, body in notes.extras.color_tags:
        yield png_chunk(name, body)
    if notes.icc:
        yield png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(notes.icc))
    if notes.dpi:
        yield png_chunk(b"pHYs", struct.pack(">LLB", *(round(value / INCH) for value in notes.dpi), 1))
    elif aspect := _ratio(notes, 0x7FFFFFFF):
        yield png_chunk(b"pHYs", struct.pack(">LLB", *aspect, 0))
    if notes.exif:
        yield png_chunk(b"eXIf", notes.exif)
    if notes.xmp:
        yield png_chunk(b"iTXt", PNG_XMP + b"\0\0\0\0\0" + notes.xmp)
    for name, body in notes.extras.texts:
        yield png_chunk(name, body)


def _jpeg(encoded: Block, notes: Metadata) -> Iterator[Piece]:
    across, down = _ratio(notes, 65535) or (1, 1)
    if notes.dpi:
        across, down = (min(max(round(value), 1), 65535) for value in notes.dpi)
    yield encoded[:2]
    inches = 1 if notes.dpi else 0
    yield _jpeg_segment(0xE0, b"JFIF\0\1\1" + struct.pack(">BHHH", inches, across, down, 0))
    if notes.exif:
        yield _jpeg_segment(0xE1, EXIF + notes.exif)
    if notes.xmp:
        extended = notes.extras.extended_xmp
        packet = extended_xmp.set_guid(notes.xmp, extended) if extended else notes.xmp
        if len(XMP) + len(packet) > SEGMENT:
            packet = PADDING.sub(b"\n", packet)
        yield _jpeg_segment(0xE1, XMP + packet)
        for body in extended_xmp.split(extended or b""):
            yield _jpeg_segment(0xE1, body)
    if notes.icc:
        most = SEGMENT - len(ICC) - 2
        parts = [notes.icc[at : at + most] for at in range(0, len(notes.icc), most)]
        if len(parts) > 255:
            raise ImageError(f"JPEG can't hold an ICC profile of {len(notes.icc):,} bytes; use png or tiff.")
        for number, part in enumerate(parts, 1):
            yield _jpeg_segment(0xE2, ICC + bytes([number, len(parts)]) + part)
    if notes.extras.iptc:
        yield _jpeg_segment(jpeg_segments.APP13, jpeg_segments.photoshop(notes.extras.iptc))
    for comment in notes.extras.comments:
        yield _jpeg_segment(jpeg_segments.COMMENT, comment)
    yield from _rest(encoded, 2)


def _jpeg_segment(marker: int, body: bytes) -> bytes:
    if len(body) > SEGMENT:
        starts = {XMP: "XMP", EXIF: "EXIF", jpeg_segments.PHOTOSHOP: "IPTC"}
        name = next((name for start, name in starts.items() if body.startswith(start)), "a comment")
        raise ImageError(f"JPEG can't hold {len(body):,} bytes of {name}, {SEGMENT:,} at most; use png or tiff.")
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _webp(encoded: Block, notes: Metadata, width: int, height: int, *, alpha: bool) -> Iterator[Piece]:
    before, after = webp_ends(notes, width, height, flags=0x10 * alpha)
    image = 30 if encoded[12:16] == b"VP8X" else 12
    yield b"RIFF" + struct.pack("<L", 4 + len(before) + len(encoded) - image + len(after)) + b"WEBP" + before
    yield from _rest(encoded, image)
    yield after


def webp_ends(notes: Metadata, width: int, height: int, *, flags: int) -> tuple[bytes, bytes]:
    """The chunks of an extended WebP before those of its pixels, and behind them; `flags` are the others."""
    exif = notes.exif
    if notes.dpi and not (exif and tags.states_dpi(exif)):  # WebP has no other place for it
        exif = exif or tags.empty()
        exif = tags.extended(exif, tags.resolution(notes.dpi, tags.Directory.first(exif).order))
    flags |= 0x20 * bool(notes.icc) | 0x08 * bool(exif) | 0x04 * bool(notes.xmp)
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    before = webp_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + size) + webp_chunk(b"ICCP", notes.icc)
    return before, webp_chunk(b"EXIF", exif) + webp_chunk(b"XMP ", notes.xmp)


def webp_chunk(name: bytes, body: bytes | None) -> bytes:
    return name + struct.pack("<L", len(body)) + body + bytes(len(body) % 2) if body else b""


def _tiff(encoded: Block, notes: Metadata) -> Iterator[Piece]:
    order = tags.Directory.first(encoded).order
    added = tags.for_tiff(notes.exif, order) if notes.exif else {}
    if notes.dpi:
        added |= tags.resolution(notes.dpi, order)
    elif notes.extras.aspect:
        added |= tags.resolution(notes.extras.aspect, order, unit=tags.NO_UNIT)
    if notes.icc:
        added[0x8773] = tags.Tag(tags.UNDEFINED, len(notes.icc), notes.icc)
    if iptc := notes.extras.iptc:
        added[tags.IPTC] = tags.Tag(tags.BYTE, len(iptc), iptc)
    if notes.xmp:
        added[0x02BC] = tags.Tag(tags.BYTE, len(notes.xmp), notes.xmp)
    head, tail = tags.extension(encoded, added, without=(*tags.RESOLUTION, tags.ORIENTATION))
    yield head
    yield from _rest(encoded, len(head))
    yield tail


def _in_one_packet(notes: Metadata) -> Metadata:
    """With all XMP in one packet, as formats have it that hold one of any length."""
    if not (notes.xmp and notes.extras.extended_xmp):
        return notes
    try:
        packet = extended_xmp.merge(notes.xmp, notes.extras.extended_xmp)
    except InvalidXMLError as error:  # of no file that was read: see `make_metadata_upright`
        raise ImageError("The two parts of the XMP can't be joined; use jpg, which holds both.") from error
    return notes._replace(xmp=packet, extras=notes.extras._replace(extended_xmp=None))


def _ratio(notes: Metadata, most: int) -> tuple[int, int] | None:
    """Pixels across and down that are as long as each other, in whole numbers; None of square pixels."""
    aspect = notes.extras.aspect
    if aspect is None or aspect[0] == aspect[1]:
        return None
    across, down = Fraction(aspect[0] / aspect[1]).limit_denominator(min(most, 10000)).as_integer_ratio()
    return (across, down) if 0 < across <= most else None


def _rest(encoded: Block, begin: int) -> Iterator[Piece]:
    for at in range(begin, len(encoded), CHUNK):
        yield encoded[at : at + CHUNK]
        let_go(encoded)
