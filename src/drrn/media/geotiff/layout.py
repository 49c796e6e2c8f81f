"""Recognize rasters of measurements among TIFFs by their tags, and refuse unsupported ones before GDAL opens them."""

from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import Final

from drrn.errors import ImageError
from drrn.media.images import directories
from drrn.media.images.directories import EXTRA, GEOREFERENCED, METADATA, NODATA, TiffLayout
from drrn.media.images.recognition import check_size
from drrn.media.images.tiff import COLORS, JPEG, OTHERS, PALETTE, RAW
from drrn.media.metadata.tiff_tags import MalformedError

DTYPES: Final = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
MOST_BANDS = 1024
MOST_TIMES = 2000
"""Largest ratio of samples to file size, in bytes: Deflate compresses zeros a thousandfold, and sparse files store
none.
"""
PHOTOMETRIC: Final = {0: "MINISWHITE", 1: "MINISBLACK", 2: "RGB", 6: "RGB"}
BESIDE: Final = (".aux.xml", ".msk", ".ovr")
"""Suffixes that other programs append to the name for their sidecar files."""
WORLD: Final = (".tfw", ".TFW", ".tifw", ".tiffw", ".wld")
"""Suffixes of world files, which replace that of the TIFF."""
MOST_BESIDE = 1 << 20
"""Bytes of a sidecar file that are searched."""


def is_raster(path: Path) -> bool:
    """Whether it is a TIFF that is georeferenced, or has samples that no photograph has."""
    try:
        found = directories.layout(path)
    except (MalformedError, OSError):
        return False  # reading it as an image will report what is wrong
    if found is None or found.color in RAW:
        return False
    return bool(found.tags & {*GEOREFERENCED, METADATA, NODATA} or _is_measured(found) or find_world_file(path))


def find_world_file(path: Path) -> Path | None:
    """Return the file next to a TIFF that georeferences it, if there is one."""
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


def check_layout(found: TiffLayout, name: str, max_pixels: int) -> None:
    """Raise an ImageError if it is damaged, too large, or not a raster of measurements."""
    check_size(found.width, found.height, name, max_pixels)
    if not found.stored or min(found.block) < 1 or not found.bands:
        raise ImageError(f"{name} is a TIFF that is damaged: it doesn't state where its pixels are.")
    if found.bands > MOST_BANDS:
        raise ImageError(f"{name} has {found.bands:,} bands; up to {MOST_BANDS:,} can be read.")
    if found.smaller:
        raise ImageError(f"{name} begins with a smaller copy of its raster. Take the raster out of it first.")
    if found.color == PALETTE or found.bits < 8:
        what = "a palette" if found.color == PALETTE else f"samples of {found.bits} bit"
        raise ImageError(
            f"{name} has {what}: classes, which can't be interpolated. Enlarge it by nearest neighbor, "
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


def _is_measured(found: TiffLayout) -> bool:
    if found.kind in (2, 3, 5, 6) or found.bits in (32, 64):
        return True
    colors = COLORS.get(found.color, 0)
    beside = found.bands - colors
    nameless = found.color == 2 and found.bands == 4 and EXTRA not in found.tags
    plain = colors == 0 or found.color == PALETTE or found.bits not in (8, 16) or nameless
    return not plain and beside > 0 and (beside > 1 or found.extra not in ((1,), (2,)))
