"""What a training and a study show while they run."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from drrn.apps.words import duration
from drrn.training.config import TrainConfig
from drrn.training.journal import Epoch

if TYPE_CHECKING:
    from drrn.study.run import End


class Show:
    """A line an epoch; on a terminal also a bar with the time left."""

    def __init__(self, how: TrainConfig):
        self.how = how
        self.console = console = Console(stderr=True, markup=False)  # a path may have brackets
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
        )
        self.progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self.bar = self.progress.add_task("training", total=None, loss="")

    def __enter__(self) -> "Show":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def taught(self, number: int, count: int) -> None:
        self.progress.update(self.bar, total=count, completed=number, description="teaching")

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        done = epoch * steps + step
        self.progress.update(
            self.bar,
            total=self.how.epochs * steps,
            completed=done,
            description=f"epoch {epoch + 1} of {self.how.epochs}",
            loss=f"loss {loss:.5f}",
        )

    def epoch(self, row: Epoch, best: bool) -> None:
        accuracy = f"  accuracy {row.val_accuracy:.3f}" if row.val_accuracy < 1 else ""
        self.console.print(
            f"epoch {row.epoch + 1:3d}  loss {row.train_loss:.6f}  validation {row.val_loss:.6f}  "
            f"PSNR {row.val_psnr:.3f} dB{accuracy}{'  best' if best else ''}",
            highlight=False,
        )

    def note(self, sentence: str) -> None:
        self.console.print(sentence, highlight=False)


class ShowStudy:
    """A line an experiment; on a terminal also a bar with the time left for all."""

    def __init__(self) -> None:
        self.console = console = Console(stderr=True, markup=False)  # a name or a path may have brackets
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
        self.bars = Progress(*columns, console=console, disable=not console.is_terminal)
        self.bar = self.bars.add_task("study", total=1.0, left="")
        self.left = ""

    def __enter__(self) -> "ShowStudy":
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def progress(self, share: float, seconds_left: float | None) -> None:
        self.left = f"{100 * share:.0f} %" + (f", {duration(seconds_left)} left" if seconds_left is not None else "")
        self.bars.update(self.bar, completed=share, left=self.left)

    def end(self, end: "End") -> None:
        name = f"{end.task.experiment.name}, seed {end.task.experiment.seed}"
        self.console.print(f"{name}: {end.outcome}, {end.about}  ({self.left})", highlight=False, soft_wrap=True)
