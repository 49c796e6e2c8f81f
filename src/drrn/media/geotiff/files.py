"""Read and write GeoTIFFs and other TIFFs of measurements window by window, with their georeference and metadata.

docs/how-to/geotiff.md lists what is kept, scaled, converted and refused. GDAL is given only local regular files, only
as GeoTIFF, and none of the files that may lie next to them.

This needs rasterio, which is imported only when such a file is met.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import ceil, isinf, isnan, log2
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from drrn.core.resize import Place
from drrn.errors import ImageError, UsageError, printable
from drrn.media import Block, Overviews
from drrn.media.geotiff import georeference as placing
from drrn.media.geotiff.layout import BESIDE, DTYPES, PHOTOMETRIC, check_layout, find_world_file
from drrn.media.header import Header
from drrn.media.images import directories
from drrn.media.images.directories import GEOREFERENCED, NODATA, TiffLayout
from drrn.media.images.gdal import MULTIPLIED, OPTIONS, gdal_errors
from drrn.media.images.tiff import COLORS
from drrn.media.metadata.tiff_tags import MalformedError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader, DatasetWriter

SUFFIXES: Final = (".tif", ".tiff")
BLOCK: Final[Block] = 256
"""Default side of a tile in the output, in pixels."""
ALPHA: Final = {MULTIPLIED: "PREMULTIPLIED", 2: "NON-PREMULTIPLIED"}


class Raster:
    """A raster open for reading."""

    def __init__(self, dataset: "DatasetReader", found: TiffLayout, path: Path):
        from rasterio.enums import ColorInterp, MaskFlags

        self.dataset, self.layout, self.path = dataset, found, path
        self.width, self.height, self.bands = int(dataset.width), int(dataset.height), int(dataset.count)
        self.dtype = np.dtype(dataset.dtypes[0])
        self.nodata = held(dataset.nodata, self.dtype)
        """The value that marks missing measurements; NaN marks them too."""
        self.alpha: int | None = next((i for i, c in enumerate(dataset.colorinterp) if c == ColorInterp.alpha), None)
        """Index of the alpha band, from 0."""
        flags = dataset.mask_flag_enums[0]
        self.masked = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        """Whether there is a mask for all bands."""
        down, across = dataset.block_shapes[0]
        self.striped = across == self.width
        """Whether reading some columns decodes all of them."""
        self.interleaved = self.bands == 1 or dataset.interleaving.value.upper() == "PIXEL"
        """Whether the bands of a pixel are stored together; also true of a single band, since some programs can't read
        the other way.
        """
        together = self.bands if self.interleaved else 1
        self.block = int(down) * int(across) * together * self.dtype.itemsize
        """Bytes that are decoded at once."""

    @property
    def filler(self) -> float:
        """The value written where there is no measurement."""
        return self.nodata if self.nodata is not None else float("nan") if self.dtype.kind == "f" else 0

    def read(self, place: Place) -> NDArray[Any]:
        """Read a window as (bands, h, w), as stored. Raises ImageError if it is damaged there."""
        with gdal_errors(self.path, "is a TIFF that is damaged or cut short"):
            return self.dataset.read(window=_window(place))

    def hidden(self, values: NDArray[Any], place: Place) -> NDArray[np.bool]:
        """Return (bands, h, w): where the values read have no measurement. Raises ImageError, as `read`."""
        hidden = np.isnan(values) if self.dtype.kind == "f" else np.zeros(values.shape, bool)
        if self.nodata is not None and not isnan(self.nodata):
            hidden |= values == self.dtype.type(self.nodata)
        if self.alpha is not None and self.layout.extra[-1:] != (
            MULTIPLIED,
        ):  # premultiplied colors fade by themselves
            hidden |= values[self.alpha] == 0
            hidden[self.alpha] = False
        if self.masked:
            hidden |= self.mask(place) == 0
        return hidden

    def mask(self, place: Place) -> NDArray[np.uint8]:
        """Read the mask (h, w): 0 where no band has a measurement."""
        with gdal_errors(self.path, "is a TIFF whose mask is damaged or cut short"):
            return self.dataset.read_masks(1, window=_window(place))


class RasterWriter:
    """A new raster open for writing."""

    def __init__(self, dataset: "DatasetWriter", target: Path, *, masked: bool):
        self.dataset, self.target, self.masked = dataset, target, masked
        self.sums: list[tuple[Place, int]] = []

    def write(self, place: Place, values: NDArray[Any], mask: NDArray[np.bool] | None) -> None:
        """Write (bands, h, w) and the mask of measurements. Write each block of the file as a whole, and once."""
        with gdal_errors(self.target, "can't be written"):
            self.dataset.write(values, window=_window(place))
            if mask is not None:
                self.dataset.write_mask(mask, window=_window(place))
        self.sums.append((place, _sum(values, mask)))

    def check(self, again: "DatasetReader") -> None:
        """Raise an ImageError if the file does not hold what was written."""
        for place, total in self.sums:
            window = _window(place)
            mask = again.read_masks(1, window=window) != 0 if self.masked else None
            if _sum(again.read(window=window), mask) != total:
                raise ImageError(f"{printable(self.target)} does not contain what was written: the disk may be full.")


def probe(path: Path, *, max_pixels: int) -> Header:
    """Read the header. No pixel is decoded.

    Raises:
        ImageError: it is damaged, of a kind that can't be read or kept, or has more than `max_pixels`.
        UsageError: rasterio is not installed.
    """
    with open_raster(path, max_pixels=max_pixels) as raster:
        if not raster.layout.tags & GEOREFERENCED and (other := find_world_file(path)):
            raise ImageError(
                f"{printable(path)} is georeferenced by {printable(other.name)}, and files next to a TIFF are not "
                "read. Put it into the TIFF first, for example with gdal_translate."
            )
        with gdal_errors(path, "has something that can't be kept"):
            placing.try_out(raster.dataset)
        changes = placing.left_out(raster.dataset)
        if NODATA in raster.layout.tags and raster.nodata is None:
            changes += (f"without its nodata value, which {raster.dtype} doesn't hold",)
        found = raster.layout
        if found.kind == 3 and found.bits == 16:
            changes += (f"float16 to {raster.dtype}",)
        if not found.extra and found.bands > COLORS.get(found.color, found.bands):
            changes += ("bands of unknown meaning marked as unspecified",)
        siblings = (path.with_name(path.name + suffix) for suffix in BESIDE)
        changes += tuple(
            f"without {printable(other.name)}, which is not read" for other in siblings if os.path.lexists(other)
        )
        bits: Final = 8 if raster.dtype.itemsize == 1 else 16
        return Header("GeoTIFF", raster.width, raster.height, raster.bands, False, bits, changes)


@contextmanager
def open_raster(path: Path, *, max_pixels: int) -> Iterator[Raster]:
    """Open the raster for the duration of the block.

    Raises:
        DRRNError: as `probe`.
    """
    name, real = printable(path), Path(os.path.realpath(path))
    os.environ.setdefault("PROJ_DEBUG", "0")  # otherwise PROJ, within GDAL, writes to the terminal
    try:
        import rasterio
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{name} is a GeoTIFF or a TIFF of measurements, which needs rasterio. Install it: pip install 'drrn[geo]'."
        ) from error
    try:
        found = directories.layout(real)
        several = found is not None and directories.has_several(real)
    except MalformedError as error:
        raise ImageError(f"{name} is a TIFF that is damaged or cut short.") from error
    except OSError as error:
        raise ImageError(f"{name} can't be read: {error.strerror or error}.") from error
    if found is None or str(real).startswith("/vsi"):  # GDAL would take such names for archives or URLs
        raise ImageError(f"{name} is not a TIFF in a local file.")
    check_layout(found, name, max_pixels)
    if several:
        raise ImageError(f"{name} has several pages or datasets; one raster can be read. Split them first.")
    with rasterio.Env(**OPTIONS):
        with gdal_errors(path, "is a TIFF that is damaged or of a kind that can't be read"):
            dataset = rasterio.open(real, driver="GTiff")
        with dataset:
            with gdal_errors(path, "is a TIFF that is damaged or of a kind that can't be read"):
                raster = Raster(dataset, found, path)
                _check_bands(raster, name)
            yield raster


@contextmanager
def create_raster(
    raster: Raster,
    path: Path,
    width: int,
    height: int,
    made_by: str,
    *,
    target: Path,
    block: Block = BLOCK,
    overviews: Overviews = "keep",
) -> Iterator[RasterWriter]:
    """Create a GeoTIFF of that size, to be filled within the block, with the georeference and metadata of `raster`.

    At the end of the block its overviews are built, and its content is compared with what was written.

    Args:
        made_by: the value of the tag that names the program.
        target: the final path of the file, used in messages.
        block: side of its tiles, in pixels.

    Raises:
        ImageError: it can't be written, or does not hold what was written.
    """
    import rasterio

    options: dict[str, Any] = {
        "compress": "deflate",
        "predictor": 3 if raster.dtype.kind == "f" else 2,
        "tiled": True,
        "blockxsize": block,
        "blockysize": block,
        "interleave": "pixel" if raster.interleaved else "band",
        "bigtiff": "IF_SAFER",
        "photometric": PHOTOMETRIC[raster.layout.color],
        "alpha": "NO" if raster.alpha is None else ALPHA.get((0, *raster.layout.extra)[-1], "UNSPECIFIED"),
    }
    with gdal_errors(target, "can't be written"):
        dataset = placing.create(raster.dataset, path, width, height, nodata=raster.nodata, **options)
    larger = RasterWriter(dataset, target, masked=raster.masked)
    try:
        with gdal_errors(target, "can't be written"):
            placing.describe(raster.dataset, dataset, made_by)
        yield larger
    except BaseException:
        with suppress(Exception):  # report the first error, not this one
            dataset.close()
        raise
    with gdal_errors(target, "can't be written"):
        dataset.close()
        levels = {"keep": raster.dataset.overviews(1), "make": _levels(width, height), "none": []}[overviews]
        if levels:
            packed = {"COMPRESS_OVERVIEW": "DEFLATE", "PREDICTOR_OVERVIEW": str(options["predictor"])}
            with rasterio.Env(**OPTIONS, **packed), rasterio.open(path, "r+", driver="GTiff") as again:
                again.build_overviews(levels, rasterio.enums.Resampling.average)
        with rasterio.open(path, driver="GTiff") as again:
            larger.check(again)


def check_writable(path: Path) -> None:
    """Raise an ImageError if the suffix of `path` is not that of a TIFF."""
    if path.suffix.lower() not in SUFFIXES:
        raise ImageError(
            f"{printable(path)} can't be written: a TIFF of measurements can only become a TIFF; use "
            f"{' or '.join(SUFFIXES)}."
        )


def held(value: float | None, dtype: np.dtype[Any]) -> float | None:
    """Convert the nodata value to this dtype; None if the dtype can't hold it."""
    if value is None:
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            rounded = float(dtype.type(value))
        return rounded if isinf(rounded) == isinf(value) else None
    info = np.iinfo(dtype)
    return int(value) if info.min <= value <= info.max and value == int(value) else None


def _levels(width: int, height: int) -> list[int]:
    """Return the factors of overviews: powers of 2, until one fits into a tile."""
    return [1 << power for power in range(1, ceil(log2(max(width, height, BLOCK) / BLOCK)) + 1)]


def _window(place: Place) -> Any:
    from rasterio.windows import Window

    rows, columns = place
    return Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)


def _sum(values: NDArray[Any], mask: NDArray[np.bool] | None) -> int:
    return crc32(b"" if mask is None else mask.tobytes(), crc32(values.tobytes()))


def _check_bands(raster: Raster, name: str) -> None:
    """Raise an ImageError for faults that only GDAL can find."""
    dataset = raster.dataset
    if len(set(dataset.dtypes)) > 1 or raster.dtype.name not in DTYPES:
        raise ImageError(
            f"{name} has samples of {', '.join(sorted(set(dataset.dtypes)))}; one of {', '.join(DTYPES)} can be read."
        )
    if (raster.width, raster.height, raster.bands) != (raster.layout.width, raster.layout.height, raster.layout.bands):
        raise ImageError(f"{name} is a TIFF that is damaged: its directories contradict each other.")
    placing.check(dataset, name)
