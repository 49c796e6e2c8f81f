"""Enlarge one place of an image to exactly the levels that it has in the whole result, without computing the whole.

The place is computed with everything around it that it depends on. This is more than the reach of the network: the
native engine computes blocks of 6x6 cells by Winograd's algorithm, in which the rounding of a pixel depends on its
whole block and one pixel around it. Running a part gives the same bits as the whole if the blocks are at the same
positions and the part extends one block further for each layer. Mathematically, a quarter of that would be enough.

What depends on the whole image (whether it is gray or constant, and the colors under full transparency) is determined
from all of it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrn.core import flat, gamut
from drrn.core.color import levels
from drrn.core.config import DRRNConfig
from drrn.core.resize import imresize_place, source_of
from drrn.engines.engine import Planes
from drrn.errors import EngineError
from drrn.media.images.scratch import Rows
from drrn.upscaling.formats.model_view import ModelView
from drrn.upscaling.tiles import Place, Sides, pieces, tile
from drrn.upscaling.transparency import fill_transparent
from drrn.upscaling.upscaler import Upscaler

BLOCK = 6
"""Side of the blocks that the native engine computes, in cells."""


class _Floats(ModelView):
    """An image whose samples (H, W, 1 or 3) are floats in [0, 1]."""

    def colors(self, place: Place) -> Planes:
        return np.ascontiguousarray(self.samples[place[0]][:, place[1]].transpose(2, 0, 1))


def enlarge_place(
    upscaler: Upscaler, samples: Rows, place: Place, size: tuple[int, int], sides: Sides | None = None
) -> NDArray[Any]:
    """Return the samples at `place` of the image enlarged to `size`.

    Args:
        samples: (H, W, 1 to 4), uint8 or uint16; of 2 or 4 channels, the last is alpha.
        place: rows and columns of the result, inside it and not empty.
        size: (height, width) of the whole result.
        sides: (height, width) of the tiles in which the whole is computed, `Estimate.tile`; by default those of
            `Upscaler.upscale`.

    Returns:
        (h, w, 1 to 4), with the dtype of `samples`: the result of `Upscaler.upscale`, cropped to `place`. Equal to the
        bit with the native engine; others sum in an order that depends on shapes, and may differ by a level.

    Raises:
        ValueError: the upscaler is an ensemble, which runs the whole image in eight orientations.
        EngineError: the network failed, or there is not enough memory.
    """
    if upscaler.ensemble:
        raise ValueError("`upscaler` must not be an ensemble.")
    height, width, bands = samples.shape
    upscaler = upscaler.for_size((width, height), (size[1], size[0]))
    sides = sides or upscaler.estimate(width, height, size=(size[1], size[0]), alpha=bands % 2 == 0).tile
    model, top = upscaler.network.config.channels, 255 if samples.dtype.itemsize == 1 else 65535
    if bands % 2:
        colors = _colors(upscaler, ModelView(samples, model), place, size, sides)
        return levels(colors, top).transpose(1, 2, 0).astype(samples.dtype)
    values = np.divide(samples[:height], np.float32(top), dtype=np.float32)
    alpha = values[..., -1]
    colors = _colors(upscaler, _Floats(fill_transparent(values[..., :-1], alpha), model), place, size, sides)
    ilr = imresize_place(alpha[source_of(place, alpha.shape, size)], place, alpha.shape, size)
    larger = _colors(upscaler, _Floats(alpha[..., None], model), place, size, sides)[0]
    larger[ilr >= 1 - 1e-6] = 1  # as `Upscaler` does
    larger[ilr <= 1e-6] = 0
    return levels(np.concatenate([colors, larger[None]]), top).transpose(1, 2, 0).astype(samples.dtype)


def _colors(upscaler: Upscaler, view: ModelView, place: Place, size: tuple[int, int], sides: Sides) -> Planes:
    """Return the colors (1 or 3, h, w) of a place, in [0, 1]."""
    if view.gray:
        return view.colored(_restored(upscaler, view, place, size, sides), place, size)
    at = gamut.window(place, view.size, size)
    unclipped = view.colored(_restored(upscaler, view, at.outer, size, sides), at.outer, size)
    return gamut.clip(unclipped, view.colors(at.source), at)


def _restored(upscaler: Upscaler, view: ModelView, place: Place, size: tuple[int, int], sides: Sides) -> Planes:
    """Return the network's output at a place, resized to the size of the result: (channels, h, w)."""
    if view.constant is not None:
        return np.broadcast_to(view.constant, (len(view.constant), *(part.stop - part.start for part in place)))
    made = upscaler.network_size(view.size[::-1], size[::-1])[::-1]
    sr = _computed(upscaler, view, source_of(place, made, size), made, sides)
    return view.clipped(imresize_place(sr, place, made, size))


def _computed(upscaler: Upscaler, view: ModelView, place: Place, size: tuple[int, int], sides: Sides) -> Planes:
    """Return a place of the network's output of this size: (channels, h, w)."""
    config, (rows, columns) = upscaler.network.config, place
    sr = np.empty((config.channels, rows.stop - rows.start, columns.stop - columns.start), np.float32)
    for piece in pieces(slice(0, size[0]), slice(0, size[1]), sides):
        kept = _common(rows, piece[0]), _common(columns, piece[1])
        if all(each.stop > each.start for each in kept):
            outer = _needed(kept, tile(piece, *size, config.halo).outer, config)
            inner = _within(kept, outer)
            sr[:, *_within(kept, place)] = upscaler.engine.run(view.ilr(outer, size))[:, *inner]
    if not np.isfinite(sr).all():
        raise EngineError("The network computed values that are not finite: the weights or the device are faulty.")
    if not config.flat:
        around = flat.needed_source(place, view.size, size, upscaler.halo)
        flat.keep_flat(sr, place, view.model_planes(view.colors(around)), around, view.size, size, upscaler.halo)
    return sr


def _needed(kept: Place, outer: Place, config: DRRNConfig) -> Place:
    """Return the part of `outer`, which the whole image runs at once, that must be run for the same bits in `kept`."""
    block = BLOCK * config.unshuffle
    reach = block * config.depth
    rows, columns = (
        slice(
            max(run.start + (inner.start - run.start) // block * block - reach, run.start),
            min(run.start - (run.start - inner.stop) // block * block + reach, run.stop),
        )
        for inner, run in zip(kept, outer, strict=True)
    )
    return rows, columns


def _common(one: slice, other: slice) -> slice:
    return slice(max(one.start, other.start), min(one.stop, other.stop))


def _within(part: Place, whole: Place) -> Place:
    """Return `part` relative to the origin of `whole`."""
    rows, columns = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, whole, strict=True))
    return rows, columns
