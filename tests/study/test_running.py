"""`drrn study run`: killed, stopped, with experiments that diverge or fail, and run again."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import numpy as np
import pytest

from drrn.errors import DataError, StudyError
from drrn.evaluation.benchmark import Row, score_bicubic
from drrn.media.image import Image
from drrn.provenance import commit
from drrn.study import perform as work
from drrn.study.experiments import BASE, Budget, Experiment, vary
from drrn.study.perform import most_detailed, perform
from drrn.study.result import Result, from_json, load_results, to_json
from drrn.study.run import (
    Advance,
    Begin,
    Completion,
    Study,
    StudyEvent,
    _join_worker,
    _TimeEstimate,
    _Worker,
    plan,
    run,
)
from drrn.study.task import Task, is_done
from tests.command_line import run as run_command
from tests.training.small_training import ProgressLog, make_images

TINY = Budget(
    name="quick",
    narrower=16,
    recipe={"patch": 16, "stride": 8, "epochs": 2, "epoch_steps": 3, "batch_size": 4},
)
ONE = vary("one", blocks=1, units=1)
WILD = vary("wild", blocks=1, units=2, learning_rate=1e30, clip=1e30)
FILE = """
from drrn.study.experiments import vary
TINY = {"patch": 16, "stride": 8, "epochs": 5, "epoch_steps": 10, "batch_size": 4, "width": 8}
EXPERIMENTS = [vary(f"B1U{units} tiny", blocks=1, units=units, **TINY) for units in UNITS]
"""


class StudyLog:
    """A progress that records what a study reports."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.completions: list[Completion] = []
        self.running: list[str] = []
        self.begun = 0, 0

    def report(self, event: StudyEvent) -> None:
        if isinstance(event, Begin):
            self.begun = len(event.tasks), event.done
        elif isinstance(event, Advance):
            self.shares.append(event.share)
            self.running.extend(task.experiment.name for task in event.running)
        else:
            self.completions.append(event)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("study") / "pictures", count=5, height=60, width=48)


def plan_tasks(experiments: Sequence[Experiment], seeds: int, **folders: Any) -> list[Task]:
    return plan(Study(experiments=experiments, budget=TINY, seeds=seeds, **folders))


def tasks(folder: Path, output: Path, experiments: Sequence[Experiment] = (ONE,), seeds: int = 1) -> list[Task]:
    return plan_tasks(experiments, seeds, data=(folder,), test=(), output=output)


def without_times(result: Result) -> Result:
    rows = tuple(
        replace(row, seconds=None, peak_mb=None, images=[replace(image, seconds=0) for image in row.images])
        for row in result.scores
    )
    return replace(
        result, scores=rows, seconds=(), cpu_seconds=(), seconds_per_megapixel=None, peak_mb=None, machine={}
    )


@pytest.fixture(scope="module")
def done(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Completion], StudyLog]:
    """A study of an experiment that trains and one that diverges, with two seeds, two at a time."""
    output, log = tmp_path_factory.mktemp("done"), StudyLog()
    return output, run(tasks(folder, output, [ONE, WILD], seeds=2), 2, log), log


@pytest.mark.slow
def test_every_experiment_has_a_result_and_divergence_stops_no_other(
    done: tuple[Path, list[Completion], StudyLog],
) -> None:
    output, completions, log = done
    assert sorted((end.task.experiment.name, end.task.experiment.seed, end.outcome) for end in completions) == [
        ("one", 0, "trained"),
        ("one", 1, "trained"),
        ("wild", 0, "diverged"),
        ("wild", 1, "diverged"),
    ]
    assert log.completions == completions and log.shares[-1] == pytest.approx(1)
    assert log.begun == (4, 0) and {"one", "wild"} <= {*log.running}
    results = load_results(output)
    assert {name: list(seeds) for name, seeds in results.by_name.items()} == {"one": [0, 1], "wild": [0, 1]}
    assert all("not finite" in result.reason for result in results.of("wild"))


@pytest.mark.slow
def test_a_result_has_everything_that_was_measured(done: tuple[Path, list[Completion], StudyLog]) -> None:
    first, second = load_results(done[0]).of("one")
    assert first.experiment.model == replace(BASE.model, blocks=1, units=1, width=8)
    assert (len(first.history), len(first.seconds), len(first.cpu_seconds)) == (2, 2, 2)
    assert [row.model for row in first.scores] == ["bicubic", "one"] and first.sets == ["held out"]
    assert [image.flip is not None for image in first.bicubic().images] == [True]
    assert len(first.gradients["start"]) == len(first.gradients["end"]) == first.experiment.model.depth
    assert 0 < first.constant_loss < 1 and first.seconds_per_megapixel and first.machine["jobs"] == 1
    assert first.data["pictures"] == 4 and len(first.data["sha256"]) == 64
    assert first.examples and not second.examples, "only the first seed shows pictures"
    assert first.history != second.history
    content = json.loads((done[0] / "one/seed-0/result.json").read_text())
    assert content["parameters"] == first.experiment.model.parameters and content["macs_per_pixel"] == first.macs


@pytest.mark.slow
def test_a_result_survives_json(done: tuple[Path, list[Completion], StudyLog]) -> None:
    text = (done[0] / "one/seed-0/result.json").read_text()
    assert to_json(from_json(text)) == text


@pytest.mark.slow
def test_finished_experiments_are_not_run_again(done: tuple[Path, list[Completion], StudyLog], folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in done[0].rglob("*") if path.is_file()}
    log = StudyLog()
    assert run(tasks(folder, done[0], [ONE, WILD], seeds=2), 1, log) == []
    assert log.begun == (4, 4)
    assert before == {path: path.stat().st_mtime_ns for path in done[0].rglob("*") if path.is_file()}


@pytest.mark.slow
def test_another_experiment_of_the_same_name_is_refused(
    done: tuple[Path, list[Completion], StudyLog], folder: Path
) -> None:
    with pytest.raises(StudyError, match=r"of another experiment of the same name\. Give another --output"):
        is_done(tasks(folder, done[0], [vary("one", blocks=1, units=3)])[0])


@pytest.mark.slow
def test_a_result_from_other_images_is_refused(done: tuple[Path, list[Completion], StudyLog], folder: Path) -> None:
    for data, test in [((folder,), (folder,)), ((folder, folder), ())]:
        other_tasks = plan_tasks([ONE], 1, data=data, test=test, output=done[0])
        with pytest.raises(StudyError, match=r"tested on held out\. Give these, or another --output"):
            is_done(other_tasks[0])


def test_a_damaged_result_is_reported(folder: Path, tmp_path: Path) -> None:
    task = tasks(folder, tmp_path)[0]
    task.run.mkdir(parents=True)
    (task.run / "result.json").write_text('{"experiment": ')
    for check in (lambda: is_done(task), lambda: load_results(tmp_path)):
        with pytest.raises(StudyError, match="is no result of a study"):
            check()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds": ["a"]}, r"`seconds\[0\]` must be a number, got 'a'"),
        ({"outcome": "nonsense"}, "`outcome` must be one of trained, diverged, got 'nonsense'"),
        ({"budget": 3}, "`budget` must be one of quick, standard, wide, full, got 3"),
        ({"history": [{"epoch": 0}]}, r"`history\[0\]` lacks learning_rate"),
        ({"gradients": {"start": 1.0}}, "`gradients.start` must be a list"),
        ({"scores": [{"model": "bicubic"}]}, r"`scores\[0\]` lacks"),
        ({"data": {}}, "`data.folders` must be a list"),
        ({"machine": {"cpu": "x", "jobs": 1, "threads": None}}, "`machine.threads` must be a whole number"),
        ({"peak_mb": "many"}, "`peak_mb` must be a number"),
        ({"more": 1}, "`it` has unknown fields: 'more'"),
    ],
)
def test_a_result_with_values_of_other_types_is_refused(
    done: tuple[Path, list[Completion], StudyLog], change: dict[str, object], message: str, tmp_path: Path
) -> None:
    values = json.loads((done[0] / "one/seed-0/result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps(values | change))
    with pytest.raises(StudyError, match=message):
        load_results(tmp_path)


@pytest.mark.slow
def test_results_of_two_budgets_are_not_mixed(done: tuple[Path, list[Completion], StudyLog], tmp_path: Path) -> None:
    for number, budget in enumerate(["quick", "full"]):
        (tmp_path / str(number)).mkdir()
        text = (done[0] / f"one/seed-{number}/result.json").read_text()
        (tmp_path / str(number) / "result.json").write_text(text.replace('"budget": "quick"', f'"budget": "{budget}"'))
    with pytest.raises(StudyError, match="have several budgets: full, quick"):
        load_results(tmp_path)


@pytest.mark.slow
def test_results_of_two_studies_are_not_mixed(done: tuple[Path, list[Completion], StudyLog], tmp_path: Path) -> None:
    for number, data in enumerate(["held out", "Set5"]):
        (tmp_path / str(number)).mkdir()
        text = (done[0] / f"one/seed-{number}/result.json").read_text()
        (tmp_path / str(number) / "result.json").write_text(text.replace('"data": "held out"', f'"data": "{data}"'))
    with pytest.raises(StudyError, match=r"have several sets of pictures: .*tested on, Set5; .*tested on, held out"):
        load_results(tmp_path)
    (tmp_path / "1/result.json").write_text((tmp_path / "0/result.json").read_text())
    with pytest.raises(StudyError, match="has one with seed 0 twice"):
        load_results(tmp_path)


def test_the_time_left_ignores_work_done_before_a_stop(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drrn.study.run.time", Mock(monotonic=lambda: 110.0))
    planned = tasks(folder, tmp_path, [ONE], seeds=2)
    cost, unused = planned[0].cost, cast(Any, None)
    clock = _TimeEstimate(total=2 * cost, done=0, start=100.0)
    resumed = _Worker(planned[0], unused, unused, initial_share=0.8, share=0.9)  # a tenth of one in 10 s, and 1.1 to do
    assert clock.now([resumed]) == pytest.approx((0.45, 110))
    resumed.ended = "trained", ""
    clock.finish(resumed)
    assert clock.now([]) == pytest.approx((0.5, 50))


@pytest.mark.slow
def test_a_failed_experiment_stops_no_other_and_is_run_again(folder: Path, tmp_path: Path) -> None:
    first, second = tasks(folder, tmp_path, [ONE, vary("two", blocks=1, units=2)])
    first.run.parent.mkdir()
    first.run.write_text("a file where a folder should be")
    completions = run([first, second], 1, StudyLog())
    assert [(end.task.experiment.name, end.outcome) for end in completions] == [("one", "failed"), ("two", "trained")]
    assert "can't be made a folder" in completions[0].message
    first.run.unlink()
    assert [end.outcome for end in run([first, second], 1, StudyLog())] == ["trained"]


@pytest.mark.slow
def test_a_process_that_dies_is_a_failure(folder: Path, tmp_path: Path) -> None:
    task = tasks(folder, tmp_path)[0]
    task.run.mkdir(parents=True)
    os.mkfifo(task.run / "config.json")  # reading waits for ever: the process is caught there

    class Kills(StudyLog):
        def report(self, event: StudyEvent) -> None:
            for process in multiprocessing.active_children():
                process.kill()

    completions = run([task], 1, Kills())
    assert [end.outcome for end in completions] == ["failed"] and "its process ended with exit code" in completions[
        0
    ].message
    answers = iter([False])
    completions = run([task], 1, Kills(), lambda: next(answers, True))
    assert [end.outcome for end in completions] == ["stopped"], "one that dies as it is asked to stop is no failure"


def test_a_process_that_does_not_end_after_its_experiment_is_killed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drrn.study.run.EXIT_SECONDS", 0.1)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=time.sleep, args=(600,), daemon=True)
    process.start()
    _join_worker(_Worker(tasks(folder, tmp_path)[0], process, context.Pipe()[0]))
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.slow
def test_a_stopped_experiment_resumes_where_it_was(folder: Path, tmp_path: Path) -> None:
    whole, stopped = tasks(folder, tmp_path / "whole")[0], tasks(folder, tmp_path / "stopped")[0]
    expected = perform(whole, ProgressLog(), lambda: False)
    assert expected
    progress = ProgressLog()
    assert perform(stopped, progress, lambda: progress.steps >= 4) is None
    assert progress.steps == 5 and not is_done(stopped), "it is asked after each step"
    result = perform(stopped, ProgressLog(), lambda: False)
    assert result and without_times(result) == without_times(expected)


@pytest.mark.slow
def test_an_experiment_stopped_while_testing_has_no_result(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, scores = tasks(folder, tmp_path)[0], list[Row]()

    def judge(*args: Any, **options: Any) -> Row:
        scores.append(score_bicubic(*args, **options))
        return scores[-1]

    monkeypatch.setattr(work, "score_bicubic", judge)
    assert perform(task, ProgressLog(), lambda: bool(scores)) is None and not is_done(task)
    assert perform(task, ProgressLog(), lambda: False), "it goes on with what is trained"


def test_an_example_shows_detail_and_not_the_sky() -> None:
    pixels = np.full((200, 300, 3), 0.8, np.float32)
    pixels[90:150, 200:260] = np.random.default_rng(0).random((60, 60, 3), np.float32)
    left, top, width, height = most_detailed(Image(pixels=pixels), 3)
    assert (width, height) == (72, 72)
    assert left <= 200 and left + width >= 260 and top <= 90 and top + height >= 150
    assert most_detailed(Image(pixels=pixels[:50, :60]), 3)[2:] == (48, 48), "a small picture is shown whole"


def test_the_first_seed_of_all_is_planned_before_the_second_of_any(folder: Path, tmp_path: Path) -> None:
    planned = tasks(folder, tmp_path, [ONE, WILD], seeds=3)
    assert [(task.experiment.seed, task.experiment.name) for task in planned] == [
        (seed, name) for seed in range(3) for name in ("one", "wild")
    ]
    assert [task.experiment.train.seed for task in planned] == [0, 0, 1, 1, 2, 2]


def test_missing_or_too_few_images_are_refused_before_anything_runs(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No folder"):
        tasks(tmp_path / "none", tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "one/0.png").write_bytes((folder / "0.png").read_bytes())
    with pytest.raises(DataError, match="can't be split"):
        tasks(tmp_path / "one", tmp_path)
    with pytest.raises(DataError, match="No folder"):
        plan_tasks([ONE], 1, data=(folder,), test=(tmp_path / "none",), output=tmp_path)
    with pytest.raises(DataError, match="Two test folders are named"):
        plan_tasks([ONE], 1, data=(folder,), test=(folder, folder), output=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("units", [(1,), pytest.param((1, 2), marks=pytest.mark.full)])
def test_a_killed_and_stopped_study_ends_like_an_uninterrupted_one(
    tmp_path: Path, units: tuple[int, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_images(tmp_path / "pictures", count=5, height=60, width=48)
    (tmp_path / "mine.py").write_text(FILE.replace("UNITS", str(units)))
    words = f"study run mine.py --data pictures --budget quick --seeds 1 --jobs {len(units)} --output out".split()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def epochs() -> int:
        return sum(len(path.read_text().splitlines()) for path in tmp_path.glob("out/*/*/times.csv"))

    def signal_after_an_epoch(process: int, number: signal.Signals, has_ended: Callable[[], bool]) -> None:
        before = epochs()
        while epochs() == before and not has_ended():
            time.sleep(0.01)
        if not has_ended():
            os.kill(process, number)

    with subprocess.Popen([sys.executable, "-m", "drrn", *words], cwd=tmp_path, env=environment) as process:
        signal_after_an_epoch(process.pid, signal.SIGKILL, lambda: process.poll() is not None)
    assert process.returncode == -signal.SIGKILL
    monkeypatch.chdir(tmp_path)
    ended = threading.Event()
    thread = threading.Thread(target=signal_after_an_epoch, args=(os.getpid(), signal.SIGINT, ended.is_set))
    thread.start()
    try:
        code = run_command(*words)
    finally:
        ended.set()
        thread.join()
    assert code == 130
    capsys.readouterr()
    assert run_command(*words) == 0 and capsys.readouterr().out == "out\n"
    assert not list(tmp_path.rglob(".drrn-*")), "no half-written file is left"
    merged = load_results(tmp_path / "out")
    assert run_command(*words[:-1], "whole") == 0
    assert [without_times(each) for each in merged.all] == [
        without_times(each) for each in load_results(tmp_path / "whole").all
    ]


@pytest.mark.slow
def test_a_result_records_the_commit_of_its_run(done: tuple[Path, list[Completion], StudyLog]) -> None:
    assert load_results(done[0]).all[0].commit == commit()


def test_only_experiments_with_perceptual_losses_get_the_backbone(folder: Path, tmp_path: Path) -> None:
    experiments = [ONE, vary("seen", blocks=1, units=1, loss="l1+0.01*vgg")]
    planned = plan_tasks(experiments, 1, data=(folder,), test=(), output=tmp_path, backbone=(Path("vgg.pth"),))
    assert [work.source(task).backbone for task in planned] == [(), (Path("vgg.pth"),)]
