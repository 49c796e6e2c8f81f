"""Choose the engine that runs a network on this machine."""

from collections.abc import Callable
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
    """Create the engine that runs `weights`.

    Args:
        engine: auto for the one that `pick` returns.
        device: auto, cpu, cuda, cuda:1 or mps; all but the first two need torch.
        units: residual units to run in each block; None for the most the weights were trained for.
        threads: CPU threads, 0 for all cores.
        precision: for the torch engine; the others compute in float32.
        compiled: let torch compile the network first, which takes a while.

    Raises:
        EngineError: the engine is not available here, or the weights were not trained for that many units.
    """
    _check_units(weights, units)
    if engine == "auto":
        engine, _ = pick(device)
    if engine != "torch":
        _refuse_torch_options(engine, device, precision, compiled)
    makers: dict[EngineName, Callable[[], Engine]] = {
        "native": lambda: _native(weights, units, threads),
        "reference": lambda: _reference(weights, units),
        "torch": lambda: _torch(weights, device, units, threads, precision, compiled),
        "onnx": lambda: _onnx(weights, units, threads),
    }
    try:
        return makers[engine]()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("drrn"):
            raise EngineError(
                "The native engine was not compiled here. Use --engine reference, or reinstall "
                "drrn with a C++ compiler."
            ) from error
        extra = "onnx" if engine == "onnx" else "torch"
        raise EngineError(
            f"The {engine} engine needs {error.name}. Install it: pip install 'drrn[{extra}]'."
        ) from error


def pick(device: str = "auto") -> tuple[Literal["torch", "native", "reference"], str]:
    """Return the engine that auto stands for on this machine, and the reason."""
    if device not in ("auto", "cpu"):
        return "torch", f"the one that runs on {device}"
    if is_compiled():
        return "native", "the fastest on a CPU"
    return "reference", "the native engine was not compiled here; its NumPy counterpart is many times slower"


def is_compiled() -> bool:
    """Whether the native engine was compiled when drrn was installed."""
    return find_spec("drrn.engines._native") is not None


def _check_units(weights: Weights, units: int | None) -> None:
    low, high = weights.units
    if units is not None and not low <= units <= high:
        trained = f"{high} units" if low == high else f"{low} to {high} units"
        raise EngineError(f"{weights.name or 'These weights'} can't run {units} units: trained for {trained}.")


def _refuse_torch_options(engine: EngineName, device: str, precision: Precision, compiled: bool) -> None:
    options = {"--device": device not in ("auto", "cpu"), "--precision": precision != "float32"}
    for option, is_set in options.items():
        if is_set:
            raise EngineError(f"The {engine} engine computes in float32 on the CPU. {option} needs --engine torch.")
    if compiled:
        raise EngineError("--compile needs --engine torch.")


# each import is delayed until its engine is needed: torch and ONNX Runtime are extras


def _native(weights: Weights, units: int | None, threads: int) -> Engine:
    from drrn.engines.native import NativeEngine

    return NativeEngine(weights, units=units, threads=threads)


def _reference(weights: Weights, units: int | None) -> Engine:
    from drrn.engines.reference import ReferenceEngine

    return ReferenceEngine(weights, units=units)


def _torch(
    weights: Weights, device: str, units: int | None, threads: int, precision: Precision, compiled: bool
) -> Engine:
    from drrn.engines.pytorch import TorchEngine

    return TorchEngine(weights, device=device, units=units, threads=threads, precision=precision, compiled=compiled)


def _onnx(weights: Weights, units: int | None, threads: int) -> Engine:
    from drrn.engines.onnx import OnnxEngine

    return OnnxEngine(weights, units=units, threads=threads)
