"""A search, by Optuna, for the network and the recipe that suit some pictures.

Where its trials are kept: `drrn.tuning.trials`. What it leaves: `drrn.tuning.results`.

What a trial tries follows from the seed, its number and the trials finished before it, so a search that is killed and
run again ends as one that never was.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import MedianPruner
from optuna.trial import Trial, TrialState
from sqlalchemy.engine import URL

from drrn.core.config import DRRNConfig
from drrn.errors import DivergedError, StudyError, TooLittleMemoryError
from drrn.training import checkpoint
from drrn.training import run as room
from drrn.training.config import SAVE_SECONDS, Source, TrainConfig
from drrn.training.fit import Plan, best
from drrn.training.inputs import Given, backbone_of, pictures_of, seen_through
from drrn.training.logging import Epoch
from drrn.training.teachers import teacher_of
from drrn.tuning.results import Found, Tried, leave
from drrn.tuning.space import VARIED, Objective, Space, chosen, suggest
from drrn.tuning.trials import RENEW_SECONDS, agree, fail, opened, owned, renew, seen, study_of, take

LIVES = 3
"""Processes that may be killed over a trial at one place, as the kernel does where memory is short."""


class Watch(Protocol):
    """Who looks on."""

    def trial(self, number: int, finished: int) -> None: ...

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None: ...

    def tried(self, tried: Tried, finished: int, best: bool) -> None: ...


def tune(
    model: DRRNConfig,
    how: TrainConfig,
    source: Source,
    run: Path,
    *,
    space: Space,
    objective: Objective,
    trials: int,
    watch: Watch,
    command: str,
    storage: str = "",
    device: str = "auto",
    threads: int = 0,
    stopped: Callable[[], bool] = lambda: False,
    save_seconds: float = SAVE_SECONDS,
) -> Found:
    """Search `space` until `trials` are finished, in all lives of this search and on all machines that share `storage`.

    Args:
        model, how: what all trials share. The seed of `how` is the search's, too.
        run: the folder of this machine; a process at a time.
        storage: a URL of SQLAlchemy, by default a file in `run`.
        stopped: asked after each batch; once true, the trial saves its state and the search returns.

    Returns:
        What was found, which is also written to `run`.

    Raises:
        StudyError: the search of `storage` is another one, the storage or the folder can't be used, or too many trials
            failed.
        DataError, ImageError, TrainingError, WeightsError: as `drrn.training.run.train`.
    """
    if trials < 1:
        raise StudyError(f"A search needs at least 1 trial, got --trials {trials}.")
    if how.fewest_units > space.units[0]:
        raise StudyError(f"--fewest-units {how.fewest_units} is more than the least of --units, {space.units[0]}.")
    search = {"search": {"objective": objective, **asdict(space)}, **shared(model, how, source, space)}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = MedianPruner(n_warmup_steps=how.epochs // 4)  # the first epochs tell little of the last
    with owned(run) as owner, opened(storage or str(URL.create("sqlite", database=f"{run / 'tuning.db'}"))) as kept:
        study = study_of(kept, objective, pruner)
        agree(study, search)

        def found() -> Found:
            tried = [seen(trial, model) for trial in study.get_trials(deepcopy=False)]
            return Found(tried=tried, space=space, model=model, train=how, both=objective == "psnr-macs")

        while not stopped() and (trial := take(study, owner, trials, how.seed)):
            watch.trial(trial.number, len(found().finished))
            values = suggest(trial, space)
            network, recipe = chosen(values, model, how)
            look = Look(trial, watch, prunes=objective == "psnr", epochs=how.epochs)
            folder = run / "trials" / f"{trial.number:04d}"
            try:
                with counted(trial, folder / checkpoint.LAST):
                    history = room.train(
                        network,
                        recipe,
                        replace(
                            seen_through(source, recipe.loss), teacher_cache=source.teacher_cache or run / "taught"
                        ),
                        folder,
                        watch=look,
                        command=command,
                        device=device,
                        threads=threads,
                        stopped=lambda look=look: stopped() or look.should_stop,  # type: ignore[misc]
                        save_seconds=save_seconds,
                    )
            except (DivergedError, KilledError, TooLittleMemoryError) as error:
                fail(study, trial, reason_of(error))
            else:
                look.renew()
                if stopped():
                    break
                if look.lost:
                    pass
                elif look.prunes_now:
                    study.tell(trial, state=TrialState.PRUNED)
                else:
                    psnr = best(history).val_psnr
                    study.tell(trial, [psnr, network.macs()] if objective == "psnr-macs" else psnr)
            now = found()
            this = now.tried[trial.number]
            watch.tried(this, len(now.finished), this is now.best)
            leave(now, run)
        now = found()
        leave(now, run, drawn=not stopped())
        return now


class KilledError(Exception):
    """A trial is given up: it was killed too often."""


class Look:
    """Watches a trial: reports its steps, renews its lease, and decides after each epoch whether to go on."""

    def __init__(self, trial: Trial, watch: Watch, *, prunes: bool, epochs: int):
        self.trial, self.watch, self.prunes, self.epochs = trial, watch, prunes, epochs
        last = trial.study.get_trials(deepcopy=False)[trial.number].last_step
        self.told = 0 if last is None else last + 1
        """Epochs that the storage knows of."""
        self.prunes_now = self.is_poor()  # as a life before this one may have found, and ended
        self.lost = False
        """Whether another machine has given this trial up."""
        self.renewed = time.monotonic()

    @property
    def should_stop(self) -> bool:
        return self.prunes_now or self.lost

    def taught(self, number: int, count: int) -> None:
        """Not shown: the bars are those of steps and trials."""
        self.renew_if_due()

    def begin(self, plan: Plan) -> None:
        """Not shown, as notes."""

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        self.watch.step(epoch, step, steps, loss)
        self.renew_if_due()

    def epoch(self, row: Epoch, best: bool) -> None:
        self.renew()
        if self.lost:
            return
        if self.prunes and row.epoch >= self.told:
            self.trial.report(row.val_psnr, row.epoch)
            self.told = row.epoch + 1
            self.prunes_now = self.is_poor()

    def renew_if_due(self) -> None:
        if time.monotonic() - self.renewed > RENEW_SECONDS:
            self.renew()

    def renew(self) -> None:
        """Renew the lease, or notice that it is lost."""
        self.renewed = time.monotonic()
        self.lost = self.lost or not renew(self.trial)

    def is_poor(self) -> bool:
        """Whether the trial is not worth another epoch, by what the storage knows."""
        return self.prunes and self.told < self.epochs and self.trial.should_prune()

    def note(self, sentence: str) -> None:
        """Not shown: it would be the same for every trial."""


@contextmanager
def counted(trial: Trial, saved: Path) -> Iterator[None]:
    """Count this process among those that were killed over `trial`, unless it lives to leave this.

    Args:
        saved: where the checkpoint of the trial is: killed where it was killed before is who has not written another.

    Raises:
        KilledError: `LIVES` were killed at this place.
    """
    place = saved.stat().st_mtime_ns if saved.exists() else 0
    begun_at, lives = trial.user_attrs.get("lives") or (place, 0)
    lives = lives if begun_at == place else 0
    if lives >= LIVES:
        raise KilledError
    trial.set_user_attr("lives", [place, lives + 1])
    try:
        yield
    finally:
        with suppress(UpdateFinishedTrialError):  # another machine has given it up
            trial.set_user_attr("lives", None)


def reason_of(error: Exception) -> str:
    """What ended a trial, in a few words."""
    if isinstance(error, KilledError):
        return f"Killed {LIVES} times at one place, as where memory is short"
    return str(error).partition(". ")[0]


def shared(model: DRRNConfig, how: TrainConfig, source: Source, space: Space) -> dict[str, Any]:
    """All that the results of the trials depend on beside what is varied.

    Raises:
        DataError: pictures are missing or too few.
        WeightsError, TrainingError: a backbone is missing, or none that a loss needs; a teacher is missing, or can't
            teach.
    """
    backbone = None
    for loss in space.losses:
        backbone = backbone_of(replace(how, loss=loss), seen_through(source, loss)) or backbone
    if backbone is None:
        backbone_of(replace(how, loss=space.losses[0]), source)  # which refuses one that no loss needs
    given = Given(None, teacher_of(model, how, source), backbone, *pictures_of(how, source))
    about = room.describe(model, how, source, given)
    data = {name: digest for name, digest in about["data"].items() if name.endswith("sha256")}  # folders have any name
    return {
        "model": {name: value for name, value in about["model"].items() if name not in VARIED},
        "train": {name: value for name, value in about["train"].items() if name not in VARIED},
        "data": data,
    }
