"""Enlarge rasters window by window, in whatever memory is available.

Each band is treated as an image of its own. Its values are normalized the same way in all windows, and each window is
read with as many pixels around it as its result depends on. How a raster is divided therefore makes no difference
beyond the last digits of the engine's arithmetic. Where there is no measurement, the network sees the nearest one, but
none is added to the result.
"""

from collections.abc import Callable
from math import ceil, prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drrn.core.flat import keep_flat
from drrn.core.resize import Float, Place, imresize_place, source_of
from drrn.engines.engine import Planes
from drrn.errors import UsageError, printable
from drrn.media import Block
from drrn.media.geotiff import files as geotiff
from drrn.media.geotiff.files import Raster, RasterWriter
from drrn.media.images.gdal import CACHE
from drrn.upscaling.cost import Estimate
from drrn.upscaling.ensemble import ORIENTATIONS, run_ensemble
from drrn.upscaling.formats.job import Hooks
from drrn.upscaling.formats.raster_values import SAMPLES, Range, fill_unknown, to_samples
from drrn.upscaling.tiles import Sides, pieces, run_tiled, tile
from drrn.upscaling.upscaler import Upscaler

SIDES: Final = (2048, 1024, 512, 256)
"""Sides of a window of the result, in pixels; the largest that fits into memory is used. Whole blocks of the file."""
VISIBLE: Final = (-0.5, 1.5)
"""Limits for the network's input, for a band whose range is [0, 1]: it was not trained on values beyond."""
BYTES_PER_PIXEL = 45
"""Bytes of planes per pixel of a window of the result while a band is enlarged; measured."""
BYTES_OF_ENSEMBLE = 16
"""Additional bytes per pixel for an ensemble."""
BYTES_PER_SOURCE_PIXEL = 40
"""Bytes per raster pixel read for a window, before the enlargement; 8 of them are kept. Measured."""


class Windows:
    """A raster and its enlargement, divided into windows that fit into memory."""

    def __init__(self, upscaler: Upscaler, raster: Raster, width: int, height: int, block: Block = geotiff.BLOCK):
        """Divide it into windows of whole tiles of `block` pixels a side.

        Raises:
            UsageError: not even the smallest window fits, or an ensemble can't be divided into windows at this size.
        """
        upscaler = upscaler.for_size((raster.width, raster.height), (width, height))
        cell = upscaler.network.config.unshuffle
        across, down = upscaler.network_size((raster.width, raster.height), (width, height))
        if upscaler.ensemble and (
            across % cell or down % cell
        ):  # in a rotated raster, the cells of the network would be at other positions
            raise UsageError(
                f"{printable(raster.path)} would become {width}x{height}, and an ensemble in windows needs sides that "
                f"are multiples of {cell}. Give such a --size, or leave it out."
            )
        self.upscaler, self.raster, self.size, self.network_size = upscaler, raster, (height, width), (down, across)
        self.whole = raster.height, raster.width
        config = upscaler.network.config
        self.halo, self.cell = config.halo, cell
        # the reach of an output pixel: the network's halo, 2 pixels of bicubic, and 2 more at an edge
        sees = max(ceil(config.halo * n / m) for n, m in zip(self.whole, self.network_size, strict=True)) + 4
        self.reach = 2 ** sees.bit_length() - 1
        """The reach of `fill_unknown` in raster pixels; as many must be read around a window."""
        for side in [side for side in SIDES if side >= block] or SIDES[-1:]:
            self.side = side
            self.outer = [self._outer(*ends) for ends in zip(self.size, self.network_size, strict=True)]
            """Sides of the largest area that the network computes for a window."""
            self.part = self._part()
            """Sides of the largest area of the raster that is read for a window."""
            self.memory = self._memory()
            if self.memory <= upscaler.max_memory:
                return
        cut = ", or tile the file" if raster.block > self.memory // 4 else ""
        raise UsageError(
            f"{printable(raster.path)} needs {self.memory / 2**20:.0f} MB for a window of it, and "
            f"{upscaler.max_memory / 2**20:.0f} are allowed. Give a larger --max-memory{cut}."
        )

    def places(self) -> list[Place]:
        """Return the windows of the result, line by line."""
        return list(pieces(slice(0, self.size[0]), slice(0, self.size[1]), (self.side, self.side)))

    def estimate(self) -> Estimate:
        height, width = self.size
        seconds = prod(self.outer) / self.upscaler.speed() * len(self.places()) * self.raster.bands
        seconds *= len(ORIENTATIONS) if self.upscaler.ensemble else 1
        sides = min(self.side, height), min(self.side, width)
        return Estimate(width, height, seconds, self.memory, sides)

    def enlarge(self, ranges: list[Range], writer: RasterWriter, hooks: Hooks) -> None:
        """Enlarge all windows and write them.

        Raises:
            DRRNError: the file is damaged or can't be written, or the network failed.
        """
        places, bands = self.places(), self.raster.bands
        for number, place in enumerate(places):
            progress = [hooks.progress_of(number * bands + band, len(places) * bands) for band in range(bands)]
            writer.write(place, *self._window(place, ranges, progress))

    def _window(
        self, place: Place, ranges: list[Range], progress: list[Callable[[float], None]]
    ) -> tuple[NDArray[Any], NDArray[np.bool] | None]:
        """Return (bands, h, w) of the result, and where there are measurements if the raster has a mask.

        Args:
            progress: a function for each band, in the order in which they are enlarged.
        """
        raster = self.raster
        around = tile(source_of(place, self.network_size, self.size), *self.network_size, self.halo, self.cell)
        needed = source_of(around.outer, self.whole, self.network_size)
        part, inside = tile(needed, *self.whole, self.reach)
        values = raster.read(part)
        hidden = raster.hidden(values, part)
        larger = np.empty((raster.bands, *(each.stop - each.start for each in place)), raster.dtype)
        exact = np.float32 if raster.dtype.itemsize < 4 else np.float64
        visible = values[raster.alpha] > 0 if raster.alpha is not None else np.True_
        for number, band in enumerate(sorted(range(raster.bands), key=lambda band: band != raster.alpha)):
            low, high = ranges[band]
            unmeasured = self._share(hidden[band] & visible, part, place) >= 0.5 if hidden[band].any() else None
            if (
                unmeasured is not None and raster.alpha is not None
            ):  # alpha is gradual: barely visible pixels keep their color
                unmeasured |= larger[raster.alpha] == 0
            if unmeasured is not None and unmeasured.all():
                larger[band] = raster.filler
                progress[number](1)
                continue
            span = high - low or 1.0
            with np.errstate(invalid="ignore"):  # NaNs that mark missing measurements may be signaling ones
                plane = ((values[band] - np.float64(low)) / span).astype(exact)
            if unmeasured is not None:
                plane = fill_unknown(plane, ~hidden[band], self.reach)
            if band == raster.alpha:  # bicubic overshoots at edges, but alpha must not exceed opaque
                sr = self._resized(plane, part, place).clip(0, 1)
            elif low == high:
                sr = self._resized(plane, part, place)
            else:
                ilr = imresize_place(plane[inside], around.outer, self.whole, self.network_size)
                output = (ilr + self._detail(ilr, progress[number]))[around.inner]
                at = source_of(place, self.network_size, self.size)
                if not self.upscaler.network.config.flat:
                    keep_flat(output[None], at, plane[None], part, self.whole, self.network_size, self.upscaler.halo)
                sr = imresize_place(output, place, self.network_size, self.size)
            larger[band] = to_samples(sr * span + low, raster, None if band == raster.alpha else raster.nodata)
            if unmeasured is not None:
                larger[band][unmeasured] = raster.filler
            progress[number](1)
        if not raster.masked:
            return larger, None
        return larger, self._share(raster.mask(part) == 0, part, place) < 0.5

    def _detail(self, ilr: NDArray[np.floating], progress: Callable[[float], None]) -> NDArray[np.float32]:
        """Return (h, w): what the network adds to ilr, whose values are limited to near the band's range."""
        config, done = self.upscaler.network.config, 0

        def add(pixels: int) -> None:
            nonlocal done
            done += pixels
            progress(min(done / ilr.size / passes, 1.0))

        def run(planes: Planes) -> Planes:
            return run_tiled(self.upscaler.engine, planes, config=config, sides=planes.shape[1:], done=add)

        passes = len(ORIENTATIONS) if self.upscaler.ensemble else 1
        visible = ilr.clip(*VISIBLE).astype(np.float32)
        planes = np.repeat(visible[None], config.channels, axis=0)
        sr = run_ensemble(run, planes).mean if self.upscaler.ensemble else run(planes)
        return sr.mean(axis=0, dtype=np.float32) - visible

    def _share(self, hidden: NDArray[np.bool], part: Place, place: Place) -> NDArray[np.float32]:
        """Return the share that is hidden at `place` of the result, for `hidden` in `part` of the raster."""
        return self._resized(hidden.astype(np.float32), part, place)

    def _resized(self, plane: NDArray[Float], part: Place, place: Place) -> NDArray[Float]:
        """Return the bicubic enlargement of `part` of the raster at `place` of the result."""
        needed = source_of(place, self.whole, self.size)
        inside = tuple(slice(n.start - p.start, n.stop - p.start) for n, p in zip(needed, part, strict=True))
        return imresize_place(plane[inside], place, self.whole, self.size)

    def _outer(self, size: int, network_size: int) -> int:
        """Return the longest side that the network computes for a window, along an axis.

        Args:
            size: of the whole result along this axis.
            network_size: of the network's output along this axis.
        """
        needed = self.side
        if size != network_size:
            needed = ceil(self.side * network_size / size) + 4 * ceil(max(network_size / size, 1)) + 1
        return min(needed + 2 * (self.halo + self.cell - 1), network_size)

    def _part(self) -> Sides:
        rows, columns = (
            min(ceil(part * m / n) + 5 + 2 * self.reach, m)
            for part, m, n in zip(self.outer, self.whole, self.network_size, strict=True)
        )
        return rows, columns

    def _memory(self) -> int:
        """Return the peak memory in bytes."""
        raster, engine, outer = self.raster, self.upscaler.engine, self.outer
        kept, read, itemsize = prod(min(self.side, n) for n in self.size), prod(self.part), raster.dtype.itemsize
        turned = BYTES_OF_ENSEMBLE if self.upscaler.ensemble else 0
        needed = max(engine.memory(*outer), engine.memory(*outer[::-1]) if turned else 0)
        running = needed + (BYTES_PER_PIXEL + turned) * prod(outer) + 8 * read
        planes = max(running, BYTES_PER_SOURCE_PIXEL * read)
        bands = raster.bands * (itemsize * (3 * kept + read + SAMPLES) + read)
        return planes + bands + CACHE + 2 * raster.block
