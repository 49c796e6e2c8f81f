"""DICOM: the stored values of a file, all its frames, and the file of their enlargement.

Its header is checked by `scanning` and changed by `derivation`; how files are encoded is in `transfer`. Uncompressed,
deflated and RLE data are read, with 8 or 16 bits allocated, gray or in color.

This needs pydicom, which is imported only when there is a DICOM file.
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
"""Pixels a side: rows and columns are 16 bit."""
MOST_BYTES = 0xFFFFFFFE
"""That pixel data can have when they are not compressed."""
HOUNSFIELD: Final = (-1024, 3071)
"""What the usual 12 bits of CT hold."""


@dataclass(frozen=True)
class Frames:
    """What is stored in a file: one frame or several."""

    values: NDArray[Any]
    """(frames, H, W, 1) gray or (frames, H, W, 3) RGB, the integers that are stored."""
    low: int
    """The least value that can be stored, by the bits stored and their sign."""
    high: int
    """The largest."""
    inverted: bool
    """Whether larger values are darker."""
    padding: tuple[int, int] | None
    """The least and the largest value that stand for no measurement."""
    filler: int
    """The one of these that is written."""
    series: tuple[int, int] | None
    """The least and the largest value of all slices of its series, as far as a single one tells."""
    dataset: "Dataset"
    """The header, without pixels."""


def is_named(path: Path) -> bool:
    """Whether its name says so."""
    return path.suffix.lower() in SUFFIXES


def probe(path: Path, *, max_pixels: int) -> Header:
    """What the file says of itself. No pixel is decoded.

    Raises:
        ImageError: it is damaged, cut short, of a kind that can't be read, or of more than `max_pixels`
            in all its frames.
        UsageError: pydicom is not installed.
    """
    with _open(path) as (file, name):
        return scan(file, name, max_pixels).header


def read(path: Path, *, max_pixels: int) -> Frames:
    """All frames of the file; YBR becomes RGB.

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
            """The value in the stored bits, whatever is in the bits above them."""
            value &= (1 << bits) - 1
            return value - (1 << bits) if signed and value > high else value

        padding, filler = None, 0
        if header.channels == 1 and dataset.get("PixelPaddingValue") is not None:
            ends = [dataset.PixelPaddingValue, dataset.get("PixelPaddingRangeLimit", dataset.PixelPaddingValue)]
            first, last = (stored(int(end)) for end in ends)
            padding, filler = (min(first, last), max(first, last)), first
        inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
        return Frames(values, low, high, inverted, padding, filler, _of_series(dataset, low, high), dataset)


def write(dataset: "Dataset", path: Path, *, overwrite: bool, made: Callable[[Path], None]) -> None:
    """Write it, pixels and all, as Explicit VR Little Endian: whole, or not at all.

    Args:
        made: called with the file, when all is in it and before it becomes `path`.

    Raises:
        DRRNError: as `atomic`, or it can't be encoded.
    """
    with atomic(path, overwrite=overwrite) as temporary:
        with _pydicom_errors(printable(path), "can't be written as DICOM"), temporary.open("xb") as file:
            encode(dataset, file)
        made(temporary)


def check_writable(path: Path, width: int, height: int) -> None:
    """Raises ImageError: no DICOM of that size can be written to `path`."""
    if not is_named(path):
        raise ImageError(
            f"{printable(path)} can't be written: a DICOM file can only become a DICOM file; use "
            f"{' or '.join(SUFFIXES)}."
        )
    if max(width, height) > LONGEST:
        raise ImageError(
            f"{printable(path)} can't be written: DICOM holds {LONGEST} pixels a side, and it is {width} x {height}."
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
    """What pydicom raises becomes one sentence, without its own words: they may quote the header."""
    warnings.filterwarnings("ignore", module=r"pydicom\b")

    def describe(error: Exception) -> str | None:
        if isinstance(error, FileExistsError):  # `atomic` has its own sentence
            return None
        if isinstance(error, OSError):
            return f"{name} can't be read or written: {error.strerror or 'unknown'}."
        return f"{name} {what} ({type(error).__name__})."  # pydicom raises what Python does, RecursionError too

    with translate_errors(describe, keep_cause=False):
        yield


def _of_series(dataset: "Dataset", low: int, high: int) -> tuple[int, int] | None:
    """By what the header says of it, or, of CT, by the numbers that Hounsfield units are."""
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
