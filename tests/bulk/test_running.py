"""Any process can run a part, with the bytes of `drrn upscale`, whatever is killed; failed files become rows."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np
import pytest

from drrn.bulk import part as parts
from drrn.bulk.part import enlarge_part, read_rows
from drrn.bulk.plan import RECIPE, Plan, load_plan
from drrn.bulk.run import failed_rows, parts_left, read_status, run_parts
from drrn.bulk.storage import Folder
from drrn.bulk.task import ENGINE, Machine, make_upscaler
from drrn.bulk.worker import Worker
from drrn.errors import EngineError, ImageError, StorageError, UsageError
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.upscaling.upscaler import Upscaler
from drrn.weights import store
from tests.command_line import run as drrn
from tests.small_weights import small_weights

ONE_THREAD = Machine(threads=1)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with weights, and a subfolder `photos` with pictures in several formats."""
    monkeypatch.chdir(tmp_path)
    store.save(small_weights(width=4), tmp_path / "tiny.safetensors")
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", "sub/c.webp", "sub/deep/d.tif", "e.ppm", "f.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        alpha = rng.random((24, 20), np.float32) if name == "a.png" else None
        write(Image(pixels=rng.random((24, 20, 3), np.float32), alpha=alpha), path)
    (tmp_path / "photos/notes.txt").write_text("not an image")
    return tmp_path


def plan_of(*options: str) -> tuple[Plan, Folder]:
    assert drrn("bulk", "plan", "photos", "large", "-m", "tiny.safetensors", "--part-files", "2", *options) == 0
    target = Folder(Path("large"))
    return load_plan(target), target


def upscaler(plan: Plan, target: Folder) -> Upscaler:
    return make_upscaler(target, plan.recipe, ONE_THREAD)


def run_all(plan: Plan, target: Folder, **options: Any) -> None:
    source, one = Folder(Path(plan.recipe.source)), upscaler(plan, target)
    for part in plan.parts:
        enlarge_part(plan.recipe, part, source, target, one, **options)


def results(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in paths
        if ".drrn" not in path.relative_to(folder).parts
    }


@pytest.mark.slow
def test_results_equal_those_of_drrn_upscale(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ("-m", "tiny.safetensors", "--threads", "1")
    assert drrn("upscale", "photos", "-r", "-o", "expected", *model) == 0
    plan, target = plan_of()
    assert [part.count for part in plan.parts] == [2, 2, 2]
    capsys.readouterr()
    (here / "numpy.py").write_text("raise SystemExit('imported')")  # the current folder must not be imported from
    assert drrn("bulk", "run", "large", "--threads", "1", "--jobs", "2") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "all done"
    assert results(here / "large") == results(here / "expected") and len(results(here / "expected")) == 6
    rows = [row for part in plan.parts for row in read_rows(target, part) or ()]
    assert [row.source for row in rows] == sorted(row.source for row in rows)
    for row in rows:
        assert (here / "large" / row.target).stat().st_size == row.bytes and not row.error
        assert len(row.sha256) == 64 and row.seconds > 0 and "thread" not in row.engine


@pytest.mark.slow
def test_options_of_the_plan_decide_the_results(here: Path) -> None:
    options = ("--scale", "3", "--format", "png", "--name", "{stem}_big")
    model = ("-m", "tiny.safetensors", "--threads", "1")
    assert drrn("upscale", "photos", "-r", "-o", "expected", *options, *model) == 0
    run_all(*plan_of(*options))
    assert results(here / "large") == results(here / "expected")
    assert "sub/deep/d_big.png" in results(here / "large")


@pytest.mark.slow
def test_a_failed_file_becomes_a_row_and_is_retried_on_request(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (here / "photos/b.jpg").read_bytes()
    (here / "photos/b.jpg").write_bytes(content[: len(content) // 2])
    plan, target = plan_of()
    run = ("bulk", "run", "large", "--threads", "1")
    capsys.readouterr()
    assert drrn(*run) == 3
    assert capsys.readouterr().out.splitlines()[-1] == "failed: 1 file"
    assert len(results(here / "large")) == 5
    assert drrn("bulk", "status", "large", "--failed") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("b.jpg: b.jpg is a JPEG that is damaged or cut short") and len(printed.splitlines()) == 1
    (here / "photos/b.jpg").write_bytes(content)
    assert drrn(*run) == 3, "a part that is done is not run again"
    assert drrn(*run, "--retry") == 0
    assert len(results(here / "large")) == 6 and list(failed_rows(plan, target)) == []
    before = {path: path.stat().st_mtime_ns for path in (here / "large").rglob("*.png")}
    assert drrn(*run, "--retry") == 0
    assert before == {path: path.stat().st_mtime_ns for path in (here / "large").rglob("*.png")}


def test_a_bug_on_one_file_becomes_a_row(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enlarge = parts.enlarge_file

    def broken(recipe: Any, file: Any, *args: Any) -> Any:
        if file.name == "e.ppm":
            raise ZeroDivisionError("a bug")
        return enlarge(recipe, file, *args)

    monkeypatch.setattr(parts, "enlarge_file", broken)
    plan, target = plan_of()
    run_all(plan, target)
    assert [(row.source, row.error) for row in failed_rows(plan, target)] == [("e.ppm", "ZeroDivisionError: a bug")]


def test_a_different_file_in_the_target_is_kept_without_overwrite(here: Path) -> None:
    (here / "large").mkdir()
    (here / "large/e_x2.ppm").write_bytes(b"somebody's")
    plan, target = plan_of()
    run_all(plan, target)
    (row,) = failed_rows(plan, target)
    assert row.error == "e_x2.ppm already exists, with other content. Plan with --overwrite to replace it."
    assert (here / "large/e_x2.ppm").read_bytes() == b"somebody's"
    target.write(RECIPE, replace(plan.recipe, overwrite=True).to_json().encode())
    plan = load_plan(target)
    run_all(plan, target, retry=True)
    assert list(failed_rows(plan, target)) == [] and (here / "large/e_x2.ppm").read_bytes()[:2] == b"P6"


def test_a_failing_store_stops_the_part_and_adds_no_row(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, target = plan_of()
    put = Folder.put

    def full(self: Folder, path: Path, name: str, *, overwrite: bool) -> None:
        if name == "b_x2.jpg":
            raise StorageError("large can't be written: No space left on device.")
        put(self, path, name, overwrite=overwrite)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "put", full)
        with pytest.raises(StorageError, match="No space left"):
            run_all(plan, target)
    assert parts_left(plan, target) == plan.parts and not list(failed_rows(plan, target))
    run_all(plan, target)
    assert parts_left(plan, target) == [] and not list(target.list(".drrn/begun/"))


def change_workers(here: Path, monkeypatch: pytest.MonkeyPatch, lines: str) -> None:
    """Make worker processes run these lines before they enlarge a file."""
    (here / "site").mkdir()
    (here / "site/sitecustomize.py").write_text(
        "import os, signal, time\n"
        "from pathlib import Path\n"
        "from drrn.bulk import part\n"
        "enlarge = part.enlarge_file\n"
        f"here = Path({str(here)!r})\n"
        "def changed(recipe, file, *args):\n"
        f"{indent(lines, '    ')}"
        "    return enlarge(recipe, file, *args)\n"
        "part.enlarge_file = changed\n"
    )
    paths = [str(here / "site"), *filter(None, sys.path)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.fixture
def deadly(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Worker processes are killed when they start on the file named in `deadly.txt`."""
    lines = "if file.name == (here / 'deadly.txt').read_text():\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    change_workers(here, monkeypatch, lines)
    return here / "deadly.txt"


@pytest.fixture
def waiting(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Worker processes wait before a file of the last part as long as `wait.txt` exists."""
    lines = "while file.name == 'sub/c.webp' and (here / 'wait.txt').exists():\n    time.sleep(0.05)\n"
    change_workers(here, monkeypatch, lines)
    (here / "wait.txt").touch()
    return here / "wait.txt"


@pytest.mark.slow
def test_a_file_that_gets_its_process_killed_three_times_becomes_a_row(here: Path, deadly: Path) -> None:
    deadly.write_text("b.jpg")
    plan, target = plan_of()
    assert run_parts(plan.parts, "large", machine=ONE_THREAD) == 1
    (row,) = failed_rows(plan, target)
    assert (row.source, row.error[:40]) == ("b.jpg", "Its process was killed 3 times, most lik")
    assert len(results(here / "large")) == 5 and not list(target.list(".drrn/begun/"))
    deadly.write_text("")
    assert run_parts(parts_left(plan, target, retry=True), "large", machine=ONE_THREAD, retry=True) == 0
    assert len(results(here / "large")) == 6


@pytest.mark.slow
@pytest.mark.parametrize("stop_signal", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_or_killed_run_continues_to_the_same_bytes(
    here: Path, waiting: Path, stop_signal: signal.Signals
) -> None:
    run_all(*plan_of())
    expected = results(here / "large")
    (here / "large").rename(here / "expected")
    plan, target = plan_of()
    command = [sys.executable, "-m", "drrn", "bulk", "run", "large", "--threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline().startswith("part 0: 2 files")
    process.send_signal(stop_signal)
    if stop_signal == signal.SIGKILL:
        process.wait()
        waiting.unlink()
    _, printed = process.communicate(timeout=120)  # also waits for the orphaned worker, which ends with its part
    assert process.returncode == (143 if stop_signal == signal.SIGTERM else -signal.SIGKILL)
    assert ("stopped; the same command continues" in printed) == (stop_signal == signal.SIGTERM)
    assert stop_signal == signal.SIGTERM or not list(target.list(".drrn/begun/"))
    remaining = parts_left(plan, target)
    assert len(remaining) < 3
    waiting.unlink(missing_ok=True)
    status = read_status(plan, target)
    assert status.done == 6 - 2 * len(remaining) == status.files - status.left
    assert drrn(*command[3:]) == 0
    assert results(here / "large") == expected


@pytest.mark.slow
def test_a_damaged_record_and_damaged_weights_are_reported(here: Path) -> None:
    plan, target = plan_of()
    target.write(".drrn/done/00000000.jsonl", b'{"source": ')
    with pytest.raises(StorageError, match=r"done/00000000\.jsonl of large is damaged\. Delete it\."):
        read_rows(target, plan.parts[0])
    store.save(small_weights(seed=1, width=4), here / "large/.drrn/weights.safetensors")
    with pytest.raises(StorageError, match=r"are not those of its plan\. Make a new plan\."):
        Worker("large", ONE_THREAD, retry=False)
    (here / "large/.drrn/weights.safetensors").write_bytes(b"broken")
    with pytest.raises(StorageError, match=r"The weights in large can't be read: "):
        run_parts(plan.parts, "large", machine=ONE_THREAD)


def test_a_worker_that_fails_at_startup_is_not_restarted(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = plan_of()
    (here / "numpy.py").write_text("raise SystemExit(7)")
    monkeypatch.setenv("PYTHONPATH", str(here))
    with pytest.raises(EngineError, match=r"^The worker process ended at startup, with exit code 7\.$"):
        run_parts(plan.parts, "large", machine=ONE_THREAD)


def test_same_bytes_refuses_an_engine_that_rounds_differently(here: Path) -> None:
    plan, target = plan_of()
    upscaler(plan, target)
    same = replace(ONE_THREAD, same_bytes=True)
    make_upscaler(target, plan.recipe, same)
    stored = json.loads(target.read(ENGINE) or b"")
    target.write(ENGINE, json.dumps(stored | {"engine": "another", "sha256": "0" * 64}).encode())
    make_upscaler(target, plan.recipe, ONE_THREAD)
    with pytest.raises(UsageError, match=r"rounds differently from another, that of the first machine\. Use that one"):
        make_upscaler(target, plan.recipe, same)


@pytest.mark.slow
def test_a_job_array_runs_each_part_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, target = plan_of()
    array = ("bulk", "run", "large", "--threads", "1", "--parts-per-task", "2", "--part")
    assert drrn(*array, "1") == 0
    assert [part.number for part in parts_left(plan, target)] == [0, 1]
    assert drrn(*array, "0") == 0
    assert parts_left(plan, target) == []
    capsys.readouterr()
    assert drrn(*array, "2") == 2
    assert "There is no part 4: the plan has 3 parts, counted from 0." in capsys.readouterr().err


@pytest.mark.slow
def test_status_reports_the_work_of_all_machines(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "photos/b.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    plan, target = plan_of()
    source, one = Folder(Path(plan.recipe.source)), upscaler(plan, target)
    for part in plan.parts[:2]:
        enlarge_part(plan.recipe, part, source, target, one)
    os.utime(here / "large/.drrn/done/00000000.jsonl", (1000, 1000))
    os.utime(here / "large/.drrn/done/00000001.jsonl", (1010, 1010))
    capsys.readouterr()
    assert drrn("bulk", "status", "large") == 0
    assert capsys.readouterr().out == (
        "3 of 6 files done, 1 failed, 2 left (2 of 3 parts) · 0.2 files/s, about 10 s left\n"
    )
    assert drrn("bulk", "status", "large", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report == {
        "parts": 3, "parts_done": 2, "files": 6, "done": 3, "failed": 1, "left": 2, "files_per_second": 0.2,
        "seconds_left": 10.0,
    }  # fmt: skip
    assert drrn("bulk", "status", "large", "--failed", "--json") == 0
    assert json.loads(capsys.readouterr().out)["source"] == "b.jpg"


def test_a_file_that_changes_while_being_read_becomes_a_row(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changing(self: Folder, name: str, path: Path) -> str:
        raise ImageError(f"{name} changed while it was being read.")

    plan, target = plan_of()
    one = upscaler(plan, target)
    monkeypatch.setattr(Folder, "get", changing)
    rows = enlarge_part(plan.recipe, plan.parts[0], Folder(Path("photos")), target, one)
    assert [row.error for row in rows] == [
        "a.png changed while it was being read.",
        "b.jpg changed while it was being read.",
    ]


def test_a_plan_needs_a_named_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert drrn("bulk", "plan", "photos", "large", "-m", "auto") == 2
    assert "Name a model." in capsys.readouterr().err
    assert drrn("bulk", "run", "photos") == 2
    assert "photos has no finished plan. Run `drrn bulk plan SOURCE photos`." in capsys.readouterr().err
