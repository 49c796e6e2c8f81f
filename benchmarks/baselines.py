"""Other people's networks as ONNX graphs with random weights: they show cost, not quality.

Each is written from its paper or its authors' code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

OPSET, IR_VERSION = 18, 8


@dataclass(frozen=True)
class Baseline:
    """A network: "lr" (1, channels, h, w) -> "sr", `scale` times as large."""

    build: Callable[["Graph"], str]
    """Appends the nodes and returns the name of the result."""
    scale: int
    """1 if its input is already enlarged by bicubic, as for a DRRN."""
    channels: Literal[1, 3]
    """1 for luma, 3 for RGB."""

    def model(self) -> onnx.ModelProto:
        graph = Graph()
        graph.nodes.append(helper.make_node("Identity", [self.build(graph)], ["sr"]))
        source, target = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, self.channels, f"{name}_h", f"{name}_w"])
            for name in ("lr", "sr")
        )
        built = helper.make_graph(graph.nodes, "baseline", [source], [target], graph.weights)
        return helper.make_model(built, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


class Graph:
    """A graph under construction. Its random weights are scaled so that features stay finite."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(0)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node and return the name of its result."""
        result = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [result], **attributes))
        return result

    def weight(self, shape: tuple[int, ...], deviation: float, mean: float = 0) -> str:
        """Append an array of normally distributed numbers and return its name."""
        values = self.rng.normal(mean, deviation, shape).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, f"weight_{len(self.weights)}"))
        return self.weights[-1].name

    def conv(self, x: str, channels_in: int, channels_out: int, side: int = 3) -> str:
        """Append a convolution with a bias, padded to keep the size."""
        shape = (channels_out, channels_in, side, side)
        kernel, bias = self.weight(shape, (2 / prod(shape[1:])) ** 0.5), self.weight((channels_out,), 0.01)
        return self.add("Conv", x, kernel, bias, pads=[side // 2] * 4)

    def prelu(self, x: str, channels: int) -> str:
        return self.add("PRelu", x, self.weight((channels, 1, 1), 0.01, mean=0.25))

    def shuffle(self, x: str, scale: int) -> str:
        return self.add("DepthToSpace", x, blocksize=scale, mode="CRD")

    def nearest(self, x: str, scale: int) -> str:
        scales = numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), f"weight_{len(self.weights)}")
        self.weights.append(scales)
        return self.add("Resize", x, "", scales.name, mode="nearest", coordinate_transformation_mode="asymmetric")

    def scaled(self, x: str, factor: float) -> str:
        return self.add("Mul", x, self.weight((1,), 0, mean=factor))


def macs(model: onnx.ModelProto, side: int = 64) -> int:
    """Multiply-adds of all convolutions per pixel of the result; products with padding are counted."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for dimension in fixed.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.dim_value = side
    fixed.graph.output[0].type.tensor_type.ClearField("shape")  # it is inferred
    graph = shape_inference.infer_shapes(fixed, strict_mode=True).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    pixels = {value.name: prod(d.dim_value for d in value.type.tensor_type.shape.dim[2:]) for value in values}
    kernels = {weight.name: prod(weight.dims) for weight in graph.initializer}
    work = 0
    for node in graph.node:
        if node.op_type == "Conv":
            work += kernels[node.input[1]] * pixels[node.output[0]]
        elif node.op_type == "ConvTranspose":
            work += kernels[node.input[1]] * pixels[node.input[0]]
    return work // pixels["sr"]


def parameters(model: onnx.ModelProto) -> int:
    """The number of weights in a graph."""
    return sum(prod(weight.dims) for weight in model.graph.initializer)


def _srcnn(g: Graph) -> str:
    """Dong et al. 2015, 9-5-5."""
    x = g.add("Relu", g.conv("lr", 1, 64, 9))
    return g.conv(g.add("Relu", g.conv(x, 64, 32, 5)), 32, 1, 5)


def _fsrcnn(g: Graph) -> str:
    """Dong, Loy and Tang 2016, FSRCNN(56, 12, 4)."""
    x = g.prelu(g.conv("lr", 1, 56, 5), 56)
    x = g.prelu(g.conv(x, 56, 12, 1), 12)
    for _ in range(4):
        x = g.prelu(g.conv(x, 12, 12), 12)
    x = g.prelu(g.conv(x, 12, 56, 1), 56)
    return g.add("ConvTranspose", x, g.weight((56, 1, 9, 9), 0.01), strides=[2, 2], pads=[4] * 4, output_padding=[1, 1])


def _espcn(g: Graph) -> str:
    """Shi et al. 2016."""
    x = g.add("Tanh", g.conv("lr", 1, 64, 5))
    return g.shuffle(g.conv(g.add("Tanh", g.conv(x, 64, 32)), 32, 4), 2)


def _vdsr(g: Graph) -> str:
    """Kim, Lee and Lee 2016: 20 layers."""
    x = g.add("Relu", g.conv("lr", 1, 64))
    for _ in range(18):
        x = g.add("Relu", g.conv(x, 64, 64))
    return g.add("Add", g.conv(x, 64, 1), "lr")


def _edsr(g: Graph) -> str:
    """Lim et al. 2017, the baseline of 16 blocks of 64."""
    x = first = g.conv("lr", 3, 64)
    for _ in range(16):
        x = g.add("Add", x, g.scaled(g.conv(g.add("Relu", g.conv(x, 64, 64)), 64, 64), 0.1))
    x = g.add("Add", g.conv(x, 64, 64), first)
    return g.conv(g.shuffle(g.conv(x, 64, 256), 2), 64, 3)


def _compact(convolutions: int) -> Callable[[Graph], str]:
    """Wang et al., Real-ESRGAN's SRVGGNetCompact."""

    def build(g: Graph) -> str:
        x = g.prelu(g.conv("lr", 3, 64), 64)
        for _ in range(convolutions):
            x = g.prelu(g.conv(x, 64, 64), 64)
        return g.add("Add", g.shuffle(g.conv(x, 64, 48), 4), g.nearest("lr", 4))

    return build


def _rrdb(g: Graph) -> str:
    """Wang et al. 2018, ESRGAN's RRDBNet of 23 blocks, as Real-ESRGAN's x4plus."""

    def leaky(x: str) -> str:
        return g.add("LeakyRelu", x, alpha=0.2)

    def dense(x: str) -> str:
        features = [x]
        for count in range(4):
            joined = g.add("Concat", *features, axis=1) if count else x
            features.append(leaky(g.conv(joined, 64 + 32 * count, 32)))
        return g.add("Add", x, g.scaled(g.conv(g.add("Concat", *features, axis=1), 192, 64), 0.2))

    x = first = g.conv("lr", 3, 64)
    for _ in range(23):
        x = g.add("Add", x, g.scaled(dense(dense(dense(x))), 0.2))
    x = g.add("Add", g.conv(x, 64, 64), first)
    for _ in range(2):
        x = leaky(g.conv(g.nearest(x, 2), 64, 64))
    return g.conv(leaky(g.conv(x, 64, 64)), 64, 3)


def _wide(g: Graph) -> str:
    """Not a published network: convolutions so wide that only arithmetic counts."""
    x = g.conv("lr", 1, 256)
    for _ in range(8):
        x = g.conv(x, 256, 256)
    return g.conv(x, 256, 1)


BASELINES: dict[str, Baseline] = {
    "FSRCNN x2": Baseline(_fsrcnn, scale=2, channels=1),
    "ESPCN x2": Baseline(_espcn, scale=2, channels=1),
    "SRCNN 9-5-5": Baseline(_srcnn, scale=1, channels=1),
    "Real-ESRGAN compact 16, x4": Baseline(_compact(16), scale=4, channels=3),
    "Real-ESRGAN compact 32, x4": Baseline(_compact(32), scale=4, channels=3),
    "EDSR baseline x2": Baseline(_edsr, scale=2, channels=3),
    "VDSR": Baseline(_vdsr, scale=1, channels=1),
    "RRDBNet x4": Baseline(_rrdb, scale=4, channels=3),
}
"""By their names in tables, the cheapest first."""
GRAPHS = {**BASELINES, "wide convolutions": Baseline(_wide, scale=1, channels=1)}
