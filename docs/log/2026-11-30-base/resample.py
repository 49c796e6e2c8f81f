"""A network for x4 from one for x3: python resample.py X3.safetensors X4.safetensors

On the grid of lr's pixels both scales look alike, so the blocks stay as they are. The first and the last convolution
see 9x9 pixels of the larger picture at x3 and 12x12 at x4: their filters are resampled from one to the other.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrn import load
from drrn.weights.store import save

OLD, NEW, TAPS = 3, 4, 3


def linear(old: int, new: int) -> NDArray[np.float64]:
    """Interpolates `old` samples to `new`, both centered."""
    matrix = np.zeros((new, old))
    for row in range(new):
        at = (row + 0.5) * old / new - 0.5
        left = int(np.floor(at))
        matrix[row, np.clip(left, 0, old - 1)] += 1 - (at - left)
        matrix[row, np.clip(left + 1, 0, old - 1)] += at - left
    return matrix


BETWEEN = linear(TAPS * OLD, TAPS * NEW)


def first(kernel: NDArray[np.float32]) -> NDArray[np.float64]:
    """(out, 9, 3, 3) -> (out, 16, 3, 3), each filter of mean zero."""
    pixels = kernel.reshape(-1, OLD, OLD, TAPS, TAPS).transpose(0, 3, 1, 4, 2).reshape(-1, TAPS * OLD, TAPS * OLD)
    pixels = BETWEEN @ pixels @ BETWEEN.T * (OLD / NEW) ** 2
    cells = pixels.reshape(-1, TAPS, NEW, TAPS, NEW).transpose(0, 2, 4, 1, 3).reshape(-1, NEW * NEW, TAPS, TAPS)
    return cells - cells.mean(axis=(1, 2, 3), keepdims=True)


def last(kernel: NDArray[np.float32]) -> NDArray[np.float64]:
    """(9, in, 3, 3) -> (16, in, 3, 3), by what each feature adds to the pixels around its cell."""
    width = kernel.shape[1]
    spread = kernel.reshape(OLD, OLD, width, TAPS, TAPS)[..., ::-1, ::-1].transpose(2, 3, 0, 4, 1)
    pixels = BETWEEN @ spread.reshape(width, TAPS * OLD, TAPS * OLD) @ BETWEEN.T
    cells = pixels.reshape(width, TAPS, NEW, TAPS, NEW).transpose(2, 4, 0, 1, 3)[..., ::-1, ::-1]
    return cells.reshape(NEW * NEW, width, TAPS, TAPS)


weights = load(sys.argv[1])
tensors = {}
for name, tensor in weights.tensors.items():
    made = first(tensor) if tensor.shape[1] == OLD**2 else last(tensor) if len(tensor) == OLD**2 else tensor
    tensors[name] = np.ascontiguousarray(made, np.float32)
card = {"command": "resampled from x3 to x4"}
save(replace(weights, config=replace(weights.config, unshuffle=NEW), tensors=tensors, card=card), Path(sys.argv[2]))
