"""`drrn tune`."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from tyro.conf import Fixed, OmitArgPrefixes, SuppressFixed

from drrn.apps.printer import Printer
from drrn.apps.signals import SignalHandler
from drrn.apps.words import duration
from drrn.core.config import DRRNConfig
from drrn.errors import UsageError
from drrn.provenance import command
from drrn.training.config import SAVE_SECONDS, Recipe, Source, TrainConfig
from drrn.training.session import Session, Training, let_threads_sleep
from drrn.tuning.space import Objective, Space

if TYPE_CHECKING:
    from drrn.tuning.results import SearchResult, TrialResult
    from drrn.tuning.search import Search, TuningEvent

Config = TypeVar("Config", bound=DRRNConfig | TrainConfig)


@dataclass(frozen=True, kw_only=True)
class SharedSource(Source):
    """Images, shared by all trials."""

    start: Fixed[str | None] = None  # initial weights fit only one network


@dataclass(frozen=True, kw_only=True)
class SharedModel(DRRNConfig):
    """Structure of the network, shared by all trials."""

    blocks: Fixed[int] = 1
    units: Fixed[int] = 9
    width: Fixed[int] = 128


@dataclass(frozen=True, kw_only=True)
class SharedConfig(TrainConfig):
    """Recipe, shared by all trials. `seed` also seeds the search."""

    learning_rate: Fixed[float] = 1e-3
    loss: Fixed[str] = "mse"
    clip: Fixed[float] = 1.0


def tune_with(network: DRRNConfig, training: TrainConfig) -> Callable[..., int]:
    """The command, with `network` and `training` as defaults of its options."""
    same_network = _convert(network, SharedModel)
    same_training = _convert(training, SharedConfig)

    def tune(
        source: Annotated[SharedSource, OmitArgPrefixes, SuppressFixed],
        run: Path,
        space: Annotated[Space, OmitArgPrefixes] = Space(),
        model: Annotated[SharedModel, OmitArgPrefixes, SuppressFixed] = same_network,
        how: Annotated[SharedConfig, OmitArgPrefixes, SuppressFixed] = same_training,
        trials: int = 30,
        objective: Objective = "psnr",
        storage: str = "",
        recipe: Recipe = "report",
        config: Path | None = None,
        device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
        threads: int = 0,
        save_seconds: float = SAVE_SECONDS,
    ) -> int:
        """Search for the network and the recipe that suit your pictures. The same command resumes a search.

        Args:
            run: Folder for everything the search writes: best.json for `drrn train --config`, trials.csv, plots of
                history and importance, and a folder per trial.
            trials: Total number of trials to finish, including those of earlier runs and other machines. Pruned
                trials count, failed ones do not.
            objective: psnr: highest validation PSNR, pruning trials below the median. psnr-macs: PSNR against
                multiply-adds a pixel, which gives a front of trials instead of one; none is pruned.
            storage: Where to store trials, as a URL of SQLAlchemy; by default a file in `run`. Several machines share
                a search by the same --storage, each with its own --run.
            recipe: Defaults of the options below: report (MSE, Adam), paper (the authors' SGD) or modern (ours).
            config: A file with these defaults: the config.json of a run, or the best.json of a search.
            device: Where to compute.
            threads: CPU threads, 0 for all cores. The same number gives the same trials.
            save_seconds: Seconds between two checkpoints within an epoch: the most a crash can cost.
        """
        let_threads_sleep()
        try:
            from drrn.tuning.search import Search
        except ModuleNotFoundError as error:
            raise UsageError(f"Tuning needs {error.name}. Install it: pip install 'drrn[tune]'.") from error
        training = Training(_convert(model, DRRNConfig), _convert(how, TrainConfig), source)
        search = Search(training=training, space=space, objective=objective, trials=trials, storage=storage)
        return run_search(search, run, device=device, threads=threads, save_seconds=save_seconds)

    return tune


def run_search(
    search: "Search", run: Path, *, device: Literal["auto", "cpu", "cuda", "mps"], threads: int, save_seconds: float
) -> int:
    """Search with progress bars until all trials are finished or a signal arrives; return the exit code."""
    from drrn.tuning.search import tune

    signals = SignalHandler(deferred=True)
    session = Session(
        command=command(),
        device=device,
        threads=threads,
        should_stop=signals.has_received,
        save_seconds=save_seconds,
    )
    with TuningProgress(search.training.config.epochs, search.trials) as progress:
        result = tune(search, run, session=session, progress=progress)
    if signals.received:
        print(f"stopped; the same command resumes {run}", file=sys.stderr)
        return signals.exit_code
    print_result(result, search.trials, run)
    return 0


def _convert(options: object, kind: type[Config]) -> Config:
    """The same values in another class with these fields."""
    return kind(**{each.name: getattr(options, each.name) for each in fields(kind)})


def print_result(result: "SearchResult", trials: int, run: Path) -> None:
    """Print the best trials and the path of the preset; what is missing goes to stderr."""
    from drrn.tuning.results import MIN_TRIALS, importances
    from drrn.tuning.trials import LEASE_SECONDS

    if len(result.finished) < trials:
        print(
            f"{len(result.finished)} of {trials} trials are finished; other machines run the rest. A trial that was "
            f"killed there resumes by the same command there; --trials {trials + len(result.unfinished)} here does "
            f"without it. If a machine has not responded for {duration(LEASE_SECONDS)}, the same command here replaces "
            "its trial.",
            file=sys.stderr,
        )
    if result.best is None:
        return
    for trial in result.front if result.minimizes_macs else [result.best]:
        print(format_trial(trial))
    if not importances(result):
        print(f"importances need at least {MIN_TRIALS} finished trials", file=sys.stderr)
    print(run / "best.json")


def format_trial(trial: "TrialResult") -> str:
    """A trial in one line."""
    values = trial.values
    score = "" if trial.psnr is None else f"  PSNR {trial.psnr:.3f} dB"
    return (
        f"trial {trial.number}  B{values['blocks']}U{values['units']} width {values['width']}  "
        f"rate {values['learning_rate']:.2g}  {values['loss']}  clip {values['clip']:.2g}{score}  "
        f"{(trial.macs or 0) / 1000:.1f}k multiply-adds a pixel"
    )


class TuningProgress(Printer):
    """One line per trial; on a terminal also a bar with the time left."""

    def __init__(self, epochs: int, trials: int):
        self.epochs, self.trials = epochs, trials
        self.number = self.finished_before = self.finished = 0
        self.start_time: float | None = None
        super().__init__(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self.bar = self.bars.add_task("tuning", total=float(trials))

    def report(self, event: "TuningEvent") -> None:
        from drrn.training.events import Step
        from drrn.tuning.search import TrialEnded, TrialStarted

        match event:
            case TrialStarted():
                self.trial_started(*event)
            case Step():
                self.step(*event)
            case TrialEnded():
                self.trial_ended(*event)

    def trial_started(self, number: int, finished: int) -> None:
        if self.start_time is None:
            self.start_time, self.finished_before = time.monotonic(), finished
        self.number, self.finished = number, finished

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        share = (epoch * steps + step) / (steps * self.epochs)
        text = f"trial {self.number}, {self.finished} of {self.trials} finished, loss {loss:.5f}"
        self.bars.update(self.bar, completed=self.finished + share, description=text)

    def trial_ended(self, result: "TrialResult", finished: int, best: bool) -> None:
        here = finished - self.finished_before
        seconds = (time.monotonic() - (self.start_time or 0)) / max(here, 1) * (self.trials - finished)
        text = result.state + f" ({result.reason})" * bool(result.reason) + ", best so far" * best
        left = f"; about {duration(seconds)} left" if here and seconds else ""
        self.bars.update(self.bar, completed=finished)
        self.note(f"{format_trial(result)}: {text}  ({finished} of {self.trials} finished{left})")
