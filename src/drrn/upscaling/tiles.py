"""Run a network over planes too large for it, and get the very same pixels.

A pixel of the output depends on `halo` pixels of input around its cell and on no others. So a tile that is read with
`halo` more pixels on each side than it writes is exact; at the picture's own border it is read up to the border, where
the network pads it as it pads the whole picture. Tiles begin at whole cells (`unshuffle` pixels), as the picture does.

An engine that streams needs tiles only where a picture is too wide for the memory; they are then strips of full height.
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
    """Read `outer` of the input, keep `inner` of what comes out."""

    outer: Place
    inner: Place


def pieces(rows: slice, columns: slice, sides: Sides) -> Iterator[Place]:
    """Cover `rows` and `columns` with pieces of at most `sides`, each pixel once, line by line."""
    for top in range(rows.start, rows.stop, sides[0]):
        for left in range(columns.start, columns.stop, sides[1]):
            yield slice(top, min(top + sides[0], rows.stop)), slice(left, min(left + sides[1], columns.stop))


def tile(place: Place, height: int, width: int, halo: int, cell: int = 1) -> Tile:
    """What must be read of a plane of (height, width) to write `place`: whole cells, and `halo` more around them."""
    (above, down), (before, across) = _span(place[0], height, halo, cell), _span(place[1], width, halo, cell)
    return Tile((above, before), (down, across))


def largest_tile(engine: Engine, config: DRRNConfig, memory: int, height: int, width: int) -> Sides:
    """The largest tile of a picture of height x width that runs in `memory` bytes, halo included.

    The whole picture if that does; else of full height where the engine streams, and a square where it does not.

    Raises:
        EngineError: not even the smallest tile does.
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
    """`engine.run(ilr)`, (channels, H, W), in memory that depends on `sides` and not on H and W.

    A tile for which there is not enough memory is halved and tried again.

    Args:
        sides: of a tile; multiples of `config.unshuffle`, or the picture's own.
        done: called with the number of pixels that were finished, each time there are some.

    Raises:
        EngineError: there is not enough memory for the smallest piece, or a value is not finite. There is no result
            then: a wrong picture is worse than none.
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
            # who streams has all rows of a piece and no others, and tells of them as they come
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
    """For those who tell when a whole tile is done."""


def _span(kept: slice, end: int, halo: int, cell: int) -> tuple[slice, slice]:
    first, last = max(kept.start - kept.start % cell - halo, 0), min(kept.stop + -kept.stop % cell + halo, end)
    return slice(first, last), slice(kept.start - first, kept.stop - first)
