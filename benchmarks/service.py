"""`python -m benchmarks.service`: what the service takes beyond the command line, for a result of a megapixel.

Both enlarge the same picture by the same model with the same threads, in turns. The command line is timed without its
start: `drrn upscale` of many files against as many requests, so that loading Python and the model counts for neither.
"""

import json
import platform
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import tyro

from drrn.engines.engine import cores
from drrn.media.image import Image
from drrn.upscaling.batch.planning import Request as Wanted
from drrn.upscaling.batch.planning import plan
from drrn.upscaling.formats.job import Hooks
from drrn.upscaling.upscaler import Upscaler


def main(model: str = "small", rounds: int = 9, *, output: Path | None = None) -> None:
    """Print how much longer a request takes than the same work of the command line.

    Args:
        model: Packaged name.
        rounds: Pictures, each enlarged by both.
        output: Where to write what was measured, as JSON.
    """
    from tests.serving.conftest import serving

    with TemporaryDirectory() as name:
        folder = Path(name)
        upscaler = Upscaler(model)
        upscaler.speed()
        with serving(folder, models=(model,), threads=0) as service:
            pairs = []
            for number in range(rounds + 1):
                source = folder / f"{number}.png"
                rng = np.random.default_rng(number)
                low = Image.from_array(rng.integers(0, 256, (63, 63, 3), np.uint8))
                upscaler.upscale(low, size=(500, 500)).save(source)
                pairs.append((command_line(source, upscaler), request(source, service.address, model)))
    pairs = pairs[1:]  # the first of each opens what later ones find open
    ours, theirs = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(theirs / ours for ours, theirs in pairs)
    found: dict[str, Any] = {
        "model": model,
        "pixels": 1_000_000,
        "rounds": rounds,
        "command_line_seconds": round(ours, 3),
        "service_seconds": round(theirs, 3),
        "ratio": round(ratio, 3),
        "cores": cores(),
        "machine": platform.machine(),
    }
    print(json.dumps(found, indent=2))
    if output:
        output.write_text(json.dumps(found, indent=2) + "\n")


def command_line(source: Path, upscaler: Upscaler) -> float:
    """Seconds of what `drrn upscale` does with one file of many."""
    began = time.perf_counter()
    job = plan(source, source.with_name(f"{source.stem}_larger.png"), Wanted(2))
    job.format.estimate(job, upscaler)
    job.format.enlarge(job, upscaler, Hooks())
    return time.perf_counter() - began


def request(source: Path, address: str, model: str) -> float:
    """Seconds until a client has the whole result."""
    began = time.perf_counter()
    with urlopen(Request(f"{address}/api/upscale?scale=2&model={model}", source.read_bytes())) as answer:
        content = answer.read()
    seconds = time.perf_counter() - began
    assert content == source.with_name(f"{source.stem}_larger.png").read_bytes()
    return seconds


if __name__ == "__main__":
    tyro.cli(main, prog="python -m benchmarks.service")
