"""Insert metadata into a file that libvips has encoded from pixels alone.

libvips does not preserve metadata: it rebuilds EXIF without the tags it does not know, states 25.4 dpi where the
resolution is unknown, and writes no EXIF to TIFF.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from drrn.errors import ImageError
from drrn.media.buffer import Buffer, release_pages
from drrn.media.file_format import FileFormat
from drrn.media.metadata import exif as tags
from drrn.media.metadata import extended_xmp, jpeg_segments, tiff_tags
from drrn.media.metadata.adapting import adapt_metadata
from drrn.media.metadata.metadata import INCH, Metadata
from drrn.media.metadata.png import CHUNK, png_chunk
from drrn.media.metadata.png import XMP as PNG_XMP
from drrn.media.metadata.xml import InvalidXMLError

Piece = bytes | memoryview

SEGMENT: Final = 65533
"""Longest content of a JPEG segment, in bytes."""
EXIF, XMP, ICC = b"Exif\0\0", jpeg_segments.XMP, b"ICC_PROFILE\0"
"""Identifiers at the start of the JPEG segments."""
PADDING: Final = re.compile(rb"\s+(?=<\?xpacket end)")
"""White space in an XMP packet, reserved for programs that edit it in place."""


def embed_metadata(
    encoded: Buffer, form: FileFormat, metadata: Metadata, width: int, height: int, *, alpha: bool
) -> Iterator[Piece]:
    """Yield the encoded file with `metadata` inserted, piece by piece.

    EXIF and XMP are adapted to an upright image of this size.

    Raises:
        ImageError: the metadata are longer than the format allows.
    """
    metadata = adapt_metadata(metadata, width, height, form)
    if form != "JPEG":
        metadata = _in_one_packet(metadata)
    match form:
        case "PNG":
            return _png(encoded, metadata)
        case "JPEG":
            return _jpeg(encoded, metadata)
        case "WebP":
            return _webp(encoded, metadata, width, height, alpha=alpha)
        case "TIFF":
            return _tiff(encoded, metadata)
        case _:
            raise ValueError(f"{form} is not written with metadata.")


def _png(encoded: Buffer, metadata: Metadata) -> Iterator[Piece]:
    yield encoded[:33]  # the signature and IHDR
    yield from png_metadata_chunks(metadata)
    rest = 33
    while encoded[rest + 4 : rest + 8] == b"pHYs":  # libvips writes one even if the resolution is unknown
        rest += 12 + int.from_bytes(encoded[rest : rest + 4])
    yield from _rest(encoded, rest)


def png_metadata_chunks(metadata: Metadata) -> Iterator[bytes]:
    """Yield the PNG chunks that hold the metadata."""
    for name, body in metadata.extras.color_tags:
        yield png_chunk(name, body)
    if metadata.icc:
        yield png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(metadata.icc))
    if metadata.dpi:
        yield png_chunk(b"pHYs", struct.pack(">LLB", *(round(value / INCH) for value in metadata.dpi), 1))
    elif aspect := _ratio(metadata, 0x7FFFFFFF):
        yield png_chunk(b"pHYs", struct.pack(">LLB", *aspect, 0))
    if metadata.exif:
        yield png_chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        yield png_chunk(b"iTXt", PNG_XMP + b"\0\0\0\0\0" + metadata.xmp)
    for name, body in metadata.extras.texts:
        yield png_chunk(name, body)


def _jpeg(encoded: Buffer, metadata: Metadata) -> Iterator[Piece]:
    across, down = _ratio(metadata, 65535) or (1, 1)
    if metadata.dpi:
        across, down = (min(max(round(value), 1), 65535) for value in metadata.dpi)
    yield encoded[:2]
    inches = 1 if metadata.dpi else 0
    yield _jpeg_segment(0xE0, b"JFIF\0\1\1" + struct.pack(">BHHH", inches, across, down, 0))
    if metadata.exif:
        yield _jpeg_segment(0xE1, EXIF + metadata.exif)
    if metadata.xmp:
        extended = metadata.extras.extended_xmp
        packet = extended_xmp.set_guid(metadata.xmp, extended) if extended else metadata.xmp
        if len(XMP) + len(packet) > SEGMENT:
            packet = PADDING.sub(b"\n", packet)
        yield _jpeg_segment(0xE1, XMP + packet)
        for body in extended_xmp.split(extended or b""):
            yield _jpeg_segment(0xE1, body)
    if metadata.icc:
        most = SEGMENT - len(ICC) - 2
        parts = [metadata.icc[at : at + most] for at in range(0, len(metadata.icc), most)]
        if len(parts) > 255:
            raise ImageError(f"JPEG can't hold an ICC profile of {len(metadata.icc):,} bytes; use png or tiff.")
        for number, part in enumerate(parts, 1):
            yield _jpeg_segment(0xE2, ICC + bytes([number, len(parts)]) + part)
    if metadata.extras.iptc:
        yield _jpeg_segment(jpeg_segments.APP13, jpeg_segments.photoshop(metadata.extras.iptc))
    for comment in metadata.extras.comments:
        yield _jpeg_segment(jpeg_segments.COMMENT, comment)
    yield from _rest(encoded, 2)


def _jpeg_segment(marker: int, body: bytes) -> bytes:
    if len(body) > SEGMENT:
        starts = {XMP: "XMP", EXIF: "EXIF", jpeg_segments.PHOTOSHOP: "IPTC"}
        name = next((name for start, name in starts.items() if body.startswith(start)), "a comment")
        raise ImageError(f"JPEG can't hold {len(body):,} bytes of {name}, {SEGMENT:,} at most; use png or tiff.")
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _webp(encoded: Buffer, metadata: Metadata, width: int, height: int, *, alpha: bool) -> Iterator[Piece]:
    before, after = webp_ends(metadata, width, height, flags=0x10 * alpha)
    image = 30 if encoded[12:16] == b"VP8X" else 12
    yield b"RIFF" + struct.pack("<L", 4 + len(before) + len(encoded) - image + len(after)) + b"WEBP" + before
    yield from _rest(encoded, image)
    yield after


def webp_ends(metadata: Metadata, width: int, height: int, *, flags: int) -> tuple[bytes, bytes]:
    """Return the chunks of an extended WebP that come before and after those of the pixels.

    Args:
        flags: bits of VP8X that do not concern metadata, such as alpha.
    """
    exif = metadata.exif
    if metadata.dpi and not (exif and tags.states_dpi(exif)):  # the only place that WebP has for it
        exif = exif or tags.empty()
        exif = tags.extended(exif, tags.resolution(metadata.dpi, tiff_tags.Directory.first(exif).order))
    flags |= 0x20 * bool(metadata.icc) | 0x08 * bool(exif) | 0x04 * bool(metadata.xmp)
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    before = webp_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + size) + webp_chunk(b"ICCP", metadata.icc)
    return before, webp_chunk(b"EXIF", exif) + webp_chunk(b"XMP ", metadata.xmp)


def webp_chunk(name: bytes, body: bytes | None) -> bytes:
    return name + struct.pack("<L", len(body)) + body + bytes(len(body) % 2) if body else b""


def _tiff(encoded: Buffer, metadata: Metadata) -> Iterator[Piece]:
    order = tiff_tags.Directory.first(encoded).order
    added = tags.for_tiff(metadata.exif, order) if metadata.exif else {}
    if metadata.dpi:
        added |= tags.resolution(metadata.dpi, order)
    elif metadata.extras.aspect:
        added |= tags.resolution(metadata.extras.aspect, order, unit=tiff_tags.NO_UNIT)
    if metadata.icc:
        added[0x8773] = tiff_tags.Tag(tiff_tags.UNDEFINED, len(metadata.icc), metadata.icc)
    if iptc := metadata.extras.iptc:
        added[tiff_tags.IPTC] = tiff_tags.Tag(tiff_tags.BYTE, len(iptc), iptc)
    if metadata.xmp:
        added[0x02BC] = tiff_tags.Tag(tiff_tags.BYTE, len(metadata.xmp), metadata.xmp)
    head, tail = tags.extension(encoded, added, without=(*tags.RESOLUTION, tiff_tags.ORIENTATION))
    yield head
    yield from _rest(encoded, len(head))
    yield tail


def _in_one_packet(metadata: Metadata) -> Metadata:
    """Merge both parts of the XMP, for formats that allow a packet of any length."""
    if not (metadata.xmp and metadata.extras.extended_xmp):
        return metadata
    try:
        packet = extended_xmp.merge(metadata.xmp, metadata.extras.extended_xmp)
    except InvalidXMLError as error:  # cannot come from a file: see `make_metadata_upright`
        raise ImageError("The two parts of the XMP can't be merged; use jpg, which holds both.") from error
    return metadata._replace(xmp=packet, extras=metadata.extras._replace(extended_xmp=None))


def _ratio(metadata: Metadata, most: int) -> tuple[int, int] | None:
    """Return the pixel aspect as whole numbers, across and down; None for square pixels."""
    aspect = metadata.extras.aspect
    if aspect is None or aspect[0] == aspect[1]:
        return None
    across, down = Fraction(aspect[0] / aspect[1]).limit_denominator(min(most, 10000)).as_integer_ratio()
    return (across, down) if 0 < across <= most else None


def _rest(encoded: Buffer, begin: int) -> Iterator[Piece]:
    for at in range(begin, len(encoded), CHUNK):
        yield encoded[at : at + CHUNK]
        release_pages(encoded)
