"""What a file says beside its pixels: ICC profile, EXIF, XMP and pixels an inch, out of a file and into one.

libvips finds them, but doesn't write them as they were: it composes EXIF anew without the tags it doesn't
know, claims 25.4 pixels an inch where none are known, and has no EXIF for TIFF. So it writes the pixels alone,
and here the rest joins them.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from mmap import mmap
from typing import Any, Literal, NamedTuple

from drrn.errors import PictureError
from drrn.media import exif as tags
from drrn.media.rows import let_go

Format = Literal[
    "PNG", "JPEG", "WebP", "TIFF", "BMP", "PNM", "GIF", "AVIF", "DICOM", "GeoTIFF", "MP4", "Matroska", "AVI"
]
Block = bytes | mmap
Piece = bytes | memoryview

INCH = 0.0254
CHUNK = 1 << 20
"""Bytes that are copied at once."""
TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""Chunks of a PNG whose content may be packed."""
MOST_CHUNKS = 1 << 18
"""Chunks of a PNG that are looked at."""
SEGMENT = 65533
"""Bytes that a segment of a JPEG holds."""
EXIF, XMP, ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
"""How such a segment begins."""
TURNED = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[2-8](?=\s*[\"'<])")


class Notes(NamedTuple):
    """As in `Picture`; `exif` is plain: without a prefix, and with a first directory that can be read."""

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None


def noted(image: Any, form: Format, file: Block) -> Notes:
    """The notes of a file, of which `image` is what libvips opened. EXIF that is malformed counts as none."""
    if form == "PNG":
        return _of_png(file)
    icc, exif, xmp = (
        bytes(image.get(field)) if image.get_typeof(field) else None
        for field in ("icc-profile-data", "exif-data", "xmp-data")
    )  # never `get_fields`: names come out of the file, and need not be text
    if form == "GIF":
        return Notes(icc, xmp=xmp)
    if form in ("WebP", "AVIF"):
        return of_webp(icc, exif, xmp)
    if form == "TIFF":
        exif = tags.of_tiff(file)
    elif exif is not None:
        exif = tags.plain(exif)
    # libvips counts pixels a millimetre, and makes a number up where the file has none
    dpi = (image.xres * 1000 * INCH, image.yres * 1000 * INCH) if image.get_typeof("resolution-unit") else None
    return Notes(icc, exif, xmp, _sensible(dpi))


def of_webp(icc: bytes | None, exif: bytes | None, xmp: bytes | None) -> Notes:
    """What the chunks of a WebP tell, as `noted`."""
    exif = tags.plain(exif) if exif is not None else None
    return Notes(icc, exif, xmp, _sensible(tags.dpi(exif) if exif else None))


def joined(encoded: Block, form: Format, notes: Notes, width: int, height: int, *, alpha: bool) -> Iterator[Piece]:
    """The file that libvips made of the pixels alone, with `notes` in it, piece by piece.

    EXIF and XMP are those of an upright picture of this size.

    Raises:
        PictureError: the notes are longer than the format can hold.
    """
    notes = fitted(notes, width, height)
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


def fitted(notes: Notes, width: int, height: int) -> Notes:
    """With EXIF and XMP of an upright picture of this size."""
    exif = tags.plain(notes.exif) if notes.exif else None
    if exif:
        exif = tags.fitted(exif, width, height, notes.dpi)
    return notes._replace(exif=exif, xmp=TURNED.sub(rb"\g<1>1", notes.xmp) if notes.xmp else None)


def _sensible(dpi: tuple[float, float] | None) -> tuple[float, float] | None:
    return (round(dpi[0], 4), round(dpi[1], 4)) if dpi and all(0.001 < value < 65536 for value in dpi) else None


def _of_png(file: Block) -> Notes:
    """The notes in the chunks of a PNG. libpng would leave out a profile that it finds fault with."""
    notes = Notes()
    for chunk, body in png_chunks(file):
        name = body.partition(b"\0")[0]
        if chunk == b"iCCP":
            notes = notes._replace(icc=_text(chunk, body))
        elif chunk == b"eXIf":
            notes = notes._replace(exif=tags.plain(body))
        elif chunk == b"pHYs" and len(body) == 9 and body[8] == 1:  # in metres, not a mere ratio
            across, down = struct.unpack_from(">LL", body)
            notes = notes._replace(dpi=_sensible((across * INCH, down * INCH)))
        elif chunk == b"iTXt" and name == b"XML:com.adobe.xmp":
            notes = notes._replace(xmp=_text(chunk, body))
        elif chunk in TEXTS and name in (b"Raw profile type exif", b"Raw profile type APP1"):
            notes = notes._replace(exif=notes.exif or _of_hexadecimal(_text(chunk, body) or b""))
    return notes._replace(dpi=notes.dpi or _sensible(tags.dpi(notes.exif) if notes.exif else None))


def png_chunks(file: Block) -> Iterator[tuple[bytes, bytes]]:
    """The name and the body of the chunks of a PNG, but for those of the pixels."""
    at = kept = 8
    for _ in range(MOST_CHUNKS):
        if at - kept > CHUNK:
            let_go(file)
            kept = at
        length, name = int.from_bytes(file[at : at + 4]), file[at + 4 : at + 8]
        if name in (b"IEND", b""):
            return
        if name != b"IDAT":
            yield name, file[at + 8 : at + 8 + length]
        at += 12 + length


def inflated_size(chunk: bytes, body: bytes, most: int) -> int:
    """Bytes that a text or profile of a PNG takes in memory; where it is more than `most`, some number above it."""
    packed, content = _content(chunk, body)
    if not packed:
        return len(content)
    inflate, size = zlib.decompressobj(), 0
    try:
        while content and size <= most:
            size += len(inflate.decompress(content, 1 << 16))
            content = inflate.unconsumed_tail
    except zlib.error:
        pass  # what is damaged is not unpacked further
    return size


def _text(chunk: bytes, body: bytes) -> bytes | None:
    """The text or profile of a chunk; None where it is empty or damaged."""
    packed, content = _content(chunk, body)
    try:
        return (zlib.decompress(content) if packed else content) or None
    except zlib.error:
        return None


def _content(chunk: bytes, body: bytes) -> tuple[bool, bytes]:
    """Whether the text or profile of a chunk is packed, and its bytes."""
    _, _, rest = body.partition(b"\0")
    if chunk == b"iTXt":  # flag, method, language, translated name, text
        return rest[:1] == b"\1", rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    return (False, rest) if chunk == b"tEXt" else (True, rest[1:])


def _of_hexadecimal(text: bytes) -> bytes | None:
    """EXIF as ImageMagick once put it into a PNG's text: a name, a length, and hexadecimal digits."""
    try:
        return tags.plain(bytes.fromhex(b"".join(text.split()[2:]).decode("ascii")))
    except ValueError:
        return None


def _png(encoded: Block, notes: Notes) -> Iterator[Piece]:
    yield encoded[:33]  # the signature and IHDR
    yield from png_notes(notes)
    rest = 33
    while encoded[rest + 4 : rest + 8] == b"pHYs":  # libvips' own, which is made up
        rest += 12 + int.from_bytes(encoded[rest : rest + 4])
    yield from _rest(encoded, rest)


def png_notes(notes: Notes) -> Iterator[bytes]:
    """The chunks of a PNG that hold them."""
    if notes.icc:
        yield png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(notes.icc))
    if notes.dpi:
        yield png_chunk(b"pHYs", struct.pack(">LLB", *(round(value / INCH) for value in notes.dpi), 1))
    if notes.exif:
        yield png_chunk(b"eXIf", notes.exif)
    if notes.xmp:
        yield png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + notes.xmp)


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


def _jpeg(encoded: Block, notes: Notes) -> Iterator[Piece]:
    across, down = (min(max(round(value), 1), 65535) for value in notes.dpi or (1, 1))
    yield encoded[:2]
    inches = 1 if notes.dpi else 0
    yield _jpeg_segment(0xE0, b"JFIF\0\1\1" + struct.pack(">BHHH", inches, across, down, 0))
    if notes.exif:
        yield _jpeg_segment(0xE1, EXIF + notes.exif)
    if notes.xmp:
        yield _jpeg_segment(0xE1, XMP + notes.xmp)
    if notes.icc:
        most = SEGMENT - len(ICC) - 2
        parts = [notes.icc[at : at + most] for at in range(0, len(notes.icc), most)]
        if len(parts) > 255:
            raise PictureError(f"JPEG can't hold an ICC profile of {len(notes.icc):,} bytes; use png or tiff.")
        for number, part in enumerate(parts, 1):
            yield _jpeg_segment(0xE2, ICC + bytes([number, len(parts)]) + part)
    yield from _rest(encoded, 2)


def _jpeg_segment(marker: int, body: bytes) -> bytes:
    if len(body) > SEGMENT:
        name = "XMP" if body.startswith(XMP) else "EXIF"
        raise PictureError(f"JPEG can't hold {len(body):,} bytes of {name}, {SEGMENT:,} at most; use png or tiff.")
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _webp(encoded: Block, notes: Notes, width: int, height: int, *, alpha: bool) -> Iterator[Piece]:
    before, after = webp_ends(notes, width, height, flags=0x10 * alpha)
    image = 30 if encoded[12:16] == b"VP8X" else 12
    yield b"RIFF" + struct.pack("<L", 4 + len(before) + len(encoded) - image + len(after)) + b"WEBP" + before
    yield from _rest(encoded, image)
    yield after


def webp_ends(notes: Notes, width: int, height: int, *, flags: int) -> tuple[bytes, bytes]:
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


def _tiff(encoded: Block, notes: Notes) -> Iterator[Piece]:
    order = tags.Directory.first(encoded).order
    added = tags.for_tiff(notes.exif, order) if notes.exif else {}
    if notes.dpi:
        added |= tags.resolution(notes.dpi, order)
    if notes.icc:
        added[0x8773] = tags.Tag(tags.UNDEFINED, len(notes.icc), notes.icc)
    if notes.xmp:
        added[0x02BC] = tags.Tag(tags.BYTE, len(notes.xmp), notes.xmp)
    head, tail = tags.extension(encoded, added, without=tags.RESOLUTION)
    yield head
    yield from _rest(encoded, len(head))
    yield tail


def _rest(encoded: Block, begin: int) -> Iterator[Piece]:
    for at in range(begin, len(encoded), CHUNK):
        yield encoded[at : at + CHUNK]
        let_go(encoded)
