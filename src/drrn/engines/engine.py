"""What an engine is: the protocol that all engines keep."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drrn.errors import EngineError

Planes = NDArray[np.float32]

BAND = 64
"""Rows of ilr that a streaming engine is given at once: between two bands it can be stopped."""


class OutOfMemoryError(EngineError):
    """There was not enough memory for this piece; a smaller one may go."""


class Engine(Protocol):
    """A trained network, ready to run."""

    name: str
    """What it is and where it runs, for people: "native (avx512, 2 threads)"."""
    streams: bool
    """Whether its memory is proportional to the width of a picture alone, rows going in and out as bands."""

    def memory(self, height: int, width: int) -> int:
        """Bytes it takes at its peak for ilr of that size, ilr and sr not counted; measured on the safe side."""
        ...

    def run(self, ilr: Planes, done: Callable[[int], None] = lambda rows: None) -> Planes:
        """(channels, H, W) in [0, 1] -> the same shape, not clipped.

        Args:
            done: told the number of rows that were finished, each time there are some. What it raises ends the run.

        Raises:
            OutOfMemoryError: the piece is too large.
        """
        ...


class StreamingEngine(Engine, Protocol):
    """An engine for pictures that need not fit into memory."""

    def stream(self, bands: Iterable[Planes]) -> Iterator[Planes]:
        """Bands of rows (channels, h, W) of ilr, from the top down -> bands of sr, together of the same height.

        Bands come in and out with any number of rows; what comes out lags behind by the rows that the network sees
        below a pixel. The result is that of the whole picture.

        Raises:
            OutOfMemoryError: the picture is too wide.
        """
        ...


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # which macOS and Windows lack
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_streaming(engine: StreamingEngine, ilr: Planes, done: Callable[[int], None]) -> Planes:
    """`Engine.run` of an engine that streams."""
    sr = np.empty_like(ilr)
    row = 0
    for band in engine.stream(ilr[:, top : top + BAND] for top in range(0, ilr.shape[1], BAND)):
        sr[:, row : row + band.shape[1]] = band
        row += band.shape[1]
        done(band.shape[1])
    return sr
