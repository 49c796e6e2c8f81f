"""The table of docs/how-to/geotiff.md: rasters from other sources, and how far their corners move."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import MaskFlags

from docs.write import DOCS, Texts, read, replace_between
from drrn.tables import markdown
from tests.scene_files import corners, enlarged, make_upscaler

PAGE = DOCS / "how-to/geotiff.md"
HEAD = ["file", "bands", "values", "coordinates", "nodata", "larger", "corners move by"]


def texts(data: Path, scratch: Path) -> Texts:
    """The page with its table."""
    return {PAGE: replace_between(read(PAGE), "corners", table(pairs(data, scratch)))}


def pairs(data: Path, scratch: Path) -> Iterator[tuple[str, Any, Any]]:
    """The name of each file in data/formats/geo, and its rasterio datasets before and after it is enlarged."""
    for file in sorted((data / "formats/geo").glob("*.tif")):
        if file.stem == "RGB.byte":  # the same as rgb1, and larger
            continue
        source = scratch / file.name
        source.write_bytes(file.read_bytes())
        target = enlarged(source, make_upscaler(local=True), 1.25)
        with rasterio.open(source) as before, rasterio.open(target) as after:
            yield file.name, before, after


def table(datasets: Iterator[tuple[str, Any, Any]]) -> str:
    """A row for each file."""
    return markdown(HEAD, [_row(*each) for each in datasets], texts=len(HEAD))


def _row(name: str, before: Any, after: Any) -> list[str]:
    crs = before.crs.to_string().split('"')[1 if "[" in before.crs.to_string() else 0] if before.crs else "-"
    has_mask = before.mask_flag_enums[0] == [MaskFlags.per_dataset]
    nodata = ("a mask" if has_mask else "-") if before.nodata is None else f"{before.nodata:.4g}"
    sizes = f"{before.width}x{before.height} to {after.width}x{after.height}"
    moved = np.abs(corners(before) - corners(after)).max()
    return [name, str(before.count), before.dtypes[0], crs, nodata, sizes, f"{moved:.6f}"]
