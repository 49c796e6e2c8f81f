"""`python -m benchmarks.service`: overhead of the service over the command line, for a result of one megapixel.

Both enlarge the same picture by the same model with the same threads, in turns. The command line is timed without its
start: as `drrn upscale` works on one file of many, so that loading Python and the model counts for neither. Seconds on
the clock depend on what else the machine does; CPU seconds, of all processes that take part, hardly do.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import numpy as np
import tyro

from drrn.engines.engine import cores
from drrn.media.image import Image
from drrn.upscaling.batch.planning import Request as Wanted
from drrn.upscaling.batch.planning import plan
from drrn.upscaling.formats.job import Hooks
from drrn.upscaling.upscaler import Upscaler


class Seconds(NamedTuple):
    """What something took."""

    clock: float
    cpu: float


def main(model: str = "small", rounds: int = 9, *, output: Path | None = None) -> None:
    """Print how much longer a request takes than the same work by the command line.

    Args:
        model: Packaged name.
        rounds: Pictures, each enlarged by both.
        output: Where to write the measurements, as JSON.
    """
    from tests.serving.conftest import serving

    with TemporaryDirectory() as name:
        folder = Path(name)
        upscaler = Upscaler(model)
        upscaler.speed()
        with serving(folder, models=(model,), threads=0) as service:
            jobs = service.service.jobs
            workers = [worker.pid for worker in (jobs.engine, jobs.viewer) if worker.pid]
            pairs = []
            for number in range(rounds + 1):
                source = folder / f"{number}.png"
                rng = np.random.default_rng(number)
                low = Image.from_array(rng.integers(0, 256, (63, 63, 3), np.uint8))
                upscaler.upscale(low, size=(500, 500)).save(source)
                ours = measure(partial(command_line, source, upscaler))
                theirs = measure(partial(request, source, service.address, model), workers)
                pairs.append((ours, theirs))
    pairs = pairs[1:]  # the first of each opens files and caches that later ones find open
    result: dict[str, Any] = {
        "model": model,
        "pixels": 1_000_000,
        "rounds": rounds,
        "clock": compare((ours.clock, theirs.clock) for ours, theirs in pairs),
        "cpu": compare((ours.cpu, theirs.cpu) for ours, theirs in pairs),
        "cores": cores(),
        "machine": platform.machine(),
    }
    print(json.dumps(result, indent=2))
    if output:
        output.write_text(json.dumps(result, indent=2) + "\n")


def compare(pairs: Iterable[tuple[float, float]]) -> dict[str, float]:
    """Medians of the seconds of command line and service, and of their ratio."""
    pairs = list(pairs)
    ours, theirs = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(theirs / ours for ours, theirs in pairs)
    return {"command_line": round(ours, 3), "service": round(theirs, 3), "ratio": round(ratio, 3)}


def measure(work: Callable[[], object], others: Sequence[int] = ()) -> Seconds:
    """What the work takes, with the CPU time of this process and of others (on Linux)."""
    began, used = time.perf_counter(), time.process_time() + sum(map(cpu_seconds, others))
    work()
    return Seconds(time.perf_counter() - began, time.process_time() + sum(map(cpu_seconds, others)) - used)


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process and its threads have used, as Linux counts them; 0 elsewhere."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def command_line(source: Path, upscaler: Upscaler) -> None:
    """What `drrn upscale` does with one file of many."""
    job = plan(source, source.with_name(f"{source.stem}_larger.png"), Wanted(2))
    job.format.estimate(job, upscaler)
    job.format.enlarge(job, upscaler, Hooks())


def request(source: Path, address: str, model: str) -> None:
    """Send a picture, and read the whole result."""
    with urlopen(Request(f"{address}/api/upscale?scale=2&model={model}", source.read_bytes())) as answer:
        content = answer.read()
    assert content == source.with_name(f"{source.stem}_larger.png").read_bytes()


if __name__ == "__main__":
    tyro.cli(main, prog="python -m benchmarks.service")
