"""docs/reference/memory.md: the peak memory of `drrn upscale` by format and size. Measures for some minutes."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from docs.write import DOCS, Texts
from drrn.tables import markdown
from drrn.weights import DEFAULT
from tests.peak_memory import run_measured, write_image

SUFFIXES = ("png", "jpg", "tif", "ppm", "bmp")
SIDES = (1000, 4000, 10_000)
"""Results of 1, 16 and 100 megapixels."""


@dataclass(frozen=True)
class Cost:
    """The cost of one enlargement, in MB and seconds."""

    format: str
    side: int
    """Of the square result, in pixels."""
    start: int
    """The peak of a process that only estimates."""
    peak: int
    estimated: int
    seconds: float


def texts(scratch: Path) -> Texts:
    """The measurements as JSON, and the page."""
    costs = measure(scratch)
    return {DOCS / "memory.json": to_json(costs), DOCS / "reference/memory.md": to_markdown(costs)}


def measure(scratch: Path) -> list[Cost]:
    """Enlarge an image of each format and size by the default model."""
    return [_cost(suffix, side, scratch) for suffix in SUFFIXES for side in SIDES]


def _cost(suffix: str, side: int, scratch: Path) -> Cost:
    source = write_image(scratch / f"{side}.{suffix}", side // 2, side // 2)
    target = scratch / f"larger.{suffix}"
    options = ["upscale", str(source), "-m", DEFAULT, "-o", str(target), "--overwrite", "--json"]
    estimate, run = run_measured([*options, "--estimate"]), run_measured(options)
    source.unlink()
    target.unlink()
    reported = json.loads(run.output)
    return Cost(suffix, side, estimate.peak, run.peak, reported["estimated_mb"] - reported["process_mb"], run.seconds)


def to_json(costs: list[Cost]) -> str:
    """A list of objects with the fields of `Cost`."""
    return json.dumps([asdict(each) for each in costs], indent=1) + "\n"


def from_json(text: str) -> list[Cost]:
    """The costs that `to_json` wrote."""
    return [Cost(**values) for values in json.loads(text)]


def to_markdown(costs: list[Cost]) -> str:
    """The page."""
    head = ["file", "result", "peak", "above start-up", "estimated", "seconds"]
    lines = [
        [
            each.format,
            f"{each.side}x{each.side}",
            *map(str, (each.peak, each.peak - each.start, each.estimated, round(each.seconds))),
        ]
        for each in costs
    ]
    return f"{TEXT}{markdown(head, lines, texts=2)}\n"


TEXT = """# How much memory it takes

`drrn upscale` enlarges most pictures from file to file in strips. Memory holds some rows of the file and the network's
data for a strip of at most 2016 columns. The rest is on the disk beside the result, in files without a name that vanish
when the program ends, however it ends: first the samples of the picture and of the result, then those of the result and
its file.

This works for pictures without alpha, in one pass (no `--ensemble`, `--disagreement` or `--check`), with the native and
the reference engine. Other pictures are held as a whole, at some 42 bytes for each pixel of the result; drrn says so
first, and refuses above `--max-memory`. The estimate includes what some decoders and encoders hold of a picture anyway:
those of WebP, AVIF, GIF, progressive JPEG and interlaced PNG.

The table: 8-bit RGB, made twice as large with the packaged model `base`, each in a process of its own. *peak* is the
peak in MB, with Python and all libraries; *above start-up*, its excess over the peak of a process that only estimates;
*estimated*, the memory predicted to come on top of what the process holds at the start.
Written by `python -m docs.write memory`.

"""
