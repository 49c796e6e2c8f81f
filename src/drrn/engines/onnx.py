"""Write the network as an ONNX graph, and run it with ONNX Runtime.

The graph is built node by node from `drrn.engines.layers`, so torch is not needed. It uses only operators that every
runtime supports, and doubles only to compute sizes.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, RuntimeException

from drrn.core.color import FROM_RGB, OFFSET, TO_RGB
from drrn.engines.engine import OutOfMemoryError, Planes, cores
from drrn.engines.layers import layers
from drrn.engines.onnx_graph import Cells, Graph, Taps, constant, into_range, mixed, sides
from drrn.tables import plural
from drrn.weights.store import Weights

OPSET, IR_VERSION = 18, 8
"""The oldest versions that the graph allows (`Pad` has axes since 18), so that older runtimes can load the file."""

CARD = ("command", "commit", "seed", "scores", "protocol")
"""Entries of the model card that are copied into the file, if present."""

LIVE_TENSORS = 5
"""Feature maps that ONNX Runtime holds at once while it runs a unit: 3, and its arena allocates in powers of two."""
CHANNEL_BLOCK = 16
"""It pads their channels to whole vectors, of at most 16 floats."""
KEPT = 32 << 20
"""Bytes: `malloc` does not return memory at once that was allocated in smaller blocks than this."""


class OnnxEngine:
    """Runs `weights` in float32 in ONNX Runtime. See `drrn.engines.engine.Engine`."""

    streams = False

    def __init__(self, weights: Weights, *, units: int | None = None, threads: int = 0):
        threads = threads or cores()
        self.name = f"onnx (ONNX Runtime {onnxruntime.__version__}, cpu, {plural(threads, 'thread')})"
        self.session = open_session(model(weights, units), threads)
        features = -(-weights.config.width // CHANNEL_BLOCK) * CHANNEL_BLOCK / weights.config.unshuffle**2
        self.bytes_per_pixel = round(4 * (LIVE_TENSORS * features + 4 * weights.config.channels))

    def memory(self, height: int, width: int) -> int:
        return KEPT + self.bytes_per_pixel * height * width

    def run(self, ilr: Planes, done: Callable[[int], None] = lambda rows: None) -> Planes:
        try:
            sr: Planes = run_session(self.session, ilr[None])[0]
        except (Fail, RuntimeException, MemoryError) as error:
            if "alloc" not in str(error):  # ONNX Runtime has no special exception for it
                raise
            raise OutOfMemoryError(f"Not enough memory for an image of {ilr.shape[2]}x{ilr.shape[1]}.") from error
        done(ilr.shape[1])
        return sr


def model(weights: Weights, units: int | None = None) -> onnx.ModelProto:
    """Build the network alone: "ilr" -> "sr", both float32 (N, channels, H, W) of any size; sr is not clipped.

    Args:
        units: residual units to run in each block instead of the config's.
    """
    graph = Graph()
    _network(graph, weights, units, "ilr")
    shape = ["N", weights.config.channels, "H", "W"]
    return _model(
        graph,
        weights,
        units,
        ("ilr", TensorProto.FLOAT, shape),
        ("sr", TensorProto.FLOAT, shape),
        "A DRRN: a picture enlarged by bicubic (ilr), in [0, 1], to the same picture sharpened (sr), not clipped. "
        + ("The plane is BT.601 luma divided by 255." if weights.config.channels == 1 else "The planes are R, G, B."),
    )


def picture_model(weights: Weights, scale: float, units: int | None = None) -> onnx.ModelProto:
    """Build a model of all that `drrn upscale` does to an RGB image: "picture" uint8 (N, H, W, 3) -> "larger" uint8.

    "larger" is (N, int(H * scale + 0.5), int(W * scale + 0.5), 3). Its samples equal those of `Upscaler.upscale` up to
    rounding errors; gray and constant images stay gray and constant. One difference: areas that are constant over the
    whole reach of the network are not copied from the source (see `drrn.core.flat`), so they are exact only for
    networks with `DRRNConfig.flat`. Memory grows with the image, since nothing is tiled, and values that are not finite
    are not detected.

    Args:
        scale: at least 1; any number.
        units: residual units to run in each block instead of the config's.
    """
    if not scale >= 1:
        raise ValueError(f"`scale` must be at least 1, got {scale}.")
    weights, stepped = weights.network(scale), weights.stepped
    graph, step = Graph(), weights.scales[0] if stepped else scale  # the network enlarges by `step`
    planes = graph.do("Transpose", "picture", perm=[0, 3, 1, 2])
    planes = graph.do("Div", graph.do("Cast", planes, to=TensorProto.FLOAT), np.float32(255))  # (N, 3, H, W)
    gray = constant(graph, planes, axes=[1])

    source = planes
    if weights.config.channels == 3:
        colors = sr = _enlarged(graph, weights, units, planes, step, scale)
    else:
        # gray images are passed to the network in their full range, not as luma in studio range
        planes = graph.do("Where", gray, source, mixed(graph, source, FROM_RGB / 255, OFFSET / 255))
        luma, chroma = (graph.do("Gather", planes, np.array(which), axis=1) for which in ([0], [1, 2]))
        sr = _enlarged(graph, weights, units, luma, step, scale)
        colors = graph.do("Concat", sr, _bicubic(graph, chroma, scale), axis=1)
        colors = mixed(graph, colors, TO_RGB * 255, -TO_RGB @ OFFSET)
    cells = (Cells.along(graph, 2, scale), Cells.along(graph, 3, scale))
    unmixed = graph.do("ReduceMean", graph.do("Clip", sr, np.float32(0), np.float32(1)), np.array([1]))
    larger = graph.do("Where", gray, unmixed, into_range(graph, colors, source, cells))
    # the cast truncates, so halves are rounded up, as in `drrn.core.color.levels`
    larger = graph.do("Add", graph.do("Mul", larger, np.float32(255)), np.float32(0.5))
    graph.do("Transpose", graph.do("Cast", larger, to=TensorProto.UINT8), perm=[0, 2, 3, 1])
    return _model(
        graph,
        weights,
        units,
        ("picture", TensorProto.UINT8, ["N", "H", "W", 3]),
        ("larger", TensorProto.UINT8, ["N", "larger_H", "larger_W", 3]),
        f"A DRRN with all around it: an RGB picture of 8 bits to the same picture, {scale:g} times as large.",
        scale=scale,
    )


def _enlarged(graph: Graph, weights: Weights, units: int | None, planes: str, step: float, scale: float) -> str:
    """Enlarge `planes` by `step` with the network, then resize them to `scale` times their size; not clipped."""
    ilr = _bicubic(graph, planes, step)
    flat = constant(graph, planes, axes=[2, 3])  # the network's padding would darken its border
    sr = graph.do("Where", flat, ilr, _network(graph, weights, units, ilr))
    if step == scale:
        return sr
    ends = [[sides(graph, axis, factor)[1] for factor in (step, scale)] for axis in (1, 2)]
    return _resized(graph, sr, [Taps.between(graph, made, larger, scale / step) for made, larger in ends])


def _bicubic(graph: Graph, planes: str, scale: float) -> str:
    return _resized(graph, planes, [Taps.along(graph, axis, scale) for axis in (1, 2)])


def _resized(graph: Graph, planes: str, taps: Sequence[Taps]) -> str:
    """Resize `planes` with these taps along height and width."""
    across = graph.do("Transpose", taps[0].resize(graph, planes), perm=[0, 1, 3, 2])
    return graph.do("Transpose", taps[1].resize(graph, across), perm=[0, 1, 3, 2])


def _network(graph: Graph, weights: Weights, units: int | None, ilr: str) -> str:
    """Add the network, as in `drrn.network.model.DRRN`; return the name of sr."""
    config, cell = weights.config, weights.config.unshuffle
    first, *others = layers(weights, units)
    x, size = ilr, ""
    if cell > 1:
        size = graph.do("Shape", ilr, start=2)  # H, W
        missing = graph.do("Mod", graph.do("Neg", size), np.array([cell]))
        ends = graph.do("Concat", np.array([0, 0]), missing, axis=0)
        x = graph.do("SpaceToDepth", graph.do("Pad", ilr, ends, "", np.array([2, 3]), mode="edge"), blocksize=cell)
        # SpaceToDepth orders by cell, then channel; torch's pixel_unshuffle by channel, then cell. It has no other
        # mode, so the input channels of the first layer are reordered instead
        order = np.arange(len(first.scale)).reshape(config.channels, cell**2).T.ravel()
        first = replace(first, scale=first.scale[order], shift=first.shift[order], kernel=first.kernel[:, order])
    kept = ""
    for layer in [first, *others]:
        if (layer.scale != 1).any():
            x = graph.do("Mul", x, layer.scale[:, None, None])
        if layer.shift.any():
            x = graph.do("Add", x, layer.shift[:, None, None])
        x = graph.do("Relu", x)
        if layer.replicates:
            x = graph.do("Pad", x, np.array([1, 1, 1, 1]), "", np.array([2, 3]), mode="edge")
        x = graph.do("Conv", x, layer.kernel, layer.bias, pads=[0 if layer.replicates else 1] * 4)
        if layer.adds:
            x = graph.do("Add", x, kept)
        if layer.keeps:
            kept = graph.do("Relu", x) if layer.keeps == "rectified" else x
    if cell > 1:
        x = graph.do("DepthToSpace", x, blocksize=cell, mode="CRD")
        x = graph.do("Slice", x, np.array([0, 0]), size, np.array([2, 3]))
    return graph.do("Add", ilr, x) if config.global_residual else x


TensorInfo = tuple[str, int, Sequence[str | int]]
"""Name, type and shape of an input or output; a dimension given by name may have any length."""


def _model(
    graph: Graph,
    weights: Weights,
    units: int | None,
    source: TensorInfo,
    result: TensorInfo,
    about: str,
    **facts: float,
) -> onnx.ModelProto:
    """Build the model whose last node computes `result`, with what is known of the weights as metadata."""
    graph.nodes[-1].output[0] = result[0]
    inputs, outputs = ([helper.make_tensor_value_info(*value)] for value in (source, result))
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "drrn", inputs, outputs, list(graph.constants.values())),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="drrn",
        producer_version=version("drrn"),
        doc_string=about,
    )
    known: dict[str, Any] = {
        "model": weights.name,
        "config": weights.config.to_dict(),
        "units": weights.config.units if units is None else units,
        "scales": weights.all_scales,
        **facts,
        **{key: weights.card[key] for key in CARD if key in weights.card},
    }
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in known.items()}
    # file names and other people's cards may contain characters that protobuf refuses
    helper.set_model_props(proto, {key: text.encode(errors="replace").decode() for key, text in texts.items()})
    return proto


def open_session(model: onnx.ModelProto | Path, threads: int) -> onnxruntime.InferenceSession:
    onnxruntime.disable_telemetry_events()  # its Windows builds send telemetry
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # with it, the second run of a size took up to 50 % more memory
    options.log_severity_level = 4  # failures are raised, and the caller decides what is printed
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run_session(session: onnxruntime.InferenceSession, given: NDArray[Any]) -> NDArray[Any]:
    options = onnxruntime.RunOptions()
    # otherwise its arena keeps the memory of a run, which a larger next one can't reuse
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    (made,) = session.run(None, {session.get_inputs()[0].name: given}, options)
    return made
