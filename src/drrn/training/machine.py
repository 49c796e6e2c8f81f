"""Adapt a training to its machine: choose the faster precision, and keep freed memory."""

import ctypes
import json
import sys
import time
from pathlib import Path
from typing import Literal, get_args

import torch

from drrn import provenance
from drrn.atomic import write_text
from drrn.core.config import DRRNConfig
from drrn.errors import TrainingError
from drrn.network.model import DRRN
from drrn.training.session import Training

FastPrecision = Literal["32-true", "bf16-mixed"]

SAMPLE, SIDE = 8, 32
"""Patches in the timed step, and their side in pixels."""
ROUNDS = 3
PRECISION = "precision.json"
"""In the folder of a run: what `auto` chose, and on which CPU."""
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""From glibc's malloc.h."""


def choose_precision(training: Training, run: Path, device: str, processes: int) -> tuple[str, str]:
    """The precision to compute in, and the reason if it was measured just now.

    Raises:
        TrainingError: several processes would measure, and might choose differently.
    """
    precision = training.config.precision
    if precision != "auto":
        return precision, ""
    if processes > 1:
        raise TrainingError("--precision auto is for one process. For several, give 32-true or bf16-mixed.")
    if known := known_precision(run):
        return known, ""
    return faster_precision(training.model, device)


def faster_precision(model: DRRNConfig, device: str) -> tuple[FastPrecision, str]:
    """The faster precision for training `model` on `device`, and the measurement in words."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if device != "cpu":
        fits = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16-mixed" if fits else "32-true"), f"{device} {'has' if fits else 'lacks'} bfloat16"
    network = DRRN(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ilr = torch.rand(SAMPLE, model.channels, SIDE, SIDE)
    seconds: dict[FastPrecision, float] = {"32-true": float("inf"), "bf16-mixed": float("inf")}
    for _ in range(ROUNDS):  # alternately: the machine may be shared
        for precision in seconds:
            began = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
                loss = network(ilr).float().abs().mean()
            loss.backward()
            seconds[precision] = min(seconds[precision], time.perf_counter() - began)
    ratio = seconds["bf16-mixed"] / seconds["32-true"]
    return ("bf16-mixed" if ratio < 1 else "32-true"), f"a step in bfloat16 takes {ratio:.2g} of the time in float32"


def known_precision(run: Path) -> FastPrecision | None:
    """What a run chose earlier on this very CPU, so that it resumes to the same bytes; None if nothing."""
    try:
        known = json.loads((run / PRECISION).read_text())
        return known["precision"] if known["cpu"] == cpu() and known["precision"] in get_args(FastPrecision) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember_precision(run: Path, precision: str) -> None:
    """Record it for `known_precision`."""
    write_text(run / PRECISION, json.dumps({"cpu": cpu(), "precision": precision}) + "\n")


def cpu() -> str:
    """The processor: its name, and the instructions that decide how fast bfloat16 is."""
    deciding = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    return " ".join([provenance.cpu(), *(flag for flag in provenance.cpu_flags() if flag in deciding)])


def keep_memory() -> None:
    """Make glibc keep freed memory, which saves a tenth of each step: by default it returns every large tensor to the
    system and faults it in again at the next step. Does nothing with other C libraries."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
