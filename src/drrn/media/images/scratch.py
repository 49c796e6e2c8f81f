"""Rows of samples in memory or in a temporary file, between decoding and encoding.

An image larger than memory is kept in a `Scratch` and processed a band of rows at a time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from shutil import disk_usage
from struct import calcsize, pack
from tempfile import TemporaryFile
from threading import Lock
from typing import Any, Literal, Protocol, Self

import numpy as np
import pyvips
from numpy.typing import NDArray

from drrn.errors import DRRNError, UsageError, translate_errors

BAND = 64
"""Rows processed at once; work can be stopped between two bands."""
STRIP = 16
"""Rows of a tile of a `Scratch`."""
TILE_STEP = 16
"""The width of a tile is a multiple of this, as TIFF requires."""


class Rows(Protocol):
    """An array (H, W, bands) of uint8 or uint16, or a `Scratch`."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, rows: slice, /) -> NDArray[Any]: ...


class Scratch:
    """Samples (H, W, bands) in an unnamed temporary file, which vanishes when it is closed or the program ends.

    Threads may read it at the same time.
    """

    def __init__(self, target: Path, height: int, width: int, bands: int, bits: Literal[8, 16], *, tile: int = 0):
        """Create an empty one.

        Args:
            target: the file being written; the scratch file is placed on its disk.
            tile: columns stored together, which are best written together; by default all.

        Raises:
            DRRNError: the disk is full or fails, here or in any later call.
        """
        self.target, self.shape = target, (height, width, bands)
        self.dtype = np.dtype("<u2" if bits == 16 else "u1")
        self._tile = -(-(tile or width) // TILE_STEP) * TILE_STEP
        header = _tiff_header(*self.shape, bits, self._tile)
        self._begin = len(header)
        self._position = Lock()  # of the file: held from seeking until the reading or writing is done
        self._file = open_temporary(target)
        try:
            with _disk_errors(target):
                self._write(0, np.frombuffer(header, np.uint8))
                self._file.truncate(
                    self._at(-(-height // STRIP) * STRIP, 0)
                )  # the last row of tiles may extend below the image
        except DRRNError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Read rows as (h, W, bands)."""
        height, width, bands = self.shape
        top, bottom, _ = rows.indices(height)
        band = np.empty((max(bottom - top, 0), width, bands), self.dtype)
        for left in range(0, width, self._tile):
            for first, last in _runs(top, bottom):
                part = self._read(first, last, left)
                band[first - top : last - top, left : left + self._tile] = part[:, : width - left]
        return band

    def put(self, samples: NDArray[Any], top: int, left: int = 0) -> None:
        """Write (h, w, bands) with the upper left corner at row `top` and column `left`."""
        right = left + samples.shape[1]
        for tile in range(left - left % self._tile, right, self._tile):
            begin, end = max(tile, left), min(tile + self._tile, right)
            for first, last in _runs(top, top + len(samples)):
                part = samples[first - top : last - top, begin - left : end - left]
                if end - begin == self._tile:
                    content = np.ascontiguousarray(part, self.dtype)
                else:  # one row after another would take longer
                    content = self._read(first, last, tile)
                    content[:, begin - tile : end - tile] = part
                with _disk_errors(self.target):
                    self._write(self._at(first, tile), content)

    def image(self) -> Any:
        """Return the whole as a libvips image that can be read once from top to bottom, in little memory.

        libvips accepts tiles of at most a few thousand columns.
        """
        self._file.seek(0)
        return pyvips.Image.tiffload_source(
            pyvips.Source.new_from_descriptor(self._file.fileno()), access="sequential", fail_on="error"
        )

    def _at(self, row: int, column: int) -> int:
        """Return the offset of a pixel in the file."""
        _, width, bands = self.shape
        tiles = -(-width // self._tile)
        index = row // STRIP * tiles + column // self._tile
        return (
            self._begin
            + ((index * STRIP + row % STRIP) * self._tile + column % self._tile) * bands * self.dtype.itemsize
        )

    def _read(self, first: int, last: int, left: int) -> NDArray[Any]:
        """Read some rows of the tile that begins at column `left`, with what lies beyond the image."""
        part = np.empty((last - first, self._tile, self.shape[2]), self.dtype)
        with _disk_errors(self.target), self._position:
            self._file.seek(self._at(first, left))
            unread = part.reshape(-1).view(np.uint8).data
            while unread:
                count = self._file.readinto(unread)
                assert count, "__init__ gave the file its full length"
                unread = unread[count:]
        return part

    def _write(self, at: int, content: NDArray[Any]) -> None:
        left = content.reshape(-1).view(np.uint8).data
        with self._position:
            self._file.seek(at)
            while left:
                left = left[self._file.write(left) :]


def open_temporary(target: Path) -> FileIO:
    """Open an empty temporary file on the disk of `target`; it is deleted when closed.

    Raises:
        DRRNError: it can't be created.
    """
    with _disk_errors(target):
        return TemporaryFile(dir=_folder(target), prefix=".drrn-", buffering=0)


def check_room(target: Path, needed: int) -> None:
    """Raise a UsageError if the disk of `target` has fewer than `needed` bytes free."""
    folder = _folder(target)
    free = disk_usage(folder).free
    if free < needed:
        raise UsageError(
            f"{target} needs {needed / 2**20:.0f} MB of disk while it is written, and {folder} has only "
            f"{free / 2**20:.0f}. Make room, or give another --output."
        )


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    def describe(error: Exception) -> str | None:
        return f"{target} can't be written: {error.strerror or error}." if isinstance(error, OSError) else None

    with translate_errors(describe, DRRNError):
        yield


def _folder(target: Path) -> Path:
    """Return the folder of `target`, or the nearest existing one above it."""
    return next((folder for folder in target.absolute().parents if folder.is_dir()), target.parent)


def _runs(top: int, bottom: int) -> Iterator[tuple[int, int]]:
    """Split rows from `top` to before `bottom` where they cross from one tile to the next."""
    while top < bottom:
        last = min(top - top % STRIP + STRIP, bottom)
        yield top, last
        top = last


def _tiff_header(height: int, width: int, bands: int, bits: int, tile: int) -> bytes:
    """Build a header that makes uncompressed tiles a BigTIFF, which libvips reads one row of tiles at a time."""
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
        tags.append((0x152, "H", [2]))  # unassociated alpha
    begin = 16 + 8 + 20 * len(tags) + 8
    end = begin + sum(length for _, code, values in tags if (length := calcsize(code) * len(values)) > 8)
    entries, beyond = b"", b""
    for tag, code, values in tags:
        value = pack(f"<{len(values)}{code}", *(end + each if tag == 0x144 else each for each in values))
        if len(value) > 8:
            value, beyond = pack("<Q", begin + len(beyond)), beyond + value
        entries += pack("<HHQ", tag, {"H": 3, "L": 4, "Q": 16}[code], len(values)) + value.ljust(8, b"\0")
    return b"II+\0" + pack("<HHQQ", 8, 0, 16, len(tags)) + entries + bytes(8) + beyond
