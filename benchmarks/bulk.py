"""`python -m benchmarks.bulk`: what `drrn bulk` takes beyond `drrn upscale --jobs`, and the memory of its driver.

On a busy machine CPU seconds say more than seconds: they are of all processes of a run together. A run is timed as a
whole, so both include the start of Python and the loading of the model.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tyro

from drrn.atomic import write_text
from drrn.bulk.plan import load_plan
from drrn.bulk.run import read_status
from drrn.bulk.storage import Folder
from drrn.engines.engine import cores
from drrn.media.image import Image
from drrn.provenance import commit, machine

MARKS = "<!-- table of benchmarks.bulk -->\n", "<!-- end of the table -->\n"
PLAN = """
import sys
from pathlib import Path
from drrn.bulk.plan import load_plan, make_plan
from drrn.bulk.recipe import Recipe
from drrn.bulk.run import parts_left, read_status
from drrn.bulk.storage import Entry, Folder
from drrn.weights.store import load

class Names(Folder):
    def list(self, prefix="", after=""):
        return (Entry(f"{n // 1000:06}/{n:09}.jpg", 100_000, str(n), 0.0) for n in range(int(sys.argv[2])))

weights, target = load("tiny"), Folder(Path(sys.argv[1]))
recipe = Recipe(source="names", weights_sha256=weights.digest(), model="tiny")
if sys.argv[3] == "plan":
    make_plan(Names(Path("names")), target, recipe, weights, headers=False)
else:
    plan = load_plan(target)
    parts_left(plan, target), read_status(plan, target)
status = Path("/proc/self/status").read_text()  # what getrusage calls a peak is that of the parent if it was larger
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""
"""A plan of names without files, and what the driver of a run holds; prints its peak of memory in MB."""


def main(
    model: str = "small",
    side: int = 300,
    count: int = 100,
    jobs: int = 2,
    rounds: int = 3,
    names: tuple[int, ...] = (10_000, 1_000_000),
    ray: bool = True,
    *,
    page: Path | None = None,
) -> None:
    """Print a table, and write it into a page between its two marks.

    Args:
        model: Packaged name.
        side: Of the pictures, in pixels: of 420, one takes half a second.
        count: Pictures of a run.
        jobs: Processes of one thread each.
        rounds: Runs of each command, in turns; each one's fastest counts.
        names: Numbers of names to plan.
        ray: Run in a cluster of one and of two machines here, too, if Ray is installed.
        page: A page with the marks.
    """
    page = page and page.resolve()
    with TemporaryDirectory() as name:
        os.chdir(name)
        make_photos(side, count)
        costs: dict[str, list[tuple[float, float]]] = {}
        for _ in range(rounds):
            for what, seconds, cpu in runs(model, jobs):
                costs.setdefault(what, []).append((seconds, cpu))
        memory = [(number, *plan_names(number)) for number in names]
        nodes = list(cluster_runs(model)) if ray and find_spec("ray") else []
    best = {what: tuple(map(min, zip(*each, strict=True))) for what, each in costs.items()}
    text = to_markdown(best, memory, nodes, f"{count} pictures of {side}x{side} by {model}, {jobs} jobs of one thread")
    print(text)
    if page:
        before, _, rest = page.read_text().partition(MARKS[0])
        write_text(page, before + MARKS[0] + text + MARKS[1] + rest.partition(MARKS[1])[2])


def make_photos(side: int, count: int) -> None:
    for number in range(count):
        rng = np.random.default_rng(number)
        path = Path(f"photos/{number:04}.png")
        path.parent.mkdir(exist_ok=True)
        Image.from_array(rng.integers(0, 256, (side, side, 3), np.uint8)).save(path)


def runs(model: str, jobs: int) -> Iterator[tuple[str, float, float]]:
    """Each command with its seconds, and the CPU seconds of all its processes."""
    for folder in ("expected", "larger"):
        shutil.rmtree(folder, ignore_errors=True)
    drrn = [sys.executable, "-m", "drrn"]
    once = [*drrn, "upscale", "photos", "-r", "-o", "expected", "-m", model, "--jobs", str(jobs), "--threads", "1"]
    yield "`drrn upscale --jobs`", *measure(once)
    plan_cost = measure([*drrn, "bulk", "plan", "photos", "larger", "-m", model, "--part-files", "10"])
    run_cost = measure([*drrn, "bulk", "run", "larger", "--jobs", str(jobs), "--threads", "1"])
    yield "`drrn bulk run --jobs`", *run_cost
    yield "`drrn bulk plan` before it", *plan_cost
    for path in Path("expected").rglob("*.png"):
        assert path.read_bytes() == Path("larger", path.relative_to("expected")).read_bytes()


def measure(command: list[str], **environment: str) -> tuple[float, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, cpu


def plan_names(number: int) -> tuple[int, int, float]:
    """MB at the peak of planning so many names, MB of a run's driver, and CPU seconds of planning."""
    with TemporaryDirectory() as folder:
        words = [sys.executable, "-c", PLAN, folder, str(number)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        planning = int(subprocess.run([*words, "plan"], check=True, capture_output=True, text=True).stdout)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        driving = int(subprocess.run([*words, "run"], check=True, capture_output=True, text=True).stdout)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return planning, driving, cpu


def cluster_runs(model: str) -> Iterator[tuple[int, float, float]]:
    """Machines of one thread each in a Ray cluster here, seconds of a run, and files a second once it is going."""
    os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ |= {"RAY_worker_niceness": "0", "RAY_raylet_start_wait_time_s": "300"}
    from tests.bulk.test_ray import Cluster

    for count in (1, 2):
        shutil.rmtree("larger", ignore_errors=True)
        drrn = [sys.executable, "-m", "drrn", "bulk"]
        measure([*drrn, "plan", "photos", "larger", "-m", model, "--part-files", "5"])
        running = Cluster(count)
        try:
            address = running.environment["RAY_ADDRESS"]
            run = [*drrn, "run", "larger", "--on", "ray", "--max-memory", "500"]
            seconds = measure(run, RAY_ADDRESS=address)[0]
            target = Folder(Path("larger"))
            yield count, seconds, read_status(load_plan(target), target).pace or 0.0
        finally:
            running.cluster.shutdown()


def to_markdown(
    costs: dict[str, Any], memory: list[tuple[int, int, int, float]], nodes: list[tuple[int, float, float]], what: str
) -> str:
    cpu = next(iter(costs.values()))[1]
    lines = [f"{what}:", "", "| command | seconds | CPU seconds | CPU, beyond the first |", "|---|---|---|---|"]
    for name, (took, took_cpu) in costs.items():
        beyond = f"{(took_cpu / cpu - 1) * 100:+.1f} %" if "plan" not in name and took_cpu != cpu else ""
        lines.append(f"| {name} | {took:.1f} | {took_cpu:.1f} | {beyond} |")
    lines += [
        "",
        "| names | planning, peak MB | planning, CPU seconds | driver of a run, peak MB |",
        "|---|---|---|---|",
    ]
    lines += [f"| {number:,} | {plan} | {took:.1f} | {run} |" for number, plan, run, took in memory]
    if nodes:
        lines += ["", "| machines of one thread (Ray, here) | seconds | files/s after the start | speed-up |"]
        lines += ["|---|---|---|---|"]
        lines += [f"| {count} | {took:.0f} | {pace:.2f} | {pace / nodes[0][2]:.2f} |" for count, took, pace in nodes]
    hardware = machine()
    lines += ["", f"Measured by `python -m benchmarks.bulk` at commit {commit()[:7]} on {cores()} cores of "
              f"{json.dumps(hardware.get('cpu', 'a CPU'))}.", ""]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    tyro.cli(main, prog="python -m benchmarks.bulk")
