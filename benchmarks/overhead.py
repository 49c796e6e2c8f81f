"""`python -m benchmarks.overhead`: what a command takes besides the network.

How long a command takes to start, and which share of the CPU time of a large photo is the engine's. The commands take
turns, each in a process of its own.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import tyro

from drrn.atomic import write_text
from drrn.engines.engine import cores
from drrn.media.image import Image
from drrn.provenance import commit, machine
from drrn.tables import markdown

DRRN = [sys.executable, "-m", "drrn"]
PHOTO = Path(__file__).parents[1] / "samples/chelsea.png"
LARGE = 4000, 3000
"""Width and height of the large photo: 12 megapixels, and 48 in the result."""
ENGINE = """
import sys, time
import numpy as np
from drrn.upscaling.upscaler import Upscaler

width, height = int(sys.argv[2]), int(sys.argv[3])
upscaler = Upscaler(sys.argv[1]).for_size((width, height), (2 * width, 2 * height))
band = np.random.default_rng(0).random((1, 64, 2000), np.float32)
began = time.process_time()
for _ in upscaler.engine.stream(band for _ in range(4 * width * height // band.size)):
    pass
print(time.process_time() - began)
"""
"""Runs the engine alone on as many pixels as a result has; prints CPU seconds."""


class Cost(NamedTuple):
    """Of a command, from its start to its end."""

    seconds: float
    cpu: float
    """Seconds of all its threads together."""


def main(model: str = "tiny", rounds: int = 20, large_rounds: int = 5, *, page: Path | None = None) -> None:
    """Print a page with both tables.

    Args:
        model: Packaged name.
        rounds: Runs of each command that is timed for its start.
        large_rounds: Runs of each command for the large photo.
        page: Where to write it, as Markdown.
    """
    with TemporaryDirectory() as name:
        commands = Commands(Path(name), model)
        text = to_markdown(in_turns(commands.small(), rounds), in_turns(commands.large(), large_rounds), model)
    print(text)
    if page:
        write_text(page, text)


class Commands:
    """The commands to time, and the pictures they enlarge."""

    def __init__(self, folder: Path, model: str):
        self.model, photo = model, Image.open(PHOTO).to_pil()
        self.small_photo, self.large_photo, self.folder = folder / "small.png", folder / "large.jpg", folder
        photo.crop((100, 100, 164, 164)).save(self.small_photo)
        photo.resize(LARGE).save(self.large_photo, quality=95)

    def small(self) -> dict[str, list[str]]:
        """Commands that end soon, by the words that show them."""
        return {
            '`python -c "import numpy"`': [sys.executable, "-c", "import numpy"],
            "`drrn --help`": [*DRRN, "--help"],
            f"`drrn upscale` of 64x64 pixels by {self.model}": self.upscale(self.small_photo, "small_x2.png"),
        }

    def large(self) -> dict[str, list[str]]:
        """The engine alone, and commands whose time is mostly the engine's."""
        return {
            "the engine alone": [sys.executable, "-c", ENGINE, self.model, *map(str, LARGE)],
            "`drrn upscale`, JPEG to JPEG": self.upscale(self.large_photo, "large_x2.jpg"),
            "`drrn upscale`, JPEG to PNG": self.upscale(self.large_photo, "large_x2.png"),
        }

    def upscale(self, source: Path, target: str) -> list[str]:
        return [*DRRN, "upscale", str(source), "-o", str(self.folder / target), "-m", self.model, "--overwrite"]


def in_turns(commands: dict[str, list[str]], rounds: int) -> dict[str, Cost]:
    """The median cost of each command, after one run of each to warm up."""
    costs: dict[str, list[Cost]] = {what: [] for what in commands}
    for number in range(rounds + 1):
        for what, words in commands.items():
            cost = measure(words)
            if number:
                costs[what].append(cost)
    return {what: Cost(*map(median, zip(*each, strict=True))) for what, each in costs.items()}


def measure(words: list[str]) -> Cost:
    """Run a command. What it prints as a number, if anything, are the CPU seconds that count."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds, float(printed) if ENGINE in words else cpu)


def to_markdown(small: dict[str, Cost], large: dict[str, Cost], model: str) -> str:
    first = [[what, f"{cost.seconds:.3f}", f"{cost.cpu:.3f}"] for what, cost in small.items()]
    engine = next(iter(large.values())).cpu
    second = [
        [what, f"{cost.seconds:.1f}" if number else "", f"{cost.cpu:.1f}", f"{100 * engine / cost.cpu:.0f}%"]
        for number, (what, cost) in enumerate(large.items())
    ]
    cpu, pixels = machine().get("cpu", "a CPU"), LARGE[0] * LARGE[1] // 1_000_000
    return "\n".join(
        [
            "# What a command takes besides the network",
            "",
            "Measured by `python -m benchmarks.overhead --page docs/reference/overhead.md` at commit",
            f"{commit()[:12]} on {cpu} with {cores()} cores. Seconds are medians, from the start",
            "of a process to its end; the commands took turns. *CPU* counts all threads together.",
            "",
            "## Start-up",
            "",
            markdown(["command", "seconds", "CPU seconds"], first),
            "",
            "## A large photo",
            "",
            f"{pixels} megapixels are enlarged to {4 * pixels} by {model}. Decoding, bicubic, colors and encoding",
            "are the rest. Bicubic and colors run beside the engine, in threads of their own.",
            "",
            markdown(["command", "seconds", "CPU seconds", "of it, the engine's"], second),
            "",
        ]
    )


if __name__ == "__main__":
    tyro.cli(main, prog="python -m benchmarks.overhead")
