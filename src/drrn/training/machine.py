"""Adapt a training to its machine: choose the fastest precision, and keep freed memory."""

import ctypes
import json
import sys
import time
from copy import deepcopy
from pathlib import Path
from typing import Literal, get_args

import torch

from drrn import provenance
from drrn.atomic import write_text
from drrn.core.config import DRRNConfig
from drrn.errors import TrainingError
from drrn.network.model import DRRN
from drrn.training.config import TrainConfig
from drrn.training.convolutions import CHANNELS, use_native
from drrn.training.session import Training

FastPrecision = Literal["32-true", "32-native", "bf16-mixed"]

SAMPLE = 4e9
"""Multiply-adds of the timed forward pass, at most, unless one patch takes more: some tenths of a second."""
ROUNDS = 3
PRECISION = "precision.json"
"""In the folder of a run: what `auto` chose, and on which CPU."""
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""From glibc's malloc.h."""


def choose_precision(training: Training, run: Path, device: str, processes: int) -> tuple[str, str]:
    """The precision to compute in, and the reason if it was measured just now.

    Raises:
        TrainingError: several processes would measure, and might choose differently; or the native engine does not run
            this network on this device.
    """
    precision = training.config.precision
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    is_native = device == "cpu" and use_native(DRRN(training.model)) > 0
    if precision == "32-native" and not is_native:
        raise TrainingError(
            "--precision 32-native needs a CPU, drrn's compiled engine, and residual units or blocks of a --width that "
            f"is a multiple of {CHANNELS}. Here the width is {training.model.width}, the device {device}. Give 32-true."
        )
    if precision != "auto":
        return precision, ""
    if processes > 1:
        raise TrainingError("--precision auto is for one process. For several, give 32-true, 32-native or bf16-mixed.")
    known = known_precision(run)
    if known and (known != "32-native" or is_native):
        return known, ""
    return fastest_precision(training.model, training.config, device)


def fastest_precision(model: DRRNConfig, config: TrainConfig, device: str) -> tuple[FastPrecision, str]:
    """The fastest precision for steps of `config` on `device`, and the measurement in words."""
    if device != "cpu":
        fits = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16-mixed" if fits else "32-true"), f"{device} {'has' if fits else 'lacks'} bfloat16"
    network = DRRN(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    networks: dict[FastPrecision, DRRN] = {"32-true": network, "bf16-mixed": network}
    native = deepcopy(network)
    if use_native(native):
        networks["32-native"] = native
    patches = min(config.batch_size // config.accumulate, int(SAMPLE / (model.macs() * config.patch**2)))
    ilr = torch.rand(max(patches, 1), model.channels, config.patch, config.patch)
    ilr = ilr.to(memory_format=torch.channels_last)
    seconds = dict.fromkeys(networks, float("inf"))
    for _ in range(ROUNDS):  # alternately: the machine may be shared
        for precision in networks:
            began = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
                loss = networks[precision](ilr).float().abs().mean()
            loss.backward()
            seconds[precision] = min(seconds[precision], time.perf_counter() - began)
    whole = seconds.pop("32-true")
    ratios = " and ".join(f"{taken / whole:.2g} in {precision}" for precision, taken in seconds.items())
    fastest = min(seconds, key=lambda precision: seconds[precision])
    return (fastest if seconds[fastest] < whole else "32-true"), f"a step takes {ratios} of the time in 32-true"


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
