"""What a piece of work costs: seconds, and memory at its peak."""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

Result = TypeVar("Result")


class Cost(NamedTuple):
    seconds: float
    peak_mb: float
    """Resident memory of the whole process at its peak, in MB of 2^20 bytes."""


def measure(work: Callable[[], Result]) -> tuple[Result, Cost]:
    """Do `work`, and say what it took.

    Where the system can't forget an earlier peak (elsewhere than on Linux), that peak is told.
    """
    _forget_peak()
    began = time.perf_counter()
    result = work()
    return result, Cost(time.perf_counter() - began, _peak_mb())


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
