"""GDAL by way of rasterio: its settings, and decoding of TIFFs that libvips can't decode.

rasterio is imported only when such a file is met.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drrn.core.color import divided_by_alpha, levels
from drrn.errors import ImageError, printable, translate_errors
from drrn.media.header import Header, OpenImage
from drrn.media.images import tiff
from drrn.media.images.directories import BITS, COLOR, EXTRA
from drrn.media.images.memory import decoding
from drrn.media.images.scratch import BAND
from drrn.media.metadata import exif, tiff_tags
from drrn.media.metadata.adapting import make_metadata_upright
from drrn.media.metadata.metadata import Metadata, list_names
from drrn.media.metadata.reading import of_tiff

CACHE = 64 << 20
"""Bytes of blocks that GDAL may cache."""
OPTIONS: Final = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": False,
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GDAL_TIFF_INTERNAL_MASK": True,
    "GDAL_CACHEMAX": CACHE,
    "GDAL_NUM_THREADS": 1,
}
MULTIPLIED = 1
ICC, XMP = 0x8773, 0x02BC


@contextmanager
def open_tiff(path: Path, file: mmap, page: tiff.Page, what: str) -> Iterator[OpenImage]:
    """Open the image of a TIFF, as `drrn.media.images.decoding.open_image` does.

    Args:
        what: why libvips can't read it, such as `compressed by ZSTD`.

    Raises:
        ImageError: rasterio is not installed, or can't read it either.
    """
    name, real, directory = printable(path), os.path.realpath(path), page.directory
    kind = f"is a TIFF {what}"
    try:
        import rasterio
    except ModuleNotFoundError as error:
        raise ImageError(f"{name} {kind}: rasterio can read it. Install it: pip install 'drrn[geo]'.") from error
    color = directory.integers(file, COLOR)[0]
    if color == tiff.CMYK or real.startswith("/vsi"):  # GDAL would take such names for archives or URLs
        raise ImageError(f"{name} {kind}{', and CMYK' if color == tiff.CMYK else ''}, which can't be read.")
    with rasterio.Env(**OPTIONS):
        with gdal_errors(path, f"{kind}, which can't be read"):
            dataset = rasterio.open(f"GTIFF_DIR:{page.number + 1}:{real}" if page.number else real, driver="GTiff")
        with dataset:
            bands, dtype = int(dataset.count), np.dtype(dataset.dtypes[0])
            gray = color in (0, 1)
            alpha = bands == (2 if gray else 4)
            expected = 1 if color == tiff.PALETTE else (1 if gray else 3) + alpha
            if dtype not in (np.uint8, np.uint16) or bands != expected:
                raise ImageError(f"{name} {kind}, which can't be read: it has {bands} bands of {dtype}.")
            bits: Final = 16 if dtype == np.uint16 else 8
            across, down = int(dataset.width), int(dataset.height)
            turn = exif.orientation(file, directory)
            metadata = make_metadata_upright(_metadata(file, directory), turn, (across, down))
            width, height = (across, down) if turn < 5 else (down, across)
            channels, changes = 1 if gray else 3, (*tiff.converted(file, page), *metadata.extras.lost)
            header = Header(
                "TIFF", width, height, channels, alpha, bits, changes, list_names(metadata),
                decoding=CACHE + decoding("TIFF", across, down, channels + alpha, bits, file, page=directory),
            )  # fmt: skip

            def rows() -> Iterator[NDArray[Any]]:
                step = max(BAND, min(int(dataset.block_shapes[0][0]), 8 * BAND))
                for top in range(0, down, step):
                    window = rasterio.windows.Window(0, top, across, min(step, down - top))
                    with gdal_errors(path, f"{kind} that is damaged or cut short"):
                        samples = dataset.read(window=window)
                    yield _samples(np.moveaxis(samples, 0, 2), dataset, file, directory)

            yield OpenImage(rows, header, metadata, turn)


@contextmanager
def gdal_errors(path: Path, what: str) -> Iterator[None]:
    """Translate what rasterio raises into an ImageError of one sentence."""
    from rasterio.errors import NotGeoreferencedWarning

    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

    def describe(error: Exception) -> str:  # rasterio raises its own errors, GDAL's and Python's
        if isinstance(error, MemoryError):
            return f"{printable(path)} {what}: there is not enough memory."
        reason = next(iter(str(error).splitlines()), "")[:200].rstrip(".")
        return f"{printable(path)} {what} ({printable(reason)})."

    with translate_errors(describe):
        yield


def _samples(raw: NDArray[Any], dataset: Any, file: mmap, page: tiff_tags.Directory) -> NDArray[Any]:
    """Convert (h, W, bands) from GDAL's conventions to libvips'."""
    color, bits = page.integers(file, COLOR)[0], (page.integers(file, BITS) or (1,))[0]
    if color == tiff.PALETTE:
        table = np.zeros((256, 3), np.uint8)
        for index, entry in dataset.colormap(1).items():
            table[index] = entry[:3]
        return table[raw[..., 0]]
    top = int(np.iinfo(raw.dtype).max)
    if bits not in (8, 16):
        raw = levels(raw / (2**bits - 1), top).astype(raw.dtype)
    if color == 0:  # white is 0
        raw = np.concatenate([top - raw[..., :1], raw[..., 1:]], axis=2)
    if page.integers(file, EXTRA) == (MULTIPLIED,):
        raw = divided_by_alpha(raw)
    return raw


def _metadata(file: mmap, page: tiff_tags.Directory) -> Metadata:
    def content(tag: int) -> bytes | None:
        kind, count, at = page.slots.get(tag, (0, 0, 0))
        return file[at : at + count * tiff_tags.SIZES[kind]] if count else None

    return of_tiff(file, page, Metadata(content(ICC), xmp=content(XMP), dpi=exif.dpi(file, page)))
