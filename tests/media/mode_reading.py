"""Read the samples and metadata of a file that drrn wrote, without drrn."""

import struct
from pathlib import Path

import numpy as np
import pyvips
from PIL import Image

from drrn.media.metadata.png import png_chunk
from tests.media.mode_files import ICC, XMP
from tests.media.png_by_the_book import decode


def is_the_same(truth: np.ndarray, found: np.ndarray, most: int) -> bool:
    if found.shape[:2] != truth.shape[:2]:
        return False
    if truth.dtype.kind == "f":
        return found.dtype == truth.dtype and np.array_equal(found, truth, equal_nan=True)
    if found.shape[2] == truth.shape[2] + 2:  # gray became RGB
        truth = truth[..., [0, 0, 0, 1] if truth.shape[2] == 2 else [0, 0, 0]]
    if truth.dtype == np.uint16 and found.dtype == np.uint8:
        truth = np.round(truth / 257).astype(np.uint8)
    if truth.shape != found.shape or truth.dtype != found.dtype:
        return False
    apart = np.abs(truth.astype(int) - found)
    if truth.shape[2] in (2, 4):
        apart = apart[truth[..., -1] > truth.max() // 4]  # a color that is hardly seen may be rounded away
    return bool(apart.max() <= most)


def read_mode(path: Path) -> tuple[str, np.ndarray]:
    """The kind of samples in a file that drrn wrote, and the samples, read by other libraries."""
    content = path.read_bytes()
    if content.startswith(b"\x89PNG"):
        array = decode(content)
        return kind_of(array, content[24]), array
    if content.startswith((b"II", b"MM")):
        array = pyvips.Image.new_from_file(str(path)).numpy()
    elif content[:1] == b"P":
        array = netpbm(content)
    else:
        array = np.asarray(Image.open(path))
    array = array.reshape(*array.shape[:2], -1)
    return kind_of(array, 8 * array.itemsize), array


def kind_of(array: np.ndarray, bits: int) -> str:
    bands = array.shape[2]
    if array.dtype.kind in "if" or bands > 4:
        return f"{bands} bands" if bands > 4 else array.dtype.name
    return f"{'gray' if bands < 3 else 'RGB'}{'' if bands % 2 else ' and alpha'} of {bits}"


def netpbm(content: bytes) -> np.ndarray:
    if content.startswith(b"P7"):
        header, _, raw = content.partition(b"ENDHDR\n")
        printed = dict(line.split() for line in header.splitlines()[1:])
        width, height, bands, most = (int(printed[key]) for key in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    else:
        size, _, raw = content[3:].partition(b"\n")
        top, _, raw = raw.partition(b"\n")
        (width, height), most, bands = map(int, size.split()), int(top), {b"5": 1, b"6": 3}[content[1:2]]
    array = np.frombuffer(raw, ">u2" if most > 255 else np.uint8).reshape(height, width, bands)
    return array.astype(np.uint16 if most > 255 else np.uint8)


def has_metadata(note: str, path: Path, *, dpi: int = 300) -> bool:
    """Whether Pillow finds the metadata in a file that drrn wrote; `dpi` is what the file should have."""
    content = path.read_bytes()
    if content.startswith(b"BM"):
        (at,) = struct.unpack_from("<L", content, 126)
        with Image.open(path) as image:
            found = image.info.get("dpi")
        return bool(found and round(found[0]) == dpi) if note == "dpi" else note == "ICC" and content[14 + at :] == ICC
    if content[:1] == b"P":
        return False
    with Image.open(path) as image:
        image.load()
        match note:
            case "ICC":
                return image.info.get("icc_profile") == ICC
            case "EXIF":
                return image.getexif().get(0x10F) == "Maker"
            case "pixel aspect":
                if "jfif_density" in image.info:
                    return bool((image.info["jfif_unit"], image.info["jfif_density"]) == (0, (1, 2)))
                if path.suffix == ".tif":
                    across, down, unit = (image.getexif().get(tag, 1) for tag in (282, 283, 296))
                    return bool((2 * float(across), unit) == (float(down), 1))
                return bool(image.info.get("aspect") == (1, 2))
            case "text chunks":
                return image.info.get("Comment") == "a text"
            case "cICP":
                return png_chunk(b"cICP", bytes([9, 16, 0, 1])) in content
            case "XMP":
                found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp", "").encode()
                return bool(found == XMP)
        found = image.getexif().get(0x11A, 0) if path.suffix == ".webp" else image.info.get("dpi", (0, 0))[0]
        return round(float(found)) == dpi
