"""Nodes of an ONNX graph, and what the self-contained one has around the network: bicubic, colors, their range."""

from math import ceil
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

KEYS = np.array([[0, 1, 0, 0], [-0.5, 0, 0.5, 0], [1, -2.5, 2, -0.5], [-0.5, 1.5, -1.5, 0.5]], np.float32)
"""The bicubic kernel of `drrn.core.resize` for a sample that lies t beyond the second of its four neighbours: row k is
what t^k adds to the weight of each."""
HALVES = np.array([[1, 0, -2.5, 1.5], [2, -4, 2.5, -0.5]], np.float32)
"""The same kernel by the distance x, up to 1 and from there to 2: the factors of x^0 to x^3."""


class Graph:
    """Nodes in the order they are said, and the constants they need, equal ones once."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}

    def do(self, operator: str, *given: str | NDArray[Any] | np.generic, **attributes: Any) -> str:
        """Append a node; the name of its result."""
        names = [value if isinstance(value, str) else self._constant(np.asarray(value)) for value in given]
        result = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [result], **attributes))
        return result

    def _constant(self, values: NDArray[Any]) -> str:
        known = (values.dtype.str, values.shape, values.tobytes())
        if known not in self.constants:
            self.constants[known] = numpy_helper.from_array(values, f"constant_{len(self.constants)}")
        return self.constants[known].name


class Taps(NamedTuple):
    """Names of what each row is a weighted sum of: for an enlarged picture, 4 rows as in `drrn.core.resize`."""

    neighbours: str
    """(n, k): which rows."""
    weights: str
    """(n, 1, k): how much of each."""

    @classmethod
    def along(cls, graph: Graph, axis: int, scale: float) -> "Taps":
        """For a side of "picture", by whole numbers, which are exact on the largest picture, as floats are not."""
        side, larger = sides(graph, axis, scale)
        # sample i of `larger` lies at (2 i + 1) side / (2 larger) - 1/2 of `side`: in units of 1 / (2 larger)
        unit = graph.do("Mul", larger, np.array(2))
        places = graph.do("Sub", graph.do("Mul", graph.do("Range", np.array(1), unit, np.array(2)), side), larger)
        places = graph.do("Unsqueeze", places, np.array([1]))  # (n, 1)
        rest = graph.do("Mod", places, unit)
        t = graph.do("Div", *(graph.do("Cast", value, to=TensorProto.FLOAT) for value in (rest, unit)))
        weight = graph.do("MatMul", graph.do("Pow", t, np.arange(4, dtype=np.float32)), KEYS)
        second = graph.do("Div", graph.do("Sub", places, rest), unit)
        # past an edge they come back from it, the edge sample twice
        period = graph.do("Mul", side, np.array(2))
        index = graph.do("Mod", graph.do("Add", second, np.arange(-1, 3)), period)
        back = graph.do("Sub", graph.do("Sub", period, np.array(1)), index)
        return cls(graph.do("Min", index, back), graph.do("Unsqueeze", weight, np.array([1])))

    @classmethod
    def between(cls, graph: Graph, side: str, other: str, ratio: float) -> "Taps":
        """From one side to another, `ratio` times as long or a little more: antialiased where it is shorter."""
        reach = ceil(2 / min(ratio, 1)) + 1
        unit = graph.do("Mul", other, np.array(2))
        places = graph.do("Sub", graph.do("Mul", graph.do("Range", np.array(1), unit, np.array(2)), side), other)
        places = graph.do("Unsqueeze", places, np.array([1]))  # (n, 1)
        first = graph.do(
            "Sub", graph.do("Div", graph.do("Sub", places, graph.do("Mod", places, unit)), unit), np.array(reach)
        )
        index = graph.do("Add", first, np.arange(2 * reach + 1))  # (n, taps)
        away = graph.do("Sub", places, graph.do("Mul", index, unit))
        squeeze = graph.do(
            "Min", graph.do("Div", *(graph.do("Cast", n, to=TensorProto.FLOAT) for n in (other, side))), np.float32(1)
        )
        away = graph.do("Div", *(graph.do("Cast", value, to=TensorProto.FLOAT) for value in (away, unit)))
        away = graph.do("Abs", graph.do("Mul", away, squeeze))
        near, far = (graph.do("Clip", away, np.float32(end), np.float32(end + 1)) for end in (0, 1))
        powers = [
            graph.do("Pow", graph.do("Unsqueeze", part, np.array([2])), np.arange(4, dtype=np.float32))
            for part in (near, far)
        ]
        # each half of the kernel is 0 where the other begins, and the second where it ends
        halves = (graph.do("MatMul", power, half[:, None]) for power, half in zip(powers, HALVES, strict=True))
        weight = graph.do("Squeeze", graph.do("Add", *halves), np.array([2]))
        weight = graph.do("Div", weight, graph.do("ReduceSum", weight, np.array([1])))
        period = graph.do("Mul", side, np.array(2))
        index = graph.do("Mod", index, period)
        back = graph.do("Sub", graph.do("Sub", period, np.array(1)), index)
        return cls(graph.do("Min", index, back), graph.do("Unsqueeze", weight, np.array([1])))

    def resize(self, graph: Graph, x: str) -> str:
        """(N, C, H, W) -> (N, C, n, W)."""
        neighbours = graph.do("Gather", x, self.neighbours, axis=2)  # (N, C, n, k, W)
        return graph.do("Squeeze", graph.do("MatMul", self.weights, neighbours), np.array([3]))


def sides(graph: Graph, axis: int, scale: float) -> tuple[str, str]:
    """Of "picture", and of the enlarged one."""
    side = graph.do("Gather", graph.do("Shape", "picture"), np.array(axis))
    product = graph.do("Mul", graph.do("Cast", side, to=TensorProto.DOUBLE), np.float64(scale))
    return side, graph.do("Cast", graph.do("Add", product, np.float64(0.5)), to=TensorProto.INT64)


class Cells(NamedTuple):
    """The cells of `drrn.core.gamut` along an axis: the samples of the larger picture that lie in each of "picture"."""

    axis: int
    members: Taps
    own: str
    """(n,): in which cell each sample lies."""

    @classmethod
    def along(cls, graph: Graph, axis: int, scale: float) -> "Cells":
        """Of planes (N, C, H, W)."""
        side, larger = sides(graph, axis - 1, scale)
        index = graph.do("Range", np.array(0), larger, np.array(1))
        last = graph.do("Sub", larger, np.array(1))
        mirrored = graph.do("Sub", last, index)
        odd = graph.do("Add", graph.do("Mul", graph.do("Min", index, mirrored), np.array(2)), np.array(1))
        own = graph.do("Div", graph.do("Mul", odd, side), graph.do("Mul", larger, np.array(2)))
        other = graph.do("Sub", graph.do("Sub", side, np.array(1)), own)
        own = graph.do("Where", graph.do("LessOrEqual", index, mirrored), own, other)
        # in the first half, cell i begins at the first sample k with (2 k + 1) side >= 2 i larger
        cell = graph.do("Range", np.array(0), graph.do("Add", side, np.array(1)), np.array(1))
        rest = graph.do("Sub", side, cell)
        ends = graph.do("Mul", graph.do("Min", cell, rest), graph.do("Mul", larger, np.array(2)))
        ends = graph.do("Sub", graph.do("Add", ends, side), np.array(1))
        ends = graph.do("Div", ends, graph.do("Mul", side, np.array(2)))
        ends = graph.do("Where", graph.do("LessOrEqual", cell, rest), ends, graph.do("Sub", larger, ends))
        ends = graph.do("Unsqueeze", ends, np.array([1]))
        starts, stops = (
            graph.do("Slice", ends, np.array([first]), np.array([last]), np.array([0]))
            for first, last in ((0, -1), (1, np.iinfo(np.int64).max))
        )
        members = graph.do("Add", starts, np.arange(int(scale) + 2))  # (n, most)
        inside = graph.do("Cast", graph.do("Less", members, stops), to=TensorProto.FLOAT)
        members = graph.do("Min", members, graph.do("Sub", larger, np.array(1)))
        return cls(axis, Taps(members, graph.do("Unsqueeze", inside, np.array([1]))), own)


def into_range(graph: Graph, colors: str, source: str, cells: tuple[Cells, Cells]) -> str:
    """`drrn.core.gamut.clip` of the whole picture: (N, 3, H, W), and (N, 3, h, w) that was enlarged."""

    def sums(x: str) -> str:
        across = graph.do("Transpose", cells[0].members.resize(graph, x), perm=[0, 1, 3, 2])
        return graph.do("Transpose", cells[1].members.resize(graph, across), perm=[0, 1, 3, 2])

    def spread(x: str) -> str:
        for each in cells:
            x = graph.do("Gather", x, each.own, axis=each.axis)
        return x

    def box(x: str) -> str:
        return graph.do("Conv", x, np.ones((6, 1, 3, 3), np.float32), group=6, pads=[1] * 4)

    def rest(x: str) -> str:
        return graph.do("Sub", np.float32(1), x)

    clipped = graph.do("Clip", colors, np.float32(0), np.float32(1))
    apart = graph.do("Sub", *(graph.do(f"Reduce{end}", source, np.array([1])) for end in ("Max", "Min")))
    counted = spread(graph.do("MaxPool", apart, kernel_shape=[3, 3], pads=[1] * 4))
    beyond = graph.do("Concat", graph.do("Neg", colors), graph.do("Sub", colors, np.float32(1)), axis=1)  # both ends
    taken = sums(graph.do("Min", graph.do("Relu", beyond), counted))
    way = graph.do("Sub", spread(source), clipped)
    room = graph.do("Relu", graph.do("Concat", graph.do("Neg", way), way, axis=1))
    of_cells, unused = sums(room), ""
    for _ in range(2):
        left = graph.do("Mul", unused, of_cells) if unused else of_cells
        around = graph.do("Max", box(left), np.float32(1e-9))
        asked = box(graph.do("Div", taken, around))
        given = box(graph.do("Div", left, graph.do("Max", asked, np.float32(1))))
        taken = graph.do("Mul", taken, graph.do("Relu", rest(graph.do("Div", given, around))))
        stays = graph.do("Relu", rest(asked))
        unused = graph.do("Mul", unused, stays) if unused else stays
    moved = graph.do("Mul", spread(rest(unused)), room)
    down, up = (graph.do("Gather", moved, np.arange(first, first + 3), axis=1) for first in (0, 3))
    return graph.do("Sub", graph.do("Add", clipped, up), down)


def constant(graph: Graph, x: str, axes: list[int]) -> str:
    """Whether each picture is the same all along `axes`: (N, C, H, W) -> (N, 1, 1, 1)."""
    range_ = graph.do("Sub", *(graph.do(f"Reduce{end}", x, np.array(axes)) for end in ("Max", "Min")))
    return graph.do("Equal", graph.do("ReduceMax", range_, np.array([1, 2, 3])), np.float32(0))


def mixed(graph: Graph, planes: str, matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> str:
    """matrix @ planes + offset, of (N, 3, H, W)."""
    return graph.do("Conv", planes, matrix[:, :, None, None].astype(np.float32), offset.astype(np.float32))
