"""DICOM: the stored values of a file, all its frames, and the file of their enlargement.

What happens to its header is in `derivation`, how it is encoded in `transfer`. Uncompressed, deflated and RLE data are
read, of 8 and 16 bits allocated, gray or in color. A header is believed only as far as there are bytes: sizes are
compared with these, and with the limit, before a pixel is decoded, and deflated data are inflated no further than that.
No message holds a value of the header: it may be a patient's name.

This needs pydicom, which is imported only when there is a DICOM file.
"""

import os
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drrn.atomic import atomic
from drrn.errors import ImageError, UsageError, printable, translate_errors
from drrn.media.dicom.derivation import Derivation, derive, left_out
from drrn.media.dicom.transfer import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, READ, RLE, begin, swap_words, swapped
from drrn.media.header import Header

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIXES: Final = (".dcm", ".dicom")
LONGEST = 65535
"""Pixels a side: rows and columns are 16 bit."""
UNDEFINED = 0xFFFFFFFF
"""In place of a length."""
MOST_BYTES = 0xFFFFFFFE
"""That pixel data can have when they are not compressed."""
MOST_HEADER = 1 << 24
"""Inflated bytes of a deflated file in which its header must end."""
MOST_ELEMENTS = 20_000
"""In a header, those within others not counted."""
RLE_AT_MOST = 64
"""Times that RLE makes bytes fewer: 128 equal ones become 2."""
PIXELS = 0x7FE00010
HOUNSFIELD: Final = (-1024, 3071)
"""What the usual 12 bits of CT hold."""
GRAY: Final = ("MONOCHROME1", "MONOCHROME2")
COLOR: Final = ("RGB", "YBR_FULL", "YBR_FULL_422")
NO_PICTURES: Final = ("SEG", "RTDOSE")
"""Modalities of which the values are labels or doses, to be enlarged by no network."""


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


class _Scanned(NamedTuple):
    """A file as far as its pixels."""

    dataset: "Dataset"
    header: Header
    syntax: str
    pixels: int
    """Where they begin, in the file or in what is inflated of it."""
    length: int
    """Their bytes."""
    start: int
    """Where the data set begins in the file."""
    word: int
    """Bytes of a word of pixel data in big endian; 1 where nothing is to be swapped."""


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
        return _scan(file, name, max_pixels).header


def read(path: Path, *, max_pixels: int) -> Frames:
    """All frames of the file; YBR becomes RGB.

    Raises:
        DRRNError: as `probe`.
    """
    with _open(path) as (file, name):
        from pydicom.dataset import FileMetaDataset
        from pydicom.pixels.utils import pixel_array
        from pydicom.uid import UID

        scanned = _scan(file, name, max_pixels)
        header, dataset = scanned.header, scanned.dataset
        dataset.add_new(PIXELS, "OW", _pixels(file, scanned))
        dataset["PixelData"].is_undefined_length = scanned.syntax == RLE
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(RLE if scanned.syntax == RLE else EXPLICIT)
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
            _encode(dataset, file)
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


def _scan(file: BinaryIO, name: str, max_pixels: int) -> _Scanned:
    from pydicom.filereader import read_dataset
    from pydicom.filewriter import correct_ambiguous_vr
    from pydicom.uid import UID

    size = os.fstat(file.fileno()).st_size
    start, syntax = begin(file)
    little = syntax != BIG_ENDIAN
    if syntax not in READ:
        known = UID(syntax).name if UID(syntax).is_transfer_syntax else "an unknown transfer syntax"
        raise ImageError(
            f"{name} is DICOM in {known}; uncompressed, deflated and RLE can be read. Decompress it first: gdcmconv "
            "--raw FILE FILE.dcm."
        )
    body: BinaryIO = file
    if syntax == DEFLATED:
        body = BytesIO(zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(), MOST_HEADER))
    length, kind, elements = -1, "", 0

    def at_pixels(tag: Any, vr: str | None, its_length: int) -> bool:
        nonlocal length, kind, elements
        elements += 1
        if elements > MOST_ELEMENTS or not tag.group:  # a little of what is deflated can be millions of empty ones
            raise ImageError(f"{name} is a DICOM file that is damaged: it has too many elements, or none.")
        length, kind = (its_length, vr or "") if tag == PIXELS else (length, kind)
        return tag >= PIXELS

    dataset = read_dataset(body, syntax == IMPLICIT, little, stop_when=at_pixels)
    if length < 0:
        raise ImageError(f"{name} is a DICOM file without pixels, or cut short.")
    correct_ambiguous_vr(dataset, little)
    if not little:
        swap_words(dataset)
    header = _known(dataset, name, max_pixels)
    pixels = body.tell() + (8 if syntax == IMPLICIT else 12)
    wanted = _check_length(header, dataset, syntax, name, length, size - pixels)
    if syntax != RLE and length > wanted + 1:
        header = header._replace(converted=(*header.converted, f"without {length - wanted:,} bytes behind the pixels"))
    length = size - pixels if syntax == RLE else wanted
    trial = deepcopy(dataset)  # what can't be derived or encoded is found out now, and not after the work
    derive(trial, np.zeros((1, 1, 1, header.channels), np.uint8), Derivation("", "", "", ""))
    _encode(trial, BytesIO())
    word = 2 if not little and (kind == "OW" or header.bits == 16) else 1
    return _Scanned(dataset, header, syntax, pixels, length, start, word)


def _known(dataset: "Dataset", name: str, max_pixels: int) -> Header:
    """What the header says, if that can be read."""

    def number(keyword: str, default: int = 0) -> int:
        value = dataset.get(keyword)
        return int(value) if isinstance(value, (int, float, str)) else default

    width, height, frames = number("Columns"), number("Rows"), number("NumberOfFrames", 1)
    channels, bits, stored = number("SamplesPerPixel", 1), number("BitsAllocated"), number("BitsStored")
    color, signed = str(dataset.get("PhotometricInterpretation", "")), number("PixelRepresentation")
    if min(width, height, frames) < 1:
        raise ImageError(f"{name} is {width} x {height} in {frames} frames: it has no pixels.")
    if width * height * frames > max_pixels:
        count = f"{width * height * frames:,}"
        many = f" in {frames:,} frames" if frames > 1 else ""
        raise ImageError(
            f"{name} is {width} x {height}{many}, {count} pixels; the limit is {max_pixels:,} (--max-pixels)."
        )
    if dataset.get("Modality") in NO_PICTURES:
        raise ImageError(f"{name} is a DICOM file of labels or doses, which can't be enlarged like pictures.")
    if "TotalPixelMatrixColumns" in dataset:
        raise ImageError(
            f"{name} is a DICOM file whose frames are tiles of one slide; frames of their own can be enlarged."
        )
    if color not in GRAY + COLOR or channels != (1 if color in GRAY else 3):
        known = "PALETTE COLOR" if color == "PALETTE COLOR" else f"of {channels} bands in colors that are not known"
        raise ImageError(f"{name} is DICOM {known}; {', '.join(GRAY + COLOR)} can be read.")
    whole = number("HighBit", stored - 1) == stored - 1
    if bits not in (8, 16) or not 2 <= stored <= bits or not whole or signed not in (0, 1):
        raise ImageError(
            f"{name} has samples of {stored} bits in {bits}; up to 8 in 8 and up to 16 in 16, at their lower end, can "
            "be read."
        )
    if channels == 3 and (signed or stored != bits or (color != "RGB" and bits != 8)):
        raise ImageError(
            f"{name} has colors of {stored} bits, signed or in YBR; unsigned RGB and YBR of 8 can be read."
        )
    if not (dataset.get("SOPClassUID") and dataset.get("SOPInstanceUID") and dataset.get("SeriesInstanceUID")):
        raise ImageError(f"{name} is DICOM without the UIDs of its class, instance and series.")
    converted: tuple[str, ...] = (f"{color} to RGB",) if color.startswith("YBR") else ()
    converted += left_out(dataset)
    return Header("DICOM", width, height, channels, False, 8 if bits == 8 else 16, converted, frames=frames)


def _check_length(header: Header, dataset: "Dataset", syntax: str, name: str, length: int, there: int) -> int:
    """Bytes of the pixels alone: PS3.5 8.1.1 lets any number follow. Raises ImageError: there are fewer.

    Args:
        length: as the file states it.
        there: bytes from the first pixel to the end of the file.
    """
    whole = wanted = header.width * header.height * header.frames * header.channels * header.bits // 8
    if dataset.PhotometricInterpretation == "YBR_FULL_422" and syntax != RLE:
        wanted = whole * 2 // 3
    fits = wanted <= length < UNDEFINED and (syntax == DEFLATED or there >= wanted)
    fits = fits and not (wanted < whole and length in (whole, whole + 1))  # not subsampled after all
    if syntax == RLE:
        fits = length == UNDEFINED and there * RLE_AT_MOST >= wanted
    if not fits:
        raise ImageError(f"{name} is a DICOM file that is damaged or cut short: it has fewer pixels than it says.")
    return wanted


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


def _pixels(file: BinaryIO, scanned: _Scanned) -> bytes:
    if scanned.syntax == DEFLATED:
        file.seek(scanned.start)
        end = scanned.pixels + scanned.length
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(), end)[scanned.pixels :]
    file.seek(scanned.pixels)
    if scanned.word == 1:
        return file.read(scanned.length)
    whole = -(-scanned.length // scanned.word) * scanned.word
    return swapped(file.read(whole).ljust(whole, b"\0"), scanned.word)[: scanned.length]


def _encode(dataset: "Dataset", file: Any) -> None:
    from pydicom import dcmwrite
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dcmwrite(file, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True)
