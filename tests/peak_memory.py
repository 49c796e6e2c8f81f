"""Make large images in little memory, and measure the peak memory of a command in a separate process. Linux only."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drrn.media.images.files import store
from drrn.media.images.scratch import Scratch
from drrn.media.metadata.metadata import Metadata

COMMAND = """
import sys
from pathlib import Path
from drrn.apps.cli import main
try:
    main()
finally:
    status = Path("/proc/self/status").read_text().splitlines()
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")), file=sys.stderr)
"""


class Run(NamedTuple):
    """One run of `drrn`."""

    output: str
    peak: int
    """MB."""
    seconds: float


def write_image(path: Path, height: int, width: int) -> Path:
    """An RGB image with some texture, written without holding it in memory."""
    band = np.cumsum(np.random.default_rng(0).integers(-3, 4, (64, width, 3), np.int8), axis=1, dtype=np.uint8)
    with Scratch(path, height, width, 3, 8) as rows:
        for top in range(0, height, 64):
            rows.put(band[: height - top], top)
        store(rows, path, Metadata())
    return path


def run_measured(arguments: Sequence[str]) -> Run:
    """Run `drrn` with these arguments."""
    began = time.perf_counter()
    ended = subprocess.run([sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True, check=True)
    return Run(ended.stdout, int(ended.stderr.splitlines()[-1]) >> 10, time.perf_counter() - began)
