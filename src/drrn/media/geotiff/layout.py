"""Which TIFFs are rasters of measurements, and which of these can be read, by their tags: before GDAL sees them."""

from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import Final

from drrn.errors import ImageError
from drrn.media.images import directories
from drrn.media.images.directories import EXTRA, GEOREFERENCED, METADATA, NODATA, Layout
from drrn.media.images.recognition import check_size
from drrn.media.images.tiff import COLORS, JPEG, OTHERS, PALETTE, RAW
from drrn.media.metadata.tiff_tags import MalformedError

DTYPES: Final = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
MOST_BANDS = 1024
MOST_TIMES = 2000
"""Bytes that one of the file may stand for: Deflate makes of zeros a thousandth, and sparse files nothing."""
PHOTOMETRIC: Final = {0: "MINISWHITE", 1: "MINISBLACK", 2: "RGB", 6: "RGB"}
BESIDE: Final = (".aux.xml", ".msk", ".ovr")
"""What other programs put behind the name of a file, for what is not in it."""
WORLD: Final = (".tfw", ".TFW", ".tifw", ".tiffw", ".wld")
"""Suffixes, in place of a file's own, of files that say where it lies."""
MOST_BESIDE = 1 << 20
"""Bytes of such a file that are looked at."""


def is_raster(path: Path) -> bool:
    """Whether it is a TIFF that is georeferenced, or has samples that no photograph has."""
    try:
        found = directories.layout(path)
    except (MalformedError, OSError):
        return False  # reading it as an image says what is wrong
    if found is None or found.color in RAW:
        return False
    return bool(found.tags & {*GEOREFERENCED, METADATA, NODATA} or _is_measured(found) or find_world_file(path))


def find_world_file(path: Path) -> Path | None:
    """The file next to a TIFF that georeferences it, if there is one."""
    for world in (path.with_suffix(suffix) for suffix in WORLD):
        if world.is_file():
            return world
    other = path.with_name(path.name + BESIDE[0])
    with suppress(OSError):
        if S_ISREG(other.stat().st_mode):
            with other.open("rb") as file:
                text = file.read(MOST_BESIDE)
            return other if b"<GeoTransform" in text or b"<GCPList" in text else None
    return None


def check_layout(found: Layout, name: str, max_pixels: int) -> None:
    """Raises ImageError: it is damaged, too large, or not a raster of measurements."""
    check_size(found.width, found.height, name, max_pixels)
    if not found.stored or min(found.block) < 1 or not found.bands:
        raise ImageError(f"{name} is a TIFF that is damaged: it doesn't say where its pixels are.")
    if found.bands > MOST_BANDS:
        raise ImageError(f"{name} has {found.bands:,} bands; up to {MOST_BANDS:,} can be read.")
    if found.smaller:
        raise ImageError(f"{name} begins with a smaller copy of its raster. Take the raster out of it first.")
    if found.color == PALETTE or found.bits < 8:
        what = "a palette" if found.color == PALETTE else f"samples of {found.bits} bit"
        raise ImageError(
            f"{name} has {what}: classes, which can't be interpolated. Enlarge it by nearest neighbour, "
            "for example with gdalwarp -r near."
        )
    if not found.alike or found.bits not in (8, 16, 32, 64) or found.kind not in (1, 2, 3):
        kind = "complex" if found.kind in (5, 6) else f"of {found.bits} bit" if found.alike else "of several types"
        raise ImageError(f"{name} has samples that are {kind}; one type of {', '.join(DTYPES)} can be read.")
    if found.color not in PHOTOMETRIC or (found.color == 6 and found.compression != JPEG):
        kinds = {6: "YCbCr", **OTHERS}
        kind = kinds.get(found.color, f"of photometric interpretation {found.color}")
        raise ImageError(f"{name} is {kind}; rasters of measurements can be gray and RGB.")
    claimed = found.width * found.height * found.bands * found.bits // 8
    if claimed > MOST_TIMES * found.size:
        raise ImageError(
            f"{name} claims {claimed:,} bytes of samples in a file of {found.size:,}: it is damaged or nearly empty."
        )


def _is_measured(found: Layout) -> bool:
    if found.kind in (2, 3, 5, 6) or found.bits in (32, 64):
        return True
    colors = COLORS.get(found.color, 0)
    beside = found.bands - colors
    nameless = found.color == 2 and found.bands == 4 and EXTRA not in found.tags
    plain = colors == 0 or found.color == PALETTE or found.bits not in (8, 16) or nameless
    return not plain and beside > 0 and (beside > 1 or found.extra not in ((1,), (2,)))
