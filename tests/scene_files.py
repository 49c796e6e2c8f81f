"""Make small rasters, and enlarge them."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

from drrn.engines.engine import Planes
from drrn.upscaling.batch.planning import Request, plan
from drrn.upscaling.formats.job import Hooks
from drrn.upscaling.upscaler import Upscaler
from tests.small_weights import small_weights

NORTH_UP = Affine(10.0, 0, 500_000.0, 0, -10.0, 5_400_000.0)


class Local:
    """An engine that uses its whole halo, and computes every pixel by the same steps."""

    name, streams = "local", False

    def __init__(self, halo: int):
        self.halo = halo

    def memory(self, height: int, width: int) -> int:
        return 0

    def run(self, ilr: Planes, done: Callable[[int], None] = lambda rows: None) -> Planes:
        sr = ilr.copy()
        for axis in (-1, -2):
            for offset in (-self.halo, self.halo):
                sr += np.float32(0.1) * _moved(ilr, offset, axis)
        done(ilr.shape[1])
        return sr


def _moved(planes: Planes, offset: int, axis: int) -> Planes:
    """Shift an array; zeros enter at the border."""
    moved = np.roll(planes, offset, axis)
    edge = [slice(None)] * planes.ndim
    edge[axis] = slice(0, offset) if offset > 0 else slice(max(offset, -planes.shape[axis]), None)
    moved[tuple(edge)] = 0
    return moved


def make_upscaler(*, local: bool = False, **options: Any) -> Upscaler:
    tiny = Upscaler(small_weights(units=1, width=4, unshuffle=2), device="cpu", threads=1, **options)
    if local:
        tiny.engine = Local(tiny.weights.config.halo)
    return tiny


def put(
    path: Path,
    values: NDArray[Any],
    *,
    mask: NDArray[np.bool] | None = None,
    edit: Callable[[Any], None] = lambda dataset: None,
    **profile: Any,
) -> Path:
    """Write a file with these values: (H, W) or (bands, H, W)."""
    values = values[None] if values.ndim == 2 else values
    count, height, width = values.shape
    placed = {"crs": "EPSG:32633", "transform": NORTH_UP} | profile
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", width=width, height=height, count=count, dtype=values.dtype, **placed
        ) as dataset,
    ):
        edit(dataset)
        dataset.write(values)
        if mask is not None:
            dataset.write_mask(mask)
    return path


def corners(dataset: Any) -> NDArray[np.float64]:
    """The four corners of a rasterio dataset in its coordinates: (4, 2)."""
    a, b, c, d, e, f, *_ = dataset.transform
    sides = [(x, y) for x in (0, dataset.width) for y in (0, dataset.height)]
    return np.array([(a * x + b * y + c, d * x + e * y + f) for x, y in sides])


def enlarged(
    source: Path, upscaler: Upscaler, scale: float = 2, *, progress: Callable[[float], None] = lambda share: None
) -> Path:
    """Enlarge a file, and return the path of the result next to it."""
    job = plan(source, None, Request(scale, overwrite=True))
    job.format.estimate(job, upscaler)
    job.format.enlarge(job, upscaler, Hooks(progress=progress))
    return job.target


def smooth(*shape: int, dtype: Any = np.uint16, least: float = 100, most: float = 3000, seed: int = 0) -> NDArray[Any]:
    """Waves with some noise, between `least` and `most`."""
    *_, height, width = shape
    down, across = np.mgrid[:height, :width]
    bands = shape[0] if len(shape) == 3 else 1
    waves = np.stack([np.sin(down / (5 + b)) * np.cos(across / 7) for b in range(bands)])
    waves = waves + np.random.default_rng(seed).normal(0, 0.1, waves.shape)
    waves = (waves - waves.min()) / (waves.max() - waves.min()) * (most - least) + least
    return waves.reshape(shape).astype(dtype)
