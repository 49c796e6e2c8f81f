"""Copy the georeference and the metadata of the bands from one raster to its enlargement.

The outer corners stay in place: values in pixels are scaled, and what applies only to the old pixels is left out.
"""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from drrn.errors import ImageError, printable
from drrn.media.metadata import descriptions, xmp
from drrn.media.metadata.xml import InvalidXMLError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader, DatasetWriter, MemoryFile

STATISTICS: Final = ("STATISTICS_", "TIFFTAG_MINSAMPLEVALUE", "TIFFTAG_MAXSAMPLEVALUE")
"""Prefixes of tags that apply only to the old pixels."""
RESOLUTION: Final = {"TIFFTAG_XRESOLUTION": 0, "TIFFTAG_YRESOLUTION": 1}
OF_THE_FILE: Final = ("IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "RPC", "COLOR_PROFILE")
"""Namespaces of tags that GDAL generates, or that are copied by other means."""
DESCRIPTION: Final = "TIFFTAG_IMAGEDESCRIPTION"
XMP: Final = "xml:XMP"
PROFILE: Final = "SOURCE_ICC_PROFILE"


def check(dataset: "DatasetReader", name: str) -> None:
    """Raise an ImageError if it holds classes, or its georeference can't be scaled."""
    from rasterio.enums import ColorInterp

    if dataset.subdatasets or "SUBDATASETS" in dataset.tag_namespaces():
        raise ImageError(f"{name} has several pages or datasets; one raster can be read. Split them first.")
    bands = range(1, dataset.count + 1)
    thematic = any(dataset.tags(band).get("LAYER_TYPE") == "thematic" for band in bands)
    if thematic or ColorInterp.palette in dataset.colorinterp:
        raise ImageError(
            f"{name} has bands of classes, which can't be interpolated. Enlarge it by nearest neighbor, "
            "for example with gdalwarp -r near."
        )
    if "GEOLOCATION" in dataset.tag_namespaces():
        raise ImageError(f"{name} is placed by geolocation arrays, which can't be scaled. Warp it to a grid first.")
    transform = dataset.transform
    if not transform.determinant or not all(abs(value) < float("inf") for value in transform):
        raise ImageError(f"{name} has a geotransform that maps to no area: it is damaged.")


def left_out(dataset: "DatasetReader") -> tuple[str, ...]:
    """List what is not kept, each as `without statistics`."""
    tags = [dataset.tags(), *(dataset.tags(band) for band in range(1, dataset.count + 1))]
    told = ["without statistics"] if any(key.startswith(STATISTICS) for each in tags for key in each) else []
    _, parts = descriptions.remove_parts(dataset.tags().get(DESCRIPTION, "").encode())
    return (*told, *parts, *(f"without {space}" for space in dataset.tag_namespaces() if space == "EXIF"))


def create(
    dataset: "DatasetReader",
    path: "Path | MemoryFile",
    width: int,
    height: int,
    *,
    nodata: float | None,
    **options: Any,
) -> "DatasetWriter":
    """Create a file without pixels that has the extent and color interpretation of `dataset`."""
    import rasterio
    from rasterio.control import GroundControlPoint
    from rasterio.transform import Affine

    down, across = height / dataset.height, width / dataset.width
    points, crs = dataset.gcps
    t = dataset.transform
    placed = not points and t != Affine.identity()
    if PROFILE in (profile := dataset.tags(ns="COLOR_PROFILE")):
        options[PROFILE] = profile[PROFILE]
    larger = rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=dataset.count,
        dtype=dataset.dtypes[0],
        crs=None if points else dataset.crs,
        transform=Affine(t.a / across, t.b / down, t.c, t.d / across, t.e / down, t.f) if placed else None,
        nodata=nodata,
        **options,
    )
    larger.colorinterp = dataset.colorinterp
    if points:
        moved = [GroundControlPoint(p.row * down, p.col * across, p.x, p.y, p.z, id=p.id, info=p.info) for p in points]
        larger.gcps = moved, crs
    if rpcs := dataset.rpcs:  # RPCs count from the center of the first pixel
        rpcs.line_off, rpcs.line_scale = (rpcs.line_off + 0.5) * down - 0.5, rpcs.line_scale * down
        rpcs.samp_off, rpcs.samp_scale = (rpcs.samp_off + 0.5) * across - 0.5, rpcs.samp_scale * across
        larger.rpcs = rpcs
    return larger


def describe(dataset: "DatasetReader", larger: "DatasetWriter", made_by: str) -> None:
    """Copy names, units, scales and tags of `dataset`, and add a tag that says how it was made."""
    larger.descriptions, larger.scales, larger.offsets = dataset.descriptions, dataset.scales, dataset.offsets
    larger.units = [unit or "" for unit in dataset.units]
    tags = _true(dataset.tags())
    before, after = (dataset.width, dataset.height), (larger.width, larger.height)
    for key, axis in RESOLUTION.items():
        if key in tags:
            tags[key] = f"{float(tags[key]) * after[axis] / before[axis]:.10g}"
    if DESCRIPTION in tags:
        text, _ = descriptions.remove_parts(tags[DESCRIPTION].encode())
        tags[DESCRIPTION] = descriptions.resize(text, before, after).decode().rstrip("\0")
    larger.update_tags(**tags, ENLARGED_BY=made_by)
    for space in dataset.tag_namespaces():
        if space == XMP:
            _copy(larger, space, _resized_xmp(dataset.tags(ns=space), before, after))
        elif space not in (*OF_THE_FILE, "EXIF"):
            _copy(larger, space, dataset.tags(ns=space))
    for band in range(1, dataset.count + 1):
        larger.update_tags(band, **_true(dataset.tags(band)))
        for space in dataset.tag_namespaces(band):
            if space not in OF_THE_FILE:
                larger.update_tags(band, ns=space, **dataset.tags(band, ns=space))


def try_out(dataset: "DatasetReader") -> None:
    """Write all of that with a single pixel and read it back, to fail now rather than after the work.

    Raises:
        ImageError: its coordinate system can't be kept.
    """
    from rasterio.io import MemoryFile

    with MemoryFile() as memory:
        with create(dataset, memory, 1, 1, nodata=None) as smallest:
            describe(dataset, smallest, "")
        with memory.open(driver="GTiff") as again:
            if (again.crs, again.gcps[1]) != (dataset.crs, dataset.gcps[1]):
                raise ImageError(f"{printable(dataset.name)} has a coordinate system that can't be kept.")


def _true(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not key.startswith(STATISTICS)}


def _resized_xmp(tags: dict[str, str], before: xmp.Size, after: xmp.Size) -> dict[str, str]:
    """Adapt the XMP to the larger raster; unchanged if it can't be parsed."""
    (document,) = tags.values()
    start, packet = f"{XMP}=" * document.startswith(f"{XMP}="), document.removeprefix(f"{XMP}=").encode()
    with suppress(InvalidXMLError):
        packet, _ = xmp.remove_parts(packet)
        packet = xmp.set_size(xmp.resize(packet, before, after), after)
    return {"": start + packet.decode()}


def _copy(larger: "DatasetWriter", space: str, tags: dict[str, str]) -> None:
    if space.startswith("xml:"):  # a whole document, to which rasterio prefixes its own name on reading
        (document,) = tags.values()
        key, _, value = document.removeprefix(f"{space}=").partition("=")
        tags = {key: value}  # and which it splits at a "=" into key and value on writing
    larger.update_tags(ns=space, **tags)
