"""Which engine runs a network here."""

from importlib.util import find_spec
from typing import Literal

from drrn.engines import EngineName, Precision
from drrn.engines.engine import Engine
from drrn.errors import EngineError
from drrn.weights.store import Weights


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
