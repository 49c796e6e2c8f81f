"""How many pixels the files of a source have: what a part of a plan is measured by."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

from PIL import Image as Pillow

from drrn.bulk.storage import Entry, Folder, Store
from drrn.errors import DRRNError
from drrn.media.images.files import MAX_PIXELS
from drrn.media.naming import IMAGES, RASTERS, VIDEOS, is_system_file, split
from drrn.upscaling.formats.registry import format_of

SUFFIXES = frozenset({*IMAGES, *VIDEOS, *RASTERS})
PIXELS_PER_BYTE = 4
"""Estimate for files whose header is not read: a JPEG takes about 2 bits per pixel."""
REQUESTS = 32
"""Headers that are read from a bucket at the same time."""


def measure(source: Store, entries: Iterable[Entry], *, headers: bool) -> Iterator[tuple[Entry, int | None]]:
    """Count the pixels of each file.

    Args:
        headers: read the header of each file; otherwise estimate from its size in bytes.

    Yields:
        The entries in their order, each with its pixels, or with None if its name is not that of an image.
    """

    def count(entry: Entry) -> int | None:
        if not is_candidate(entry.name):
            return None
        return count_pixels(source, entry) if headers else entry.size * PIXELS_PER_BYTE

    if isinstance(source, Folder) or not headers:
        yield from ((entry, count(entry)) for entry in entries)
        return
    with ThreadPoolExecutor(REQUESTS) as threads:
        pending = deque[tuple[Entry, Future[int | None]]]()
        for entry in entries:
            pending.append((entry, threads.submit(count, entry)))
            if len(pending) > 4 * REQUESTS:
                entry, pixels = pending.popleft()
                yield entry, pixels.result()
        yield from ((entry, pixels.result()) for entry, pixels in pending)


def is_candidate(name: str) -> bool:
    """Whether the name is that of an image, video or raster. The content may be far away and is not read."""
    last = name.rpartition("/")[2]
    return not is_system_file(last) and split(last)[1].lower() in SUFFIXES


def count_pixels(source: Store, entry: Entry) -> int:
    """Count the pixels of all frames of a file, from its header.

    In a bucket only the beginning of the file is fetched; if that is not enough, the count is estimated from its size.

    Returns:
        The number of pixels, 0 if the file can't be read.
    """
    path = source.local_path(entry.name)
    try:
        if path is None:
            return source.inspect(entry, read_pixels) or entry.size * PIXELS_PER_BYTE
        header = format_of(path).probe(path, max_pixels=MAX_PIXELS)
    except DRRNError:
        return 0  # enlarging it will fail as quickly
    return header.width * header.height * header.frames


def read_pixels(file: BinaryIO) -> int | None:
    """Width times height of a still image, from its header; None for formats that need the whole file for that."""
    try:
        with Pillow.open(file, formats=("JPEG", "PNG", "TIFF", "BMP", "PPM")) as image:
            return image.width * image.height
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError):
        return None
