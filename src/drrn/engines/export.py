"""Export a network as an ONNX file for programs without drrn, written only if ONNX Runtime agrees with drrn's own
engine.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import checker

from drrn.atomic import atomic
from drrn.core import gamut
from drrn.core.color import levels, rgb, ycbcr
from drrn.core.resize import imresize
from drrn.engines.engine import Engine
from drrn.engines.onnx import model, open_session, picture_model, run_session
from drrn.engines.selection import choose
from drrn.errors import EngineError
from drrn.weights.store import Weights

TOLERANCE = 1e-4
"""Largest difference of sr between an exported network and drrn's own: they sum in different orders. Measured: about
1e-6.
"""
ROUNDED_OTHERWISE = 0.01
"""Largest share of 8-bit samples that may be rounded to a neighboring level, because their value is halfway between
two.
"""
SIZES = ((1, 8), (9, 1), (2, 3), (24, 40), (47, 31))
"""(height, width) of the test images. None is a single pixel: that is a constant image, for which no network is run."""


class Verification(NamedTuple):
    """How far an exported file in ONNX Runtime is from drrn's own engine."""

    engine: str
    """The engine it was compared with."""
    difference: float
    """Largest difference: of sr in [0, 1], or of 8-bit levels for a self-contained file."""
    differing: float
    """Share of samples that are not equal. For float32, most of them differ slightly."""


def export(
    weights: Weights, path: Path, *, units: int | None = None, scale: float | None = None, overwrite: bool = False
) -> Verification:
    """Write `weights` as ONNX to `path`, after comparing ONNX Runtime's results with those of drrn's own engine.

    Args:
        units: residual units to run in each block instead of the config's.
        scale: write a `picture_model` for this scale; None writes a `model`.

    Raises:
        EngineError: the weights were not trained for that many units, or the results differ. No file is written then.
        DRRNError: as `drrn.atomic.atomic`.
    """
    engine = choose(weights if scale is None else weights.network(scale), units=units)
    proto = model(weights, units) if scale is None else picture_model(weights, scale, units)
    checker.check_model(proto, full_check=True)
    session = open_session(proto, threads=1)
    if scale is None:
        checked = _check(session, _planes(engine, weights), Verification(engine.name, TOLERANCE, 1))
    else:
        checked = _check(session, _pictures(engine, weights, scale), Verification(engine.name, 1, ROUNDED_OTHERWISE))
    with atomic(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(proto.SerializeToString())
    return checked


Example = tuple[NDArray[Any], NDArray[Any]]
"""An input and its expected output."""


def _planes(engine: Engine, weights: Weights) -> Iterator[Example]:
    """Yield noise enlarged by two, as input of the network, and its sr."""
    rng = np.random.default_rng(0)
    for height, width in SIZES:
        lr = rng.random((weights.config.channels, -(-height // 2), -(-width // 2)), np.float32)
        ilr = imresize(lr, height, width)
        yield ilr, engine.run(ilr)


def _pictures(engine: Engine, weights: Weights, scale: float) -> Iterator[Example]:
    """Yield 8-bit noise, and what `drrn upscale` makes of it."""
    rng, channels = np.random.default_rng(0), weights.config.channels
    for height, width in SIZES:
        picture = rng.integers(0, 256, (height, width, 3), np.uint8)
        planes = picture.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        size = int(height * scale + 0.5), int(width * scale + 0.5)
        across, down = weights.plan((width, height), size[::-1]).size
        components = ycbcr(planes) if channels == 1 else planes
        sr = imresize(engine.run(imresize(components[:channels], down, across)), *size)
        larger = np.concatenate([sr, imresize(components[channels:], *size)])
        at = gamut.window((slice(0, size[0]), slice(0, size[1])), (height, width), size)
        larger = gamut.clip(rgb(larger) if channels == 1 else larger, planes, at)
        yield picture, levels(larger).transpose(1, 2, 0)


@np.errstate(invalid="ignore")  # values that are not finite fail the comparison below
def _check(session: onnxruntime.InferenceSession, examples: Iterable[Example], allowed: Verification) -> Verification:
    differences = [
        np.abs(run_session(session, image[None])[0] - expected.astype(float)) for image, expected in examples
    ]
    every = np.concatenate([difference.ravel() for difference in differences])
    found = Verification(allowed.engine, float(every.max()), float(np.count_nonzero(every) / every.size))
    if not (
        found.difference <= allowed.difference and found.differing <= allowed.differing
    ):  # this form also refuses NaN
        raise EngineError(
            f"In ONNX Runtime the network differs from {found.engine} by {found.difference:.2g} (at most "
            f"{allowed.difference:g}), and in {found.differing:.2%} of the samples (at most "
            f"{allowed.differing:.0%}): the weights or ONNX Runtime are faulty. No file was written."
        )
    return found
