"""Read the stored values of all frames of a DICOM file, and write the file of their enlargement.

`scanning` checks the header, `derivation` changes it, and `transfer` handles transfer syntaxes. Uncompressed, deflated
and RLE data are read, with 8 or 16 bits allocated, gray or in color.

This needs pydicom, which is imported only when a DICOM file is met.
"""

import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from drrn.atomic import atomic
from drrn.errors import ImageError, UsageError, printable, translate_errors
from drrn.media.dicom.scanning import PIXELS, Scan, scan
from drrn.media.dicom.transfer import (
    DEFLATED,
    EXPLICIT,
    RLE,
    encode,
    swapped,
)
from drrn.media.header import Header

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIXES: Final = (".dcm", ".dicom")
LONGEST = 65535
"""Longest side in pixels: rows and columns are 16-bit numbers."""
MOST_BYTES = 0xFFFFFFFE
"""Most bytes of uncompressed pixel data."""
HOUNSFIELD: Final = (-1024, 3071)
"""The range of the usual 12-bit values of CT."""


@dataclass(frozen=True)
class Frames:
    """The stored values of a file of one or several frames."""

    values: NDArray[Any]
    """(frames, H, W, 1) gray or (frames, H, W, 3) RGB; integers as stored."""
    low: int
    """The smallest value that can be stored, by the number of bits and the sign."""
    high: int
    """The largest value that can be stored."""
    inverted: bool
    """Whether larger values are darker."""
    padding: tuple[int, int] | None
    """The range of values that mark missing measurements."""
    filler: int
    """The value of this range that is written."""
    series: tuple[int, int] | None
    """The smallest and largest values in the whole series, as far as one file states them."""
    dataset: "Dataset"
    """The header, without pixels."""


def is_named(path: Path) -> bool:
    """Whether the suffix is that of a DICOM file."""
    return path.suffix.lower() in SUFFIXES


def probe(path: Path, *, max_pixels: int) -> Header:
    """Read the header. No pixel is decoded.

    Raises:
        ImageError: it is damaged, cut short, of an unsupported kind, or has more than `max_pixels` in all frames.
        UsageError: pydicom is not installed.
    """
    with _open(path) as (file, name):
        return scan(file, name, max_pixels).header


def read(path: Path, *, max_pixels: int) -> Frames:
    """Read all frames of the file; YBR is converted to RGB.

    Raises:
        DRRNError: as `probe`.
    """
    with _open(path) as (file, name):
        from pydicom.dataset import FileMetaDataset
        from pydicom.pixels.utils import pixel_array
        from pydicom.uid import UID

        found = scan(file, name, max_pixels)
        header, dataset = found.header, found.dataset
        dataset.add_new(PIXELS, "OW", _pixels(file, found))
        dataset["PixelData"].is_undefined_length = found.syntax == RLE
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(RLE if found.syntax == RLE else EXPLICIT)
        shape = (header.frames, header.height, header.width, header.channels)
        values = pixel_array(dataset, correct_unused_bits=True).reshape(shape)
        del dataset.PixelData
        bits, signed = int(dataset.BitsStored), dataset.PixelRepresentation == 1
        low, high = (-1 << (bits - 1), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)

        def stored(value: int) -> int:
            """Return the value in the stored bits, ignoring the bits above them."""
            value &= (1 << bits) - 1
            return value - (1 << bits) if signed and value > high else value

        padding, filler = None, 0
        if header.channels == 1 and dataset.get("PixelPaddingValue") is not None:
            ends = [dataset.PixelPaddingValue, dataset.get("PixelPaddingRangeLimit", dataset.PixelPaddingValue)]
            first, last = (stored(int(end)) for end in ends)
            padding, filler = (min(first, last), max(first, last)), first
        inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
        return Frames(values, low, high, inverted, padding, filler, _of_series(dataset, low, high), dataset)


def write(dataset: "Dataset", path: Path, *, overwrite: bool, written: Callable[[Path], None]) -> None:
    """Write the dataset with its pixels atomically, as Explicit VR Little Endian.

    Args:
        written: called with the temporary file once it is complete, before it is renamed to `path`.

    Raises:
        DRRNError: as `atomic`, or it can't be encoded.
    """
    with atomic(path, overwrite=overwrite) as temporary:
        with _pydicom_errors(printable(path), "can't be written as DICOM"), temporary.open("xb") as file:
            encode(dataset, file)
        written(temporary)


def check_writable(path: Path, width: int, height: int) -> None:
    """Raise an ImageError if no DICOM file of that size can be written to `path`."""
    if not is_named(path):
        raise ImageError(
            f"{printable(path)} can't be written: a DICOM file can only become a DICOM file; use "
            f"{' or '.join(SUFFIXES)}."
        )
    if max(width, height) > LONGEST:
        raise ImageError(
            f"{printable(path)} can't be written: DICOM holds at most {LONGEST} pixels a side; "
            f"it is {width} x {height}."
        )


@contextmanager
def _open(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    name = printable(path)
    try:
        import pydicom  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{name} is a DICOM file, which needs pydicom. Install it: pip install 'drrn[dicom]'."
        ) from error
    with (
        _pydicom_errors(name, "is a DICOM file that is damaged or of a kind that can't be read"),
        path.open("rb") as file,
    ):
        yield file, name


@contextmanager
def _pydicom_errors(name: str, what: str) -> Iterator[None]:
    """Translate what pydicom raises into one sentence. Its own words are dropped, as they may quote the header."""
    warnings.filterwarnings("ignore", module=r"pydicom\b")

    def describe(error: Exception) -> str | None:
        if isinstance(error, FileExistsError):  # `atomic` reports these itself
            return None
        if isinstance(error, OSError):
            return f"{name} can't be read or written: {error.strerror or 'unknown'}."
        return f"{name} {what} ({type(error).__name__})."  # of any type: even RecursionError

    with translate_errors(describe, keep_cause=False):
        yield


def _of_series(dataset: "Dataset", low: int, high: int) -> tuple[int, int] | None:
    """Return the range stated in the header; for CT, the usual range of Hounsfield units."""
    ends = [dataset.get(f"{which}PixelValueInSeries") for which in ("Smallest", "Largest")]
    if None in ends and dataset.get("Modality") == "CT" and dataset.get("RescaleType", "HU") in ("HU", None):
        slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
        ends = [(unit - intercept) / slope for unit in HOUNSFIELD]
    if None in ends or not np.isfinite(ends).all():
        return None
    least, most = (int(np.clip(round(float(end)), low, high)) for end in sorted(ends))
    return (least, most) if least < most else None


def _pixels(file: BinaryIO, found: Scan) -> bytes:
    if found.syntax == DEFLATED:
        file.seek(found.start)
        end = found.pixels + found.length
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(), end)[found.pixels :]
    file.seek(found.pixels)
    if found.word == 1:
        return file.read(found.length)
    whole = -(-found.length // found.word) * found.word
    return swapped(file.read(whole).ljust(whole, b"\0"), found.word)[: found.length]
