"""Read what a JPEG holds besides the main image: metadata segments, and data appended after it."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from drrn.media.buffer import Buffer

START, END, SCAN, COMMENT = 0xD8, 0xD9, 0xDA, 0xFE
APP0, APP1, APP2, APP11, APP12, APP13, APP14, APP15 = 0xE0, 0xE1, 0xE2, *range(0xEB, 0xF0)
WITHOUT_LENGTH: Final = (0x00, 0x01, *range(0xD0, 0xD9))
MAX_SEGMENTS: Final = 1 << 14
XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
"""Identifier at the start of an XMP segment."""
PHOTOSHOP, RESOURCE, IPTC = b"Photoshop 3.0\0", b"8BIM", 0x0404
SAMSUNG, SAMSUNG_LIST, SAMSUNG_VIDEO = b"SEFT", b"SEFH", 0x0A30
"""How the index of data that Samsung phones append to an image ends and begins, and the type of a video in it."""

APPENDED: Final = {
    *("without further images", "without further image", "without gain map", "without motion video"),
    *("without depth map", "without auxiliary image"),
}
"""What is lost with the data after the image, if the file states what it is."""
KNOWN: Final = {
    APP0: (b"JFIF\0", b"JFXX\0", b"AVI1"),
    APP1: (b"Exif\0", b"http://ns.adobe.com/"),
    APP2: (b"ICC_PROFILE\0", b"FPXR\0"),
    APP12: (b"Ducky",),
    APP13: (PHOTOSHOP,),
    APP14: (b"Adobe",),
}
"""Beginnings of segments that are kept, or that state only how the old file was written, with thumbnails."""
THERMAL: Final = b"FLIR\0"

Segment = tuple[int, bytes]
"""Marker and body."""


class Segments(NamedTuple):
    xmp_pieces: tuple[bytes, ...] = ()
    """Bodies of the XMP segments: the main packet, and pieces of an extended one."""
    comments: tuple[bytes, ...] = ()
    iptc: bytes = b""
    """IPTC captions. The rest of Photoshop's resources describes the old size or the program's own work."""
    aspect: tuple[float, float] | None = None
    """Relative pixel density, across and down; None for square pixels."""
    lost: tuple[str, ...] = ()
    """Contents of the file that are not read, each as `without gain map`."""


def read_segments(file: Buffer) -> Segments:
    """Read the segments before the pixels; damaged ones count as missing."""
    pieces, comments, iptc, aspect = [], [], b"", None
    lost: dict[str, None] = {}
    others: dict[str, None] = {}
    for marker, body in segments(file):
        if marker == APP1 and body.startswith(b"http"):
            pieces.append(body)
        elif marker == COMMENT and body:
            comments.append(body)
        elif marker == APP13:
            iptc = iptc or _captions(body)
        elif marker == APP0 and body[:5] == b"JFIF\0" and body[7:8] == b"\0":
            across, down = int.from_bytes(body[8:10]), int.from_bytes(body[10:12])
            aspect = (float(across), float(down)) if across and down and across != down else None
        elif marker == APP2 and body.startswith(b"MPF\0"):
            lost["without further images"] = None
        elif marker == APP2 and body.startswith(b"urn:iso:std:iso:ts:21496:-1\0"):
            lost["without gain map"] = None
        elif marker == APP11 and b"c2pa" in body[:256]:
            lost["without content credentials"] = None
        elif marker == APP1 and body.startswith(THERMAL):
            lost["without thermal data"] = None
        elif APP0 <= marker <= APP15 and body and not body.startswith(KNOWN.get(marker, ())):
            others[f"APP{marker - APP0}"] = None
    if others:
        lost[f"without the JPEG segments {', '.join(others)}"] = None
    if _has_samsung_video(file):
        lost["without motion video"] = None
    return Segments(tuple(pieces), tuple(comments), iptc, aspect, tuple(lost))


def describe_rest(file: Buffer, at: int) -> str:
    """Say what is lost with the data from `at`, the end of the image."""
    if file[at + 4 : at + 8] == b"ftyp":
        return "without motion video"
    if file[at : at + 3] == b"\xff\xd8\xff":
        return "without further images"
    return f"without {len(file) - at:,} bytes after the image"


def segments(file: Buffer) -> Iterator[Segment]:
    """Yield the segments before the pixels, in order; stray bytes between them are skipped."""
    at = 0
    for _ in range(MAX_SEGMENTS):
        at = file.find(b"\xff", at)
        if at < 0:
            return
        marker = file[at + 1] if at + 1 < len(file) else END
        if marker in (SCAN, END):
            return
        if marker == 0xFF or marker in WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(file[at + 2 : at + 4])
        yield marker, file[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)


def _has_samsung_video(file: Buffer) -> bool:
    if file[-4:] != SAMSUNG:
        return False
    begin = len(file) - 8 - int.from_bytes(file[-8:-4], "little")
    listed = file[begin : len(file) - 8] if begin > 0 else b""
    entries = range(12, len(listed) - 11, 12)
    return listed[:4] == SAMSUNG_LIST and any(
        int.from_bytes(listed[at + 2 : at + 4], "little") == SAMSUNG_VIDEO for at in entries
    )


def photoshop(iptc: bytes) -> bytes:
    """Build a Photoshop segment that holds IPTC captions alone."""
    return PHOTOSHOP + RESOURCE + struct.pack(">HHL", IPTC, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)


def _captions(body: bytes) -> bytes:
    if not body.startswith(PHOTOSHOP):
        return b""
    at = len(PHOTOSHOP)
    while body[at : at + 4] == RESOURCE:
        number = int.from_bytes(body[at + 4 : at + 6])
        name = body[at + 6 : at + 7]
        begin = at + 6 + (len(name) + (name[0] if name else 0) + 1) // 2 * 2
        size = int.from_bytes(body[begin : begin + 4])
        end = begin + 4 + size
        if number == IPTC and size and end <= len(body):
            return body[begin + 4 : end]
        at = end + size % 2
    return b""
