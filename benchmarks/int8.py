"""A network in 8-bit integers: calibrated on pictures, without further training."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from drrn.data.pairs import make_pairs, pictures_in
from drrn.engines.engine import Planes

CROPS, CROP_SIDE = 24, 96
PERCENTILE = 99.99
"""Activations above this percentile are clipped: a range for the largest leaves too few of 256 levels for the others
(measured: `small` then loses 0.035 dB on Set5 x2, and not 0.014)."""


def calibration_crops(folder: Path, channels: Literal[1, 3]) -> list[Planes]:
    """Center crops of ilr at x2, each (channels, 96, 96) or smaller."""
    crops = []
    for pair in make_pairs(pictures_in([folder])[:CROPS], [2], channels):
        top, left = ((side - min(side, CROP_SIDE)) // 2 for side in pair.ilr.shape[1:])
        crops.append(pair.ilr[:, top : top + CROP_SIDE, left : left + CROP_SIDE].astype(np.float32))
    return crops


def quantize(model: bytes, crops: list[Planes]) -> bytes:
    """The ONNX graph with its convolutions in int8, except the first and the last, which need the most precision.

    Weights get a scale per channel, activations one per tensor, calibrated on `crops`.
    """
    import onnx
    from onnxruntime import quantization

    class Crops(quantization.CalibrationDataReader):  # type: ignore[misc]
        remaining = iter(crops)

        def get_next(self) -> dict[str, Planes] | None:
            crop = next(self.remaining, None)
            return None if crop is None else {"ilr": crop[None]}

    graph = onnx.load_from_string(model)
    for index, node in enumerate(graph.graph.node):
        node.name = f"{node.op_type}_{index}"
    convolutions = [node.name for node in graph.graph.node if node.op_type == "Conv"]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "quantized.onnx"
        quantization.quantize_static(
            graph,
            path,
            Crops(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[convolutions[0], convolutions[-1]],
            calibrate_method=quantization.CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE},
        )
        return path.read_bytes()
