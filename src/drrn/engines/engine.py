"""The protocol that all engines implement."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drrn.errors import EngineError

Planes = NDArray[np.float32]

BAND = 64
"""Rows of ilr passed to a streaming engine at once; it can be stopped between two bands."""


class OutOfMemoryError(EngineError):
    """There was not enough memory for this image or tile; a smaller one may fit."""


class Engine(Protocol):
    """A trained network, ready to run."""

    name: str
    """The engine and its device, for display: "native (avx512, 2 threads)"."""
    streams: bool
    """Whether its memory depends only on the width of an image, with rows passed in and out in bands."""

    def memory(self, height: int, width: int) -> int:
        """Return an upper bound of the peak memory in bytes for ilr of that size, without ilr and sr; based on
        measurements.
        """
        ...

    def run(self, ilr: Planes, done: Callable[[int], None] = lambda rows: None) -> Planes:
        """Run the network: ilr (channels, H, W) in [0, 1] -> sr of the same shape, not clipped.

        Args:
            done: called with the number of rows finished since the last call. An exception that it raises ends the run.

        Raises:
            OutOfMemoryError: the image is too large.
        """
        ...


class StreamingEngine(Engine, Protocol):
    """An engine for images that may not fit into memory."""

    def stream(self, bands: Iterable[Planes]) -> Iterator[Planes]:
        """Run the network on bands of rows (channels, h, W) of ilr, from top to bottom; yields bands of sr.

        Bands may have any number of rows. The output lags behind the input by the rows that the network sees below a
        pixel; all bands of sr together have the height of ilr. The result equals that of the whole image.

        Raises:
            OutOfMemoryError: the image is too wide.
        """
        ...


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_streaming(engine: StreamingEngine, ilr: Planes, done: Callable[[int], None]) -> Planes:
    """Implement `Engine.run` with the `stream` method of an engine."""
    sr = np.empty_like(ilr)
    row = 0
    for band in engine.stream(ilr[:, top : top + BAND] for top in range(0, ilr.shape[1], BAND)):
        sr[:, row : row + band.shape[1]] = band
        row += band.shape[1]
        done(band.shape[1])
    return sr
