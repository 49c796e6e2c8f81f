"""What the command line does with a file, without its output: each attempt succeeds, or raises a DRRNError."""

from functools import cache
from pathlib import Path

import numpy as np

from drrn.media.image import Image
from drrn.training.config import read_config
from drrn.upscaling.batch.planning import Request, plan
from drrn.upscaling.formats.job import Hooks
from drrn.upscaling.upscaler import Upscaler
from drrn.weights.store import load
from tests.small_weights import small_weights

MAX_PIXELS = 1 << 20
"""Most pixels of a file that is read, so that memory is not dominated by pixels."""
SCALE = 1.5
"""A small scale: little is computed, but everything is read and written."""


@cache
def upscaler() -> Upscaler:
    return Upscaler(small_weights(width=1, units=0), device="cpu", threads=1)


def enlarge(path: Path, folder: Path, *, max_pixels: int = MAX_PIXELS) -> None:
    """Run `drrn upscale`, from reading to writing."""
    job = plan(path, folder, Request(SCALE, many=True, max_pixels=max_pixels))
    job.format.estimate(job, upscaler())
    job.format.changes(job)
    job.format.enlarge(job, upscaler(), Hooks())


def use_weights(path: Path, folder: Path) -> None:
    """Load a file as in `drrn upscale --model`."""
    picture = Image(pixels=np.full((3, 4, 1), 0.5, np.float32))
    Upscaler(load(path), device="cpu", threads=1).upscale(picture, 2)


def start_training(path: Path, folder: Path) -> None:
    """Load a file as in `drrn train --config`."""
    read_config(path)


def _nothing(*reported: object) -> None:
    pass
