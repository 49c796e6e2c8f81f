"""The streaming Winograd engine in NumPy: a readable specification of `native/`, which is tested against it.

Bands of ROWS rows pass through all layers at once. A 3x3 convolution needs a row above and a row below, so each layer
lags one row behind the previous one, and keeps the last two rows of its input for the next band: nothing is computed
twice, and memory grows with the width of the image but not with its height.

A layer is Winograd's F(4x4, 3x3): 4x4 output pixels need 6x6 input pixels, and 36 multiplications per channel instead
of 144. (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.)

Shapes: rows are (rows, columns, channels), in cells of `unshuffle` x `unshuffle` pixels.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from drrn.engines.engine import OutOfMemoryError, Planes, run_streaming
from drrn.engines.layers import Layer, layers
from drrn.weights.store import Weights

ROWS = 16
"""Rows of cells in a band: a multiple of the 4 rows of an output tile."""
INPUT = np.array(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
     [0, 4, 0, -5, 0, 1]], np.float32
)  # fmt: skip
KERNEL = np.array(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6],
     [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]
)  # fmt: skip
OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float32)
"""Winograd's matrices B^T, G and A^T for the points 0, 1, -1, 2, -2 and infinity."""


class ReferenceEngine:
    """Runs `weights` in float32 on the CPU. See `drrn.engines.engine.StreamingEngine`."""

    streams = True

    def __init__(self, weights: Weights, *, units: int | None = None):
        self.name = "reference (NumPy)"
        self.config = weights.config
        self.layers = layers(weights, units)
        # transformed once for all units that share a kernel
        transformed = {id(layer.kernel): transform(layer.kernel) for layer in self.layers}
        self.kernels = [transformed[id(layer.kernel)] for layer in self.layers]

    def memory(self, height: int, width: int) -> int:
        cells, width_of = -(-width // self.config.unshuffle) + 6, self.config.width
        rows = (
            2 * len(self.layers) + (ROWS + lag(self.layers)) + 9 * ROWS
        )  # rows carried to the next band, rows kept for skips, and the working memory of a layer
        return 4 * cells * width_of * rows

    def run(self, ilr: Planes, done: Callable[[int], None] = lambda rows: None) -> Planes:
        return run_streaming(self, ilr, done)

    def stream(self, bands: Iterable[Planes]) -> Iterator[Planes]:
        try:
            yield from self._stream(bands)
        except MemoryError as error:
            raise OutOfMemoryError("Not enough memory for an image of this width.") from error

    def _stream(self, bands: Iterable[Planes]) -> Iterator[Planes]:
        cell = self.config.unshuffle
        flow: Flow | None = None
        waiting: Planes | None = None  # ilr whose sr is still pending, (channels, rows, W)
        fed = 0  # rows of it that have entered the flow
        for band in bands:
            waiting = band if waiting is None else np.concatenate([waiting, band], axis=1)
            flow = flow or Flow(self.layers, self.kernels, -(-band.shape[2] // cell))
            while waiting.shape[1] - fed >= ROWS * cell:
                detail = flow.push(to_cells(waiting[:, fed : fed + ROWS * cell], cell))
                fed += ROWS * cell
                sr, waiting = self._finish(detail, waiting)
                fed -= sr.shape[1]
                yield sr
        if flow is None or waiting is None or not waiting.shape[1]:
            return
        last = to_cells(waiting[:, fed:], cell)
        flow.height = flow.pushed + len(last)
        while waiting.shape[1]:
            detail = flow.push(np.concatenate([last, np.zeros((ROWS - len(last), *last.shape[1:]), np.float32)]))
            last = last[:0]
            sr, waiting = self._finish(detail, waiting)
            yield sr

    def _finish(self, detail: Planes, waiting: Planes) -> tuple[Planes, Planes]:
        """Return the finished rows of sr for this `detail`, and the ilr that is still waiting."""
        planes = to_planes(detail, self.config.unshuffle)[:, : waiting.shape[1], : waiting.shape[2]]
        ilr, waiting = np.split(waiting, [planes.shape[1]], axis=1)
        return (planes + ilr if self.config.global_residual else planes), waiting


class Flow:
    """All layers for an image `width` cells wide, with the rows that each keeps for the next band."""

    def __init__(self, layers: list[Layer], kernels: list[Planes], width: int):
        self.layers, self.kernels, self.width = layers, kernels, width
        self.pushed = 0
        self.height: float = np.inf  # unknown until the last row arrives
        padded = -(-width // 4) * 4 + 2
        self.carried = [np.zeros((2, padded, layer.kernel.shape[1]), np.float32) for layer in layers]
        self.kept = np.zeros((ROWS + lag(layers), width, len(layers[0].kernel)), np.float32)

    @np.errstate(over="ignore", invalid="ignore")  # the caller checks the result for finite values
    def push(self, x: Planes) -> Planes:
        """Pass in the next ROWS rows; return the finished rows (rows, width, channels), 0 to ROWS of them."""
        first = self.pushed  # the row of the image at which x begins
        self.pushed += ROWS
        for index, (layer, kernel) in enumerate(zip(self.layers, self.kernels, strict=True)):
            a = np.zeros((ROWS + 2, *self.carried[index].shape[1:]), np.float32)
            a[:2] = self.carried[index]
            inside = self._inside(first)  # outside the image the activation is zero
            a[2:, 1 : self.width + 1][inside] = np.maximum(layer.scale * x[inside] + layer.shift, 0)
            if layer.replicates:
                self._replicate(a, first)
            self.carried[index] = a[ROWS:].copy()
            first -= 1
            x = convolve(a, kernel)[:, : self.width] + layer.bias
            rows = np.arange(first, first + ROWS) % len(self.kept)
            if layer.adds:
                x += self.kept[rows]
            if layer.keeps:
                self.kept[rows] = x if layer.keeps == "result" else np.maximum(x, 0)
        return x[self._inside(first)]

    def _replicate(self, a: Planes, first: int) -> None:
        """Pad with the border, one row or column on each side; `a` begins two rows before row `first`."""
        a[:, 0], a[:, self.width + 1] = a[:, 1], a[:, self.width]
        if first == 0:
            a[1] = a[2]
        if first <= self.height < first + ROWS:
            below = int(self.height) - first + 2
            a[below] = a[below - 1]

    def _inside(self, first: int) -> NDArray[np.bool_]:
        rows = np.arange(first, first + ROWS)
        return (rows >= 0) & (rows < self.height)


def lag(layers: list[Layer]) -> int:
    """Return the rows between the first layer that keeps features and the last one that adds them."""
    keeping = [index for index, layer in enumerate(layers) if layer.keeps]
    adding = [index for index, layer in enumerate(layers) if layer.adds]
    return adding[-1] - keeping[0] if adding else 0


def transform(kernel: Planes) -> Planes:
    """Transform a kernel: (out, in, 3, 3) -> (36, in, out), computed in float64."""
    spread = np.einsum("ai,ocij,bj->abco", KERNEL, kernel.astype(np.float64), KERNEL)
    return np.ascontiguousarray(spread.reshape(36, *spread.shape[2:]), dtype=np.float32)


def convolve(a: Planes, kernel: Planes) -> Planes:
    """Convolve (rows + 2, 4n + 2, in) with a transformed kernel -> (rows, 4n, out)."""
    down, across, channels = (a.shape[0] - 2) // 4, (a.shape[1] - 2) // 4, a.shape[2]
    row, column, channel = a.strides
    tiles = np.lib.stride_tricks.as_strided(
        a, (6, 6, down, across, channels), (row, column, 4 * row, 4 * column, channel)
    )
    spread = _both_ways(INPUT, tiles).reshape(36, down * across, channels)
    products = np.matmul(spread, kernel).reshape(6, 6, down, across, -1)
    return _both_ways(OUTPUT, products).transpose(2, 0, 3, 1, 4).reshape(4 * down, 4 * across, -1)


def to_cells(planes: Planes, cell: int) -> Planes:
    """Pixel-unshuffle (channels, H, W) -> (h, w, channels * cell²), repeating the last row and column to fill the
    cells.
    """
    channels, height, width = planes.shape
    filled = np.pad(planes, ((0, 0), (0, -height % cell), (0, -width % cell)), mode="edge")
    down, across = filled.shape[1] // cell, filled.shape[2] // cell
    split = filled.reshape(channels, down, cell, across, cell)
    return split.transpose(1, 3, 0, 2, 4).reshape(down, across, channels * cell * cell)


def to_planes(cells: Planes, cell: int) -> Planes:
    """Pixel-shuffle, its inverse: (h, w, channels * cell²) -> (channels, H, W)."""
    height, width, channels = cells.shape
    split = cells.reshape(height, width, channels // cell**2, cell, cell)
    return split.transpose(2, 0, 3, 1, 4).reshape(channels // cell**2, height * cell, width * cell)


def _both_ways(matrix: Planes, tiles: Planes) -> Planes:
    """Compute matrix @ tile @ matrix.T for every tile: (6, 6, ...) -> (n, n, ...)."""
    half = np.empty((len(matrix), *tiles.shape[1:]), np.float32)
    whole = np.empty((len(matrix), *half.shape[:1], *tiles.shape[2:]), np.float32)
    for index, row in enumerate(matrix):
        _combine(row, tiles, half[index])
    for index, row in enumerate(matrix):
        _combine(row, half.swapaxes(0, 1), whole[:, index])
    return whole


def _combine(row: Planes, parts: Planes, to: Planes) -> None:
    """Write the sum of `parts`, weighted by `row`, to `to`. Most weights are 0, which BLAS would not exploit."""
    first, *others = np.flatnonzero(row)
    np.multiply(parts[first], row[first], out=to)
    for index in others:
        to += row[index] * parts[index]
