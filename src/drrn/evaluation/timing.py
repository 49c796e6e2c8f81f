"""Measure time and peak memory."""

import ctypes
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

Result = TypeVar("Result")


class Cost(NamedTuple):
    seconds: float
    peak_mb: float
    """Peak resident memory of the whole process, in MB of 2^20 bytes."""


def measure_cost(work: Callable[[], Result]) -> tuple[Result, Cost]:
    """Call `work`, and measure its time and peak memory.

    Only Linux can reset the peak; elsewhere, an earlier and higher peak is returned.
    """
    _forget_peak()
    start = time.perf_counter()
    result = work()
    return result, Cost(time.perf_counter() - start, _peak_mb())


def resident_memory() -> int:
    """Current resident memory of the process, in bytes; on macOS the peak, since nothing else is reported."""
    if sys.platform == "win32":
        return int(_windows_counters().working_set)
    return int((_read_status("VmRSS") or _peak_mb()) * 2**20)


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_mb() -> float:
    if sys.platform == "win32":
        return _windows_counters().peak_working_set / 2**20
    if peak := _read_status("VmHWM"):
        return peak
    import resource  # not available on Windows

    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _read_status(name: str) -> float:
    """A memory field of /proc/self/status, in MB; 0 on systems other than Linux."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)


class _Counters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS of Windows."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("page_faults", ctypes.c_uint32),
        ("peak_working_set", ctypes.c_size_t),
        ("working_set", ctypes.c_size_t),
        *((f"other_{number}", ctypes.c_size_t) for number in range(6)),
    )


def _windows_counters() -> Any:
    """The process's counters; memory is in bytes."""
    counters = _Counters(size=ctypes.sizeof(_Counters))
    kernel: Any = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined, unused-ignore]
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    kernel.K32GetProcessMemoryInfo.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32)
    kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.size)
    return counters
