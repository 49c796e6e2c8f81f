"""Read an image from stdin and write one to stdout, by way of temporary files."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from drrn.errors import DRRNError, ImageError, UsageError
from drrn.upscaling.batch.folders import SourceFile
from drrn.upscaling.formats.registry import format_of

PIPE = Path("-")
CHUNK = 1 << 20
BYTES_PER_PIXEL = 8
"""Bytes per pixel of uncompressed 16-bit RGBA."""
BYTES_BESIDE_PIXELS = 64 << 20


@contextmanager
def with_pipes_as_files(asked: SourceFile, max_pixels: int) -> Iterator[SourceFile]:
    """Replace each `-` by a temporary file named `stdin` or `stdout` with a suffix, for the duration of the block.

    At the end of the block the result is written to stdout, in the format of the source, or PNG if that is only read.

    Raises:
        UsageError: the input is stdin but there is no output, or stdout is a terminal.
        ImageError: stdin is not an image, or longer than one of `max_pixels` can be; or stdout is closed.
    """
    given, made = asked
    if made is None:
        raise UsageError("An image from stdin needs an --output: a file, or - for stdout.")
    if made == PIPE and sys.stdout.isatty():
        raise UsageError(
            "An image can't be shown in a terminal: redirect stdout to a file or a program, or give an --output."
        )
    with TemporaryDirectory(prefix="drrn-") as folder:
        try:
            if given == PIPE:
                given = Path(folder) / "stdin"
                _take(given, max_pixels * BYTES_PER_PIXEL + BYTES_BESIDE_PIXELS)
            if made == PIPE:
                made = Path(folder) / f"stdout{_suffix(given, max_pixels)}"
            yield SourceFile(given, made)
        except DRRNError as error:
            raise type(error)(str(error).replace(f"{folder}{os.sep}", "")) from error
        if asked.output == PIPE and made.exists():
            _give(made)


def _suffix(given: Path, max_pixels: int) -> str:
    format_ = format_of(given)
    return format_.suffix(given, format_.probe(given, max_pixels=max_pixels), given.stem)


def _take(to: Path, most: int) -> None:
    with to.open("wb") as file:
        while piece := sys.stdin.buffer.read(CHUNK):
            if file.write(piece) and file.tell() > most:
                raise ImageError(f"stdin has more than {most:,} bytes, too many for an image within --max-pixels.")


def _give(path: Path) -> None:
    try:
        with path.open("rb") as file, open(sys.stdout.fileno(), "wb", closefd=False) as stdout:
            shutil.copyfileobj(file, stdout)
    except OSError as error:
        raise ImageError(f"The image can't be written to stdout: {error.strerror or error}.") from error
