"""Rasters of measurements become larger rasters of measurements, in windows, whatever memory the whole would take.

Each band is a picture of its own. Its values are normalised the same way in all windows, and a window is read with as
much around it as its pixels depend on: so it makes no difference how a scene is cut, beyond the last digits of the
engine's arithmetic. Where there is no measurement, the network is shown what is nearest, and none is invented.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from math import ceil, isfinite, prod
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drrn.atomic import atomic
from drrn.core.flat import keep_flat
from drrn.core.resize import Float, Place, imresize_place, source_of
from drrn.engines.engine import Planes
from drrn.errors import ImageError, UsageError, printable
from drrn.media import Block
from drrn.media.geotiff import files as geotiff
from drrn.media.geotiff.files import Raster, RasterWriter
from drrn.media.header import Header
from drrn.media.images.gdal import CACHE
from drrn.media.naming import split
from drrn.upscaling.consistency import CheckResult
from drrn.upscaling.ensemble import ORIENTATIONS, run_ensemble
from drrn.upscaling.formats.job import Job, Made
from drrn.upscaling.tiles import Sides, pieces, run_tiled, tile
from drrn.upscaling.upscaler import Estimate, Upscaler

SIDES: Final = (2048, 1024, 512, 256)
"""Of a window of the result, in pixels: the largest that fits into the memory. Whole blocks of the file."""
SAMPLES = 1 << 16
"""Values of a band that tell its range."""
OUTLIERS = 0.001
"""Share of a band's values, at either end, that its range doesn't heed."""
SEEN = (-0.5, 1.5)
"""What the network is given, where the band's range is [0, 1]: further out it learns of nothing."""
BYTES_PER_PIXEL = 45
"""What planes take for each pixel of a window of the result, while a band is enlarged; measured."""
BYTES_OF_ENSEMBLE = 16
"""What they take more with an ensemble."""
BYTES_PER_SOURCE_PIXEL = 40
"""What they take before that, for each pixel of the scene that is read for it; 8 of them are kept. Measured."""


class Range(NamedTuple):
    """The values of a band that are 0 and 1 to the network; the same where the band is constant."""

    low: float
    high: float


class Scenes:
    """See `drrn.upscaling.formats.job.Format`."""

    checks: Final = False
    counts_frames: Final = True
    warning: Final = "Finer detail in enlarged rasters is an estimate, and not for survey."

    def knows(self, path: Path) -> bool:
        return geotiff.is_raster(path)

    def gathers(self, path: Path) -> bool:
        return geotiff.is_raster(path)

    def probe(self, source: Path, *, max_pixels: int) -> Header:
        return geotiff.probe(source, max_pixels=max_pixels)

    def name(self, source: Path, header: Header) -> tuple[str, str]:
        stem, suffix = split(source.name)
        return stem, suffix if suffix.lower() in geotiff.SUFFIXES else geotiff.SUFFIXES[0]

    def writable(self, job: Job, path: Path, *, overwrite: bool) -> None:
        geotiff.writable(path, overwrite=overwrite)

    def changes(self, job: Job) -> tuple[str, ...]:
        return job.header.converted

    def estimate(self, job: Job, upscaler: Upscaler) -> Estimate:
        with geotiff.open_raster(job.source, max_pixels=job.header.pixels) as scene:
            return Windows(upscaler, scene, job.width, job.height, _block(job)).estimate()

    def enlarge(
        self,
        job: Job,
        upscaler: Upscaler,
        *,
        start: Callable[[], None],
        progress: Callable[[float], None],
        made: Made,
    ) -> CheckResult:
        with geotiff.open_raster(job.source, max_pixels=job.header.pixels) as scene:
            if (scene.width, scene.height, scene.bands) != (job.header.width, job.header.height, job.header.channels):
                raise ImageError(f"{printable(job.source)} has changed since it was looked at. Run it again.")
            windows = Windows(upscaler, scene, job.width, job.height, _block(job))
            ranges = measure_ranges(scene, windows.part)  # a damaged file ends here
            start()
            with atomic(job.target, overwrite=job.overwrite) as temporary:
                sizes, made_by = (job.width, job.height), _made_by(job, upscaler)
                how: dict[str, Any] = {"block": _block(job), "overviews": job.options.overviews}
                with geotiff.create_raster(scene, temporary, *sizes, made_by, target=job.target, **how) as larger:
                    windows.enlarge(ranges, larger, progress)
                made(job.target, temporary)
        return CheckResult()


SCENES: Final = Scenes()


class Windows:
    """A scene and its enlargement, cut into windows that fit into the memory."""

    def __init__(self, upscaler: Upscaler, scene: Raster, width: int, height: int, block: Block = geotiff.BLOCK):
        """Cut it into whole tiles of `block` pixels a side.

        Raises:
            UsageError: not even the smallest fits, or the windows of an ensemble would not fit together.
        """
        upscaler = upscaler.for_size((scene.width, scene.height), (width, height))
        cell = upscaler.network.config.unshuffle
        if upscaler.ensemble and (width % cell or height % cell):  # turned, its cells would begin elsewhere
            raise UsageError(
                f"{printable(scene.path)} would become {width}x{height}, and an ensemble in windows needs sides that "
                f"are multiples of {cell}. Give such a --size, or leave it out."
            )
        self.upscaler, self.scene, self.size = upscaler, scene, (height, width)
        self.whole = scene.height, scene.width
        config = upscaler.network.config
        self.halo, self.cell = config.halo, cell
        # a pixel that is kept sees so far: the network's halo, bicubic's 2 pixels, and 2 more where it is at an edge
        sees = max(ceil(config.halo * n / m) for n, m in zip(self.whole, self.size, strict=True)) + 4
        self.reach = 2 ** sees.bit_length() - 1
        """How far around measurements `spread` goes, in pixels of the scene; it needs as many around a window."""
        for side in [side for side in SIDES if side >= block] or SIDES[-1:]:
            self.side, self.outer = side, [min(side + 2 * (self.halo + cell - 1), n) for n in self.size]
            self.part = self._part()
            """Sides of the largest part of the scene that is read for a window."""
            self.memory = self._memory()
            if self.memory <= upscaler.max_memory:
                return
        cut = ", or tile the file" if scene.block > self.memory // 4 else ""
        raise UsageError(
            f"{printable(scene.path)} needs {self.memory / 2**20:.0f} MB for a window of it, allowed are "
            f"{upscaler.max_memory / 2**20:.0f}. Give a larger --max-memory{cut}."
        )

    def places(self) -> list[Place]:
        """Of the result, line by line."""
        return list(pieces(slice(0, self.size[0]), slice(0, self.size[1]), (self.side, self.side)))

    def estimate(self) -> Estimate:
        height, width = self.size
        down, across = self.outer
        sample = self.upscaler.estimate(max(across // 2, 1), max(down // 2, 1), size=(across, down))
        seconds = sample.seconds * len(self.places()) * self.scene.bands
        sides = min(self.side, height), min(self.side, width)
        return Estimate(width, height, seconds, self.memory, sides)

    def enlarge(self, ranges: list[Range], larger: RasterWriter, progress: Callable[[float], None]) -> None:
        """Fill `larger`.

        Raises:
            DRRNError: the file is damaged or can't be written, or the network failed.
        """
        places, bands = self.places(), self.scene.bands
        for number, place in enumerate(places):

            def told(band: int, share: float, number: int = number) -> None:
                progress((number * bands + band + share) / (len(places) * bands))

            larger.write(place, *self._window(place, ranges, told))

    def _window(
        self, place: Place, ranges: list[Range], told: Callable[[int, float], None]
    ) -> tuple[NDArray[Any], NDArray[np.bool] | None]:
        """(bands, h, w) of the result, and where there are measurements if the scene has a mask."""
        scene = self.scene
        around = tile(place, *self.size, self.halo, self.cell)
        needed = source_of(around.outer, self.whole, self.size)
        part, inside = tile(needed, *self.whole, self.reach)
        values = scene.read(part)
        hidden = scene.hidden(values, part)
        larger = np.empty((scene.bands, *(each.stop - each.start for each in place)), scene.dtype)
        exact = np.float32 if scene.dtype.itemsize < 4 else np.float64
        seen = values[scene.alpha] > 0 if scene.alpha is not None else np.True_
        for number, band in enumerate(sorted(range(scene.bands), key=lambda band: band != scene.alpha)):
            low, high = ranges[band]
            unmeasured = self._resized(hidden[band] & seen, part, place) >= 0.5 if hidden[band].any() else None
            if unmeasured is not None and scene.alpha is not None:  # which fades: what is hardly seen has its colour
                unmeasured |= larger[scene.alpha] == 0
            if unmeasured is not None and unmeasured.all():
                larger[band] = scene.filler
                told(number, 1)
                continue
            span = high - low or 1.0
            with np.errstate(invalid="ignore"):  # a NaN that stands for no measurement may be one that signals
                plane = ((values[band] - np.float64(low)) / span).astype(exact)
            if unmeasured is not None:
                plane = fill_unknown(plane, ~hidden[band], self.reach)
            ilr = imresize_place(plane[inside], around.outer, self.whole, self.size)
            if band == scene.alpha:  # bicubic overshoots at edges, and nothing is more than opaque
                sr = ilr[around.inner].clip(0, 1)
            elif low == high:
                sr = ilr[around.inner]
            else:
                sr = (ilr + self._detail(ilr, partial(told, number)))[around.inner]
                if not self.upscaler.network.config.flat:
                    keep_flat(sr[None], place, plane[None], part, self.whole, self.size, self.upscaler.halo)
            larger[band] = _stored(sr * span + low, scene, None if band == scene.alpha else scene.nodata)
            if unmeasured is not None:
                larger[band][unmeasured] = scene.filler
            told(number, 1)
        if not scene.masked:
            return larger, None
        return larger, self._resized(scene.mask(part) == 0, part, place) < 0.5

    def _detail(self, ilr: NDArray[np.floating], told: Callable[[float], None]) -> NDArray[np.float32]:
        """(h, w): what the network adds to ilr, of which it sees what is near the band's range."""
        config, done = self.upscaler.network.config, 0

        def count(pixels: int) -> None:
            nonlocal done
            done += pixels
            told(min(done / ilr.size / turns, 1.0))

        def run(planes: Planes) -> Planes:
            return run_tiled(self.upscaler.engine, planes, config=config, sides=planes.shape[1:], done=count)

        turns = len(ORIENTATIONS) if self.upscaler.ensemble else 1
        seen = ilr.clip(*SEEN).astype(np.float32)
        planes = np.repeat(seen[None], config.channels, axis=0)
        sr = run_ensemble(run, planes).mean if self.upscaler.ensemble else run(planes)
        return sr.mean(axis=0, dtype=np.float32) - seen

    def _resized(self, hidden: NDArray[np.bool], part: Place, place: Place) -> NDArray[np.float32]:
        """The bicubic enlargement of what is hidden in `part` of the scene, at `place` of the result."""
        needed = source_of(place, self.whole, self.size)
        inside = tuple(slice(n.start - p.start, n.stop - p.start) for n, p in zip(needed, part, strict=True))
        return imresize_place(hidden[inside].astype(np.float32), place, self.whole, self.size)

    def _part(self) -> Sides:
        rows, columns = (
            min(ceil(part * m / n) + 5 + 2 * self.reach, m)
            for part, m, n in zip(self.outer, self.whole, self.size, strict=True)
        )
        return rows, columns

    def _memory(self) -> int:
        """Bytes at the peak."""
        scene, engine, outer = self.scene, self.upscaler.engine, self.outer
        kept, read, itemsize = prod(min(self.side, n) for n in self.size), prod(self.part), scene.dtype.itemsize
        turned = BYTES_OF_ENSEMBLE if self.upscaler.ensemble else 0
        needed = max(engine.memory(*outer), engine.memory(*outer[::-1]) if turned else 0)
        running = needed + (BYTES_PER_PIXEL + turned) * prod(outer) + 8 * read
        planes = max(running, BYTES_PER_SOURCE_PIXEL * read)
        bands = scene.bands * (itemsize * (3 * kept + read + SAMPLES) + read)
        return planes + bands + CACHE + 2 * scene.block


def measure_ranges(scene: Raster, sides: Sides) -> list[Range]:
    """Read all of the scene, in pieces of as many pixels as `sides` have, and tell the range of each band.

    Raises:
        ImageError: it is damaged, or has infinite values.
    """
    step = ceil((scene.width * scene.height / SAMPLES) ** 0.5)
    across = scene.width if scene.striped else min(sides[1], scene.width)
    down = max(prod(sides) // across, 1)
    least, most = np.full(scene.bands, np.inf), np.full(scene.bands, -np.inf)
    samples: list[list[NDArray[Any]]] = [[] for _ in range(scene.bands)]
    for place in pieces(slice(0, scene.height), slice(0, scene.width), (down, across)):
        values = scene.read(place)
        measured = ~scene.hidden(values, place)
        grid = tuple(slice(-each.start % step, None, step) for each in place)
        for band, (plane, known) in enumerate(zip(values, measured, strict=True)):
            seen = plane[known]
            if seen.size:
                least[band], most[band] = min(least[band], seen.min()), max(most[band], seen.max())
                samples[band].append(plane[grid][known[grid]])
    return [_range(scene, band, *each) for band, each in enumerate(zip(least, most, samples, strict=True))]


def fill_unknown(plane: NDArray[Float], known: NDArray[np.bool], reach: int) -> NDArray[Float]:
    """Values (H, W) where they are `known`, and up to `reach` pixels around, means of the nearest.

    `reach` is 1, 3, 7, ...; what is known further away makes no difference to the last bit, so that it may be missing.
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
    """Places along an axis, and those `by` further, as far as both are there."""
    there = max(side - abs(by), 0)
    return slice(max(-by, 0), max(-by, 0) + there), slice(max(by, 0), max(by, 0) + there)


def _range(scene: Raster, band: int, least: float, most: float, samples: list[NDArray[Any]]) -> Range:
    if least > most:
        return Range(0, 0)  # there is no measurement
    if not isfinite(most - least):
        raise ImageError(
            f"{printable(scene.path)} has values in band {band + 1} that are infinite, or too large to compute with. "
            "Make them NaN or nodata first."
        )
    if band == scene.alpha:
        return Range(0, most)
    sample = np.concatenate(samples)
    low, high = np.quantile(sample.astype(np.float64), (OUTLIERS, 1 - OUTLIERS)) if sample.size else (least, least)
    return Range(float(low), float(high)) if low < high else Range(float(least), float(most))


def _stored(values: NDArray[np.floating], scene: Raster, nodata: float | None) -> NDArray[Any]:
    """As the file has them, and none of them as `nodata`: what would be becomes the next number."""
    if scene.dtype.kind == "f":
        most = np.finfo(scene.dtype).max
        stored = values.clip(-most, most).astype(scene.dtype)
        towards = float(nodata == 0)
        other = np.nextafter(scene.dtype.type(nodata or 0), scene.dtype.type(towards))
    else:
        info = np.iinfo(scene.dtype)
        stored = np.rint(values).clip(info.min, info.max).astype(scene.dtype)
        other = scene.dtype.type((nodata or 0) + (1 if nodata != info.max else -1))
    if nodata is not None:
        stored[stored == nodata] = other
    return stored


def _block(job: Job) -> Block:
    return job.options.block or geotiff.BLOCK


def _made_by(job: Job, upscaler: Upscaler) -> str:
    how = job.derived(upscaler)
    return (
        f"drrn {how.version}, model {how.model}, {job.header.width}x{job.header.height} to {job.width}x{job.height}; "
        "finer detail is an estimate, not for survey"
    )
