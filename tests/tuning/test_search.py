"""`drrn tune`: its results, which are the same however it is interrupted."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import optuna
import pytest
import torch
from sqlalchemy.exc import IntegrityError

from drrn.apps import tune
from drrn.apps.signals import SignalHandler
from drrn.core.config import DRRNConfig
from drrn.network.model import DRRN
from drrn.training import checkpoint
from drrn.training import run as room
from drrn.training.config import REPORT
from drrn.training.events import EpochDone, Step, TrainingEvent
from drrn.training.logging import Epoch
from drrn.tuning import results as tuning_results
from drrn.tuning import search as tuning
from drrn.tuning import trials as kept_trials
from drrn.tuning.results import SearchResult, TrialResult, importances, write_results
from drrn.tuning.space import Space, suggest
from drrn.weights import store
from tests.command_line import run
from tests.forks import ENVIRONMENT
from tests.training.small_training import make_images

SMALL = shlex.split(
    "--widths 4 8 --blocks 1 2 --units 1 2 --scales 2 --patch 16 --stride 8 --batch-size 8 --epochs 1 --sheet-every 0 "
    "--device cpu --threads 1"
)
KILLED = """
import os, signal
from pathlib import Path
from drrn.apps import cli, tune
def step(*args):
    if Path("run/trials/0001/last.ckpt").exists():
        os.kill(os.getpid(), signal.SIGKILL)
tune.TuningProgress.step = step
cli.main()
"""
"""A program that runs the command and is killed in its second trial, once that has a checkpoint."""
INFINITE = "1e39*mse"
"""A loss that is not finite in single precision."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three pictures in `photos`, where the command runs."""
    monkeypatch.chdir(tmp_path)
    make_images(tmp_path / "photos", count=3)
    return tmp_path


@pytest.fixture
def figures() -> None:
    """For tests that look at figures."""


@pytest.fixture(autouse=True)
def few_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip figures, which take longer than small trials, unless a test looks at them."""
    if "figures" not in request.fixturenames:
        monkeypatch.setattr(tuning_results, "_draw", lambda *_: None)


def search(folder: str, *args: str, trials: int = 3) -> int:
    return run("tune", "--data", "photos", "--run", folder, "--trials", str(trials), *SMALL, *args)


def table(folder: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(folder, "trials.csv").read_text().splitlines()))


def states(folder: str) -> list[str]:
    return [row["state"] for row in table(folder)]


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.usefixtures("figures")
def test_a_search_writes_a_preset_for_training(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search("run") == 0
    printed = capsys.readouterr()
    assert [line.split()[1] for line in printed.err.splitlines()[:3]] == ["0", "1", "2"]
    assert "(3 of 3 finished)" in printed.err and "importances need at least 10 finished trials" in printed.err
    rows = table("run")
    best = json.loads(Path("run/best.json").read_text())
    assert best["psnr"] == max(float(row["psnr"]) for row in rows)
    assert printed.out.splitlines()[-1] == "run/best.json" and f"trial {best['trial']} " in printed.out
    assert {"history.png", "history.svg"} <= {path.name for path in Path("run").iterdir()}
    assert not Path("run/front.json").exists() and not Path("run/importance.png").exists()

    assert run("train", "--data", "photos", "--run", "mine", "--config", "run/best.json", "--device", "cpu") == 0
    config, tried = (
        json.loads(Path(f).read_text()) for f in ("mine/config.json", f"run/trials/{best['trial']:04d}/config.json")
    )
    assert config["model"] == best["model"] == tried["model"]
    assert config["train"] == best["train"] == tried["train"]
    assert Path("mine/history.csv").read_bytes() == Path(f"run/trials/{best['trial']:04d}/history.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("figures")
def test_a_finished_search_only_reports_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search("run") == 0
    first = capsys.readouterr().out
    before = {path: path.read_bytes() for path in Path("run").rglob("*.*") if path.is_file()}
    Path("run/best.json").unlink()
    Path("run/history.svg").unlink()
    assert search("run") == 0
    assert capsys.readouterr().out == first
    assert {path: path.read_bytes() for path in Path("run").rglob("*.*") if path.is_file()} == before
    assert search("run", trials=4) == 0
    assert len(table("run")) == 4, "--trials counts those of earlier runs"


@pytest.mark.slow
def test_a_stopped_and_killed_search_ends_like_an_uninterrupted_one(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = ["--save-seconds", "0"]  # a checkpoint a step
    assert search("whole", *slow) == 0
    signals = iter([signal.SIGTERM])

    def stop(*_: object) -> None:
        for number in signals:
            signal.raise_signal(number)

    with monkeypatch.context() as patch:
        patch.setattr(tune.TuningProgress, "step", stop)
        assert search("run", *slow) == 143
    assert last_line(capsys) == "stopped; the same command resumes run"
    state, _ = checkpoint.load(Path("run/trials/0000"))
    assert state and 0 < state["step"] < 5 and not state["history"], "it was stopped within the trial"
    words = ["-c", KILLED, "tune", "--data", "photos", "--run", "run", "--trials", "3", *SMALL, *slow]
    killed = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=ENVIRONMENT)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    state, _ = checkpoint.load(Path("run/trials/0001"))
    assert state and 0 < state["step"] < 5 and not state["history"], "it was killed within the trial"

    steps: list[tuple[int, int]] = []

    def step(show: tune.TuningProgress, epoch: int, step: int, steps_: int, loss: float) -> None:
        steps.append((show.number, step))

    monkeypatch.setattr(tune.TuningProgress, "step", step)
    assert search("run", *slow) == 0
    assert state and steps[0] == (1, state["step"] + 1), "the killed trial goes on from its checkpoint"
    assert states("run") == ["complete"] * 3
    assert Path("run/trials.csv").read_bytes() == Path("whole/trials.csv").read_bytes()
    assert len({row["learning_rate"] for row in table("run")}) == 3, (
        "a life does not draw again what one before it drew"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("figures")
def test_two_objectives_give_a_front(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search("run", "--objective", "psnr-macs", "--learning-rates", "5e-3", "5e-3", trials=5) == 0
    rows = [(float(row["psnr"]), int(row["macs"])) for row in table("run")]
    assert len(rows) == 5
    front = [(each["psnr"], each["macs"]) for each in json.loads(Path("run/front.json").read_text())]
    study = optuna.load_study(study_name="drrn", storage="sqlite:///run/tuning.db")
    assert {trial.number for trial in study.best_trials} == {
        each["trial"] for each in json.loads(Path("run/front.json").read_text())
    }, "Optuna's own front"
    for psnr, macs in front:
        assert not any(p >= psnr and m <= macs and (p, m) != (psnr, macs) for p, m in rows)
    best = json.loads(Path("run/best.json").read_text())
    assert best["macs"] == DRRNConfig.from_dict(best["model"]).macs()
    assert best["psnr"] == max(psnr for psnr, _ in rows)
    assert len(capsys.readouterr().out.splitlines()) == len(front) + 1
    assert Path("run/front.png").exists() and Path("run/front.svg").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("figures")
def test_bad_trials_are_pruned_and_count(here: Path) -> None:
    threads = threading.active_count()
    assert search("run", "--epochs", "3", "--epoch-steps", "2", trials=10) == 0
    assert threading.active_count() == threads, "a trial that ends early lets go of what it holds"
    rows = table("run")
    assert len(rows) == 10 and {row["state"] for row in rows} == {"complete", "pruned"}
    epochs = [len(Path(f"run/trials/{n:04d}/history.csv").read_text().splitlines()) - 1 for n in range(10)]
    assert all((epochs[int(row["trial"])] < 3) == (row["state"] == "pruned") for row in rows)
    assert Path("run/importance.png").exists() and Path("run/importance.svg").exists()


@pytest.mark.slow
def test_a_diverging_trial_does_not_end_the_search(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search("run", "--losses", "l1", "mse", INFINITE, trials=4) == 0
    rows = table("run")
    failed = [row for row in rows if row["state"] == "failed"]
    assert failed and all(row["loss"] == INFINITE for row in failed)
    assert {row["reason"] for row in failed} == {"The loss is not finite, in epoch 1 after 0 steps"}
    assert len(rows) - len(failed) == 4 and not any(row["loss"] == INFINITE for row in rows if row not in failed)
    assert "failed (The loss is not finite, in epoch 1 after" in capsys.readouterr().err


@pytest.mark.slow
def test_a_search_in_which_all_trials_diverge_ends(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert search("run", "--losses", INFINITE, trials=2) == 2
        assert "drrn: 10 trials failed, the last because: The loss is not finite" in last_line(capsys)
    assert states("run") == ["failed"] * 10


@pytest.mark.slow
def test_a_trial_that_runs_out_of_memory_has_failed(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(DRRN, "forward", Mock(side_effect=torch.OutOfMemoryError("CUDA")))
    assert search("run") == 2
    assert "drrn: 10 trials failed, the last because: Not enough memory. " in last_line(capsys)


@pytest.mark.slow
def test_any_folder_name_works(here: Path) -> None:
    folder = "a {b}?#%41"
    assert search(folder, trials=1) == search(folder, trials=1) == 0
    assert len(states(folder)) == 1 and (here / folder / "tuning.db").exists()


@pytest.mark.slow
def test_a_bug_is_not_the_result_of_a_trial(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "train", Mock(side_effect=RuntimeError("a bug")))
    for _ in range(tuning.MAX_ATTEMPTS + 1):
        with pytest.raises(RuntimeError, match="a bug"):
            search("run")


def begun(study: optuna.Study, trials: int = 1) -> optuna.Trial:
    """A process that continues the trial of another one, or starts a new trial."""
    trial = kept_trials.take_trial(study, "me", trials, seed=3)
    assert trial
    return trial


def test_a_trial_that_keeps_getting_killed_is_given_up(here: Path) -> None:
    study, saved, killed = optuna.create_study(), here / "last.ckpt", []

    def live() -> None:
        killed.append(tuning.count_attempts(begun(study), saved))
        killed[-1].__enter__()

    for place in (1, 2):
        for _ in range(tuning.MAX_ATTEMPTS):
            live()
        saved.touch()
        os.utime(saved, ns=(place, place))  # it went further
    live()
    with tuning.count_attempts(begun(study), saved):
        pass  # it is stopped, and not killed
    for _ in range(tuning.MAX_ATTEMPTS):
        live()
    with pytest.raises(tuning.KilledError):
        live()


@pytest.mark.slow
def test_a_given_up_trial_has_failed(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tuning, "MAX_ATTEMPTS", 0)
    assert search("run") == 2
    assert "10 trials failed, the last because: Killed 0 times at the same point" in last_line(capsys)


@pytest.mark.parametrize("space", [Space(), Space(blocks=(1, 1), widths=(8,))])
def test_draws_do_not_depend_on_when_a_process_was_killed(space: Space) -> None:
    tried = []
    for lives in (1, 3):
        study = optuna.create_study()
        for _ in range(12):
            for fields in range(2, 2 * lives, 2):
                trial = begun(study, trials=12)
                with pytest.raises(StopIteration):
                    suggest(Impatient(trial, fields), space)  # type: ignore[arg-type]
            trial = begun(study, trials=12)
            values = suggest(trial, space)
            study.tell(trial, values["units"] + values["clip"])
        tried.append([trial.params for trial in study.trials])
    assert tried[0] == tried[1]


class Impatient:
    """A trial whose process is killed after this many fields."""

    def __init__(self, trial: optuna.Trial, fields: int):
        self.trial, self.fields = trial, fields

    def __getattr__(self, name: str) -> Any:
        if not self.fields:
            raise StopIteration
        self.fields -= 1
        return getattr(self.trial, name)


def test_a_poor_trial_is_pruned_even_after_a_kill() -> None:
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=1))
    study.add_trial(optuna.trial.create_trial(value=31, intermediate_values={0: 30.0, 1: 31.0}))
    trial = begun(study, trials=2)
    progress = Mock()
    assert not tuning.TrialProgress(trial, progress, prunes=True, epochs=2).prunes_now, "nothing is known of it"
    look = tuning.TrialProgress(trial, progress, prunes=True, epochs=3)
    look.finish_epoch(Epoch(0, 1, 1, 1, 1, 1, 20, 1))
    assert look.prunes_now
    assert tuning.TrialProgress(begun(study, trials=2), progress, prunes=True, epochs=3).prunes_now
    assert not tuning.TrialProgress(begun(study, trials=2), progress, prunes=True, epochs=1).prunes_now, (
        "no epoch is left to spare"
    )
    assert not tuning.TrialProgress(begun(study, trials=2), progress, prunes=False, epochs=3).prunes_now
    again = tuning.TrialProgress(begun(study, trials=2), progress, prunes=True, epochs=3)
    again.finish_epoch(Epoch(0, 1, 1, 1, 1, 1, 20, 1))  # reporting twice must not warn
    assert again.prunes_now


@pytest.mark.slow
def test_two_machines_share_a_search_but_not_trials(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = ["--storage", "sqlite:///shared.db"]
    stop_once(monkeypatch, *storage)
    assert search("two", *storage) == 0
    printed = capsys.readouterr().err
    assert "2 of 3 trials are finished; other machines run the rest." in printed
    assert "--trials 4 here does without it" in printed
    assert states("two") == ["unfinished", "complete", "complete"]
    assert search("one", *storage) == 0
    assert states("one") == ["complete"] * 3
    assert [path.name for path in Path("one/trials").iterdir()] == ["0000"]
    assert sorted(path.name for path in Path("two/trials").iterdir()) == ["0001", "0002"]


def stop_once(monkeypatch: pytest.MonkeyPatch, *args: str) -> None:
    """Start a search in `one` and stop it during its first trial."""
    with monkeypatch.context() as patch:
        original = SignalHandler.has_received

        def receive(stop: SignalHandler) -> bool:
            stop.received = signal.SIGTERM * Path("one/trials/0000").exists()
            return original(stop)

        patch.setattr(SignalHandler, "has_received", receive)
        assert search("one", *args) == 143


@pytest.mark.slow
def test_machines_that_begin_together_on_an_empty_server_share_its_tables(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    errors: list[Exception] = [IntegrityError("CREATE TYPE", None, Exception("duplicate key"))]

    def opened(url: str) -> optuna.storages.RDBStorage:
        if errors:
            raise errors.pop()
        return optuna.storages.RDBStorage(url)

    monkeypatch.setattr(kept_trials, "RDBStorage", opened)
    with kept_trials.open_storage("sqlite:///shared.db"):
        assert not errors


@pytest.mark.slow
def test_a_lost_machine_does_not_keep_its_trial(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = ["--storage", "sqlite:///shared.db"]
    stop_once(monkeypatch, *storage)
    assert search("two", *storage) == 0 and states("two") == ["unfinished", "complete", "complete"]
    assert "If a machine has not responded for 60 min, the same command here replaces" in capsys.readouterr().err
    monkeypatch.setattr(kept_trials, "LEASE_SECONDS", -1.0)
    assert search("two", *storage) == 0
    assert states("two") == ["failed", "complete", "complete", "complete"]
    assert table("two")[0]["reason"] == "Its machine stopped responding"
    assert search("one", *storage) == 0, "it returns after all"
    assert states("one") == states("two")


@pytest.mark.slow
def test_a_machine_resumes_its_own_trial_after_its_lease_expired(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_trials, "LEASE_SECONDS", -1.0)
    stop_once(monkeypatch)
    assert search("one") == 0 and states("one") == ["complete"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Step, EpochDone])
def test_a_machine_stops_a_trial_that_another_gave_up(
    here: Path, monkeypatch: pytest.MonkeyPatch, kind: type[TrainingEvent]
) -> None:
    storage = "sqlite:///shared.db"
    took: list[optuna.trial.FrozenTrial] = []

    def report_late(progress: tuning.TrialProgress, event: TrainingEvent) -> None:
        if isinstance(event, kind) and progress.trial.number == 0 and not took:
            study = optuna.load_study(study_name="drrn", storage=storage)
            took.append(study.tell(0, state=optuna.trial.TrialState.FAIL))
        report(progress, event)

    report = tuning.TrialProgress.report
    monkeypatch.setattr(tuning.TrialProgress, "report", report_late)
    monkeypatch.setattr(tuning, "RENEW_SECONDS", -1.0)
    assert search("run", "--epochs", "2", "--storage", storage) == 0
    assert states("run") == ["failed", "complete", "complete", "complete"]
    assert not Path("run/trials/0000/best.safetensors").exists() or kind is EpochDone, "it has stopped at once"


@pytest.mark.slow
def test_a_lease_is_renewed_while_a_trial_runs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[int] = []

    def record(trial: optuna.Trial) -> bool:
        reports.append(trial.number)
        return kept_trials.renew_lease(trial)

    monkeypatch.setattr(tuning, "renew_lease", record)
    began = time.time()
    assert search("run", "--epochs", "2", trials=1) == 0
    assert len(reports) == 2 + 1, "after each epoch, and before its result"
    monkeypatch.setattr(tuning, "RENEW_SECONDS", -1.0)
    assert search("often", "--epochs", "2", "--epoch-steps", "3", trials=1) == 0
    assert len(reports) == 3 + 2 + 1 + 6 + 2, "and at each step, at a note and at the plan, after some time"
    study = optuna.load_study(study_name="drrn", storage="sqlite:///often/tuning.db").trials[0]
    assert began <= study.user_attrs["alive_at"] <= time.time()


def test_lost_machines_do_not_count_as_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_trials, "LEASE_SECONDS", -1.0)
    study = optuna.create_study()
    for machine in range(kept_trials.MAX_FAILURES + 2):
        trial = kept_trials.take_trial(study, f"machine {machine}", 1, seed=0)
        assert trial and trial.number == machine


@pytest.mark.slow
def test_a_folder_is_locked_by_one_process(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from drrn.tuning.trials import lock_run

    with lock_run(Path("run")):
        assert search("run") == 2
    assert last_line(capsys) == "drrn: Another process is searching in run. Give another --run."
    assert search("run", trials=1) == 0


@pytest.mark.slow
def test_another_search_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search("run", trials=1) == 0
    for words, named in [
        (["--epochs", "2"], "train.epochs = 1, now it is 2."),
        (["--objective", "psnr-macs"], "search.objective = psnr, now it is psnr-macs."),
        (["--units", "1", "3"], "search.units = [1, 2], now it is [1, 3]."),
        (["--channels", "3"], "model.channels = 1, now it is 3."),
        (["--validation-data", "photos"], "data.sha256 = "),
        (["--teacher", "small"], "data.teacher_sha256 = None, now it is "),
    ]:
        assert search("run", *words) == 2
        assert f"drrn: The search has {named}" in last_line(capsys)
    assert len(table("run")) == 1


@pytest.mark.slow
def test_trials_can_have_a_teacher(here: Path) -> None:
    assert search("run", "--teacher", "small", trials=1) == 0
    config = json.loads(next(Path("run").rglob("config.json")).read_text())
    assert config["data"]["teacher_sha256"] == store.load("small").digest()


BAD = [
    (["--data", "empty"], "No pictures in empty"),
    (["--trials", "0"], "A search needs at least 1 trial, got --trials 0."),
    (["--fewest-units", "2"], "--fewest-units 2 is more than the least of --units, 1."),
    (["--losses", "l1", "vgg"], "--loss vgg needs a backbone."),
    (["--losses", "l1", "--backbone", "vgg.pth"], "--loss l1 needs no backbone."),
    (["--teacher", "absent"], "No weights named 'absent'"),
    (["--teacher", "small", "--channels", "3"], "small has channels = 1 and can't teach"),
    (["--storage", "warp://x"], "The --storage can't be used: "),
    (["--storage", "sqlite:///photos/0.png"], "The --storage can't be used: "),
    (["--run", "photos/0.png"], "photos/0.png can't be made a folder"),
    (["--config", "absent.json"], "absent.json can't be read: No such file"),
]


@pytest.mark.parametrize(
    ("words", "message"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_input_is_one_line_and_exit_2(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    Path("empty").mkdir()
    assert search("run", *words) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.strip().splitlines()) == 1
    assert printed.err.startswith("drrn: ") and message in printed.err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"blocks": (2, 1)}, "`blocks` must be a minimum and a maximum, got 2 1"),
        ({"units": (-1, 1)}, r"`units` must be in 0\.\.256, got -1"),
        ({"widths": ()}, "`widths` must have at least one value"),
        ({"widths": (0, 8)}, r"`width` must be in 1\.\.1024, got 0"),
        ({"losses": ("l1", "l1")}, "and none twice"),
        ({"losses": ("l3",)}, "'l3'"),
        ({"learning_rates": (0, 1)}, "`learning_rate` must be above 0, got 0"),
        ({"clips": (float("nan"), 1)}, "`clips` must be a minimum"),
    ],
)
def test_an_invalid_space_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space(**wrong)


@pytest.mark.parametrize("words", [["--blocks", "3", "1"], ["--widths"], ["--width", "8"], ["--start", "small"]])
def test_wrong_ranges_and_unknown_options_exit_2(here: Path, words: list[str]) -> None:
    assert search("run", *words) == 2
    assert not Path("run").exists()


def test_a_storage_password_is_not_stored(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "sqlite:///shared.db?password=secret"
    monkeypatch.setattr(sys, "argv", ["drrn", "tune", "--storage", url, f"--storage={url}"])
    assert search("run", trials=1) == 0
    assert (
        json.loads(Path("run/trials/0000/config.json").read_text())["command"]
        == "drrn tune --storage URL --storage=URL"
    )


def result_of(*trials: tuple[float, int, float], both: bool = False) -> SearchResult:
    """A search of trials with a PSNR, a number of units and a learning rate."""
    values = {"blocks": 1, "width": 16, "loss": "mse", "clip": 1.0}
    tried = [
        TrialResult(number, "complete", {**values, "units": units, "learning_rate": rate}, psnr, 1000 * units)
        for number, (psnr, units, rate) in enumerate(trials)
    ]
    return SearchResult(trials=tried, space=Space(), model=DRRNConfig(), config=REPORT, minimizes_macs=both)


def test_the_deciding_field_is_the_most_important(here: Path) -> None:
    found = result_of(
        *(
            (30 + units, units, 10 ** -(2 + 2 * (index * 7 % 18) / 18))
            for index, units in enumerate([*range(1, 10)] * 2)
        )
    )
    shares = importances(found)
    assert next(iter(shares)) == "units" and sum(shares.values()) == pytest.approx(1)
    assert importances(result_of(*[(30.0, 1, 1e-3)] * 9)) == {}


@pytest.mark.slow
@pytest.mark.usefixtures("figures")
def test_the_same_trials_give_the_same_bytes(here: Path) -> None:
    found = result_of(*((30 + units * rate, units, rate) for units in range(1, 7) for rate in (1e-4, 1e-3)), both=True)
    for folder in ("a", "b"):
        Path(folder).mkdir()
        write_results(found, Path(folder), with_figures=True)
    names = {path.name for path in Path("a").iterdir()}
    pictured = {f"{name}.{suffix}" for name in ("history", "front", "importance") for suffix in ("png", "svg")}
    assert names == {"best.json", "front.json", "trials.csv"} | pictured
    assert all((Path("a") / name).read_bytes() == (Path("b") / name).read_bytes() for name in names)


def test_a_trial_matched_by_a_cheaper_one_is_not_on_the_front() -> None:
    found = result_of((30, 1, 1e-3), (30, 2, 1e-3), (31, 3, 1e-3), (30.5, 4, 1e-3), (32, 3, 1e-3))
    assert [each.number for each in found.front] == [0, 4]
    assert found.preset(found.front[1])["train"] == {**asdict(REPORT), "learning_rate": 1e-3}
