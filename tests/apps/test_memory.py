"""Memory does not follow the size of a picture: measured of the command itself, in a process of its own.

`DRRN_WRITE=1 python -m pytest tests/apps/test_memory.py -m full` writes docs/memory.md and docs/memory.json.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from drrn.media.images.files import store
from drrn.media.images.scratch import Scratch
from drrn.media.metadata.notes import Metadata
from drrn.weights.store import save
from tests.small_weights import small_weights

DOCS = Path(__file__).parents[2] / "docs"
SUFFIXES = ("png", "jpg", "tif", "ppm", "bmp")
SIDES = (1000, 4000, 10_000)
"""Of results of 1, 16 and 100 megapixels."""
COMMAND = """
import sys
from pathlib import Path
from drrn.apps.cli import main
try:
    main()
finally:
    about = Path("/proc/self/status").read_text().splitlines()
    print(next(line.split()[1] for line in about if line.startswith("VmHWM")), file=sys.stderr)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process took at its peak")


class Cost(NamedTuple):
    """Of an enlargement, in MB and seconds."""

    start: int
    """The peak of a process that only estimates."""
    peak: int
    estimated: int
    seconds: float


def made(path: Path, height: int, width: int) -> Path:
    """A picture with some texture, written in little memory."""
    band = np.cumsum(np.random.default_rng(0).integers(-3, 4, (64, width, 3), np.int8), axis=1, dtype=np.uint8)
    with Scratch(path, height, width, 3, 8) as rows:
        for top in range(0, height, 64):
            rows.put(band[: height - top], top)
        store(rows, path, Metadata())
    return path


def cost(source: Path, target: Path, *options: str) -> Cost:
    """What `drrn upscale` takes."""
    given = ["upscale", str(source), "-m", "small", "-o", str(target), "--overwrite", "--json", *options]
    (_, start, _), (said, peak, seconds) = (_run([*given, *more]) for more in (["--estimate"], []))
    about = json.loads(said)
    return Cost(start >> 10, peak >> 10, about["estimated_mb"] - about["process_mb"], seconds)


def _run(arguments: Sequence[str]) -> tuple[str, int, float]:
    began = time.perf_counter()
    run = subprocess.run([sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True, check=True)
    return run.stdout, int(run.stderr.splitlines()[-1]), time.perf_counter() - began


@pytest.mark.parametrize("suffix", ["png", "ppm"])
def test_ten_times_as_many_rows_take_the_same(suffix: str, tmp_path: Path) -> None:
    save(small_weights(units=1), tmp_path / "tiny.safetensors")
    peaks = []
    for rows in (400, 4000):
        source = made(tmp_path / f"{rows}.{suffix}", rows, 400)
        peaks.append(_run(["upscale", str(source), "-m", str(tmp_path / "tiny.safetensors")])[1] >> 10)
    assert peaks[1] < peaks[0] + 8  # MB; 17 are in the samples of the result alone, and 240 in planes of them


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_signal_ends_it_and_leaves_nothing(share: float, tmp_path: Path) -> None:
    """While the network runs, and while the result is encoded."""
    save(small_weights(), tmp_path / "tiny.safetensors")
    source = made(tmp_path / "a.png", 300, 300)
    script = f"""
import os, signal
from drrn.apps.cli import main
from drrn.apps.show import Show
def progress(self, job, done):
    if done >= {share}:
        os.kill(os.getpid(), signal.SIGINT)
Show.progress = progress
main()
"""
    args = ["upscale", str(source), "-m", str(tmp_path / "tiny.safetensors")]
    run = subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True)
    assert run.returncode == 130 and "Traceback" not in run.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "tiny.safetensors"]


@pytest.mark.full
def test_1_and_16_and_100_megapixels_take_the_same(tmp_path: Path) -> None:
    costs = {}
    for suffix in SUFFIXES:
        for side in SIDES:
            source = made(tmp_path / f"{side}.{suffix}", side // 2, side // 2)
            costs[suffix, side] = cost(source, target := tmp_path / f"larger.{suffix}")
            source.unlink()
            target.unlink()
    if os.environ.get("DRRN_WRITE"):
        _write(costs)
    for suffix in SUFFIXES:
        peaks = [costs[suffix, side].peak for side in SIDES]
        assert max(peaks) <= 1.15 * min(peaks), (suffix, peaks)


def _write(costs: dict[tuple[str, int], Cost]) -> None:
    rows = [{"format": suffix, "side": side, **each._asdict()} for (suffix, side), each in costs.items()]
    (DOCS / "memory.json").write_text(json.dumps(rows, indent=1) + "\n")
    lines = [
        f"| {suffix} | {side}x{side} | {each.peak} | {each.peak - each.start} | {each.estimated} | {each.seconds:.0f} |"
        for (suffix, side), each in costs.items()
    ]
    (DOCS / "memory.md").write_text("\n".join([HEAD, *lines, ""]))


HEAD = """# How much memory it takes

`drrn upscale` enlarges most pictures from file to file in strips. Memory holds some rows of the file and the network's
data for a strip of at most 1024 columns. The rest is on the disk beside the result, in files without a name that vanish
when the program ends, however it ends: first the samples of the picture and of the result, then those of the result and
its file.

This works for pictures without alpha, in one pass (no `--ensemble`, `--disagreement` or `--check`), with the native and
the reference engine. Other pictures are held as a whole, at some 42 bytes for each pixel of the result; drrn says so
first, and refuses above `--max-memory`. The estimate includes what some decoders and encoders hold of a picture anyway:
those of WebP, AVIF, GIF, progressive JPEG and interlaced PNG.

The table: 8-bit RGB, made twice as large with the packaged model `small`, each in a process of its own. *peak* is the
peak in MB, with Python and all libraries; *above start-up*, its excess over the peak of a process that only estimates;
*estimated*, the memory predicted to come on top of what the process holds at the start.

| file | result | peak | above start-up | estimated | seconds |
| --- | --- | ---: | ---: | ---: | ---: |"""
