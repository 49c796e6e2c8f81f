"""Run a network tile by tile over planes too large for it, with exactly the same pixels as in one run.

An output pixel depends on the input up to `halo` pixels around its cell, and on nothing else. A tile that is read with
`halo` more pixels on each side than it writes is therefore exact. At the border of the image it is read only up to the
border, where the network pads it as it pads the whole image. Tiles begin at whole cells (`unshuffle` pixels), like the
image.

An engine that streams needs tiles only if an image is too wide for the memory; they are then strips of full height.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from drrn.core.config import DRRNConfig
from drrn.engines.engine import Engine, OutOfMemoryError, Planes
from drrn.errors import EngineError

Place = tuple[slice, slice]
"""Rows and columns of a plane."""


Sides = tuple[int, int]
"""(height, width) of a tile, without its halo."""


class Tile(NamedTuple):
    """The part of the input to read (`outer`), and the part of the output to keep (`inner`)."""

    outer: Place
    inner: Place


def pieces(rows: slice, columns: slice, sides: Sides) -> Iterator[Place]:
    """Cover `rows` and `columns` with pieces of at most `sides`, each pixel once, line by line."""
    for top in range(rows.start, rows.stop, sides[0]):
        for left in range(columns.start, columns.stop, sides[1]):
            yield slice(top, min(top + sides[0], rows.stop)), slice(left, min(left + sides[1], columns.stop))


def tile(place: Place, height: int, width: int, halo: int, cell: int = 1) -> Tile:
    """Return the part of a plane of (height, width) needed to compute `place`: whole cells, and `halo` more around
    them.
    """
    (above, down), (before, across) = _span(place[0], height, halo, cell), _span(place[1], width, halo, cell)
    return Tile((above, before), (down, across))


def largest_tile(engine: Engine, config: DRRNConfig, memory: int, height: int, width: int) -> Sides:
    """Return the largest tile of a height x width image that runs in `memory` bytes, including its halo.

    This is the whole image if it fits; otherwise a strip of full height for an engine that streams, or else a square.

    Raises:
        EngineError: not even the smallest tile fits.
    """
    if engine.memory(height, width) <= memory:
        return height, width
    cell, halo = config.unshuffle, 2 * config.halo
    high = height if engine.streams else 0

    def needed(cells: int) -> int:
        return engine.memory(high or cells * cell + halo, cells * cell + halo)

    fits = bisect_right(range(1, -(-max(height, width) // cell)), memory, key=needed) if needed(1) <= memory else 0
    if not fits:
        least = needed(1) / 2**20 + 1
        raise EngineError(f"{memory / 2**20:.0f} MB is too little for a tile, which needs at least {least:.0f}.")
    return high or fits * cell, fits * cell


def run_tiled(
    engine: Engine, ilr: Planes, *, config: DRRNConfig, sides: Sides, done: Callable[[int], None] = lambda pixels: None
) -> Planes:
    """Compute `engine.run(ilr)`, (channels, H, W), in memory that depends on `sides` but not on H and W.

    If there is not enough memory for a tile, it is halved and tried again.

    Args:
        sides: (height, width) of a tile; multiples of `config.unshuffle`, or the image's own.
        done: called with the number of pixels finished since the last call.

    Raises:
        EngineError: there is not enough memory for the smallest tile, or a value is not finite. No result is returned
            then: a wrong image is worse than none.
    """
    height, width = ilr.shape[1:]
    for side, whole in zip(sides, (height, width), strict=True):
        if side < 1 or (side % config.unshuffle and side < whole):
            raise ValueError(f"`sides` must be multiples of {config.unshuffle}, got {sides}.")
    sr = np.empty_like(ilr)
    waiting = [(place, sides) for place in pieces(slice(0, height), slice(0, width), sides)][::-1]
    while waiting:
        place, sides = waiting.pop()
        outer, inner = tile(place, height, width, config.halo)
        columns = inner[1].stop - inner[1].start
        try:
            # a streaming engine computes exactly the rows of the piece, and reports them as they are done
            rows_done = partial(_rows_done, done, columns) if engine.streams else _nothing
            piece = engine.run(ilr[:, *outer], rows_done)[:, *inner]
        except OutOfMemoryError as error:
            across = _half(columns, config.unshuffle)
            down = sides[0] if engine.streams else _half(inner[0].stop - inner[0].start, config.unshuffle)
            if min(across, down) < config.unshuffle:
                raise EngineError(
                    f"Not enough memory even for a tile of {columns} pixels. Close other programs, or use a smaller "
                    "model."
                ) from error
            waiting += [(part, (down, across)) for part in pieces(*place, (down, across))][::-1]
            continue
        if not np.isfinite(piece).all():
            raise EngineError("The network computed values that are not finite: the weights or the device are faulty.")
        sr[:, *place] = piece
        if not engine.streams:
            done(piece.shape[1] * piece.shape[2])
    return sr


def _half(side: int, cell: int) -> int:
    return side // 2 - side // 2 % cell


def _rows_done(done: Callable[[int], None], columns: int, rows: int) -> None:
    done(rows * columns)


def _nothing(rows: int) -> None:
    """Ignore progress within a tile, for engines that are reported tile by tile."""


def _span(kept: slice, end: int, halo: int, cell: int) -> tuple[slice, slice]:
    first, last = max(kept.start - kept.start % cell - halo, 0), min(kept.stop + -kept.stop % cell + halo, end)
    return slice(first, last), slice(kept.start - first, kept.stop - first)
