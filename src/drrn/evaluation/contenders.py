"""What can be raced: networks, and ways to run them."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from drrn.core.config import DRRNConfig
from drrn.core.resize import imresize
from drrn.data.pairs import make_pairs, pictures_in
from drrn.engines.engine import Planes
from drrn.engines.layers import EPSILON
from drrn.errors import EngineError
from drrn.weights import store
from drrn.weights.store import Weights

UNTRAINED = {f"B1U9-{width}": DRRNConfig(width=width) for width in (128, 64, 32)}
"""The paper's network and two narrower ones, raced with random weights."""
BICUBIC = "bicubic x2"
PRODUCT, CONVOLUTION = "matrix product", "wide convolutions"
"""What shows the machine's peak: as much arithmetic for every byte as there is."""
PRODUCT_SIDE = 2048

CALIBRATION_CROPS, CALIBRATION_SIDE = 24, 96
PERCENTILE = 99.99
"""Of the activations met in calibration, those beyond are cut off: a range for the largest leaves the others too few of
256 levels (measured: `small` then loses 0.035 dB on Set5 x2, and not 0.014)."""


@dataclass(frozen=True)
class Network:
    """What is run, by whatever runner."""

    name: str
    scale: int = 1
    """How many times as large its result is. 1 of a DRRN: it is given what bicubic has enlarged."""
    channels: Literal[1, 3] = 1
    macs: int = 0
    """Multiply-adds for each pixel of its result; 0 where they are not counted."""
    parameters: int = 0
    weights: Weights | None = None
    """A DRRN's; without them it is a peer, or no network at all."""

    def onnx(self) -> bytes:
        """Its graph. Any height and width go in."""
        if self.weights is not None:
            from drrn.engines.onnx import model

            return model(self.weights).SerializeToString()
        from drrn.evaluation.peers import GRAPHS

        return GRAPHS[self.name].model().SerializeToString()


class Runs(Protocol):
    """A network, ready to run."""

    def run(self, planes: Planes, /) -> Planes: ...


@dataclass(frozen=True)
class Runner:
    """A way to run a network."""

    title: str
    """For tables."""
    needs: tuple[str, ...]
    """Modules to import, before memory is looked at for the first time."""
    start: Callable[[Network, int, Path | None], Runs]
    """Network, threads, and a folder of pictures to calibrate on."""
    runs: Literal["drrn", "graph", "itself"] = "drrn"
    """A DRRN; whatever has an ONNX graph; or something that is no network."""
    rounds: bool = False
    """Whether it computes in fewer bits than float32, so that its PSNR is of interest."""
    calibrates: bool = False
    """Whether it needs the pictures."""


def network(name: str) -> Network:
    """What has this name: of UNTRAINED, a peer, or a packaged model or weights file.

    Raises:
        WeightsError: there is nothing of that name.
        EngineError: its graph is made by onnx, which is missing.
    """
    if name == BICUBIC:
        return Network(name, scale=2)
    if name == PRODUCT:
        return Network(name, macs=PRODUCT_SIDE)
    if name in UNTRAINED:
        return _drrn(untrained(UNTRAINED[name]), name)
    if name in [*peers(), CONVOLUTION]:
        try:
            from drrn.evaluation.peers import GRAPHS, macs, parameters
        except ModuleNotFoundError as error:
            raise EngineError(f"it needs {error.name}.") from error
        peer, model = GRAPHS[name], GRAPHS[name].model()
        return Network(name, peer.scale, peer.channels, macs(model), parameters(model))
    weights = store.load(name)
    return _drrn(weights, weights.name)


def peers() -> list[str]:
    """The names of other people's networks, the cheapest first; none where onnx is missing."""
    try:
        from drrn.evaluation.peers import PEERS
    except ModuleNotFoundError:
        return []
    return list(PEERS)


def untrained(config: DRRNConfig) -> Weights:
    """Random weights that keep the features of a deep recursion finite (He's, with gains as in `DRRN.initialise`)."""
    chance = np.random.default_rng(0)
    tensors = {}
    for name, shape in config.tensors().items():
        gain = 0.3 if ".second." in name else 0.1 if name.startswith("leave") else 1.0
        spread = gain * (2 / np.prod(shape[1:])) ** 0.5 if len(shape) == 4 else 0.01
        tensors[name] = chance.normal(0, spread, shape).astype(np.float32)
    return Weights(config=config, scales=(2, 3, 4), units=(config.units, config.units), tensors=tensors)


def with_norms(weights: Weights) -> Weights:
    """The same network with batch norms that change nothing, as the popular ports run it."""
    config = replace(weights.config, batch_norm=True)
    values = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1 - EPSILON}
    tensors = {
        name: weights.tensors.get(name, np.full(shape, values.get(name.rsplit(".", 1)[1]), np.float32))
        for name, shape in config.tensors().items()
    }
    return replace(weights, config=config, tensors=tensors)


def example(network: Network, height: int, width: int) -> Planes:
    """Something to run it on: smooth noise, for a result of height x width."""
    down, across = height // network.scale, width // network.scale
    coarse = np.random.default_rng(0).random((network.channels, -(-down // 2), -(-across // 2)), np.float32)
    return imresize(coarse, down, across)


def calibration(folder: Path, channels: Literal[1, 3]) -> list[Planes]:
    """Crops of ilr at x2, from the middle of pictures."""
    crops = []
    for pair in make_pairs(pictures_in([folder])[:CALIBRATION_CROPS], [2], channels):
        top, left = ((side - min(side, CALIBRATION_SIDE)) // 2 for side in pair.ilr.shape[1:])
        crop = pair.ilr[:, top : top + CALIBRATION_SIDE, left : left + CALIBRATION_SIDE]
        crops.append(crop.astype(np.float32))
    return crops


def quantised(model: bytes, crops: list[Planes]) -> bytes:
    """The graph with convolutions in int8, but for the first and the last, whose ranges count most.

    Weights have a scale for each channel; activations one each, from `crops`. Nothing is trained again.
    """
    from tempfile import TemporaryDirectory

    import onnx
    from onnxruntime import quantization

    class Crops(quantization.CalibrationDataReader):  # type: ignore[misc]
        left = iter(crops)

        def get_next(self) -> dict[str, Planes] | None:
            crop = next(self.left, None)
            return None if crop is None else {"ilr": crop[None]}

    graph = onnx.load_from_string(model)
    for index, node in enumerate(graph.graph.node):
        node.name = f"{node.op_type}_{index}"
    convolutions = [node.name for node in graph.graph.node if node.op_type == "Conv"]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "quantised.onnx"
        quantization.quantize_static(
            graph,
            path,
            Crops(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[convolutions[0], convolutions[-1]],
            calibrate_method=quantization.CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE},
        )
        return path.read_bytes()


def _drrn(weights: Weights, name: str) -> Network:
    weights = weights.network(2)
    config = weights.config
    return Network(name, 1, config.channels, config.macs(), config.parameters, weights)


def _weights(network: Network) -> Weights:
    assert network.weights is not None, "the race gives peers to no runner of DRRNs"
    return network.weights


def _native(network: Network, threads: int, _: Path | None) -> Runs:
    from drrn.engines.native import NativeEngine

    return NativeEngine(_weights(network), threads=threads)


def _reference(network: Network, _threads: int, _: Path | None) -> Runs:
    from drrn.engines.reference import ReferenceEngine

    return ReferenceEngine(_weights(network))


def _torch(*, norms: bool = False, **options: Any) -> Callable[[Network, int, Path | None], Runs]:
    def start(network: Network, threads: int, _: Path | None) -> Runs:
        from drrn.engines.pytorch import TorchEngine

        weights = with_norms(_weights(network)) if norms else _weights(network)
        return TorchEngine(weights, device="cpu", threads=threads, **options)

    return start


class _OnnxRuntime:
    def __init__(self, model: bytes, threads: int):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.given = self.session.get_inputs()[0].name

    def run(self, planes: Planes) -> Planes:
        made: Planes = self.session.run(None, {self.given: planes[None]})[0][0]
        return made


class _OpenVino:
    """Compiled anew for every size, which makes it faster than one for all of them."""

    def __init__(self, model: bytes, threads: int):
        import openvino

        self.core = openvino.Core()
        self.model = self.core.read_model(model)
        # where the CPU has bfloat16, OpenVINO would take it unasked
        self.options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        self.shape: tuple[int, ...] = ()
        self.compiled: Callable[[Planes], Any] | None = None

    def run(self, planes: Planes) -> Planes:
        if self.compiled is None or self.shape != planes.shape:
            self.shape = planes.shape
            self.model.reshape([1, *self.shape])
            self.compiled = self.core.compile_model(self.model, "CPU", self.options)
        made: Planes = self.compiled(planes[None])[0][0]
        return made


def _onnxruntime(network: Network, threads: int, _: Path | None) -> Runs:
    return _OnnxRuntime(network.onnx(), threads)


def _openvino(network: Network, threads: int, _: Path | None) -> Runs:
    return _OpenVino(network.onnx(), threads)


def _openvino_int8(network: Network, threads: int, pictures: Path | None) -> Runs:
    assert pictures is not None, "the race leaves it out without"
    # in a process of its own, whose memory is not the runner's
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as elsewhere:
        model = elsewhere.submit(quantised, network.onnx(), calibration(pictures, network.channels)).result()
    return _OpenVino(model, threads)


class _Bicubic:
    def run(self, planes: Planes) -> Planes:
        return imresize(planes, 2 * planes.shape[1], 2 * planes.shape[2])


class _Product:
    def run(self, planes: Planes) -> Planes:
        product: Planes = planes @ planes
        return product


TORCH = ("drrn.engines.pytorch",)
GRAPH = ("drrn.engines.onnx", "drrn.evaluation.peers")

RUNNERS: dict[str, Runner] = {
    "native": Runner("native", ("drrn.engines.native",), _native),
    "reference": Runner("NumPy", ("drrn.engines.reference",), _reference),
    "torch-ports": Runner("torch eager, NCHW, batch norms", TORCH, _torch(norms=True, channels_last=False)),
    "torch-nchw": Runner("torch eager, NCHW", TORCH, _torch(channels_last=False)),
    "torch": Runner("torch eager, channels last", TORCH, _torch()),
    "torch-compiled": Runner("torch.compile", (*TORCH, "torch._inductor"), _torch(compiled=True)),
    "torch-bfloat16": Runner("torch eager, bfloat16", TORCH, _torch(precision="bfloat16"), rounds=True),
    "onnxruntime": Runner("ONNX Runtime", GRAPH, _onnxruntime, runs="graph"),
    "openvino": Runner("OpenVINO", (*GRAPH, "openvino"), _openvino, runs="graph"),
    "openvino-int8": Runner("OpenVINO, int8", (*GRAPH, "openvino"), _openvino_int8, rounds=True, calibrates=True),
    "bicubic": Runner("NumPy", ("drrn.core.resize",), lambda *_: _Bicubic(), runs="itself"),
    "product": Runner("NumPy", ("numpy",), lambda *_: _Product(), runs="itself"),
}
"""By the name they have on the command line."""
EXACT = "torch"
"""The one that the others' results are held against."""
