"""Read and write the chunks of a PNG, except those of the pixels."""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Final

from drrn.media.buffer import Buffer, release_pages

Chunk = tuple[bytes, bytes]
"""Name and body."""

CHUNK: Final = 1 << 20
"""Bytes processed before memory-mapped pages are released."""
TEXTS: Final = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""Chunks whose content may be compressed."""
MOST_CHUNKS: Final = 1 << 18
"""Maximum number of chunks examined."""
XMP: Final = b"XML:com.adobe.xmp"
"""Keyword of the text chunk that holds an XMP packet."""
PROFILES: Final = (b"Raw profile type exif", b"Raw profile type APP1", b"Raw profile type xmp")
"""Keywords of text chunks that hold EXIF or XMP as hexadecimal digits, as ImageMagick once wrote them."""
OF_THE_SIZE: Final = re.compile(rb"(?i)(exif|tiff|png):.*(width|height|length|dimension|resolution|orientation)")
"""Keywords of texts that repeat properties of the image before it was enlarged."""
KNOWN: Final = (
    *(b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"pHYs", b"eXIf", *TEXTS),
    *(b"tIME", b"sBIT", b"hIST", b"iDOT"),
)
"""Chunks that are kept by other means, or that state nothing a viewer shows: the time of the last change, the depth and
histogram of the old samples, and where Apple's decoder may divide them. No other chunk can be kept, as its values may
refer to the old pixels.
"""
PALETTE: Final = 3
"""The color type of PNGs with a palette."""
CREDENTIALS: Final = b"caBX"


class Colors:
    """How the colors of a PNG are decoded: palettes to RGB, and low bit depths to 8."""

    def __init__(self, file: Buffer):
        self.bits, self.kind, self.palette = file[24], file[25], b""

    def background(self, body: bytes) -> bytes:
        """Return the color of a bKGD chunk in the decoded image's format; empty if it is invalid."""
        if self.kind == PALETTE and len(body) == 1:
            color = self.palette[3 * body[0] : 3 * body[0] + 3]
            return struct.pack(">3H", *color) if len(color) == 3 else b""
        if len(body) == 2 and self.bits < 8:
            most = (1 << self.bits) - 1
            return struct.pack(">H", (body[1] & most) * 255 // most)
        return body


def png_chunks(file: Buffer) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and body of each chunk of a PNG, except those of the pixels."""
    for name, at, length in _places(file):
        if name not in (b"IDAT", b"IEND"):
            yield name, file[at + 8 : at + 8 + length]


def end(file: Buffer) -> int:
    """Return where the PNG ends: after its last chunk, or at the end of a file that lacks it."""
    return next((at + 12 + length for name, at, length in _places(file) if name == b"IEND"), len(file))


def _places(file: Buffer) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk, where it begins, and the length of its body."""
    at = kept = 8
    for _ in range(MOST_CHUNKS):
        if at - kept > CHUNK:
            release_pages(file)
            kept = at
        length, name = int.from_bytes(file[at : at + 4]), file[at + 4 : at + 8]
        if not name:
            return
        yield name, at, length
        if name == b"IEND":
            return
        at += 12 + length


def inflated_size(chunk: bytes, body: bytes, most: int) -> int:
    """Size of a text or profile once decompressed, in bytes. Above `most` it is only known to be larger."""
    packed, content = content_of(chunk, body)
    if not packed:
        return len(content)
    inflate, size = zlib.decompressobj(), 0
    try:
        while content and size <= most:
            size += len(inflate.decompress(content, 1 << 16))
            content = inflate.unconsumed_tail
    except zlib.error:
        pass  # damaged data is not decompressed further
    return size


def text_of(chunk: bytes, body: bytes) -> bytes | None:
    """Decompress the text or profile of a chunk; None if it is empty or damaged."""
    packed, content = content_of(chunk, body)
    try:
        return (zlib.decompress(content) if packed else content) or None
    except zlib.error:
        return None


def content_of(chunk: bytes, body: bytes) -> tuple[bool, bytes]:
    """Return whether the text or profile of a chunk is compressed, and its bytes."""
    _, _, rest = body.partition(b"\0")
    if chunk == b"iTXt":  # flag, method, language, translated name, text
        return rest[:1] == b"\1", rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    return (False, rest) if chunk == b"tEXt" else (True, rest[1:])


def from_hexadecimal(text: bytes) -> bytes:
    """Decode a text of `PROFILES`: a name, a length, and hexadecimal digits. Empty if it is damaged."""
    try:
        return bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    except ValueError:
        return b""


def png_chunk(name: bytes, body: bytes) -> bytes:
    """Serialize a chunk with its length and CRC."""
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))
