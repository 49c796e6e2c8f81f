"""The ways to run a network: our engines, torch in several modes, ONNX Runtime and OpenVINO."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, Protocol

from benchmarks.int8 import calibration_crops, quantize
from benchmarks.networks import Network, with_batch_norm
from drrn.core.resize import imresize
from drrn.engines.engine import Planes
from drrn.errors import EngineError
from drrn.weights.store import Weights


class Runnable(Protocol):
    """A network, ready to run."""

    def run(self, planes: Planes, /) -> Planes: ...


@dataclass(frozen=True)
class Runner:
    """A way to run a network."""

    title: str
    """Its name in tables."""
    imports: tuple[str, ...]
    """Modules to import before memory is first measured."""
    start: Callable[[Network, int, Path | None], Runnable]
    """Takes a network, a number of threads, and a folder of pictures to calibrate on."""
    runs: Literal["drrn", "graph", "itself"] = "drrn"
    """A DRRN; anything with an ONNX graph; or something that is not a network."""
    is_inexact: bool = False
    """Whether it computes in fewer bits than float32, so that its PSNR is of interest."""
    calibrates: bool = False
    """Whether it needs the folder of pictures."""


def _weights(network: Network) -> Weights:
    assert network.weights is not None, "baselines are never run by a runner of DRRNs"
    return network.weights


def _native(kernels: str = "") -> Callable[[Network, int, Path | None], Runnable]:
    def start(network: Network, threads: int, _: Path | None) -> Runnable:
        from drrn.engines.native import NativeEngine, kernels_here

        if kernels and kernels not in kernels_here()[1:]:
            raise EngineError(f"this CPU's fastest kernels are {kernels_here()[0]}.")
        return NativeEngine(_weights(network), threads=threads, kernels=kernels)

    return start


def _reference(network: Network, _threads: int, _: Path | None) -> Runnable:
    from drrn.engines.reference import ReferenceEngine

    return ReferenceEngine(_weights(network))


def _torch(*, batch_norm: bool = False, **options: Any) -> Callable[[Network, int, Path | None], Runnable]:
    def start(network: Network, threads: int, _: Path | None) -> Runnable:
        from drrn.engines.pytorch import TorchEngine

        weights = with_batch_norm(_weights(network)) if batch_norm else _weights(network)
        return TorchEngine(weights, device="cpu", threads=threads, **options)

    return start


class _OnnxRuntime:
    def __init__(self, model: bytes, threads: int):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def run(self, planes: Planes) -> Planes:
        result: Planes = self.session.run(None, {self.input: planes[None]})[0][0]
        return result


class _OpenVino:
    """Compiled for each input size: that is faster than one dynamic model for all sizes."""

    def __init__(self, model: bytes, threads: int):
        import openvino

        self.core = openvino.Core()
        self.model = self.core.read_model(model)
        # OpenVINO would pick bfloat16 by itself on a CPU that has it
        self.options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        self.shape: tuple[int, ...] = ()
        self.compiled: Callable[[Planes], Any] | None = None

    def run(self, planes: Planes) -> Planes:
        if self.compiled is None or self.shape != planes.shape:
            self.shape = planes.shape
            self.model.reshape([1, *self.shape])
            self.compiled = self.core.compile_model(self.model, "CPU", self.options)
        result: Planes = self.compiled(planes[None])[0][0]
        return result


def _onnxruntime(network: Network, threads: int, _: Path | None) -> Runnable:
    return _OnnxRuntime(network.onnx(), threads)


def _openvino(network: Network, threads: int, _: Path | None) -> Runnable:
    return _OpenVino(network.onnx(), threads)


def _openvino_int8(network: Network, threads: int, pictures: Path | None) -> Runnable:
    assert pictures is not None, "this runner is left out without pictures to calibrate on"
    # in its own process, so that the memory for calibration is not counted as the runner's
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        model = pool.submit(quantize, network.onnx(), calibration_crops(pictures, network.channels)).result()
    return _OpenVino(model, threads)


class _Bicubic:
    def run(self, planes: Planes) -> Planes:
        return imresize(planes, 2 * planes.shape[1], 2 * planes.shape[2])


class _Product:
    def run(self, planes: Planes) -> Planes:
        product: Planes = planes @ planes
        return product


TORCH = ("drrn.engines.pytorch",)
GRAPH = ("drrn.engines.onnx", "benchmarks.baselines")

RUNNERS: dict[str, Runner] = {
    "native": Runner("native", ("drrn.engines.native",), _native()),
    "native-avx2": Runner("native, AVX2", ("drrn.engines.native",), _native("avx2")),
    "reference": Runner("NumPy", ("drrn.engines.reference",), _reference),
    "torch-ports": Runner("torch eager, NCHW, batch norms", TORCH, _torch(batch_norm=True, channels_last=False)),
    "torch-nchw": Runner("torch eager, NCHW", TORCH, _torch(channels_last=False)),
    "torch": Runner("torch eager, channels last", TORCH, _torch()),
    "torch-compiled": Runner("torch.compile", (*TORCH, "torch._inductor"), _torch(compiled=True)),
    "torch-bfloat16": Runner("torch eager, bfloat16", TORCH, _torch(precision="bfloat16"), is_inexact=True),
    "onnxruntime": Runner("ONNX Runtime", GRAPH, _onnxruntime, runs="graph"),
    "openvino": Runner("OpenVINO", (*GRAPH, "openvino"), _openvino, runs="graph"),
    "openvino-int8": Runner("OpenVINO, int8", (*GRAPH, "openvino"), _openvino_int8, is_inexact=True, calibrates=True),
    "bicubic": Runner("NumPy", ("drrn.core.resize",), lambda *_: _Bicubic(), runs="itself"),
    "product": Runner("NumPy", ("numpy",), lambda *_: _Product(), runs="itself"),
}
"""By their names on the command line."""
EXACT = "torch"
"""The runner that the results of the others are compared with."""
