"""The progress of a training and of a study, printed."""

import time
from typing import TYPE_CHECKING

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

from drrn.apps.printer import Printer
from drrn.apps.words import duration
from drrn.progress import Note
from drrn.tables import plural
from drrn.training.config import TrainConfig
from drrn.training.events import EpochDone, Step, TargetMade, TrainingEvent, TrainingPlan
from drrn.training.logging import Epoch

if TYPE_CHECKING:
    from drrn.study.run import Advance, Begin, Completion, StudyEvent
    from drrn.study.task import Task

EXPECT_SECONDS = 10.0
"""Seconds of training, or of teaching, before the expected time is printed."""


class TrainingProgress(Printer):
    """One line per epoch, and the time left: a bar on a terminal, otherwise in words."""

    def __init__(self, how: TrainConfig):
        self.how = how
        loss = TextColumn("{task.fields[loss]}")
        super().__init__(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), loss)
        self.bar = self.bars.add_task("training", total=None, loss="")
        self.plan: TrainingPlan | None = None
        self.timing: tuple[int, float] | None = None
        """Steps done over all epochs, and the time, when timing started: after the first step, which is slow."""
        self.time_printed = False
        self.teaching: tuple[int, float] | None = None
        """The same for images enlarged by the teacher; the time is infinite once printed."""

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
        self.bars.update(self.bar, total=count, completed=number, description="teaching")
        first, since = self.teaching = self.teaching or (number, time.monotonic())
        seconds = time.monotonic() - since
        if seconds > EXPECT_SECONDS and number > first and not self.console.is_terminal:
            self.teaching = number, float("inf")
            left = seconds / (number - first) * (count - number)
            self.note(f"the teacher has enlarged {number:,} of {count:,}, about {duration(left)} left")

    def begin(self, plan: TrainingPlan) -> None:
        self.plan = plan
        patches = f"{plan.patches:,} patches" if plan.patches else "random patches"
        epochs = f"at most {plan.epochs} epochs" + f", {plan.done} of them done" * bool(plan.done)
        self.note(
            f"{patches} of {plan.size}x{plan.size}, {plan.steps:,} steps of {plan.batch_size} patches per epoch, "
            f"{epochs}; bicubic has {plan.bicubic:.3f} dB on the validation patches"
        )

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        done = epoch * steps + step
        if self.timing is None:
            self.timing = done, time.monotonic()
        elif not self.time_printed and time.monotonic() - self.timing[1] > EXPECT_SECONDS:
            self.time_printed = True
            if self.console.is_terminal or (seconds := self.seconds_per_step(done)) is None:
                return
            left = seconds * (self.how.epochs * steps - done)
            self.note(f"about {duration(seconds * steps)} per epoch, {duration(left)} until the end")
        self.bars.update(
            self.bar,
            total=self.how.epochs * steps,
            completed=done,
            description=f"epoch {epoch + 1} of {self.how.epochs}",
            loss=f"loss {loss:.5f}",
        )

    def epoch(self, row: Epoch, best: bool) -> None:
        accuracy = f"  accuracy {row.val_accuracy:.3f}" if row.val_accuracy < 1 else ""
        bicubic = f" (bicubic {self.plan.bicubic:.3f})" if self.plan else ""
        self.note(
            f"epoch {row.epoch + 1:3d}  loss {row.train_loss:.6f}  validation {row.val_loss:.6f}  "
            f"PSNR {row.val_psnr:.3f} dB{bicubic}{accuracy}{'  best' if best else ''}{self.time_left(row.epoch + 1)}"
        )

    def time_left(self, epochs: int) -> str:
        """The time left after `epochs`, unless a bar shows it."""
        if self.console.is_terminal or not self.plan or epochs >= self.how.epochs:
            return ""
        seconds = self.seconds_per_step(epochs * self.plan.steps)
        return f"  about {duration(seconds * (self.how.epochs - epochs) * self.plan.steps)} left" if seconds else ""

    def seconds_per_step(self, done: int) -> float | None:
        """The mean since the first step, including validation; None after only one step."""
        if self.timing is None or done <= self.timing[0]:
            return None
        return (time.monotonic() - self.timing[1]) / (done - self.timing[0])


class StudyProgress(Printer):
    """One line per training, with its number; on a terminal also a bar with what is running and the time left."""

    def __init__(self) -> None:
        super().__init__(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
        self.bar = self.bars.add_task("study", total=1.0, left="")
        self.left = ""
        self.number = self.count = 0

    def report(self, event: "StudyEvent") -> None:
        from drrn.study.run import Advance, Begin

        if isinstance(event, Begin):
            self.begin(event)
        elif isinstance(event, Advance):
            self.update(event)
        else:
            self.completed(event)

    def begin(self, event: "Begin") -> None:
        experiments = len({task.experiment.name for task in event.tasks})
        seeds = len({task.experiment.seed for task in event.tasks})
        self.number, self.count = event.done, len(event.tasks)
        self.note(
            f"{plural(self.count, 'training')}: {plural(experiments, 'experiment')} with {plural(seeds, 'seed')}; "
            f"{event.done} done already"
        )

    def update(self, event: "Advance") -> None:
        left = f", {duration(event.seconds_left)} left" if event.seconds_left is not None else ""
        self.left = f"{100 * event.share:.0f} %{left}"
        names = ", ".join(map(_name, event.running))
        self.bars.update(self.bar, completed=event.share, left=self.left, description=names or "study")

    def completed(self, end: "Completion") -> None:
        self.number += end.outcome != "stopped"
        self.note(f"{self.number} of {self.count}  {_name(end.task)}: {end.outcome}, {end.message}  ({self.left})")


def _name(task: "Task") -> str:
    return f"{task.experiment.name}, seed {task.experiment.seed}"
