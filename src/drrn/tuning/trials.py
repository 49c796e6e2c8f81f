"""Store the trials of a search in a database, which several machines may share.

A trial belongs to the folder that runs it: a process that was killed resumes its own unfinished trial and never takes
one that another machine is working on. A machine holds its trial on a lease, renewed every minute and after each epoch.
If the lease expires, the next idle machine marks the trial as failed and starts another instead.
"""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from drrn.atomic import write_text
from drrn.core.config import DRRNConfig
from drrn.errors import StudyError
from drrn.training.config import TrainConfig
from drrn.tuning.results import TrialResult
from drrn.tuning.space import VARIED, Objective, apply_values

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "unfinished",
}

MAX_FAILURES = 10
"""Trials that may fail; in a longer search, as many as are wanted."""

LEASE_SECONDS = 3600.0
"""How long a lease lasts unless renewed, by the clocks of the two machines."""

RENEW_SECONDS = 60.0
"""Seconds between two renewals."""

OPEN_ATTEMPTS = 5
"""A second apart, to open a storage that other machines may be creating."""


@contextmanager
def lock_run(run: Path) -> Iterator[str]:
    """Reserve the folder `run` for this process; gives the name under which the storage knows its trials.

    Raises:
        StudyError: another process uses the folder, or it can't be created.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run / ".lock", blocking=False).acquire()
    except Timeout as error:
        raise StudyError(f"Another process is searching in {run}. Give another --run.") from error
    except OSError as error:
        raise StudyError(f"{run} can't be made a folder: {error.strerror or error}.") from error
    with lock:
        name = run / "owner"
        if not name.exists():
            write_text(name, secrets.token_hex(8))
        yield name.read_text()


@contextmanager
def open_storage(url: str) -> Iterator[RDBStorage]:
    """Open the storage at `url`, and close it afterwards.

    Raises:
        StudyError: it does not exist, belongs to another program or another version of Optuna, or fails.
    """
    try:
        try:
            storage = _open(url)
        except (ImportError, RuntimeError) as error:
            raise StudyError(f"The --storage can't be opened: {error}") from error
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = f"{error.__cause__ or error}".partition("\n")[0]
        raise StudyError(f"The --storage can't be used: {cause}") from error


def _open(url: str) -> RDBStorage:
    """Machines that begin together on an empty server create the same tables: all but one fail, and find them then."""
    for _ in range(OPEN_ATTEMPTS - 1):
        with suppress(IntegrityError, ProgrammingError):
            return RDBStorage(url)
        time.sleep(1)
    return RDBStorage(url)


def load_study(storage: RDBStorage, objective: Objective, pruner: MedianPruner) -> Study:
    """The study in `storage`, created if there is none."""
    return optuna.create_study(
        study_name="drrn",
        storage=storage,
        directions=["maximize", "minimize"] if objective == "psnr-macs" else ["maximize"],
        pruner=pruner,
        load_if_exists=True,
    )


def check_same_search(study: Study, identity: dict[str, Any]) -> None:
    """Record what the study searches, or check that it is the same search.

    Raises:
        StudyError: it is another one.
    """
    wanted = json.loads(json.dumps(identity))
    if "search" not in study.user_attrs:
        study.set_user_attr("search", wanted)
    known = study.user_attrs["search"]
    for part, values in wanted.items():
        for key, value in values.items():
            if known[part].get(key) != value:
                raise StudyError(
                    f"The search has {part}.{key} = {known[part].get(key)}, now it is {value}. Give another --run (and "
                    "another --storage, if any), or the same options to resume."
                )


def take_trial(study: Study, owner: str, wanted: int, seed: int) -> Trial | None:
    """The trial that `owner` left unfinished, or a new one; None once `wanted` are finished or running.

    A trial whose lease has expired is replaced by a new one.

    Raises:
        StudyError: as many trials failed as are wanted, and at least `MAX_FAILURES`.
    """
    every = study.get_trials(deepcopy=False)
    alive = [trial for trial in every if trial.state is not TrialState.FAIL]
    mine = next((t for t in alive if t.state is TrialState.RUNNING and t.user_attrs["owner"] == owner), None)
    if mine is None and len(alive) >= wanted and (lost := [each for each in alive if is_lost(each)]):
        fail_trial(study, Trial(study, lost[0]._trial_id), "Its machine stopped responding", lost=True)
        return take_trial(study, owner, wanted, seed)
    if mine is None and len(alive) < wanted:
        failed = [each for each in every if each.state is TrialState.FAIL and not each.user_attrs.get("lost")]
        if len(failed) >= max(wanted, MAX_FAILURES):
            raise StudyError(
                f"{len(failed)} trials failed, the last because: {failed[-1].user_attrs['reason']}. Give another "
                "--run, and lower --learning-rates, --clips or --widths."
            )
        # one transaction with its owner: a trial without an owner would never be resumed
        attributes = {"owner": owner, "alive_at": time.time()}
        study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs=attributes))
        return take_trial(study, owner, wanted, seed)
    if mine is None or sum(trial.number < mine.number for trial in alive) >= wanted:  # another machine was faster
        return None
    study.sampler = TPESampler(seed=int(np.random.default_rng([seed, mine.number]).integers(2**32)))
    trial = Trial(study, mine._trial_id)
    if not renew_lease(trial):
        return take_trial(study, owner, wanted, seed)
    for name in VARIED:  # repeat the draws of an earlier attempt, so that the next ones are what they would have been
        kind = mine.distributions.get(name)
        if kind and not kind.single() and name not in trial.relative_params:
            study.sampler.sample_independent(study, mine, name, kind)
    return trial


def renew_lease(trial: Trial) -> bool:
    """Renew the lease of `trial`; False if another machine has given it up."""
    try:
        trial.set_user_attr("alive_at", time.time())
    except UpdateFinishedTrialError:
        return False
    return True


def fail_trial(study: Study, trial: Trial, reason: str, *, lost: bool = False) -> None:
    """End a trial without a result, unless another machine has already ended it.

    Args:
        lost: its lease expired, which says nothing about the values it tried.
    """
    with suppress(UpdateFinishedTrialError):
        trial.set_user_attr("reason", reason)
        trial.set_user_attr("lost", lost)
    study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def is_lost(trial: FrozenTrial) -> bool:
    """Whether the lease of `trial` has expired."""
    alive_at = trial.user_attrs.get("alive_at", 0)  # older versions recorded none
    return trial.state is TrialState.RUNNING and time.time() - alive_at > LEASE_SECONDS


def to_result(trial: FrozenTrial, model: DRRNConfig) -> TrialResult:
    """A stored trial as a value."""
    values = {name: trial.params[name] for name in VARIED if name in trial.params}
    is_complete = len(values) == len(VARIED)
    return TrialResult(
        number=trial.number,
        state=STATES[trial.state],
        values=values,
        psnr=trial.values[0] if trial.values else None,
        macs=apply_values(values, model, TrainConfig())[0].macs() if is_complete else None,
        reason=trial.user_attrs.get("reason", ""),
    )
