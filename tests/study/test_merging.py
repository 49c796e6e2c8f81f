"""Parts of a study from several machines are merged into one study."""

from dataclasses import replace
from pathlib import Path

import pytest

from drrn.study import run as room
from drrn.study.experiments import LISTS
from drrn.study.result import NAME, Result, load_results, to_json
from drrn.study.task import Task
from tests.command_line import run as drrn
from tests.study.made_results import made_results
from tests.training.small_training import make_images

RESULTS = made_results(list(LISTS["units"]), seeds=3)


def write(folder: Path, results: list[Result]) -> None:
    for result in results:
        path = folder / result.name / f"seed-{result.experiment.seed}" / NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_json(result))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_parts_run_each_experiment_and_seed_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_images(here / "photos", count=5, height=60, width=48)
    ran: list[Path] = []

    def record(tasks: list[Task], *_: object) -> list[object]:
        ran.extend(task.run for task in tasks)
        return []

    monkeypatch.setattr(room, "run", record)
    write(here / "out", RESULTS.all)  # the results at the end of a run
    command = ("study", "run", "units", "--data", "photos", "--budget", "quick", "--output", "out")
    assert drrn(*command) == 0
    whole, ran[:] = list(ran), []
    for part in ("1/4", "2/4", "3/4", "4/4"):
        before = len(ran)
        assert drrn(*command, "--part", part) == 0
        assert len(ran) - before in (len(whole) // 4, -(-len(whole) // 4))
    assert sorted(ran) == sorted(whole)


@pytest.mark.parametrize("part", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", ""])
def test_an_invalid_part_is_refused(here: Path, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert drrn("study", "run", "--data", "photos", f"--part={part}") == 2
    assert "--part must be written as 2/5, the second of five parts, got" in capsys.readouterr().err


def test_merged_parts_are_the_whole_study(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "one", RESULTS.all[::2])
    write(here / "two", RESULTS.all[1::2])
    assert drrn("study", "merge", "all", "one", "two") == 0
    assert capsys.readouterr().out == f"all: {len(RESULTS.all)} results\n"
    write(here / "whole", RESULTS.all)
    assert load_results(here / "all") == load_results(here / "whole")
    assert drrn("study", "merge", "all", "one") == 0, "again, it changes nothing"
    for path in (here / "whole").rglob(NAME):
        assert (here / "all" / path.relative_to(here / "whole")).read_bytes() == path.read_bytes()


def test_a_result_from_two_machines_is_merged_if_identical(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = RESULTS.all[0]
    write(here / "one", [first])
    write(here / "two", [replace(first, cpu_seconds=(9.0,) * len(first.history), machine={**first.machine, "jobs": 7})])
    assert drrn("study", "merge", "all", "one", "two") == 0
    assert load_results(here / "all") == load_results(here / "one")
    write(here / "three", [replace(first, constant_loss=0.5)])
    assert drrn("study", "merge", "more", "one", "three") == 2
    assert "are of the same experiment and seed, and differ. Leave one of them out." in capsys.readouterr().err
    assert not (here / "more").exists()


def test_results_of_several_studies_are_not_merged(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "one", RESULTS.all[:1])
    write(here / "quick", made_results(list(LISTS["units"])[1:], seeds=1, budget="quick").all)
    assert drrn("study", "merge", "all", "one", "quick") == 2
    assert "several budgets: quick, standard" in capsys.readouterr().err and not (here / "all").exists()
    assert drrn("study", "merge", "all", "absent") == 2
    assert "No folder absent." in capsys.readouterr().err
    assert drrn("study", "merge", "all") == 2
