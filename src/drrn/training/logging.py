"""What a training leaves for people: `history.csv`, `times.csv`, TensorBoard events and picture sheets."""

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
"""A line of `times.csv`: an epoch, its seconds and CPU seconds, and the cores of the machine."""
NAMES = ("lr", "ilr (bicubic)", "sr (drrn)", "hr (original)")


class Epoch(NamedTuple):
    """A row of the history. PSNR is of all pixels together; the benchmark's protocol is `drrn evaluate`'s."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_psnr: float
    train_accuracy: float
    """Share of pixels whose largest channel is the original's, which is what Keras calls accuracy here and what the
    report plots. It says little: a grey picture scores by chance, and a luma model, having one channel, always 1."""
    val_loss: float
    val_psnr: float
    val_accuracy: float


class Journal:
    """Written by one process; all of it can be lost or deleted without harm to the training.

    Raises:
        DRRNError: a file can't be written.
    """

    def __init__(self, run: Path):
        from torch.utils.tensorboard.writer import SummaryWriter

        self.run = run
        with _writing(run), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.board: Any = SummaryWriter(str(run))
        weakref.finalize(self, self.board.close)  # it has a thread and a file, also where a training ends early

    def epoch(self, history: list[Epoch], seconds: float, cpu_seconds: float) -> None:
        """Note the last epoch of `history`, which took this process `seconds`, its cores together `cpu_seconds`."""
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
        """Keep rows of lr, ilr, sr, hr, each (channels, h, w), as a picture: the report's figures 1 to 3."""
        folder = self.run / "sheets"
        picture = sheet(rows, [NAMES])
        with _writing(self.run):
            folder.mkdir(exist_ok=True)
            write(picture, folder / f"epoch_{epoch:04d}.png", overwrite=True)
            self.board.add_image("lr | ilr | sr | hr", picture.to_array(), epoch, dataformats="HWC")

    def close(self) -> None:
        self.board.close()


def write_history(run: Path, history: list[Epoch]) -> None:
    """Make `history.csv` of the whole history; the same history gives the same bytes."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(Epoch._fields)
    rows.writerows([row.epoch, *(f"{value:.9g}" for value in row[1:])] for row in history)
    write_text(run / "history.csv", text.getvalue())


def read_history(run: Path) -> list[Epoch]:
    """What `write_history` wrote, to its nine digits; nothing where no epoch is over."""
    path = run / "history.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            Epoch(int(row["epoch"]), *(float(row[name]) for name in Epoch._fields[1:])) for row in csv.DictReader(file)
        ]


def read_times(run: Path, epochs: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds and CPU seconds of the first epochs; of one that was interrupted, only what came after."""
    path = run / "times.csv"
    if not path.exists():
        return (), ()
    noted = {}
    for line in path.read_text().splitlines():
        if whole := TIMES.fullmatch(line):  # a power cut may leave less
            noted[int(whole[1])] = float(whole[2]), float(whole[3])
    kept = [noted[epoch] for epoch in range(epochs) if epoch in noted]
    return tuple(seconds for seconds, _ in kept), tuple(cpu for _, cpu in kept)


@contextmanager
def _writing(run: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DRRNError(f"{error.filename or run} can't be written: {error.strerror or error}.") from error
