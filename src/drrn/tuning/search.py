"""Search with Optuna for the network and the recipe that suit a set of images.

Trials are stored by `drrn.tuning.trials`; results are written by `drrn.tuning.results`.

What a trial tries depends only on the seed, its number and the trials finished before it, so a search that is killed
and resumed ends like one that was never interrupted.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import MedianPruner
from optuna.study import Study
from optuna.trial import Trial, TrialState
from sqlalchemy.engine import URL

from drrn.errors import DivergedError, StudyError, TooLittleMemoryError
from drrn.progress import Progress
from drrn.training import checkpoint
from drrn.training import run as room
from drrn.training.events import EpochDone, Step, TrainingEvent
from drrn.training.logging import Epoch, best_epoch
from drrn.training.record import describe
from drrn.training.session import Session, Training
from drrn.training.sources import Sources, drop_unused_backbone, load_backbone, split_images
from drrn.training.teachers import load_teacher
from drrn.tuning.results import SearchResult, TrialResult, write_results
from drrn.tuning.space import VARIED, Objective, Space, apply_values, suggest
from drrn.tuning.trials import (
    RENEW_SECONDS,
    check_same_search,
    fail_trial,
    load_study,
    lock_run,
    open_storage,
    renew_lease,
    take_trial,
    to_result,
)

MAX_ATTEMPTS = 3
"""How often a process may be killed at the same point of a trial (as the kernel does when memory runs out)."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched."""

    training: Training
    """What all trials share. The seed of its config is also the search's."""
    space: Space
    """What they vary."""
    objective: Objective
    trials: int
    """Trials to finish, over all runs and machines that share the storage."""
    storage: str = ""
    """A URL of SQLAlchemy; empty for a file in the run's folder."""

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise StudyError(f"A search needs at least 1 trial, got --trials {self.trials}.")
        fewest = self.training.config.fewest_units
        if fewest > self.space.units[0]:
            raise StudyError(f"--fewest-units {fewest} is more than the least of --units, {self.space.units[0]}.")


class TrialStarted(NamedTuple):
    """A trial begins or resumes."""

    number: int
    finished: int
    """Trials that are finished."""


class TrialEnded(NamedTuple):
    """A trial is finished, pruned or failed."""

    result: TrialResult
    finished: int
    """Trials that are finished."""
    best: bool
    """Whether it is the best one so far."""


TuningEvent = TrialStarted | Step | TrialEnded
"""What a search reports; the steps are those of the current trial."""


def tune(search: Search, run: Path, *, session: Session, progress: Progress[TuningEvent]) -> SearchResult:
    """Search until enough trials are finished.

    Args:
        run: this machine's folder, which one process at a time may use.
        session: when stopped, the current trial saves its state and the search returns.

    Returns:
        The result so far, which is also written to `run`.

    Raises:
        StudyError: the storage belongs to another search, the storage or the folder can't be used, or too many trials
            failed.
        DataError, ImageError, TrainingError, WeightsError: as `drrn.training.run.train`.
    """
    identity = identify(search)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    model, config = search.training.model, search.training.config
    pruner = MedianPruner(n_warmup_steps=config.epochs // 4)  # the first epochs say little about the last
    url = search.storage or str(URL.create("sqlite", database=f"{run / 'tuning.db'}"))
    with lock_run(run) as owner, open_storage(url) as storage:
        study = load_study(storage, search.objective, pruner)
        check_same_search(study, identity)

        def result() -> SearchResult:
            trials = [to_result(trial, model) for trial in study.get_trials(deepcopy=False)]
            both = search.objective == "psnr-macs"
            return SearchResult(trials=trials, space=search.space, model=model, config=config, minimizes_macs=both)

        while not session.should_stop() and (trial := take_trial(study, owner, search.trials, config.seed)):
            progress.report(TrialStarted(trial.number, len(result().finished)))
            if _run_trial(study, trial, search, run, session, progress) == "stopped":
                break
            now = result()
            this = now.trials[trial.number]
            progress.report(TrialEnded(this, len(now.finished), this is now.best))
            write_results(now, run)
        now = result()
        write_results(now, run, with_figures=not session.should_stop())
        return now


def _run_trial(
    study: Study, trial: Trial, search: Search, run: Path, session: Session, progress: Progress[TuningEvent]
) -> Literal["ended", "stopped"]:
    """Train a trial and store its outcome, unless stopped."""
    shared = search.training
    model, config = apply_values(suggest(trial, search.space), shared.model, shared.config)
    source = drop_unused_backbone(shared.source, config.loss)
    source = replace(source, teacher_cache=source.teacher_cache or run / "taught")  # all trials learn the same targets
    training = Training(model, config, source)
    monitor = TrialProgress(trial, progress, prunes=search.objective == "psnr", epochs=config.epochs)
    folder = run / "trials" / f"{trial.number:04d}"
    stoppable = replace(session, should_stop=lambda: session.should_stop() or monitor.should_stop)
    try:
        with count_attempts(trial, folder / checkpoint.LAST):
            history = room.train(training, folder, session=stoppable, progress=monitor)
    except (DivergedError, KilledError, TooLittleMemoryError) as error:
        fail_trial(study, trial, failure_reason(error))
        return "ended"
    monitor.renew()
    if session.should_stop():
        return "stopped"
    if monitor.lost:
        return "ended"
    if monitor.prunes_now:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        psnr = best_epoch(history).val_psnr
        study.tell(trial, [psnr, model.macs()] if search.objective == "psnr-macs" else psnr)
    return "ended"


class KilledError(Exception):
    """A trial is given up because it was killed too often."""


class TrialProgress:
    """Watches the training of a trial: reports its steps, renews its lease, and decides after each epoch on pruning."""

    def __init__(self, trial: Trial, progress: Progress[TuningEvent], *, prunes: bool, epochs: int):
        self.trial, self.progress, self.prunes, self.epochs = trial, progress, prunes, epochs
        last = trial.study.get_trials(deepcopy=False)[trial.number].last_step
        self.reported = 0 if last is None else last + 1
        """Epochs that the storage knows of."""
        self.prunes_now = self.is_poor()  # an earlier attempt may have got this far before it was killed
        self.lost = False
        """Whether another machine has given this trial up."""
        self.renewed = time.monotonic()

    @property
    def should_stop(self) -> bool:
        return self.prunes_now or self.lost

    def report(self, event: TrainingEvent) -> None:
        """Pass on steps. Other events are not shown: they would be the same for every trial."""
        if isinstance(event, EpochDone):
            self.finish_epoch(event.row)
            return
        if isinstance(event, Step):
            self.progress.report(event)
        self.renew_if_due()

    def finish_epoch(self, row: Epoch) -> None:
        self.renew()
        if self.lost:
            return
        if self.prunes and row.epoch >= self.reported:
            self.trial.report(row.val_psnr, row.epoch)
            self.reported = row.epoch + 1
            self.prunes_now = self.is_poor()

    def renew_if_due(self) -> None:
        if time.monotonic() - self.renewed > RENEW_SECONDS:
            self.renew()

    def renew(self) -> None:
        """Renew the lease, or notice that it is lost."""
        self.renewed = time.monotonic()
        self.lost = self.lost or not renew_lease(self.trial)

    def is_poor(self) -> bool:
        """Whether the trial is not worth another epoch, judging by the stored trials."""
        return self.prunes and self.reported < self.epochs and self.trial.should_prune()


@contextmanager
def count_attempts(trial: Trial, saved: Path) -> Iterator[None]:
    """Count this process as an attempt at `trial`, until it leaves the context alive.

    Args:
        saved: the trial's checkpoint. Attempts that end without writing a new one were killed at the same point.

    Raises:
        KilledError: `MAX_ATTEMPTS` processes were killed at this point.
    """
    point = saved.stat().st_mtime_ns if saved.exists() else 0
    # "lives" is the key that searches have in their storage
    counted_at, attempts = trial.user_attrs.get("lives") or (point, 0)
    attempts = attempts if counted_at == point else 0
    if attempts >= MAX_ATTEMPTS:
        raise KilledError
    trial.set_user_attr("lives", [point, attempts + 1])
    try:
        yield
    finally:
        with suppress(UpdateFinishedTrialError):  # another machine has given the trial up
            trial.set_user_attr("lives", None)


def failure_reason(error: Exception) -> str:
    """Why a trial failed, in a few words."""
    if isinstance(error, KilledError):
        return f"Killed {MAX_ATTEMPTS} times at the same point, probably for lack of memory"
    return str(error).partition(". ")[0]


def identify(search: Search) -> dict[str, Any]:
    """What makes two searches the same: objective, space, and everything that all trials share.

    Raises:
        DataError: images are missing or too few.
        WeightsError, TrainingError: a backbone or a teacher is missing, or does not fit.
    """
    model, config, source = search.training.model, search.training.config, search.training.source
    backbone = None
    for loss in search.space.losses:
        backbone = load_backbone(replace(config, loss=loss), drop_unused_backbone(source, loss)) or backbone
    if backbone is None:
        load_backbone(replace(config, loss=search.space.losses[0]), source)  # refuses a backbone that no loss needs
    teacher = load_teacher(model, config, source)
    sources = Sources(model, None, teacher, backbone, *split_images(config, source))
    record = describe(search.training, sources)
    return {
        "search": {"objective": search.objective, **asdict(search.space)},
        "model": {name: value for name, value in record["model"].items() if name not in VARIED},
        "train": {name: value for name, value in record["train"].items() if name not in VARIED},
        # digests only: machines may keep the same images in folders of different names
        "data": {name: digest for name, digest in record["data"].items() if name.endswith("sha256")},
    }
