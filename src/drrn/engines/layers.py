"""A network as a list of layers, which the native, NumPy and ONNX engines run.

Sharing, batch norms and the four kinds of skip are resolved here, once, in float64. What remains is the same step for
every layer:

    x = convolution(relu(scale * x + shift)) + bias
    x = x + kept                                        if the layer `adds`
    kept = x, or relu(x)                                if the layer `keeps`

The paper's skip keeps H_0 at the start of a block and adds it in every unit; the report's chain keeps the result of
each unit. One set of kept features is enough for all blocks, since a block begins where the previous one ends.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drrn.weights.store import Weights

Array = NDArray[np.float32]

EPSILON = 1e-5
"""Added to the variance in batch norm (the default of Caffe and torch)."""


@dataclass(frozen=True)
class Layer:
    """A pre-activated 3x3 convolution, zero-padded, and what is done with its result."""

    scale: Array  # (channels in,), like `shift`: the batch norm before the ReLU
    shift: Array
    kernel: Array  # (channels out, channels in, 3, 3); units that share it refer to one array
    bias: Array  # (channels out,)
    replicates: bool = False
    """Pad its input by repeating the border instead of with zeros."""
    adds: bool = False
    keeps: Literal["", "result", "rectified"] = ""


def layers(weights: Weights, units: int | None = None) -> list[Layer]:
    """Return the layers of `weights` in order, with `units` residual units in each block instead of the config's.

    The first takes the (pixel-unshuffled) ilr; the result of the last is (pixel-shuffled and) added to it.
    """
    config = weights.config
    units = config.units if units is None else units
    tensors = weights.tensors
    first_kept = {"source": "result", "chain": "result", "rectified": "rectified", "none": ""}[config.skip]
    found: list[Layer] = []

    def add(norm: str, convolution: str, adds: bool = False, keeps: str = "") -> None:
        kernel = tensors[f"{convolution}.weight"]
        bias = tensors.get(f"{convolution}.bias", np.zeros(len(kernel), np.float32))
        scale, shift = _affine(weights, norm, kernel.shape[1])
        is_flat = config.flat and not found
        kernel = _centered(kernel, config.channels) if is_flat else kernel
        found.append(Layer(scale, shift, kernel, bias, is_flat, adds, keeps))  # type: ignore[arg-type]

    for block in range(config.blocks):
        here = f"blocks.{block}"
        add(f"{here}.enter.norm", f"{here}.enter.conv", keeps=first_kept if units else "")
        for unit in range(units):
            index = 0 if config.share else unit
            add(f"{here}.first_norms.{unit}", f"{here}.first.{index}")
            add(
                f"{here}.second_norms.{unit}",
                f"{here}.second.{index}",
                adds=config.skip != "none",
                keeps="result" if config.skip == "chain" and unit + 1 < units else "",
            )
    add("leave.norm", "leave.conv")
    return found


def _centered(kernel: Array, colors: int) -> Array:
    """Subtract from each filter (out, colors x cells, 3, 3) its mean over each color: see `DRRNConfig.flat`."""
    by_color = kernel.reshape(len(kernel), colors, -1).astype(np.float64)
    return (by_color - by_color.mean(axis=2, keepdims=True)).reshape(kernel.shape).astype(np.float32)


def _affine(weights: Weights, norm: str, channels: int) -> tuple[Array, Array]:
    """Return scale and shift of a batch norm at inference: scale * x + shift; 1 and 0 if there is none."""
    if not weights.config.batch_norm:
        return np.ones(channels, np.float32), np.zeros(channels, np.float32)
    gamma, beta, mean, variance = (
        weights.tensors[f"{norm}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    with np.errstate(over="ignore", invalid="ignore"):  # the caller checks the result for finite values
        scale = gamma / np.sqrt(variance + EPSILON)
        return scale.astype(np.float32), (beta - mean * scale).astype(np.float32)
