"""The values of a raster: the range the network sees, how gaps are filled for it, and how results are stored."""

from itertools import product
from math import ceil, isfinite, prod
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drrn.core.resize import Float
from drrn.errors import ImageError, printable
from drrn.media.geotiff.files import Raster
from drrn.upscaling.tiles import Sides, pieces

SAMPLES: Final = 1 << 16
"""Values of a band that its range is estimated from."""
OUTLIERS: Final = 0.001
"""Share of a band's values, at either end, that its range ignores."""


class Range(NamedTuple):
    """The values of a band that the network sees as 0 and 1; equal if the band is constant."""

    low: float
    high: float


def measure_ranges(raster: Raster, sides: Sides) -> list[Range]:
    """Read the whole raster in pieces of `sides`, and return the range of each band.

    Raises:
        ImageError: it is damaged, or has infinite values.
    """
    step = ceil((raster.width * raster.height / SAMPLES) ** 0.5)
    across = raster.width if raster.striped else min(sides[1], raster.width)
    down = max(prod(sides) // across, 1)
    least, most = np.full(raster.bands, np.inf), np.full(raster.bands, -np.inf)
    samples: list[list[NDArray[Any]]] = [[] for _ in range(raster.bands)]
    for place in pieces(slice(0, raster.height), slice(0, raster.width), (down, across)):
        values = raster.read(place)
        measured = ~raster.hidden(values, place)
        grid = tuple(slice(-each.start % step, None, step) for each in place)
        for band, (plane, known) in enumerate(zip(values, measured, strict=True)):
            seen = plane[known]
            if seen.size:
                least[band], most[band] = min(least[band], seen.min()), max(most[band], seen.max())
                samples[band].append(plane[grid][known[grid]])
    return [_range(raster, band, *each) for band, each in enumerate(zip(least, most, samples, strict=True))]


def fill_unknown(plane: NDArray[Float], known: NDArray[np.bool], reach: int) -> NDArray[Float]:
    """Return values (H, W): unchanged where `known`, and up to `reach` pixels around the means of the nearest ones.

    `reach` is 1, 3, 7, ...; values further away have no influence, so they may be missing.
    """
    filled, known = np.where(known, plane, 0.5), known.copy()
    step = 1
    while step <= reach:
        total, count = np.zeros_like(filled), np.zeros(filled.shape, np.uint8)
        for down, across in product((-step, 0, step), repeat=2):
            to, of = zip(*(_shifted(by, n) for by, n in zip((down, across), filled.shape, strict=True)), strict=True)
            total[to] += np.where(known[of], filled[of], 0)
            count[to] += known[of]
        fresh = ~known & (count > 0)
        filled[fresh] = total[fresh] / count[fresh]
        known |= fresh
        step *= 2
    return filled


def _shifted(by: int, side: int) -> tuple[slice, slice]:
    """Return the positions along an axis, and those shifted by `by`, where both exist."""
    there = max(side - abs(by), 0)
    return slice(max(-by, 0), max(-by, 0) + there), slice(max(by, 0), max(by, 0) + there)


def _range(raster: Raster, band: int, least: float, most: float, samples: list[NDArray[Any]]) -> Range:
    if least > most:
        return Range(0, 0)  # no pixel of the band has a measurement
    if not isfinite(most - least):
        raise ImageError(
            f"{printable(raster.path)} has values in band {band + 1} that are infinite, or too large to compute with. "
            "Make them NaN or nodata first."
        )
    if band == raster.alpha:
        return Range(0, most)
    sample = np.concatenate(samples)
    low, high = np.quantile(sample.astype(np.float64), (OUTLIERS, 1 - OUTLIERS)) if sample.size else (least, least)
    return Range(float(low), float(high)) if low < high else Range(float(least), float(most))


def to_samples(values: NDArray[np.floating], raster: Raster, nodata: float | None) -> NDArray[Any]:
    """Convert values to the dtype of the file. A measurement that would equal `nodata` becomes the next number."""
    if raster.dtype.kind == "f":
        most = np.finfo(raster.dtype).max
        stored = values.clip(-most, most).astype(raster.dtype)
        towards = float(nodata == 0)
        other = np.nextafter(raster.dtype.type(nodata or 0), raster.dtype.type(towards))
    else:
        info = np.iinfo(raster.dtype)
        stored = np.rint(values).clip(info.min, info.max).astype(raster.dtype)
        other = raster.dtype.type((nodata or 0) + (1 if nodata != info.max else -1))
    if nodata is not None:
        stored[stored == nodata] = other
    return stored
