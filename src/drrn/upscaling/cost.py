"""Predict the cost of an enlargement: its memory, the tiles that fit into it, and the speed of an engine on this
machine.

`Upscaler.estimate` combines them; `Upscaler.upscale` uses the same memory limits and tiles.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, prod
from typing import Any, NamedTuple

import numpy as np

from drrn.cache import recall, remember
from drrn.core import resize
from drrn.core.config import DRRNConfig
from drrn.engines.engine import Engine, cores
from drrn.errors import UsageError
from drrn.provenance import cpu
from drrn.upscaling.planes import MAX_TILE
from drrn.upscaling.tiles import Sides, largest_tile

MEMORY = 2 << 30
"""Bytes an enlargement may take by default."""
BYTES_PER_PIXEL = 42
"""Bytes of planes per pixel of the result while colors are converted back to RGB; measured."""
BYTES_PER_SOURCE_PIXEL = 28
"""Bytes of planes per pixel of the source, throughout; measured."""
RESIZING = 4 if resize.compiled else 16
"""Bytes of temporary planes per pixel of the result while the network's output is resized to it; measured."""
STRIP_STEP = 48
"""The width of a strip is a multiple of this, and so of whole cells."""
SAMPLE_MACS = 1e10
"""Multiply-adds of the sample that measures an engine's speed: a tenth of a second or less."""


@dataclass(frozen=True)
class Estimate:
    """The predicted cost of an enlargement."""

    width: int
    """Of the result, in pixels."""
    height: int
    """Of the result, in pixels."""
    seconds: float
    """Predicted from a short run of the engine on this machine."""
    memory: int
    """Peak memory in bytes, in addition to what the process uses beforehand."""
    tile: Sides
    """Height and width of the tiles, in pixels of the network's output."""


def too_little_memory(what_needs: str, needed: int, allowed: int) -> UsageError:
    """The error for work, such as `640x480 pixels need`, that needs more bytes than are allowed."""
    return UsageError(
        f"{what_needs} more than {needed / 2**20:.0f} MB, and {allowed / 2**20:.0f} are allowed. Give a smaller scale, "
        "or a larger --max-memory."
    )


class MemoryNeed(NamedTuple):
    """Bytes an enlargement takes besides the engine's own memory."""

    peak: int
    running: int
    """While the engine runs."""


class PassCost(NamedTuple):
    """The cost of running the network once over an image."""

    pixels: int
    """Pixels computed, counting twice those where tiles overlap."""
    memory: int
    """Bytes that the engine takes for its largest tile."""


def plane_memory(
    source: tuple[int, int], result: tuple[int, int], network_size: tuple[int, int], channels: int, passes: int
) -> MemoryNeed:
    """Return the memory of the planes of an image.

    Args:
        source: (width, height) of the image.
        result: (width, height) of the result.
        network_size: (width, height) of the network's output, which is resized to the result if it differs.
        channels: of the network.
        passes: how often the network runs over ilr.
    """
    # While alpha runs, the finished colors and their disagreement are kept. A pass takes ilr, sr, the tile just
    # computed and a mask of its finite values; the ensemble also the plain result, the mean and the squares.
    kept, planes = (12, 3) if passes == 1 else (16, 6)
    made = prod(network_size)
    running = kept * prod(result) + (4 * planes + 1) * channels * made
    if made != prod(result):  # the network's output, the result, and the intermediate of the resize
        running = max(running, (kept + 4 * channels + RESIZING) * prod(result) + 4 * channels * made)
    peak = max((BYTES_PER_PIXEL + kept - 12) * prod(result), running)
    return MemoryNeed(*(each + BYTES_PER_SOURCE_PIXEL * prod(source) for each in (peak, running)))


def pass_cost(engine: Engine, config: DRRNConfig, whole: Sides, tile: Sides) -> PassCost:
    """The cost of one pass over an image of the sides `whole`, cut into tiles; sides are (height, width)."""
    halo = 2 * config.halo
    cut = list(zip(tile, whole, strict=True))
    # tiles overlap by their halos, but not beyond the image
    pixels = prod(end + (-(-end // side) - 1) * halo for side, end in cut)
    return PassCost(pixels, engine.memory(*(min(side + halo, end) for side, end in cut)))


def tile_sides(engine: Engine, config: DRRNConfig, memory: int, height: int, width: int) -> Sides:
    """Height and width of the tiles that an image of the network's size is cut into, in pixels.

    Args:
        memory: bytes that the engine may take.
        height: of the image, in pixels.
        width: of the image, in pixels.

    Raises:
        EngineError: not even the smallest tile fits.
    """
    down, across = largest_tile(engine, config, memory, height, width)
    if not engine.streams:
        return min(down, MAX_TILE), min(across, MAX_TILE)
    step = STRIP_STEP if across >= STRIP_STEP else config.unshuffle
    strips = -(-width // min(across if across == width else across // step * step, MAX_TILE))
    return down, min(-(-width // (strips * step)) * step, width)  # all of about the same width


def measure_speed(engine: Engine, config: DRRNConfig, units: int) -> float:
    """Pixels per second of an engine, from the fastest of three runs over a sample, after one that warms up."""
    side = int(np.clip((SAMPLE_MACS / config.macs(units)) ** 0.5, 32, 512)) // 4 * 4
    sample = np.full((config.channels, side, side), 0.5, np.float32)
    engine.run(sample)
    times = []
    for _ in range(3):  # other programs make some of them slower
        began = time.perf_counter()
        engine.run(sample)
        times.append(time.perf_counter() - began)
    return side * side / min(times)


def cached_speed(config: DRRNConfig, options: Mapping[str, Any], measure: Callable[[], float]) -> float:
    """The result of `measure`, cached for a day in the user's cache folder.

    Args:
        config: of the network.
        options: everything else that the speed depends on, as JSON.
    """
    from drrn import __version__  # here, as drrn imports this module

    key = {"version": __version__, "cpu": cpu(), "cores": cores(), "network": config.to_dict(), **options}
    speed = recall("speed", key)
    if speed is None or not 0 < speed < inf:
        speed = measure()
        remember("speed", key, speed)
    return speed
