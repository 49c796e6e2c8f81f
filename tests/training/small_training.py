"""Shared by the tests of training: generated images, a tiny network, and a log of progress."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from drrn import provenance
from drrn.core.config import DRRNConfig
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.progress import Note
from drrn.training import run as room
from drrn.training.config import Source, TrainConfig
from drrn.training.events import EpochDone, Step, TargetMade, TrainingEvent, TrainingPlan
from drrn.training.fit import fit
from drrn.training.logging import Epoch
from drrn.training.session import Session, Training

SMALL = DRRNConfig(width=4, units=2)
QUICK = TrainConfig(scales=(2,), patch=16, stride=8, batch_size=8, epochs=3, ema_decay=0.9, sheet_every=0)
"""12 steps per epoch on `pictures`."""

OUTPUTS = ("best.safetensors", "history.csv", "last.ckpt")
"""Files that must have the same bytes with and without interruptions."""


def make_images(folder: Path, count: int = 6, height: int = 40, width: int = 48, seed: int = 0) -> Path:
    """Write smooth waves of color as `0.png`, `1.png`, ... to a new folder."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    for number in range(count):
        waves = [np.sin(x * rng.uniform(0.1, 1) + y * rng.uniform(0.1, 1)) for _ in range(3)]
        write(Image.from_array((0.5 + 0.4 * np.dstack(waves)).astype(np.float32)), folder / f"{number}.png")
    return folder


@dataclass
class ProgressLog:
    """Records progress, and stops the training after `patience` steps, or in the validation after one step fewer."""

    patience: float = float("inf")
    begun: bool = False
    steps: int = 0
    losses: list[float] = field(default_factory=list)
    rows: list[tuple[Epoch, bool]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    enlarged: list[tuple[int, int]] = field(default_factory=list)
    plans: list[TrainingPlan] = field(default_factory=list)

    def report(self, event: TrainingEvent) -> None:
        match event:
            case TargetMade():
                self.target_made(*event)
            case TrainingPlan():
                self.begin(event)
            case Step():
                self.step(*event)
            case EpochDone():
                self.epoch(*event)
            case Note(sentence):
                self.note(sentence)

    def target_made(self, number: int, count: int) -> None:
        self.enlarged.append((number, count))

    def begin(self, plan: TrainingPlan) -> None:
        self.plans.append(plan)

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        self.steps += 1
        self.losses.append(loss)

    def epoch(self, row: Epoch, best: bool) -> None:
        self.rows.append((row, best))

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def should_stop(self) -> bool:
        return self.begun and self.steps + 1 >= self.patience

    def fit(self, *args: Any, **options: Any) -> list[Epoch]:
        self.begun = True
        return fit(*args, **options)


def train(
    run: Path,
    data: Path,
    how: TrainConfig = QUICK,
    model: DRRNConfig = SMALL,
    *,
    stop_after: float = float("inf"),
    extends: bool = False,
    **source: Any,
) -> tuple[list[Epoch], ProgressLog]:
    """Train on the CPU for at most `stop_after` steps, with a fixed command and commit."""
    log = ProgressLog(stop_after)
    with mock.patch.object(provenance, "commit", lambda: "commit"), mock.patch.object(room, "fit", log.fit):
        history = room.train(
            Training(model, how, Source(data=(data,), **source)),
            run,
            session=Session(command="drrn train", device="cpu", extends=extends, should_stop=log.should_stop),
            progress=log,
        )
    return history, log


def read_outputs(run: Path) -> dict[str, bytes]:
    """The bytes of the files in `OUTPUTS`."""
    return {name: (run / name).read_bytes() for name in OUTPUTS}
