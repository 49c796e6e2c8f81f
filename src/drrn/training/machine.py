"""What a training takes from the machine it runs on: the faster arithmetic, and memory that is not given back."""

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
from drrn.network.model import DRRN

Arithmetic = Literal["32-true", "bf16-mixed"]

SAMPLE, SIDE = 8, 32
"""Patches of the step that is timed, and their sides in pixels."""
ROUNDS = 3
PRECISION = "precision.json"
"""In the folder of a run: what `auto` took, and on which CPU."""
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Of glibc's malloc.h."""


def faster_precision(model: DRRNConfig, device: str) -> tuple[Arithmetic, str]:
    """The faster arithmetic for training `model` on `device`, and what was measured, in words."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if device != "cpu":
        fits = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16-mixed" if fits else "32-true"), f"{device} {'has' if fits else 'lacks'} bfloat16"
    network = DRRN(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ilr = torch.rand(SAMPLE, model.channels, SIDE, SIDE)
    seconds: dict[Arithmetic, float] = {"32-true": float("inf"), "bf16-mixed": float("inf")}
    for _ in range(ROUNDS):  # in turn: the machine may be shared
        for arithmetic in seconds:
            began = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=arithmetic == "bf16-mixed"):
                loss = network(ilr).float().abs().mean()
            loss.backward()
            seconds[arithmetic] = min(seconds[arithmetic], time.perf_counter() - began)
    ratio = seconds["bf16-mixed"] / seconds["32-true"]
    return ("bf16-mixed" if ratio < 1 else "32-true"), f"a step in bfloat16 takes {ratio:.2g} of the time in float32"


def known_precision(run: Path) -> Arithmetic | None:
    """What a run was begun with on this very CPU, so that it resumes to the same bytes; None where it was not."""
    try:
        known = json.loads((run / PRECISION).read_text())
        return known["precision"] if known["cpu"] == cpu() and known["precision"] in get_args(Arithmetic) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember_precision(run: Path, precision: str) -> None:
    """Keep it for `known_precision`."""
    write_text(run / PRECISION, json.dumps({"cpu": cpu(), "precision": precision}) + "\n")


def cpu() -> str:
    """The processor, by its name and what decides how fast bfloat16 is."""
    deciding = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    return " ".join([provenance.cpu(), *(flag for flag in provenance.cpu_flags() if flag in deciding)])


def keep_memory() -> None:
    """Let glibc keep what is freed: by default it returns each large tensor to the system and faults it in again at the
    next step, a tenth of a step's time. Other C libraries are left alone."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
