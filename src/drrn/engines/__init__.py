"""Engines: each runs a network on NumPy planes, from ilr to sr."""

from typing import Literal

EngineName = Literal["auto", "native", "reference", "torch", "onnx"]
Precision = Literal["float32", "bfloat16", "float16"]
