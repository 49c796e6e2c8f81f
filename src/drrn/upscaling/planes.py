"""Enlarge the planes of an image.

Luma passes through the network, and chroma is enlarged by bicubic; an RGB model takes all three channels. Where colors
leave their range, `drrn.core.gamut` keeps their mean. Constant areas stay as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from drrn.core import gamut
from drrn.core.color import rgb, ycbcr
from drrn.core.config import DRRNConfig
from drrn.core.flat import keep_flat
from drrn.core.resize import imresize
from drrn.engines.engine import BAND, Engine, Planes
from drrn.media.image import Image
from drrn.upscaling.ensemble import run_ensemble
from drrn.upscaling.tiles import Sides, pieces, run_tiled
from drrn.upscaling.transparency import fill_transparent

MAX_TILE = 2016
"""Largest side of a square tile, and width of a strip, in pixels. Smaller tiles overlap more; larger ones take longer
to stop, and the rows that an engine streams outgrow the processor's cache. A multiple of any network's cells."""

Plane = NDArray[np.float32]
"""(H, W)."""


@dataclass(kw_only=True)
class PlaneEnlarger:
    """Enlarges the planes of one image to one size."""

    engine: Engine
    config: DRRNConfig
    """Of the network that the engine runs."""
    halo: int
    """The reach of the network, in pixels of its output."""
    size: tuple[int, int]
    """(height, width) of the result."""
    network_size: tuple[int, int]
    """(height, width) of the network's output, which is resized if the result has another size."""
    passes: int
    """How often the network runs: once, or for each of the eight orientations."""
    ensemble: bool
    """Whether several passes return their mean, instead of the plain result and their disagreement."""
    bounds: tuple[float, float]
    """The range to which one plane is clipped; colors are brought into [0, 1]."""
    tile_sides: Callable[[int, int], Sides]
    """Returns the (height, width) of the tiles for a plane of that height and width."""
    progress: Callable[[int], None]
    """Called with the number of pixels done, of all planes and passes together."""
    pixels_done: int = 0

    def enlarge_image(self, image: Image) -> tuple[Planes, Plane | None, Plane]:
        """Enlarge colors (1 or 3, H, W) and alpha (H, W); return them and their disagreement (H, W).

        The disagreement is the larger one of colors and alpha, and 0 where the result is fully transparent.
        """
        pixels = image.pixels if image.alpha is None else fill_transparent(image.pixels, image.alpha)
        colors, disagreement = self.enlarge_colors(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        if image.alpha is None:
            return colors, None, disagreement
        alpha, of_alpha = self.enlarge_plane(image.alpha)
        ilr = imresize(image.alpha, *self.size)
        alpha[ilr >= 1 - 1e-6] = 1  # fully opaque and transparent pixels stay so where bicubic keeps them
        alpha[ilr <= 1e-6] = 0
        return colors, alpha, np.where(alpha > 0, np.maximum(disagreement, of_alpha), 0)

    def enlarge_colors(self, planes: Planes) -> tuple[Planes, Plane]:
        """Enlarge gray or RGB planes (1 or 3, h, w); return them and their disagreement (H, W)."""
        if (planes == planes[:1]).all():  # gray stays gray, to the last bit
            gray, disagreement = self.enlarge_plane(planes[0])
            return np.repeat(gray[None], len(planes), axis=0), disagreement
        height, width = self.size
        if self.config.channels == 3:
            unclipped, disagreement = self._enlarge(planes)
        else:
            y, *chroma = ycbcr(planes)
            luma, disagreement = self._enlarge(y[None])
            unclipped = rgb(np.stack([luma[0], *imresize(np.stack(chroma), height, width)]))
        colors = np.empty_like(unclipped)
        for place in pieces(slice(0, height), slice(0, width), (BAND, MAX_TILE)):
            window = gamut.window(place, (planes.shape[1], planes.shape[2]), self.size)
            colors[:, *place] = gamut.clip(unclipped[:, *window.outer], planes[:, *window.source], window)
        return colors, disagreement

    def enlarge_plane(self, plane: Plane) -> tuple[Plane, Plane]:
        """Enlarge one plane (h, w); return it and its disagreement (H, W)."""
        planes, disagreement = self._enlarge(np.repeat(plane[None], self.config.channels, axis=0))
        return planes.clip(*self.bounds).mean(axis=0, dtype=np.float32), disagreement

    def _enlarge(self, planes: Planes) -> tuple[Planes, Plane]:
        """Run (channels, h, w) through the network; return (channels, H, W), not clipped, and the disagreement."""
        corner = planes[:, :1, :1]
        no_disagreement = np.broadcast_to(np.float32(0), self.size)
        if (planes == corner).all():  # nothing to restore; and the network's padding would darken the border
            self._add_progress(self.passes * prod(self.network_size))
            return np.broadcast_to(corner, (len(planes), *self.size)), no_disagreement
        sr, disagreement = self._made(planes)
        larger = _resized(sr, self.size)
        return larger, no_disagreement if disagreement is None else _resized(disagreement, self.size)[0].clip(0)

    def _made(self, planes: Planes) -> tuple[Planes, Planes | None]:
        """Return the network's output for (channels, h, w), not clipped, and the largest deviation (1, H, W)."""
        ilr = _resized(planes, self.network_size)
        if self.passes == 1:
            return self._keep_flat(self._run(ilr), planes), None
        results = run_ensemble(self._run, ilr)
        sr = self._keep_flat(results.mean if self.ensemble else results.plain, planes)
        return sr, results.deviation.max(axis=0, keepdims=True)

    def _run(self, ilr: Planes) -> Planes:
        sides = self.tile_sides(ilr.shape[1], ilr.shape[2])
        return run_tiled(self.engine, ilr, config=self.config, sides=sides, done=self._add_progress)

    def _keep_flat(self, sr: Planes, planes: Planes) -> Planes:
        """Copy the source where it is constant, unless the network preserves that itself."""
        if not self.config.flat:
            whole = planes.shape[1:]
            places = [(slice(0, height), slice(0, width)) for height, width in (self.network_size, whole)]
            keep_flat(sr, places[0], planes, places[1], whole, self.network_size, self.halo)
        return sr

    def _add_progress(self, pixels: int) -> None:
        self.pixels_done += pixels
        self.progress(self.pixels_done)


def _resized(planes: Planes, size: tuple[int, int]) -> Planes:
    """Apply `imresize` to one plane at a time, which takes less memory."""
    if len(planes) == 1 or planes.shape[1:] == size:
        return imresize(planes, *size)
    result = np.empty((len(planes), *size), np.float32)
    for plane, made in zip(planes, result, strict=True):
        made[:] = imresize(plane, *size)
    return result
