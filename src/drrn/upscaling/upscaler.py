"""Enlarge an image. `drrn.upscaling.planes` enlarges its planes, and `drrn.upscaling.cost` predicts time and memory.

Alpha is enlarged like luma, after the colors under transparent pixels have been filled: otherwise dark ones would show
at its edges.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import partial
from math import prod
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from drrn.engines import EngineName, Precision
from drrn.engines.engine import Engine
from drrn.engines.selection import choose
from drrn.media.conversion import to_image
from drrn.media.image import Image
from drrn.media.metadata.adapting import resize_metadata
from drrn.upscaling.cost import MEMORY as MEMORY
from drrn.upscaling.cost import (
    Estimate,
    MemoryNeed,
    cached_speed,
    measure_speed,
    pass_cost,
    plane_memory,
    tile_sides,
    too_little_memory,
)
from drrn.upscaling.ensemble import ORIENTATIONS
from drrn.upscaling.planes import Plane, PlaneEnlarger
from drrn.upscaling.size import Size, target_size
from drrn.upscaling.tiles import Sides
from drrn.weights import DEFAULT
from drrn.weights.store import Weights, load

if TYPE_CHECKING:
    from PIL.Image import Image as Pillow

Sample = TypeVar("Sample", bound=np.generic)


class Upscaler:
    """Trained weights, ready to enlarge images by any scale above 1 and up to 8.

    Threads may share one: each gets the result that it would get alone; the native engine runs one at a time. A process
    forked from the one that created it may use it too, from one thread, with the same results. Which files a forked
    process can read and write is described in docs/how-to/python.md.
    """

    def __init__(
        self,
        weights: Weights | str | Path = DEFAULT,
        *,
        engine: EngineName = "auto",
        device: str = "auto",
        units: int | None = None,
        threads: int = 0,
        precision: Precision = "float32",
        compiled: bool = False,
        max_memory: int = MEMORY,
        ensemble: bool = False,
    ):
        """Load weights and prepare an engine.

        Args:
            weights: loaded weights, a packaged name, or the path of a file.
            engine: native (C++), reference (NumPy), torch or onnx; auto for the fastest that is installed.
            device: auto, or a device of torch, such as cpu, cuda or mps.
            units: residual units to run, for weights trained with several; all by default.
            threads: CPU threads, 0 for all cores.
            precision: arithmetic of torch on a device; the other engines support only float32.
            compiled: run torch through torch.compile, which takes a while to start.
            max_memory: bytes an enlargement may take; tiles are made small enough for it.
            ensemble: average the network's results over the eight flips and rotations of ilr, which takes eight times
                as long. Flipping or rotating an image then flips or rotates its result.

        Raises:
            WeightsError: there are no such weights.
            EngineError: the engine is not available here, or can't run that many units.
        """
        self.weights = weights if isinstance(weights, Weights) else load(weights)
        self.network = self.weights
        """The weights that the engine runs: all, or the network among them that `for_size` selected."""
        self._choose = partial(
            choose, engine=engine, device=device, units=units, threads=threads, precision=precision, compiled=compiled
        )
        self.engine: Engine = self._choose(self.network)
        self._others: dict[float, Upscaler] = {}  # by the scale of their network
        self.units = self.network.config.units if units is None else units
        self.precision = precision
        self.max_memory = max_memory
        self.ensemble = ensemble
        self._pixels_per_second: float | None = None

    @overload
    def upscale(
        self,
        image: Image | str | PathLike[str],
        scale: float | None = None,
        *,
        size: Size | None = None,
        bounds: tuple[float, float] = (0.0, 1.0),
        progress: Callable[[float], None] = lambda share: None,
    ) -> Image: ...
    @overload
    def upscale(
        self,
        image: NDArray[Sample],
        scale: float | None = None,
        *,
        size: Size | None = None,
        bounds: tuple[float, float] = (0.0, 1.0),
        progress: Callable[[float], None] = lambda share: None,
    ) -> NDArray[Sample]: ...
    @overload
    def upscale(
        self,
        image: "Pillow",
        scale: float | None = None,
        *,
        size: Size | None = None,
        bounds: tuple[float, float] = (0.0, 1.0),
        progress: Callable[[float], None] = lambda share: None,
    ) -> "Pillow": ...
    def upscale(
        self,
        image: "Image | str | PathLike[str] | NDArray[Any] | Pillow",
        scale: float | None = None,
        *,
        size: Size | None = None,
        bounds: tuple[float, float] = (0.0, 1.0),
        progress: Callable[[float], None] = lambda share: None,
    ) -> Any:
        """Enlarge an image. Its metadata is kept, and values measured in pixels, such as dpi, are scaled.

        Args:
            image: an Image, or the path of a file, which gives an Image; an array of uint8, uint16 or floats in [0, 1],
                (H, W) or (H, W, 1 to 4) with alpha last, which gives an array of the same dtype and axes; or a PIL
                image, which gives an upright PIL image of mode L, LA, RGB, RGBA or I;16.
            scale: above 1 and at most 8; each side becomes `side * scale`, rounded. 2 if no size is given either. If
                `weights.covers(scale)` is false, the result may be worse than bicubic's, without a warning.
            size: (width, height) of the result instead; each side must be 1 to 8 times as long.
            bounds: the range to which gray images are clipped; colors are brought into [0, 1].
            progress: called with the share that is done, in [0, 1].

        Raises:
            TypeError, ValueError: the image is of another type, or not gray or RGB.
            ImageError: the file cannot be read.
            UsageError: scale or size is out of range, or the result does not fit into `max_memory`.
            EngineError: the network failed.
        """
        source, back = to_image(image)
        return back(self._upscale(source, scale, size, progress, self._passes(), bounds)[0])

    def upscale_with_disagreement(
        self,
        image: Image,
        scale: float | None = None,
        *,
        size: Size | None = None,
        progress: Callable[[float], None] = lambda share: None,
    ) -> tuple[Image, Plane]:
        """Return the result of `upscale`, and how far the network disagrees with itself at each pixel.

        The disagreement (H, W) is the standard deviation of the network's outputs for the eight flips and rotations of
        ilr, before they are clipped to [0, 1]: of luma, or the largest of the three channels of an RGB model, or that
        of alpha if it is larger. It is 0 where the image is fully transparent. It is neither a probability nor an
        error: all eight may agree and be wrong.

        Args:
            image: any size.
            scale: above 1 and at most 8; 2 if no size is given either.
            size: (width, height) in pixels instead; one of them may be None.
            progress: called with the share that is done, in [0, 1].

        Raises:
            DRRNError: as `upscale`.
        """
        return self._upscale(image, scale, size, progress, self._passes(disagreement=True))

    def estimate(
        self,
        width: int,
        height: int,
        scale: float | None = None,
        *,
        size: Size | None = None,
        alpha: bool = False,
        disagreement: bool = False,
    ) -> Estimate:
        """Predict the time and memory of enlarging an image.

        Args:
            width: of the image, in pixels.
            height: of the image, in pixels.
            scale: above 1 and at most 8; 2 if no size is given either.
            size: (width, height) of the result instead; one of them may be None.
            alpha: the image has an alpha channel, which is enlarged too.
            disagreement: the disagreement is computed, which takes eight passes.

        Raises:
            UsageError: as `upscale`.
        """
        source, result = (width, height), target_size(width, height, scale, size)
        upscaler, passes = self.for_size(source, result), self._passes(disagreement)
        planes, (across, down) = upscaler._plane_memory(source, result, passes), self.network_size(source, result)
        # four of the eight passes run the image rotated by a quarter turn
        costs = [
            pass_cost(upscaler.engine, upscaler.network.config, sides, upscaler._tile(*sides, planes))
            for sides in [(down, across), (across, down)][:passes]
        ]
        pixels = sum(each.pixels for each in costs) / len(costs) * passes * (2 if alpha else 1)
        return Estimate(
            width=result[0],
            height=result[1],
            seconds=pixels / upscaler.speed(),
            memory=max(planes.peak, planes.running + max(each.memory for each in costs)),
            tile=upscaler._tile(down, across, planes),
        )

    def tile_sides(self, height: int, width: int, memory: int) -> Sides:
        """Height and width of the tiles that an image of the network's size is cut into, in pixels.

        Args:
            height: of the image, in pixels.
            width: of the image, in pixels.
            memory: bytes that the engine may take.

        Raises:
            EngineError: not even the smallest tile fits.
        """
        return tile_sides(self.engine, self.network.config, memory, height, width)

    def for_size(self, source: tuple[int, int], result: tuple[int, int]) -> "Upscaler":
        """This upscaler with the network for images enlarged from `source` to `result`, both (width, height).

        Networks are prepared when they are first needed, and kept.
        """
        network = self.weights.plan(source, result).network
        if network is self.network:
            return self
        scale = network.scales[0]
        if scale not in self._others:
            fresh = copy(self)
            fresh.network, fresh.engine, fresh._pixels_per_second = network, self._choose(network), None
            self._others[scale] = fresh  # stored only when complete: other threads read it
        other = self._others[scale]
        if other.max_memory != self.max_memory:  # a copy made by `with_reserved_memory`
            other.speed()
            other = copy(other)
            other.max_memory = self.max_memory
        return other

    def network_size(self, source: tuple[int, int], result: tuple[int, int]) -> tuple[int, int]:
        """Return the size of the network's output when an image of size `source` is enlarged to `result`.

        All are (width, height). It differs from `result` if each whole scale has its own network, and the scale is not
        whole.
        """
        return self.weights.plan(source, result).size

    @property
    def halo(self) -> int:
        """The reach of the network with the units it runs, in pixels of its output."""
        return replace(self.network.config, units=self.units).halo

    def with_reserved_memory(self, reserved: int) -> "Upscaler":
        """The same upscaler with less memory to use. The two cannot be used at the same time.

        Args:
            reserved: bytes of `max_memory` that the caller needs for something else.

        Raises:
            UsageError: nothing would be left.
        """
        if reserved >= self.max_memory:
            raise too_little_memory("The file and its frames need", reserved, self.max_memory)
        self.speed()  # measured once, for all copies
        limited = copy(self)
        limited.max_memory -= reserved
        return limited

    def _upscale(
        self,
        image: Image,
        scale: float | None,
        size: Size | None,
        progress: Callable[[float], None],
        passes: int,
        bounds: tuple[float, float] = (0.0, 1.0),
    ) -> tuple[Image, Plane]:
        source = image.width, image.height
        result = width, height = target_size(*source, scale, size)
        upscaler, made = self.for_size(source, result), self.network_size(source, result)
        memory = upscaler._plane_memory(source, result, passes)
        upscaler._tile(made[1], made[0], memory)  # an image that does not fit is refused before anything is computed
        runs = (1 if image.alpha is None else 2) * passes
        planes = PlaneEnlarger(
            engine=upscaler.engine,
            config=upscaler.network.config,
            halo=upscaler.halo,
            size=(height, width),
            network_size=(made[1], made[0]),
            passes=passes,
            ensemble=self.ensemble,
            bounds=bounds,
            tile_sides=lambda height, width: upscaler._tile(height, width, memory),
            progress=lambda pixels: progress(min(pixels / (runs * prod(made)), 1.0)),
        )
        colors, alpha, disagreement = planes.enlarge_image(image)
        larger = replace(
            image,
            pixels=np.ascontiguousarray(colors.transpose(1, 2, 0)),
            alpha=alpha,
            **resize_metadata(image.metadata, source, result)._asdict(),
        )
        return larger, disagreement

    def _passes(self, disagreement: bool = False) -> int:
        """How often the network runs over ilr."""
        return len(ORIENTATIONS) if self.ensemble or disagreement else 1

    def _plane_memory(self, source: tuple[int, int], result: tuple[int, int], passes: int) -> MemoryNeed:
        return plane_memory(source, result, self.network_size(source, result), self.network.config.channels, passes)

    def _tile(self, height: int, width: int, planes: MemoryNeed) -> Sides:
        if planes.peak > self.max_memory:
            raise too_little_memory(f"{width}x{height} pixels need", planes.peak, self.max_memory)
        return self.tile_sides(height, width, self.max_memory - planes.running)

    def speed(self) -> float:
        """Pixels per second of the engine on this machine, with all channels of an RGB model.

        It is measured with a small sample, which takes some tenths of a second for any network, and cached for a day in
        the user's cache folder. Bicubic, chroma, alpha and the other passes of an ensemble are not included.
        """
        if self._pixels_per_second is None:
            options = {"engine": self.engine.name, "options": self._choose.keywords}
            self._pixels_per_second = cached_speed(self.network.config, options, self.measure_speed)
        return self._pixels_per_second

    def measure_speed(self) -> float:
        """Measure `speed` now."""
        self._pixels_per_second = measure_speed(self.engine, self.network.config, self.units)
        return self._pixels_per_second
