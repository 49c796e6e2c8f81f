"""What an engine is, and which one runs."""

import os
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from drrn.engines import EngineName, Precision
from drrn.errors import EngineError
from drrn.weights.store import Weights

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


def choose(
    weights: Weights,
    *,
    engine: EngineName = "auto",
    device: str = "auto",
    units: int | None = None,
    threads: int = 0,
    precision: Precision = "float32",
    compiled: bool = False,
) -> Engine:
    """The engine that runs `weights` here.

    Args:
        engine: auto is the first that `pick` gives.
        device: auto, cpu, cuda, cuda:1, mps; all but the first two are torch's.
        units: residual units to run in each block; None for what the weights were trained for at most.
        threads: CPU threads, 0 for all cores.
        precision: of the torch engine; the others compute in float32.
        compiled: let torch compile the network first, which takes a while.

    Raises:
        EngineError: it is not to be had here, or the weights were not trained for so many units.
    """
    low, high = weights.units
    if units is not None and not low <= units <= high:
        trained = f"{high} units" if low == high else f"{low} to {high} units"
        raise EngineError(f"{weights.name or 'These weights'} can't run {units} units: trained for {trained}.")
    if engine == "auto":
        engine, _ = pick(device)
    if engine != "torch":
        for option, given in [("--device", device not in ("auto", "cpu")), ("--precision", precision != "float32")]:
            if given:
                raise EngineError(f"The {engine} engine computes in float32 on the CPU. {option} needs --engine torch.")
        if compiled:
            raise EngineError("--compile needs --engine torch.")
    try:
        match engine:
            case "native":
                from drrn.engines.native import NativeEngine

                return NativeEngine(weights, units=units, threads=threads)
            case "reference":
                from drrn.engines.reference import ReferenceEngine

                return ReferenceEngine(weights, units=units)
            case "torch":
                from drrn.engines.pytorch import TorchEngine

                return TorchEngine(
                    weights, device=device, units=units, threads=threads, precision=precision, compiled=compiled
                )
            case "onnx":
                from drrn.engines.onnx import OnnxEngine

                return OnnxEngine(weights, units=units, threads=threads)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("drrn"):
            raise EngineError(
                "The native engine was not compiled here. Take --engine reference, or install again "
                "where there is a C++ compiler."
            ) from error
        extra = "onnx" if engine == "onnx" else "torch"
        raise EngineError(
            f"The {engine} engine needs {error.name}. Install it: pip install 'drrn[{extra}]'."
        ) from error


def pick(device: str = "auto") -> tuple[Literal["torch", "native", "reference"], str]:
    """The engine that auto is here, and why."""
    if device not in ("auto", "cpu"):
        return "torch", f"the one that runs on {device}"
    if is_compiled():
        return "native", "the fastest on a CPU"
    return "reference", "the native engine was not compiled here, and its NumPy counterpart is many times slower"


def is_compiled() -> bool:
    """Whether the native engine was compiled when drrn was installed."""
    return find_spec("drrn.engines._native") is not None


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
