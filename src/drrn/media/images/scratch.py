"""Rows of samples, in memory or in a file that nobody sees: what a picture is between two files.

A picture that is larger than the memory lies in a `Scratch`, from which its rows are taken band by band.
"""

import ctypes
import mmap
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from shutil import disk_usage
from struct import calcsize, pack
from tempfile import TemporaryFile
from typing import Any, Literal, Protocol, Self

import numpy as np
import pyvips
from numpy.typing import NDArray

from drrn.errors import DRRNError, UsageError, translate_errors

BAND = 64
"""Rows that are taken at once: between two bands the work can be stopped."""
STRIP = 16
"""Rows of a tile of a `Scratch`."""
TILE_STEP = 16
"""The columns of one are a multiple of this: TIFF wants it so."""


class Rows(Protocol):
    """What an array (H, W, samples a pixel) of uint8 or uint16 does, and a `Scratch`."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, rows: slice, /) -> NDArray[Any]: ...


class Scratch:
    """Samples (H, W, bands) in a file without a name, which is gone once it is closed or the program has ended."""

    def __init__(self, target: Path, height: int, width: int, bands: int, bits: Literal[8, 16], *, tile: int = 0):
        """An empty one.

        Args:
            target: the file that is being written: the scratch file lies on its disk.
            tile: columns that lie together, and are best written together; all where none is given.

        Raises:
            DRRNError: the disk says no, here or later.
        """
        self.target, self.shape = target, (height, width, bands)
        self.dtype = np.dtype("<u2" if bits == 16 else "u1")
        self._tile = -(-(tile or width) // TILE_STEP) * TILE_STEP
        header = _tiff_header(*self.shape, bits, self._tile)
        self._begin = len(header)
        self._file = open_temporary(target)
        try:
            with _disk_errors(target):
                self._write(0, np.frombuffer(header, np.uint8))
                self._file.truncate(self._at(-(-height // STRIP) * STRIP, 0))  # the last row of tiles may reach below
        except DRRNError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """(h, W, bands)."""
        height, width, bands = self.shape
        top, bottom, _ = rows.indices(height)
        band = np.empty((max(bottom - top, 0), width, bands), self.dtype)
        for left in range(0, width, self._tile):
            for first, last in _runs(top, bottom):
                part = np.empty((last - first, self._tile, bands), self.dtype)
                with _disk_errors(self.target):
                    self._file.seek(self._at(first, left))
                    unread = part.reshape(-1).view(np.uint8).data
                    while unread:
                        count = self._file.readinto(unread)
                        assert count, "the file was made as long as this"
                        unread = unread[count:]
                band[first - top : last - top, left : left + self._tile] = part[:, : width - left]
        return band

    def put(self, samples: NDArray[Any], top: int, left: int = 0) -> None:
        """Write (h, w, bands) to where their first row and column say."""
        width, right = self.shape[1], left + samples.shape[1]
        for tile in range(left - left % self._tile, right, self._tile):
            part = samples[:, max(tile - left, 0) : tile + self._tile - left].astype(self.dtype, copy=False)
            begin, missing = max(tile, left), self._tile - part.shape[1]
            whole = begin == tile and right >= min(tile + self._tile, width)
            if whole and missing:
                part = np.pad(part, ((0, 0), (0, missing), (0, 0)))
            with _disk_errors(self.target):
                for first, last in _runs(top, top + len(samples), STRIP if whole else 1):
                    self._write(self._at(first, begin), np.ascontiguousarray(part[first - top : last - top]))

    def image(self) -> Any:
        """All of it as libvips sees it, to be read from the top down once, in little memory.

        Its tiles must be of some thousand columns at most, for libvips to take them.
        """
        self._file.seek(0)
        return pyvips.Image.tiffload_source(
            pyvips.Source.new_from_descriptor(self._file.fileno()), access="sequential", fail_on="error"
        )

    def _at(self, row: int, column: int) -> int:
        """Where in the file a pixel lies."""
        _, width, bands = self.shape
        tiles = -(-width // self._tile)
        index = row // STRIP * tiles + column // self._tile
        return (
            self._begin
            + ((index * STRIP + row % STRIP) * self._tile + column % self._tile) * bands * self.dtype.itemsize
        )

    def _write(self, at: int, content: NDArray[Any]) -> None:
        self._file.seek(at)
        left = content.reshape(-1).view(np.uint8).data
        while left:
            left = left[self._file.write(left) :]


def open_temporary(target: Path) -> FileIO:
    """An empty file on the disk of `target`, to be read and written, that is gone once it is closed.

    Raises:
        DRRNError: it can't be made.
    """
    with _disk_errors(target):
        return TemporaryFile(dir=_folder(target), prefix=".drrn-", buffering=0)


def let_go(file: bytes | mmap.mmap) -> None:
    """Pages of a mapped file that were read count as memory of the program, until they are given back."""
    if isinstance(file, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # which Windows lacks
        file.madvise(mmap.MADV_DONTNEED)


def trim() -> None:
    """Give memory back to the system that was freed: glibc keeps it, and a step then takes it beside the next one."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def check_room(target: Path, needed: int) -> None:
    """Raises UsageError: the disk of that file has not so many bytes left."""
    folder = _folder(target)
    free = disk_usage(folder).free
    if free < needed:
        raise UsageError(
            f"{target} needs {needed / 2**20:.0f} MB of disk while it is made, and {folder} has "
            f"{free / 2**20:.0f}. Make room, or give another --output."
        )


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    def describe(error: Exception) -> str | None:
        return f"{target} can't be written: {error.strerror or error}." if isinstance(error, OSError) else None

    with translate_errors(describe, DRRNError):
        yield


def _folder(target: Path) -> Path:
    """Where it will lie; or, as long as that is not there, the folder above that is."""
    return next((folder for folder in target.absolute().parents if folder.is_dir()), target.parent)


def _runs(top: int, bottom: int, most: int = STRIP) -> Iterator[tuple[int, int]]:
    """Rows from one to before another that lie in one tile."""
    while top < bottom:
        last = min(top - top % most + most, bottom)
        yield top, last
        top = last


def _tiff_header(height: int, width: int, bands: int, bits: int, tile: int) -> bytes:
    """What makes tiles of plain samples behind it a BigTIFF, of which libvips needs only some rows of tiles at once."""
    tiles, size = -(-height // STRIP) * -(-width // tile), STRIP * tile * bands * bits // 8
    tags = [
        (0x100, "L", [width]),
        (0x101, "L", [height]),
        (0x102, "H", [bits] * bands),
        (0x103, "H", [1]),  # not compressed
        (0x106, "H", [1 if bands < 3 else 2]),  # gray or RGB
        (0x115, "H", [bands]),
        (0x142, "L", [tile]),
        (0x143, "L", [STRIP]),
        (0x144, "Q", [size * index for index in range(tiles)]),
        (0x145, "Q", [size] * tiles),
    ]
    if bands % 2 == 0:
        tags.append((0x152, "H", [2]))  # alpha, which no color was multiplied by
    begin = 16 + 8 + 20 * len(tags) + 8
    end = begin + sum(length for _, code, values in tags if (length := calcsize(code) * len(values)) > 8)
    entries, beyond = b"", b""
    for tag, code, values in tags:
        value = pack(f"<{len(values)}{code}", *(end + each if tag == 0x144 else each for each in values))
        if len(value) > 8:
            value, beyond = pack("<Q", begin + len(beyond)), beyond + value
        entries += pack("<HHQ", tag, {"H": 3, "L": 4, "Q": 16}[code], len(values)) + value.ljust(8, b"\0")
    return b"II+\0" + pack("<HHQQ", 8, 0, 16, len(tags)) + entries + bytes(8) + beyond
