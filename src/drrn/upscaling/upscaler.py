"""A picture becomes a larger picture.

Luma goes through the network and chroma is enlarged by bicubic; where the two do not fit, `drrn.core.gamut` keeps the
mean of the colors. An RGB model takes all three channels. Alpha goes through the network, too. Colors under transparent
pixels are first filled in from the nearest visible ones, so that nothing dark shines through at edges.
"""

import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from drrn.core import gamut
from drrn.core.color import rgb, ycbcr
from drrn.core.flat import keep_flat
from drrn.core.resize import imresize
from drrn.engines import EngineName, Precision
from drrn.engines.engine import BAND, Engine, Planes
from drrn.engines.selection import choose
from drrn.errors import UsageError
from drrn.media.conversion import to_image
from drrn.media.image import Image, type_name
from drrn.media.metadata.notes import resize_metadata
from drrn.upscaling.ensemble import ORIENTATIONS, run_ensemble
from drrn.upscaling.tiles import Sides, largest_tile, pieces, run_tiled
from drrn.weights import DEFAULT
from drrn.weights.store import Weights, load

if TYPE_CHECKING:
    from PIL.Image import Image as Pillow

Sample = TypeVar("Sample", bound=np.generic)

MAX_SCALE = 8.0
"""Twice what the packaged models were trained for."""
MEMORY = 2 << 30
"""Bytes that an enlargement may take, where nothing else is said."""
BYTES_PER_PIXEL = 42
"""What planes take for each pixel of the enlarged picture, when colours are put together again; measured."""
BYTES_PER_SOURCE_PIXEL = 28
"""What they take for each pixel of the picture that is enlarged, all the time; measured."""
MAX_TILE = 1008
"""Side of a square tile, and width of a strip, in pixels: smaller ones overlap more, with larger ones it takes longer
to stop, and the rows that an engine streams outgrow the processor's cache. A multiple of any number of whole cells."""
STRIP_STEP = 48
"""The width of a strip is a multiple of this, and so of whole cells."""
SAMPLE_MACS = 1e10
"""The work of the sample that tells an engine's speed: a tenth of a second or less."""

Size = tuple[int | None, int | None]
"""(width, height) in pixels; a side that is None follows from the other."""
Plane = NDArray[np.float32]
"""(H, W)."""
Enlarge = Callable[[Planes], tuple[Planes, Plane]]
"""(channels, h, w) -> (channels, H, W) in [0, 1], and their disagreement."""


@dataclass(frozen=True)
class Estimate:
    """What an enlargement will cost."""

    width: int
    height: int
    seconds: float
    """From a short run of the engine here and now."""
    memory: int
    """Bytes at its peak, above what the process holds before."""
    tile: Sides
    """Height and width of the tiles, in pixels of the enlarged picture."""


class Bytes(NamedTuple):
    """What an enlargement takes beside the engine's own memory."""

    peak: int
    running: int
    """While the engine runs."""


class Upscaler:
    """Trained weights, ready to enlarge images by any scale above 1 and up to 8.

    Threads may share one: each gets the result that it would get alone, and the native engine takes them in turns. A
    process forked from the one that made it may use it too, in one thread, to the same bytes. Of files, what a forked
    process can read and write is said in docs/python.md.
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
        """Load and make ready.

        Args:
            weights: as loaded, or their packaged name, or their file.
            engine: native (C++), reference (NumPy), torch or onnx; auto takes the fastest that is installed.
            device: auto, or a device of torch, such as cpu, cuda or mps.
            units: residual units to run, for weights trained with several; all if not given.
            threads: of the CPU, 0 for all cores.
            precision: arithmetic of torch on a device; the other engines have float32 alone.
            compiled: run torch through torch.compile, which takes a while to begin.
            max_memory: bytes that an enlargement may take; tiles are made as small as that needs.
            ensemble: give the mean of what the network makes of ilr in its eight flips and turns, in eight times the
                time. A picture that is flipped or turned then becomes the same result, flipped or turned.

        Raises:
            WeightsError: there are no such weights.
            EngineError: the engine is not to be had here, or can't run so many units.
        """
        self.weights = weights if isinstance(weights, Weights) else load(weights)
        self.network = self.weights
        """The network that the engine runs: that of `weights`, or the one that they have for an exact scale."""
        self._choose = partial(
            choose, engine=engine, device=device, units=units, threads=threads, precision=precision, compiled=compiled
        )
        self.engine: Engine = self._choose(self.network)
        self._others: dict[int, Upscaler] = {}  # by the whole scale of their network, 0 for all others
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
        """Enlarge an image. Its metadata stay, and what counts pixels, as dpi do, grows with it.

        Args:
            image: an Image, or the path of a file, which gives an Image; an array of uint8, uint16 or floats in [0, 1],
                (H, W) or (H, W, 1 to 4) with alpha last, which gives an array of the same dtype and axes; or a PIL
                image, which gives an upright PIL image, of mode L, LA, RGB, RGBA or I;16.
            scale: above 1 and at most 8; each side becomes `side * scale`, rounded. 2 where no size is given either.
                Where `weights.covers(scale)` is not so, the result can be worse than bicubic's, and nothing says it.
            size: what the result shall measure instead; each side must be 1 to 8 times as long.
            bounds: to which what the network makes is clipped.
            progress: told the share that is done, in [0, 1].

        Raises:
            TypeError, ValueError: the image is of another type, or holds something else.
            ImageError: the file cannot be read.
            UsageError: scale or size is out of range, or the result does not fit into `max_memory`.
            EngineError: the network failed. There is no result then.
        """
        source, back = to_image(image)
        return back(self._upscale(source, scale, size, progress, self._turns(), bounds)[0])

    def upscale_with_disagreement(
        self,
        picture: Image,
        scale: float | None = None,
        *,
        size: Size | None = None,
        progress: Callable[[float], None] = lambda share: None,
    ) -> tuple[Image, Plane]:
        """What `upscale` gives, and how far the network is from agreeing with itself, pixel by pixel.

        That is the standard deviation, (H, W), over what it makes of the eight flips and turns of ilr, before they are
        clipped to [0, 1]: of luma, or the largest of the three channels where it is an RGB model; or that of alpha,
        where this is larger. 0 where nothing is seen of the picture. It is no probability, and no error: what the eight
        agree on may be wrong.

        Args:
            picture: any size.
            scale: above 1 and at most 8; 2 where no size is given either.
            size: (width, height) in pixels instead; one of them may be None.
            progress: told the share that is done, in [0, 1].

        Raises:
            DRRNError: as `upscale`.
        """
        return self._upscale(picture, scale, size, progress, self._turns(disagreement=True))

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
        """The expected time and memory of enlarging an image.

        Args:
            width: of the image, in pixels.
            height: of the image, in pixels.
            scale: above 1 and at most 8; 2 where no size is given either.
            size: (width, height) of the result instead; one of them may be None.
            alpha: the image has an alpha channel, which is enlarged too.
            disagreement: the disagreement is computed, which takes eight runs.

        Raises:
            UsageError: as `upscale`.
        """
        wanted = target_size(width, height, scale, size)
        self = self.for_size((width, height), wanted)
        halo, source = 2 * self.network.config.halo, width * height
        width, height = wanted
        turns = self._turns(disagreement)
        planes = self._planes(source, width * height, turns)
        work, needed = [], []  # of a run: its pixels, and what the engine needs
        for whole in [(height, width), (width, height)][:turns]:  # half of eight turns lie on their side
            cut = list(zip(self._tile(*whole, planes), whole, strict=True))
            # tiles overlap by their halos, but not beyond the picture
            work.append(prod(end + (-(-end // side) - 1) * halo for side, end in cut))
            needed.append(self.engine.memory(*(min(side + halo, end) for side, end in cut)))
        return Estimate(
            width=width,
            height=height,
            seconds=sum(work) / len(work) * turns * (2 if alpha else 1) / self.speed(),
            memory=max(planes.peak, planes.running + max(needed)),
            tile=self._tile(height, width, planes),
        )

    def tile_sides(self, height: int, width: int, memory: int) -> Sides:
        """Height and width of the tiles that a picture is cut into, in pixels of the result.

        Args:
            height: of the result, in pixels.
            width: of the result, in pixels.
            memory: bytes that the engine may take.

        Raises:
            EngineError: not even the smallest tile fits.
        """
        down, across = largest_tile(self.engine, self.network.config, memory, height, width)
        if not self.engine.streams:
            return min(down, MAX_TILE), min(across, MAX_TILE)
        step = STRIP_STEP if across >= STRIP_STEP else self.network.config.unshuffle
        strips = -(-width // min(across if across == width else across // step * step, MAX_TILE))
        return down, min(-(-width // (strips * step)) * step, width)  # of one width, or nearly

    def for_size(self, source: tuple[int, int], result: tuple[int, int]) -> "Upscaler":
        """An upscaler with the network that suits images enlarged from `source` to `result`, both (width, height).

        The networks are made ready when they are first needed, and kept.
        """
        network = self.weights.fitting(source, result)
        if network is self.network:
            return self
        scale = 0 if network is self.weights else result[0] // source[0]
        if scale not in self._others:
            fresh = copy(self)
            fresh.network, fresh.engine, fresh._pixels_per_second = network, self._choose(network), None
            self._others[scale] = fresh  # once it is complete: other threads look here
        other = self._others[scale]
        if other.max_memory != self.max_memory:  # one that is `beside` something else
            other.speed()
            other = copy(other)
            other.max_memory = self.max_memory
        return other

    @property
    def halo(self) -> int:
        """How far the network sees with the units it runs, in pixels of the result."""
        return replace(self.network.config, units=self.units).halo

    def with_reserved_memory(self, held: int) -> "Upscaler":
        """The same upscaler with less memory to use. The two cannot be used at the same time.

        Args:
            held: bytes of `max_memory` that the caller needs for something else.

        Raises:
            UsageError: nothing would be left.
        """
        if held >= self.max_memory:
            raise UsageError(
                f"{held / 2**20:.0f} MB and more are needed, allowed are {self.max_memory / 2**20:.0f}. Give a smaller "
                "scale, or a larger --max-memory."
            )
        self.speed()  # measured once for all that are made of this one
        rest = copy(self)
        rest.max_memory -= held
        return rest

    def _upscale(
        self,
        picture: Image,
        scale: float | None,
        size: Size | None,
        progress: Callable[[float], None],
        turns: int,
        bounds: tuple[float, float] = (0.0, 1.0),
    ) -> tuple[Image, Plane]:
        width, height = target_size(picture.width, picture.height, scale, size)
        self = self.for_size((picture.width, picture.height), (width, height))
        memory = self._planes(picture.width * picture.height, width * height, turns)
        self._tile(height, width, memory)  # what does not fit is refused before anything is computed
        pixels_to_run = (1 if picture.alpha is None else 2) * turns * width * height
        ran = 0

        def done(pixels: int) -> None:
            nonlocal ran
            ran += pixels
            progress(min(ran / pixels_to_run, 1.0))

        def run(ilr: Planes) -> Planes:
            tile = self._tile(ilr.shape[1], ilr.shape[2], memory)
            return run_tiled(self.engine, ilr, config=self.network.config, sides=tile, done=done)

        def enlarge(planes: Planes) -> tuple[Planes, Plane]:
            corner = planes[:, :1, :1]
            agreed = np.broadcast_to(np.float32(0), (height, width))
            if (planes == corner).all():  # nothing to restore, and no border for the network's padding to darken
                done(turns * width * height)
                return np.broadcast_to(corner, (len(planes), height, width)), agreed
            ilr = imresize(planes, height, width)
            if turns == 1:
                return restored(run(ilr).clip(*bounds), planes), agreed
            eight = run_ensemble(run, ilr)
            chosen = eight.mean if self.ensemble else eight.plain
            return restored(chosen.clip(*bounds), planes), eight.deviation.max(axis=0)

        def restored(sr: Planes, planes: Planes) -> Planes:
            if not self.network.config.flat:
                whole, size = planes.shape[1:], (height, width)
                places = [(slice(0, end[0]), slice(0, end[1])) for end in (size, whole)]
                keep_flat(sr, places[0], planes, places[1], whole, size, self.halo)
            return sr

        pixels = picture.pixels if picture.alpha is None else fill_transparent(picture.pixels, picture.alpha)
        colours, disagreement = self._enlarge_colours(
            np.ascontiguousarray(pixels.transpose(2, 0, 1)), enlarge, height, width
        )
        alpha = None
        if picture.alpha is not None:
            alpha, of_alpha = self._enlarge_one(picture.alpha, enlarge)
            ilr = imresize(picture.alpha, height, width)
            alpha[ilr >= 1 - 1e-6] = 1  # what bicubic has opaque or transparent is so
            alpha[ilr <= 1e-6] = 0
            disagreement = np.where(alpha > 0, np.maximum(disagreement, of_alpha), 0)
        larger = replace(
            picture,
            pixels=np.ascontiguousarray(colours.transpose(1, 2, 0)),
            alpha=alpha,
            **resize_metadata(picture.notes, (picture.width, picture.height), (width, height))._asdict(),
        )
        return larger, disagreement

    def _turns(self, disagreement: bool = False) -> int:
        """How often ilr is run."""
        return len(ORIENTATIONS) if self.ensemble or disagreement else 1

    def _planes(self, source: int, result: int, turns: int) -> Bytes:
        """What planes take, for so many pixels of the picture and of its enlargement."""
        # while alpha runs, finished colours and their disagreement are kept; a run takes ilr, sr, the tile that was
        # computed and where it is finite, the ensemble also the plain result, the mean and the squares
        kept, planes = (12, 3) if turns == 1 else (16, 6)
        running = kept + (4 * planes + 1) * self.network.config.channels
        peak = max(BYTES_PER_PIXEL + kept - 12, running)
        return Bytes(*(each * result + BYTES_PER_SOURCE_PIXEL * source for each in (peak, running)))

    def _tile(self, height: int, width: int, planes: Bytes) -> Sides:
        if planes.peak > self.max_memory:
            raise UsageError(
                f"{width}x{height} pixels need {planes.peak / 2**20:.0f} MB and more, allowed are "
                f"{self.max_memory / 2**20:.0f}. Give a smaller scale, or a larger --max-memory."
            )
        return self.tile_sides(height, width, self.max_memory - planes.running)

    def speed(self) -> float:
        """Pixels of the result that the engine makes in a second, here and now: an RGB model all three channels.

        The first call measures it by a sample, whose work is bounded: some tenths of a second for any network. Later
        ones give that again. Bicubic, chroma, alpha and an ensemble's further turns are not in it.
        """
        if self._pixels_per_second is None:
            config = self.network.config
            side = int(np.clip((SAMPLE_MACS / config.macs(self.units)) ** 0.5, 32, 512)) // 4 * 4
            sample = np.full((config.channels, side, side), 0.5, np.float32)
            self.engine.run(sample)
            began = time.perf_counter()
            self.engine.run(sample)
            self._pixels_per_second = side * side / (time.perf_counter() - began)
        return self._pixels_per_second

    def _enlarge_colours(self, planes: Planes, enlarge: Enlarge, height: int, width: int) -> tuple[Planes, Plane]:
        if (planes == planes[:1]).all():  # grey stays grey, to the last bit
            grey, disagreement = self._enlarge_one(planes[0], enlarge)
            return np.repeat(grey[None], len(planes), axis=0), disagreement
        if self.network.config.channels == 3:
            return enlarge(planes)
        y, *chroma = ycbcr(planes)
        luma, disagreement = enlarge(y[None])
        mixed = rgb(np.stack([luma[0], *imresize(np.stack(chroma), height, width)]))
        colors = np.empty_like(mixed)
        for place in pieces(slice(0, height), slice(0, width), (BAND, MAX_TILE)):
            at = gamut.window(place, (planes.shape[1], planes.shape[2]), (height, width))
            colors[:, *place] = gamut.clip(mixed[:, *at.outer], planes[:, *at.source], at)
        return colors, disagreement

    def _enlarge_one(self, plane: Plane, enlarge: Enlarge) -> tuple[Plane, Plane]:
        planes, disagreement = enlarge(np.repeat(plane[None], self.network.config.channels, axis=0))
        return planes.mean(axis=0, dtype=np.float32), disagreement


@overload
def upscale(
    image: Image | str | PathLike[str],
    scale: float | None = None,
    *,
    size: Size | None = None,
    weights: Weights | str | Path = DEFAULT,
) -> Image: ...
@overload
def upscale(
    image: NDArray[Sample],
    scale: float | None = None,
    *,
    size: Size | None = None,
    weights: Weights | str | Path = DEFAULT,
) -> NDArray[Sample]: ...
@overload
def upscale(
    image: "Pillow",
    scale: float | None = None,
    *,
    size: Size | None = None,
    weights: Weights | str | Path = DEFAULT,
) -> "Pillow": ...
def upscale(
    image: "Image | str | PathLike[str] | NDArray[Any] | Pillow",
    scale: float | None = None,
    *,
    size: Size | None = None,
    weights: Weights | str | Path = DEFAULT,
) -> Any:
    """Enlarge one image, as `Upscaler.upscale` does. For many images, make an `Upscaler` once and keep it.

        drrn.upscale("photo.jpg", scale=2).save("large.jpg")

    Args:
        image: a path or an Image (the result is an Image), a NumPy array (an array), or a PIL image (a PIL image).
        scale: above 1 and at most 8; 2 where no size is given either.
        size: (width, height) in pixels instead; one of them may be None.
        weights: a packaged name, the path of a weights file, or Weights.

    Raises:
        TypeError, ValueError: an argument is of another type, or the image holds something else than gray or RGB.
        DRRNError: the file, the scale or the weights are no good.
    """
    source, back = to_image(image)
    return back(Upscaler(weights).upscale(source, scale, size=size))


def target_size(width: int, height: int, scale: float | None, size: Size | None) -> tuple[int, int]:
    """(width, height) of the result.

    Raises:
        TypeError: scale is no number, or size no pair of them.
        UsageError: scale or size is out of range.
    """
    if size is None:
        scale = 2.0 if scale is None else scale
        if not isinstance(scale, Real):
            raise TypeError(f"A scale is a number, got {type_name(scale)}.")
        if not 1 < scale <= MAX_SCALE:  # NaN is refused here too
            raise UsageError(f"A scale must be above 1 and at most {MAX_SCALE:g}, got {scale:g}.")
        return int(width * scale + 0.5), int(height * scale + 0.5)
    if scale is not None:
        raise UsageError("A scale and a size can't both be given.")
    if not (isinstance(size, tuple | list) and len(size) == 2 and all(isinstance(s, Integral | None) for s in size)):
        raise TypeError(f"A size is (width, height) in whole pixels, one of which may be None, got {size!r}.")
    wide, high = size
    if wide is None:
        wide = None if high is None else int(width * high / height + 0.5)
    if high is None and wide is not None:
        high = int(height * wide / width + 0.5)
    if wide is None or high is None:
        raise UsageError("A size needs a width or a height.")
    inside = all(1 <= new / old <= MAX_SCALE for new, old in ((wide, width), (high, height)))
    if not inside or (wide, high) == (width, height):
        raise UsageError(
            f"{wide}x{high} is no enlargement of {width}x{height} by 1 to {MAX_SCALE:g} a side. Give a size between "
            f"that and {int(width * MAX_SCALE)}x{int(height * MAX_SCALE)}."
        )
    return wide, high


def fill_transparent(pixels: NDArray[np.float32], alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours (H, W, C) with those of the nearest visible pixels where `alpha` (H, W) is 0.

    What hides under full transparency is often black; enlarged, it would bleed into the visible edge.
    """
    if alpha.all() or not alpha.any():
        return pixels
    filled = _filled(pixels * alpha[..., None], alpha)
    return np.where(alpha[..., None] > 0, pixels, filled)


def _filled(weighted: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of `weighted` over cells of 1, 2, 4, ... pixels, each from the smallest cell that has any weight."""
    known = weight > 0
    mean = np.divide(weighted, np.where(known, weight, 1)[..., None], dtype=np.float32)
    if known.all():
        return mean
    coarse = _filled(_pooled(weighted), _pooled(weight[..., None])[..., 0])
    height, width = weight.shape
    return np.where(known[..., None], mean, coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width])


def _pooled(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums over cells of 2x2: (H, W, C) -> half of both, rounded up."""
    x = np.pad(x, ((0, x.shape[0] % 2), (0, x.shape[1] % 2), (0, 0)))
    return x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]
