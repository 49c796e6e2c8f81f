"""`drrn train`."""

import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from tyro.conf import OmitArgPrefixes

from drrn.core.config import DRRNConfig
from drrn.errors import UsageError
from drrn.training.config import RECIPES, Recipe, Source, TrainConfig

if TYPE_CHECKING:
    from drrn.training.journal import Epoch


def train_with(defaults: TrainConfig) -> Callable[..., int]:
    """The command, its options for training being those of a recipe unless given."""

    def train(
        source: Annotated[Source, OmitArgPrefixes],
        run: Path,
        model: Annotated[DRRNConfig, OmitArgPrefixes] = DRRNConfig(),
        how: Annotated[TrainConfig, OmitArgPrefixes] = defaults,
        recipe: Recipe = "report",
        device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
        threads: int = 0,
    ) -> int:
        """Train a DRRN on folders of pictures. The same command goes on with a training that was stopped.

        Args:
            run: Folder for all that the training leaves: config.json, history.csv, TensorBoard events, picture
                sheets, last.ckpt to go on from and best.safetensors to use.
            recipe: What the options below start from: report (MSE, Adam), paper (the authors' SGD) or modern (ours).
            device: Where to compute. With torchrun, each process takes one device.
            threads: CPU threads, 0 for all cores. The same number gives the same weights.
        """
        try:
            import torch

            from drrn.training import run as room
        except ModuleNotFoundError as error:
            raise UsageError(f"Training needs {error.name}. Install it: pip install 'drrn[train]'.") from error
        if threads:
            torch.set_num_threads(threads)
        stop = Stop()
        command = shlex.join(["drrn", *sys.argv[1:]])
        with Console(stderr=True) as console, Show(console, how) as watch:
            room.train(model, how, source, run, watch=watch, command=command, device=device, stopped=stop.is_asked)
        if stop.signal:
            print(f"stopped; the same command goes on from {run / 'last.ckpt'}", file=sys.stderr)
            return 128 + stop.signal
        print(f"{run / 'best.safetensors'}")
        return 0

    return train


def recipe_in(args: list[str]) -> TrainConfig:
    """The recipe that a command line names, the report's where it names none (or none that is known)."""
    for word, value in zip(args, [*args[1:], ""], strict=True):
        name = value if word == "--recipe" else word.removeprefix("--recipe=")
        if name in RECIPES and name != word:
            return RECIPES[name]
    return RECIPES["report"]


class Stop:
    """Catches SIGINT and SIGTERM, so that a step is finished and saved; a second one ends at once."""

    def __init__(self) -> None:
        self.signal = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.ask)

    def ask(self, number: int, _frame: object) -> None:
        self.signal = number
        for either in (signal.SIGINT, signal.SIGTERM):
            signal.signal(either, signal.SIG_DFL)

    def is_asked(self) -> bool:
        return bool(self.signal)


class Show:
    """A line an epoch; on a terminal also a bar with the time left."""

    def __init__(self, console: Console, how: TrainConfig):
        self.console, self.how = console, how
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

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        done = epoch * steps + step
        self.progress.update(
            self.bar,
            total=self.how.epochs * steps,
            completed=done,
            description=f"epoch {epoch + 1} of {self.how.epochs}",
            loss=f"loss {loss:.5f}",
        )

    def epoch(self, row: "Epoch", best: bool) -> None:
        accuracy = f"  accuracy {row.val_accuracy:.3f}" if row.val_accuracy < 1 else ""
        self.console.print(
            f"epoch {row.epoch + 1:3d}  loss {row.train_loss:.6f}  validation {row.val_loss:.6f}  "
            f"PSNR {row.val_psnr:.3f} dB{accuracy}{'  best' if best else ''}",
            highlight=False,
        )

    def note(self, sentence: str) -> None:
        self.console.print(sentence, highlight=False)
