"""A search, by Optuna, for the network and the recipe that suit some pictures; what it leaves: `drrn.study.tuned`.

Trials are kept in a database, which several machines may share. A trial belongs to the folder that runs it: who was
killed finds his own unfinished trial again and goes on with it, and never takes one that another machine is busy with.
What a trial tries follows from the seed, its number and the trials finished before it, so a search that is killed and
run again ends as one that never was.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from drrn.atomic import write_text
from drrn.core.config import DRRNConfig
from drrn.errors import DivergedError, StudyError, TooLittleMemoryError
from drrn.study.space import VARIED, Objective, Space, chosen, suggest
from drrn.study.tuned import Found, Tried, leave
from drrn.training import checkpoint
from drrn.training import run as room
from drrn.training.config import SAVE_SECONDS, Source, TrainConfig
from drrn.training.fit import Plan, best
from drrn.training.given import Given, backbone_of, pictures_of, seen_through, teacher_of
from drrn.training.journal import Epoch

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "unfinished",
}

PATIENCE = 10
"""Trials that may fail in any search; in a long one, as many as are wanted."""

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
        DataError, PictureError, TrainingError, WeightsError: as `drrn.training.run.train`.
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
                        seen_through(source, recipe.loss),
                        folder,
                        watch=look,
                        command=command,
                        device=device,
                        threads=threads,
                        stopped=lambda look=look: stopped() or look.prunes_now,  # type: ignore[misc]
                        save_seconds=save_seconds,
                    )
            except (DivergedError, KilledError, TooLittleMemoryError) as error:
                trial.set_user_attr("reason", reason_of(error))
                study.tell(trial, state=TrialState.FAIL)
            else:
                if stopped():
                    break
                if look.prunes_now:
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
    """Looks on for a trial: tells its steps, and asks after each epoch whether it is worth another."""

    def __init__(self, trial: Trial, watch: Watch, *, prunes: bool, epochs: int):
        self.trial, self.watch, self.prunes, self.epochs = trial, watch, prunes, epochs
        last = trial.study.get_trials(deepcopy=False)[trial.number].last_step
        self.told = 0 if last is None else last + 1
        """Epochs that the storage knows of."""
        self.prunes_now = self.is_poor()  # as a life before this one may have found, and ended

    def taught(self, number: int, count: int) -> None:
        """Not shown: the bars are those of steps and trials."""

    def begin(self, plan: Plan) -> None:
        """Not shown, as notes."""

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        self.watch.step(epoch, step, steps, loss)

    def epoch(self, row: Epoch, best: bool) -> None:
        if self.prunes and row.epoch >= self.told:
            self.trial.report(row.val_psnr, row.epoch)
            self.told = row.epoch + 1
            self.prunes_now = self.is_poor()

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


@contextmanager
def owned(run: Path) -> Iterator[str]:
    """The name under which the trials of `run` are known in the storage, which is this process's as long as it lives.

    Raises:
        StudyError: another process has it, or it is no folder.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run / ".lock", blocking=False).acquire()
    except Timeout as error:
        raise StudyError(f"Another process searches in {run}. Give another --run.") from error
    except OSError as error:
        raise StudyError(f"{run} can't be made a folder: {error.strerror or error}.") from error
    with lock:
        name = run / "owner"
        if not name.exists():
            write_text(name, secrets.token_hex(8))
        yield name.read_text()


@contextmanager
def opened(url: str) -> Iterator[RDBStorage]:
    """The storage of trials at `url`.

    Raises:
        StudyError: there is none, it is of another kind or another Optuna, or it fails.
    """
    try:
        try:
            storage = RDBStorage(url)
        except (ImportError, RuntimeError) as error:
            raise StudyError(f"The --storage of trials can't be opened: {error}") from error
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = f"{error.__cause__ or error}".partition("\n")[0]
        raise StudyError(f"The --storage of trials can't be used: {cause}") from error


def study_of(storage: RDBStorage, objective: Objective, pruner: MedianPruner) -> Study:
    return optuna.create_study(
        study_name="drrn",
        storage=storage,
        directions=["maximize", "minimize"] if objective == "psnr-macs" else ["maximize"],
        pruner=pruner,
        load_if_exists=True,
    )


def agree(study: Study, search: dict[str, Any]) -> None:
    """Make the study's description, or see that it is of the same search.

    Raises:
        StudyError: it is of another one.
    """
    wanted = json.loads(json.dumps(search))
    if "search" not in study.user_attrs:
        study.set_user_attr("search", wanted)
    known = study.user_attrs["search"]
    for part, values in wanted.items():
        for key, value in values.items():
            if known[part].get(key) != value:
                raise StudyError(
                    f"The search has {part}.{key} = {known[part].get(key)}, now it is {value}. Give another --run (and "
                    "another --storage, if any), or the same options to go on."
                )


def take(study: Study, owner: str, wanted: int, seed: int) -> Trial | None:
    """The trial that `owner` left unfinished, or else a new one; none where `wanted` are finished or under way.

    Raises:
        StudyError: as many failed as are wanted, and `PATIENCE` at least.
    """
    every = study.get_trials(deepcopy=False)
    alive = [trial for trial in every if trial.state is not TrialState.FAIL]
    mine = next((t for t in alive if t.state is TrialState.RUNNING and t.user_attrs["owner"] == owner), None)
    if mine is None and len(alive) < wanted:
        if len(every) - len(alive) >= max(wanted, PATIENCE):
            reason = next(trial.user_attrs["reason"] for trial in reversed(every) if trial.state is TrialState.FAIL)
            raise StudyError(
                f"{len(every) - len(alive)} trials failed, the last for: {reason}. Give another --run, and lower "
                "--learning-rates, --clips or --widths."
            )
        # in one transaction with its owner: a trial that was killed before it had one would be nobody's
        study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={"owner": owner}))
        return take(study, owner, wanted, seed)
    if mine is None or sum(trial.number < mine.number for trial in alive) >= wanted:  # another machine was faster
        return None
    study.sampler = TPESampler(seed=int(np.random.default_rng([seed, mine.number]).integers(2**32)))
    trial = Trial(study, mine._trial_id)
    for name in VARIED:  # draw again what a life before this one drew, so that what follows is what would have followed
        kind = mine.distributions.get(name)
        if kind and not kind.single() and name not in trial.relative_params:
            study.sampler.sample_independent(study, mine, name, kind)
    return trial


def seen(trial: FrozenTrial, model: DRRNConfig) -> Tried:
    """A trial of the storage as a value."""
    values = {name: trial.params[name] for name in VARIED if name in trial.params}
    whole = len(values) == len(VARIED)
    return Tried(
        number=trial.number,
        state=STATES[trial.state],
        values=values,
        psnr=trial.values[0] if trial.values else None,
        macs=chosen(values, model, TrainConfig())[0].macs() if whole else None,
        reason=trial.user_attrs.get("reason", ""),
    )
