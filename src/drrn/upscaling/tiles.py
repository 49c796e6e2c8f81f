"""Run a network over planes too large for it, and get the very same pixels.

A pixel of the output depends on `halo` pixels of input around its cell and on no others. So a tile that is read with
`halo` more pixels on each side than it writes is exact; at the picture's own border it is read up to the border, where
the network pads it as it pads the whole picture. Tiles begin at whole cells (`unshuffle` pixels), as the picture does.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from drrn.core.config import DRRNConfig
from drrn.engines.engine import Engine, OutOfMemoryError, Planes
from drrn.errors import EngineError

Place = tuple[slice, slice]
"""Rows and columns of a plane."""


class Tile(NamedTuple):
    """Read `outer` of the input, keep `inner` of what comes out."""

    outer: Place
    inner: Place


def pieces(rows: slice, columns: slice, size: int) -> Iterator[Place]:
    """Cover `rows` and `columns` with pieces of at most `size` pixels a side, each pixel once, line by line."""
    for top in range(rows.start, rows.stop, size):
        for left in range(columns.start, columns.stop, size):
            yield slice(top, min(top + size, rows.stop)), slice(left, min(left + size, columns.stop))


def tile(place: Place, height: int, width: int, halo: int) -> Tile:
    """What must be read of a plane of (height, width) to write `place`."""
    (above, down), (before, across) = _span(place[0], height, halo), _span(place[1], width, halo)
    return Tile((above, before), (down, across))


def largest_tile(config: DRRNConfig, bytes_per_pixel: int, memory: int) -> int:
    """The side of the largest tile that runs in `memory` bytes, halo included: a multiple of the cell, at least one.

    Raises:
        EngineError: not even the smallest tile does.
    """
    side = int((memory / bytes_per_pixel) ** 0.5) - 2 * config.halo
    size = side - side % config.unshuffle
    if size < config.unshuffle:
        least = (config.unshuffle + 2 * config.halo) ** 2 * bytes_per_pixel
        raise EngineError(f"{memory / 2**20:.0f} MB is too little for a tile: at least {least / 2**20 + 1:.0f}.")
    return size


def run_tiled(
    engine: Engine, ilr: Planes, *, config: DRRNConfig, size: int, done: Callable[[int], None] = lambda pixels: None
) -> Planes:
    """`engine.run(ilr)`, (channels, H, W), in memory that depends on `size` and not on H and W.

    A tile for which there is not enough memory is halved and tried again.

    Args:
        size: side of a tile, a multiple of `config.unshuffle`.
        done: called with the number of pixels that each piece has finished.

    Raises:
        EngineError: there is not enough memory for the smallest piece, or a value is not finite. There is no result
            then: a wrong picture is worse than none.
    """
    if size < 1 or size % config.unshuffle:
        raise ValueError(f"`size` must be a multiple of {config.unshuffle}, got {size}.")
    sr = np.empty_like(ilr)
    height, width = ilr.shape[1:]
    waiting = [(place, size) for place in pieces(slice(0, height), slice(0, width), size)][::-1]
    while waiting:
        place, size = waiting.pop()
        outer, inner = tile(place, height, width, config.halo)
        try:
            piece = engine.run(ilr[:, *outer])[:, *inner]
        except OutOfMemoryError as error:
            half = size // 2 - size // 2 % config.unshuffle
            if half < config.unshuffle:
                raise EngineError(
                    f"Not enough memory even for a tile of {size} pixels. Close other programs, or take a smaller "
                    "model."
                ) from error
            waiting += [(part, half) for part in pieces(*place, half)][::-1]
            continue
        if not np.isfinite(piece).all():
            raise EngineError("The network computed values that are not finite: the weights or the device are faulty.")
        sr[:, *place] = piece
        done(piece.shape[1] * piece.shape[2])
    return sr


def _span(kept: slice, end: int, halo: int) -> tuple[slice, slice]:
    first, last = max(kept.start - halo, 0), min(kept.stop + halo, end)
    return slice(first, last), slice(kept.start - first, kept.stop - first)
