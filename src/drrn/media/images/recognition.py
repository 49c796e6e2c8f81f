"""Recognize an image file by its first bytes, and check that it may be decoded.

Names and suffixes are ignored.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from drrn.errors import ImageError, printable
from drrn.media.buffer import Buffer
from drrn.media.file_format import FileFormat
from drrn.media.images import bitmaps, tiff
from drrn.media.metadata.png import TEXTS, inflated_size, png_chunks
from drrn.media.signatures import HEAD, describe

MAX_TEXT = 1 << 25
"""Most bytes of text and profiles in a PNG, decompressed."""


@contextmanager
def map_file(path: Path) -> Iterator[tuple[str, int, mmap]]:
    """Map a file that is not a folder, not a pipe and not empty: its name for messages, descriptor and content.

    Raises:
        ImageError: it is missing or one of these, or an OSError occurred in the block.
    """
    name = printable(path)
    try:
        status = path.stat()
        if S_ISDIR(status.st_mode):
            raise ImageError(f"{name} is a folder; a picture was expected.")
        if not S_ISREG(status.st_mode):  # opening a pipe would wait for a writer
            raise ImageError(f"{name} is not a regular file; a picture was expected.")
        if not status.st_size:
            raise ImageError(f"{name} is empty; a picture was expected.")
        with path.open("rb") as handle, mmap(handle.fileno(), 0, access=ACCESS_READ) as file:
            yield name, handle.fileno(), file
    except FileNotFoundError as error:
        raise ImageError(f"There is no file {name}.") from error
    except OSError as error:
        raise ImageError(f"{name} can't be read: {error.strerror or error}.") from error


def recognize(head: bytes, name: str) -> FileFormat:
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] != b"CgBI":
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head.startswith(b"BM") and len(head) > 26 and int.from_bytes(head[14:18], "little") < 256:
        return "BMP"
    if bitmaps.is_dib(head):
        return "BMP"
    if re.match(rb"P[1-7Ff][\s#]", head):
        return "PNM"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), int.from_bytes(head[:4])), 4))}
        if b"avis" in brands:  # libvips would read only one frame
            raise ImageError(f"{name} is an animated AVIF; a single picture was expected.")
        if b"avif" in brands:
            return "AVIF"
    if found := describe(head):
        what, advice = found
        raise ImageError(f"{name} is {what}, which drrn can't read.{advice and f' {advice}.'}")
    raise ImageError(
        f"{name} is not an image that drrn can read (PNG, JPEG, WebP, TIFF, BMP, PNM, GIF, AVIF or DICOM), nor a video "
        "(MP4, MOV, Matroska, WebM or AVI)."
    )


def is_readable(path: Path) -> bool:
    """Whether the first bytes are those of a format that drrn reads."""
    try:
        if not S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            return False
        with path.open("rb") as file:
            head = file.read(HEAD)
        if re.match(rb"P[1-7Ff]", head):  # these two letters can also begin a text
            return re.match(rb"P(?:7\n|[1-6Ff]\s+(?:#.*\s+)*\d+\s)", head) is not None
        return recognize(head, "") != "TIFF" or not tiff.is_raw_photo(path)
    except (OSError, ImageError):
        return False


def check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if not width or not height:
        raise ImageError(f"{name} is {width} x {height}: it has no pixels.")
    if width * height > max_pixels:
        count = f"{width * height:,}"
        raise ImageError(f"{name} is {width} x {height}, {count} pixels; the limit is {max_pixels:,} (--max-pixels).")


def check_png(file: mmap, name: str, max_pixels: int) -> None:
    """Refuse sizes that libpng rejects, texts that it would decompress without limit, and animation that it ignores."""
    check_size(int.from_bytes(file[16:20]), int.from_bytes(file[20:24]), name, max_pixels)
    for chunk, body in png_chunks(file):
        if chunk == b"acTL" and body[:4] > b"\0\0\0\1":
            raise ImageError(f"{name} is animated; a single picture was expected.")
    check_texts(file, name)


def check_texts(file: Buffer, name: str) -> None:
    """Refuse a PNG whose texts and profiles are too large once decompressed."""
    left = MAX_TEXT
    for chunk, body in png_chunks(file):
        if chunk in TEXTS:
            left -= inflated_size(chunk, body, left)
        if left < 0:
            raise ImageError(f"{name} has over {MAX_TEXT:,} bytes of text and profiles; a picture was expected.")
