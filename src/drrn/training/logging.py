"""The records people read: `history.csv`, `times.csv`, TensorBoard events and image sheets."""

import csv
import io
import os
import re
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drrn.atomic import write_text
from drrn.errors import DRRNError
from drrn.media.images.files import write
from drrn.media.sheet import sheet

TIMES = re.compile(r"(\d+),(\d+\.\d+),(\d+\.\d+),\w+")
"""A line of `times.csv`: epoch, seconds, CPU seconds, and the cores of the machine."""
NAMES = ("lr", "ilr (bicubic)", "sr (drrn)", "hr (original)")


class Epoch(NamedTuple):
    """A row of the history. PSNR is over all pixels together, unlike the benchmark protocol of `drrn evaluate`."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_psnr: float
    train_accuracy: float
    """Share of pixels whose largest channel is that of the original: what Keras calls accuracy, and what the report
    plots. It says little: a gray image scores by chance, and a luma model, having one channel, always scores 1."""
    val_loss: float
    val_psnr: float
    val_accuracy: float


class Journal:
    """Writes the records, in one process. The training does not need them: they may be lost or deleted.

    Raises:
        DRRNError: a file can't be written.
    """

    def __init__(self, run: Path):
        from torch.utils.tensorboard.writer import SummaryWriter

        self.run = run
        with _writing(run), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.board: Any = SummaryWriter(str(run))
        weakref.finalize(self, self.board.close)  # closes its thread and file if the training ends early

    def epoch(self, history: list[Epoch], seconds: float, cpu_seconds: float) -> None:
        """Record the last epoch of `history`. `cpu_seconds` is the sum over this process's threads."""
        row = history[-1]
        write_history(self.run, history)
        with _writing(self.run):
            with (self.run / "times.csv").open("a") as file:
                file.write(f"{row.epoch},{seconds:.3f},{cpu_seconds:.3f},{os.cpu_count()}\n")
            for name, value in row._asdict().items():
                if name != "epoch":
                    self.board.add_scalar(name, value, row.epoch)
            self.board.flush()

    def sheet(self, epoch: int, rows: list[list[NDArray[np.float32]]]) -> None:
        """Save rows of lr, ilr, sr and hr, each (channels, h, w), as one image: the report's figures 1 to 3."""
        folder = self.run / "sheets"
        image = sheet(rows, [NAMES])
        with _writing(self.run):
            folder.mkdir(exist_ok=True)
            write(image, folder / f"epoch_{epoch:04d}.png", overwrite=True)
            self.board.add_image("lr | ilr | sr | hr", image.to_array(), epoch, dataformats="HWC")

    def close(self) -> None:
        self.board.close()


def best_epoch(history: list[Epoch]) -> Epoch:
    """The first epoch with the lowest validation loss."""
    return min(history, key=lambda row: row.val_loss)


def has_stalled(history: list[Epoch], patience: int) -> bool:
    """Whether the best epoch is at least `patience` epochs ago; never if `patience` is 0."""
    return bool(history and patience) and history[-1].epoch - best_epoch(history).epoch >= patience


def write_history(run: Path, history: list[Epoch]) -> None:
    """Write `history.csv`; the same history gives the same bytes."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(Epoch._fields)
    rows.writerows([row.epoch, *(f"{value:.9g}" for value in row[1:])] for row in history)
    write_text(run / "history.csv", text.getvalue())


def read_history(run: Path) -> list[Epoch]:
    """What `write_history` wrote, to nine digits; empty before the first epoch ends."""
    path = run / "history.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            Epoch(int(row["epoch"]), *(float(row[name]) for name in Epoch._fields[1:])) for row in csv.DictReader(file)
        ]


def read_times(run: Path, epochs: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds and CPU seconds of the first epochs; for an interrupted one, only the part after the interruption."""
    path = run / "times.csv"
    if not path.exists():
        return (), ()
    times = {}
    for line in path.read_text().splitlines():
        if match := TIMES.fullmatch(line):  # a power cut may leave part of a line
            times[int(match[1])] = float(match[2]), float(match[3])
    known = [times[epoch] for epoch in range(epochs) if epoch in times]
    return tuple(seconds for seconds, _ in known), tuple(cpu for _, cpu in known)


@contextmanager
def _writing(run: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DRRNError(f"{error.filename or run} can't be written: {error.strerror or error}.") from error
