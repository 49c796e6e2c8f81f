"""Scan the header of a DICOM file, and refuse what can't be enlarged.

The header is not trusted: the sizes it states are compared with the file's length and the limit before a pixel is
decoded, and deflated data are decompressed only that far. Messages never quote the header, which may hold a patient's
name.

This needs pydicom, which is imported only when a DICOM file is met.
"""

import os
import zlib
from copy import deepcopy
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

import numpy as np

from drrn.errors import ImageError
from drrn.media.dicom.derivation import Derivation, derive, left_out
from drrn.media.dicom.transfer import (
    BIG_ENDIAN,
    DEFLATED,
    IMPLICIT,
    READ,
    RLE,
    begin,
    encode,
    swap_words,
)
from drrn.media.header import Header

if TYPE_CHECKING:
    from pydicom import Dataset


UNDEFINED = 0xFFFFFFFF
"""The value of a length that is not stated."""
MAX_HEADER = 1 << 24
"""Longest header of a deflated file, decompressed, in bytes."""
MAX_ELEMENTS = 20_000
"""Most elements in a header, not counting nested ones."""
MAX_RLE_RATIO = 64
"""Largest compression ratio of RLE: 128 equal bytes become 2."""
PIXELS = 0x7FE00010
GRAY: Final = ("MONOCHROME1", "MONOCHROME2")
COLOR: Final = ("RGB", "YBR_FULL", "YBR_FULL_422")
NO_PICTURES: Final = ("SEG", "RTDOSE")
"""Modalities whose values are labels or doses, which a network must not enlarge."""


class Scan(NamedTuple):
    """The header of a file, and the position of its pixels."""

    dataset: "Dataset"
    header: Header
    syntax: str
    pixels: int
    """Offset of the pixels in the file, or in its decompressed content."""
    length: int
    """Bytes of the pixels."""
    start: int
    """Offset of the dataset in the file."""
    word: int
    """Bytes per word of big-endian pixel data; 1 if nothing is to be swapped."""


def scan(file: BinaryIO, name: str, max_pixels: int) -> Scan:
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
        body = BytesIO(zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(), MAX_HEADER))
    length, kind, elements = -1, "", 0

    def at_pixels(tag: Any, vr: str | None, its_length: int) -> bool:
        nonlocal length, kind, elements
        elements += 1
        if elements > MAX_ELEMENTS or not tag.group:  # a little deflated data can hold millions of empty elements
            raise ImageError(f"{name} is a DICOM file that is damaged: it has too many elements, or none.")
        length, kind = (its_length, vr or "") if tag == PIXELS else (length, kind)
        return tag >= PIXELS

    dataset = read_dataset(body, syntax == IMPLICIT, little, stop_when=at_pixels)
    if length < 0 and ("FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset):
        raise ImageError(f"{name} is DICOM of floating-point samples; integers of up to 16 bits can be read.")
    if length < 0:
        raise ImageError(f"{name} is a DICOM file without pixels, or cut short.")
    correct_ambiguous_vr(dataset, little)
    if not little:
        swap_words(dataset)
    header = check_header(dataset, name, max_pixels)
    pixels = body.tell() + (8 if syntax == IMPLICIT else 12)
    wanted = _check_length(header, dataset, syntax, name, length, size - pixels)
    if syntax != RLE and length > wanted + 1:
        header = header._replace(converted=(*header.converted, f"without {length - wanted:,} bytes after the pixels"))
    length = size - pixels if syntax == RLE else wanted
    trial = deepcopy(dataset)  # try to derive and encode a header now rather than fail after the work
    derive(trial, np.zeros((1, 1, 1, header.channels), np.uint8), Derivation("", "", "", ""))
    encode(trial, BytesIO())
    word = 2 if not little and (kind == "OW" or header.bits == 16) else 1
    return Scan(dataset, header, syntax, pixels, length, start, word)


def check_header(dataset: "Dataset", name: str, max_pixels: int) -> Header:
    """Check the header, and summarize it if the file can be read."""

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
    """Return the bytes of the pixels alone: PS3.5 8.1.1 allows any number after them. Raises ImageError if there are
    fewer.

    Args:
        length: the length that the file states.
        there: bytes from the first pixel to the end of the file.
    """
    whole = wanted = header.width * header.height * header.frames * header.channels * header.bits // 8
    if dataset.PhotometricInterpretation == "YBR_FULL_422" and syntax != RLE:
        wanted = whole * 2 // 3
    fits = wanted <= length < UNDEFINED and (syntax == DEFLATED or there >= wanted)
    fits = fits and not (wanted < whole and length in (whole, whole + 1))  # not subsampled, despite the header
    if syntax == RLE:
        fits = length == UNDEFINED and there * MAX_RLE_RATIO >= wanted
    if not fits:
        raise ImageError(f"{name} is a DICOM file that is damaged or cut short: it has fewer pixels than it states.")
    return wanted
