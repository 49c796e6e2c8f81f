"""Data after the end of an image, which no decoder reads: motion videos, archives, what an editor left behind."""

from collections.abc import Iterator
from typing import Final

from drrn.media.animation import gif
from drrn.media.buffer import Buffer
from drrn.media.file_format import FileFormat
from drrn.media.metadata import png
from drrn.media.metadata.jpeg_segments import describe_rest

PART: Final = 1 << 16
"""Bytes searched at a time for others than zeros."""


def describe_appended(file: Buffer, form: FileFormat) -> Iterator[str]:
    """Say what is lost with the data after the end of a PNG, GIF or WebP. Zeros are only padding."""
    match form:
        case "PNG":
            end = png.end(file)
        case "GIF":
            end = gif.end(file)
        case "WebP":
            size = int.from_bytes(file[4:8], "little")
            end = 8 + size + size % 2
        case _:
            return
    if any(file[at : at + PART].strip(b"\0") for at in range(end, len(file), PART)):
        yield describe_rest(file, end)
