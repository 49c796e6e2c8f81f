"""What a training is asked to do (`Training`), and how it is carried out on this machine (`Session`)."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from drrn.core.config import DRRNConfig
from drrn.training.config import SAVE_SECONDS, Source, TrainConfig


def let_threads_sleep() -> None:
    """Make PyTorch's idle threads give up their cores to those of the native engine, unless the environment says
    otherwise. Has an effect only before torch is imported."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def never() -> bool:
    return False


@dataclass(frozen=True)
class Training:
    """What to train, how, and on what: all that the trained weights depend on."""

    model: DRRNConfig
    config: TrainConfig
    source: Source


@dataclass(frozen=True, kw_only=True)
class Session:
    """How one process carries out a training. Apart from rounding errors, nothing here changes the result."""

    command: str
    """The command line, for the record."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    threads: int = 0
    """CPU threads, 0 for all cores."""
    should_stop: Callable[[], bool] = never
    """Called after each batch. Once it returns True, the training saves its state and returns."""
    save_seconds: float = SAVE_SECONDS
    """Seconds between two checkpoints within an epoch."""
    extends: bool = False
    """Allow more epochs or patience than the run was started with."""
