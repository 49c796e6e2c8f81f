"""The network as an ONNX file, for programs in which there is no drrn, and ONNX Runtime as an engine.

The graph is written node by node from `drrn.engines.layers`, so that no torch is needed. Only operators that every
runtime has are used, and doubles only where the size of a picture is computed.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, RuntimeException

from drrn.atomic import atomic
from drrn.core import gamut
from drrn.core.color import FROM_RGB, OFFSET, TO_RGB, levels, rgb, ycbcr
from drrn.core.resize import imresize
from drrn.engines.engine import Engine, OutOfMemoryError, Planes, choose, cores
from drrn.engines.layers import layers
from drrn.engines.onnx_graph import Cells, Graph, Taps, constant, into_range, mixed
from drrn.errors import EngineError
from drrn.weights.store import Weights

OPSET, IR_VERSION = 18, 8
"""As old as the graph allows (`Pad` has axes since 18): a file of today then runs where nobody updates."""

CARD = ("command", "commit", "seed", "scores", "protocol")
"""What of a card goes into the file, each where there is one."""

LIVE_TENSORS = 5
"""Feature maps that ONNX Runtime holds at once while a unit runs: 3, and its arena takes memory in powers of two."""
CHANNEL_BLOCK = 16
"""It rounds their channels up to whole vectors, which are of 16 floats at most."""
KEPT = 32 << 20
"""Bytes: `malloc` does not give back at once what it gave in pieces of less than that."""

TOLERANCE = 1e-4
"""How far sr of an exported network may be from drrn's own. The two add in another order; measured is some 1e-6."""
ROUNDED_OTHERWISE = 0.01
"""The share of 8-bit samples that may be rounded to the next level: values that lie on the edge between two."""
SIZES = ((1, 8), (9, 1), (2, 3), (24, 40), (47, 31))
"""(height, width) of what an exported network is tried on. One pixel is a constant picture: no network is given it."""


class Checked(NamedTuple):
    """How far an exported file, in ONNX Runtime, is from drrn's own engine."""

    engine: str
    """The one it was held against."""
    difference: float
    """The largest: of sr in [0, 1], or for a self-contained file in levels of 8 bits."""
    differing: float
    """The share of samples that are not equal. Two float32 seldom are."""


class OnnxEngine:
    """Runs `weights` in float32 in ONNX Runtime. See `drrn.engines.engine.Engine`."""

    streams = False

    def __init__(self, weights: Weights, *, units: int | None = None, threads: int = 0):
        threads = threads or cores()
        plural = "s" if threads > 1 else ""
        self.name = f"onnx (ONNX Runtime {onnxruntime.__version__}, cpu, {threads} thread{plural})"
        self.session = _session(model(weights, units), threads)
        features = -(-weights.config.width // CHANNEL_BLOCK) * CHANNEL_BLOCK / weights.config.unshuffle**2
        self.bytes_per_pixel = round(4 * (LIVE_TENSORS * features + 4 * weights.config.channels))

    def memory(self, height: int, width: int) -> int:
        return KEPT + self.bytes_per_pixel * height * width

    def run(self, ilr: Planes, done: Callable[[int], None] = lambda rows: None) -> Planes:
        try:
            sr: Planes = _run(self.session, ilr[None])[0]
        except (Fail, RuntimeException, MemoryError) as error:
            if "alloc" not in str(error):  # ONNX Runtime has no exception of its own for it
                raise
            raise OutOfMemoryError(f"Not enough memory for a piece of {ilr.shape[2]}x{ilr.shape[1]}.") from error
        done(ilr.shape[1])
        return sr


def model(weights: Weights, units: int | None = None) -> onnx.ModelProto:
    """The network alone: "ilr" -> "sr", both float32 (N, channels, H, W), any N, H and W; sr is not clipped.

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
    """All that `drrn upscale` does to an RGB picture: "picture" uint8 (N, H, W, 3) -> "larger" uint8.

    "larger" is (N, int(H * scale + 0.5), int(W * scale + 0.5), 3). The samples are those of `Upscaler.upscale` but for
    rounding errors: grey pictures stay grey and constant ones constant, too. Memory grows with the picture, as nothing
    is tiled, and values that are not finite are not noticed.

    Args:
        scale: at least 1; any number.
        units: residual units to run in each block instead of the config's.
    """
    if not scale >= 1:
        raise ValueError(f"`scale` must be at least 1, got {scale}.")
    weights = weights.network(scale)
    graph = Graph()
    planes = graph.do("Transpose", "picture", perm=[0, 3, 1, 2])
    planes = graph.do("Div", graph.do("Cast", planes, to=TensorProto.FLOAT), np.float32(255))  # (N, 3, H, W)
    rows, columns = (Taps.along(graph, axis, scale) for axis in (1, 2))
    grey = constant(graph, planes, axes=[1])

    def bicubic(given: str) -> str:
        across = graph.do("Transpose", rows.resize(graph, given), perm=[0, 1, 3, 2])
        return graph.do("Transpose", columns.resize(graph, across), perm=[0, 1, 3, 2])

    def restored(given: str) -> str:
        ilr = bicubic(given)
        flat = constant(graph, given, axes=[2, 3])  # the network's padding would darken its border
        sr = graph.do("Where", flat, ilr, _network(graph, weights, units, ilr))
        return graph.do("Clip", sr, np.float32(0), np.float32(1))

    if weights.config.channels == 3:
        sr = restored(planes)
        larger = graph.do("Where", grey, graph.do("ReduceMean", sr, np.array([1])), sr)
    else:
        # a grey picture goes through the network as it is, and not as its luma of studio range
        source = planes
        planes = graph.do("Where", grey, source, mixed(graph, source, FROM_RGB / 255, OFFSET / 255))
        luma, chroma = (graph.do("Gather", planes, np.array(which), axis=1) for which in ([0], [1, 2]))
        sr = restored(luma)
        colours = graph.do("Concat", sr, bicubic(chroma), axis=1)
        colours = mixed(graph, colours, TO_RGB * 255, -TO_RGB @ OFFSET)
        cells = (Cells.along(graph, 2, scale), Cells.along(graph, 3, scale))
        larger = graph.do("Where", grey, sr, into_range(graph, colours, source, cells))
    # a cast cuts off what stands after the point, so that halves go up, as in `drrn.core.color.levels`
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


def export(
    weights: Weights, path: Path, *, units: int | None = None, scale: float | None = None, overwrite: bool = False
) -> Checked:
    """Write `weights` as ONNX to `path`, once ONNX Runtime has computed from it what drrn's own engine does.

    Args:
        units: residual units to run in each block instead of the config's.
        scale: writes a `picture_model` for this scale; None writes a `model`.

    Raises:
        EngineError: the weights were not trained for so many units, or the file computes something else. It is not
            written then.
        DRRNError: as `drrn.atomic.atomic`.
    """
    weights = weights if scale is None else weights.network(scale)
    engine = choose(weights, units=units)
    proto = model(weights, units) if scale is None else picture_model(weights, scale, units)
    checker.check_model(proto, full_check=True)
    session = _session(proto, threads=1)
    if scale is None:
        checked = _check(session, _planes(engine, weights), Checked(engine.name, TOLERANCE, 1))
    else:
        checked = _check(session, _pictures(engine, weights, scale), Checked(engine.name, 1, ROUNDED_OTHERWISE))
    with atomic(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(proto.SerializeToString())
    return checked


def _network(graph: Graph, weights: Weights, units: int | None, ilr: str) -> str:
    """What `drrn.network.model.DRRN` is: the name of sr."""
    config, cell = weights.config, weights.config.unshuffle
    first, *others = layers(weights, units)
    x, size = ilr, ""
    if cell > 1:
        size = graph.do("Shape", ilr, start=2)  # H, W
        missing = graph.do("Mod", graph.do("Neg", size), np.array([cell]))
        ends = graph.do("Concat", np.array([0, 0]), missing, axis=0)
        x = graph.do("SpaceToDepth", graph.do("Pad", ilr, ends, "", np.array([2, 3]), mode="edge"), blocksize=cell)
        # ONNX has the channels of a cell side by side, torch the cells of a channel: other than on the way back
        # there is no mode for it, so the first layer takes them in ONNX's order
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


Value = tuple[str, int, Sequence[str | int]]
"""Name, type and shape of what goes in or comes out; a side with a name may have any length."""


def _model(
    graph: Graph, weights: Weights, units: int | None, given: Value, made: Value, about: str, **facts: float
) -> onnx.ModelProto:
    """The graph whose last node makes `made`, with what is known of the weights."""
    graph.nodes[-1].output[0] = made[0]
    inputs, outputs = ([helper.make_tensor_value_info(*value)] for value in (given, made))
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
        "scales": weights.scales,
        **facts,
        **{key: weights.card[key] for key in CARD if key in weights.card},
    }
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in known.items()}
    # the name of a file, and a stranger's card, need not be of characters that a protobuf holds
    helper.set_model_props(proto, {key: text.encode(errors="replace").decode() for key, text in texts.items()})
    return proto


def _session(proto: onnx.ModelProto, threads: int) -> onnxruntime.InferenceSession:
    onnxruntime.disable_telemetry_events()  # its Windows builds report to their maker
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # with it, the second run of a size took up to a half more memory
    options.log_severity_level = 4  # what fails is raised; who catches it decides what is printed
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _run(session: onnxruntime.InferenceSession, given: NDArray[Any]) -> NDArray[Any]:
    options = onnxruntime.RunOptions()
    # else it keeps the memory of a run, which is of no use to the next where that is larger
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    (made,) = session.run(None, {session.get_inputs()[0].name: given}, options)
    return made


Example = tuple[NDArray[Any], NDArray[Any]]
"""What is given, and what is expected."""


def _planes(engine: Engine, weights: Weights) -> Iterator[Example]:
    """Noise enlarged by two, as networks are given, and its sr."""
    chance = np.random.default_rng(0)
    for height, width in SIZES:
        lr = chance.random((weights.config.channels, -(-height // 2), -(-width // 2)), np.float32)
        ilr = imresize(lr, height, width)
        yield ilr, engine.run(ilr)


def _pictures(engine: Engine, weights: Weights, scale: float) -> Iterator[Example]:
    """Noise of 8 bits, and what `drrn upscale` makes of it."""
    chance, channels = np.random.default_rng(0), weights.config.channels
    for height, width in SIZES:
        picture = chance.integers(0, 256, (height, width, 3), np.uint8)
        planes = picture.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        size = int(height * scale + 0.5), int(width * scale + 0.5)
        larger = imresize(ycbcr(planes) if channels == 1 else planes, *size)
        larger[:channels] = engine.run(larger[:channels]).clip(0, 1)
        if channels == 1:
            at = gamut.window((slice(0, size[0]), slice(0, size[1])), (height, width), size)
            larger = gamut.clip(rgb(larger), planes, at)
        yield picture, levels(larger).transpose(1, 2, 0)


@np.errstate(invalid="ignore")  # what is not finite is refused in the end
def _check(session: onnxruntime.InferenceSession, examples: Iterable[Example], allowed: Checked) -> Checked:
    differences = [np.abs(_run(session, given[None])[0] - expected.astype(float)) for given, expected in examples]
    every = np.concatenate([difference.ravel() for difference in differences])
    found = Checked(allowed.engine, float(every.max()), float(np.count_nonzero(every) / every.size))
    if not (found.difference <= allowed.difference and found.differing <= allowed.differing):  # so is NaN refused
        raise EngineError(
            f"In ONNX Runtime the network differs from {found.engine} by {found.difference:.2g} (allowed is "
            f"{allowed.difference:g}), and in {found.differing:.2%} of the samples (allowed is "
            f"{allowed.differing:.0%}): the weights or ONNX Runtime are faulty. No file was written."
        )
    return found
