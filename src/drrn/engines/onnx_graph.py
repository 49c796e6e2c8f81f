"""Nodes of an ONNX graph, and the pre- and postprocessing of the self-contained model: bicubic, colors, gamut."""

from math import ceil
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

KEYS = np.array([[0, 1, 0, 0], [-0.5, 0, 0.5, 0], [1, -2.5, 2, -0.5], [-0.5, 1.5, -1.5, 0.5]], np.float32)
"""The bicubic kernel of `drrn.core.resize` for a sample at distance t after the second of its four neighbors: row k
holds the coefficients of t^k for the four weights.
"""
HALVES = np.array([[1, 0, -2.5, 1.5], [2, -4, 2.5, -0.5]], np.float32)
"""The same kernel by distance x: the coefficients of x^0 to x^3 for x up to 1, and for x from 1 to 2."""


class Graph:
    """A list of nodes in order of execution, and their constants without duplicates."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}

    def do(self, operator: str, *given: str | NDArray[Any] | np.generic, **attributes: Any) -> str:
        """Append a node and return the name of its result."""
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
    """Names of the indices and weights of a resize; for enlarging, 4 neighbors as in `drrn.core.resize`."""

    neighbors: str
    """(n, k): the source rows of each row."""
    weights: str
    """(n, 1, k): their weights."""

    @classmethod
    def along(cls, graph: Graph, axis: int, scale: float) -> "Taps":
        """Taps for a side of "picture". Computed in integers, which are exact on the largest images, unlike floats."""
        side, larger = sides(graph, axis, scale)
        # sample i of `larger` is at (2 i + 1) side / (2 larger) - 1/2 of `side`; computed in units of 1 / (2 larger)
        unit = graph.do("Mul", larger, np.array(2))
        places = graph.do("Sub", graph.do("Mul", graph.do("Range", np.array(1), unit, np.array(2)), side), larger)
        places = graph.do("Unsqueeze", places, np.array([1]))  # (n, 1)
        rest = graph.do("Mod", places, unit)
        t = graph.do("Div", *(graph.do("Cast", value, to=TensorProto.FLOAT) for value in (rest, unit)))
        weight = graph.do("MatMul", graph.do("Pow", t, np.arange(4, dtype=np.float32)), KEYS)
        second = graph.do("Div", graph.do("Sub", places, rest), unit)
        # reflected beyond an edge, repeating the edge sample
        period = graph.do("Mul", side, np.array(2))
        index = graph.do("Mod", graph.do("Add", second, np.arange(-1, 3)), period)
        back = graph.do("Sub", graph.do("Sub", period, np.array(1)), index)
        return cls(graph.do("Min", index, back), graph.do("Unsqueeze", weight, np.array([1])))

    @classmethod
    def between(cls, graph: Graph, side: str, other: str, ratio: float) -> "Taps":
        """Taps from one side to another that is `ratio` times as long, or slightly more; antialiased if shorter."""
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
        # the first half is 0 at distance 1, the second at 1 and 2: the selection at the ends does not matter
        halves = (graph.do("MatMul", power, half[:, None]) for power, half in zip(powers, HALVES, strict=True))
        weight = graph.do("Squeeze", graph.do("Add", *halves), np.array([2]))
        weight = graph.do("Div", weight, graph.do("ReduceSum", weight, np.array([1])))
        period = graph.do("Mul", side, np.array(2))
        index = graph.do("Mod", index, period)
        back = graph.do("Sub", graph.do("Sub", period, np.array(1)), index)
        return cls(graph.do("Min", index, back), graph.do("Unsqueeze", weight, np.array([1])))

    def resize(self, graph: Graph, x: str) -> str:
        """Resize rows: (N, C, H, W) -> (N, C, n, W)."""
        neighbors = graph.do("Gather", x, self.neighbors, axis=2)  # (N, C, n, k, W)
        return graph.do("Squeeze", graph.do("MatMul", self.weights, neighbors), np.array([3]))


def sides(graph: Graph, axis: int, scale: float) -> tuple[str, str]:
    """Names of the length of a side of "picture" and of the enlarged image."""
    side = graph.do("Gather", graph.do("Shape", "picture"), np.array(axis))
    product = graph.do("Mul", graph.do("Cast", side, to=TensorProto.DOUBLE), np.float64(scale))
    return side, graph.do("Cast", graph.do("Add", product, np.float64(0.5)), to=TensorProto.INT64)


class Cells(NamedTuple):
    """The cells of `drrn.core.gamut` along an axis: the output samples that lie within each source sample."""

    axis: int
    members: Taps
    own: str
    """(n,): the cell of each sample."""

    @classmethod
    def along(cls, graph: Graph, axis: int, scale: float) -> "Cells":
        """The cells of planes (N, C, H, W) along an axis."""
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
    """Apply `drrn.core.gamut.clip` to the whole image: colors (N, 3, H, W), enlarged from source (N, 3, h, w)."""

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
    # below 0 and above 1, as six channels
    beyond = graph.do("Concat", graph.do("Neg", colors), graph.do("Sub", colors, np.float32(1)), axis=1)
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
    """Whether each image is constant along `axes`: (N, C, H, W) -> (N, 1, 1, 1)."""
    range_ = graph.do("Sub", *(graph.do(f"Reduce{end}", x, np.array(axes)) for end in ("Max", "Min")))
    return graph.do("Equal", graph.do("ReduceMax", range_, np.array([1, 2, 3])), np.float32(0))


def mixed(graph: Graph, planes: str, matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> str:
    """Compute matrix @ planes + offset for (N, 3, H, W)."""
    return graph.do("Conv", planes, matrix[:, :, None, None].astype(np.float32), offset.astype(np.float32))
