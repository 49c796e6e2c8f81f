"""What an engine is, and which one runs."""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from drrn.errors import EngineError
from drrn.weights.store import Weights

Planes = NDArray[np.float32]

EngineName = Literal["auto", "torch"]


class OutOfMemoryError(EngineError):
    """There was not enough memory for this piece; a smaller one may go."""


class Engine(Protocol):
    """A trained network, ready to run."""

    name: str
    """What it is and where it runs, for people: "torch (cpu)"."""

    bytes_per_pixel: int
    """Memory it takes at its peak for each pixel of ilr, measured on the safe side."""

    def run(self, ilr: Planes) -> Planes:
        """(channels, H, W) in [0, 1] -> the same shape, not clipped.

        Raises:
            OutOfMemoryError: the piece is too large.
        """
        ...


def choose(
    weights: Weights, *, engine: EngineName = "auto", device: str = "auto", units: int | None = None, threads: int = 0
) -> Engine:
    """The engine that runs `weights` here.

    Args:
        device: auto, cpu, cuda, cuda:1, mps.
        units: residual units to run in each block; None for what the weights were trained for at most.
        threads: CPU threads, 0 for all cores.

    Raises:
        EngineError: it is not to be had here, or the weights were not trained for so many units.
    """
    low, high = weights.units
    if units is not None and not low <= units <= high:
        trained = f"{high} units" if low == high else f"{low} to {high} units"
        raise EngineError(f"{weights.name or 'These weights'} can't run {units} units: trained for {trained}.")
    try:
        from drrn.engines.pytorch import TorchEngine
    except ModuleNotFoundError as error:
        raise EngineError(f"This engine needs {error.name}. Install it: pip install 'drrn[torch]'.") from error
    return TorchEngine(weights, device=device, units=units, threads=threads)
