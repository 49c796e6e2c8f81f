"""Engines: each turns ilr into sr, on NumPy planes."""

from typing import Literal

EngineName = Literal["auto", "native", "reference", "torch", "onnx"]
Precision = Literal["float32", "bfloat16", "float16"]
