"""Folders on the command line: their sources and targets, repeated runs, and runs after a kill."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier, Lock
from typing import Any

import numpy as np
import pytest

from drrn.media.image import Image
from drrn.media.images.files import probe, write
from drrn.media.images.formats import SUFFIXES
from drrn.upscaling.batch import folders
from drrn.upscaling.batch.jobs import Batch
from drrn.upscaling.batch.planning import Request, plan
from drrn.upscaling.upscaler import Upscaler
from drrn.weights import store
from tests import command_line
from tests.forks import start_script
from tests.small_weights import small_weights

HERE = Path(__file__).parent
LATIN = os.fsdecode(b"caf\xe9.png")
"""Not valid UTF-8: Python represents its last byte by a surrogate."""
LONG = "ü" * 125 + "z.png"

RunPlans = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


def picture(seed: int, height: int = 12, width: int = 16) -> Image:
    return Image(pixels=np.random.default_rng(seed).random((height, width, 3), np.float32))


def put(folder: Path, *names: str) -> None:
    """Write small pictures, all different."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"picture{Path(name).suffix or '.png'}"
        write(picture(number), temporary)
        temporary.replace(folder / name)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with models and `in`, a folder of pictures, where the command runs."""
    monkeypatch.chdir(tmp_path)
    store.save(small_weights(), tmp_path / "tiny.safetensors")
    store.save(small_weights(1), tmp_path / "other.safetensors")
    put(tmp_path / "in", "a.png", "b.jpg", "sub/c.tif")
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    return tmp_path


def run(*args: str, model: str = "tiny.safetensors") -> int:
    return command_line.run("upscale", *args, "--model", model, "--device", "cpu", "--threads", "1")


def enlarge(*args: str, model: str = "tiny.safetensors") -> int:
    return run("in", "-o", "out", "--recursive", *args, model=model)


def json_lines(capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    *pictures, totals = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return pictures, totals


def done(lines: list[dict[str, Any]]) -> list[str]:
    return sorted(line["target"] for line in lines if "seconds" in line and "target" in line)


def tree(folder: Path) -> dict[str, bytes]:
    """The contents of all files by name, except manifests."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in files if not path.name.startswith(".drrn.sqlite")
    }


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    printed = capsys.readouterr()
    lines = printed.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("drrn: ") and printed.out == "", printed
    return lines[0]


def test_a_folder_becomes_a_folder_of_larger_pictures(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("in", "-o", "out") == 0
    assert list(tree(here / "out")) == ["a_x2.png", "b_x2.jpg"]
    printed = capsys.readouterr().err.splitlines()
    assert printed[-1].startswith("2 enlarged, 0 unchanged, 1 skipped, 0 failed · ")
    assert enlarge() == 0
    assert list(tree(here / "out")) == ["a_x2.png", "b_x2.jpg", "sub/c_x2.tif"]
    assert probe(here / "out/sub/c_x2.tif")[:3] == ("TIFF", 32, 24)
    assert "1 enlarged, 2 unchanged, 1 skipped, 0 failed" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="such names are only to be had there")
def test_any_folder_and_file_name_works(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [LATIN, "new\nline.png", "-s.png", "漢字 ünd € 😀.png", "[1]*?.png", "a.b.c.png", " .PNG", "%s{}'\".png"]
    shutil.rmtree(here / "in")
    put(here / "in", *names, LONG, *(f"{os.fsdecode(bytes([0xFF]))}\t/-r/{name}" for name in names))
    assert len(os.fsencode(LONG)) == 255
    assert enlarge("--json") == 0
    lines, totals = json_lines(capsys)
    assert totals["done"] == len(lines) == 17
    wanted = {name.replace(".png", "_x2.png").replace(".PNG", "_x2.PNG") for name in tree(here / "in")}
    wanted = wanted - {LONG.replace(".png", "_x2.png")} | {"ü" * 124 + "_x2.png"}
    assert set(tree(here / "out")) == wanted
    assert {line["target"] for line in lines} == {f"out/{name}" for name in wanted}
    assert enlarge() == 0
    assert "0 enlarged, 17 unchanged" in capsys.readouterr().err
    assert enlarge("-s", "3") == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 17 and "caf\\udce9_x3.png" in printed.out


def test_links_out_of_a_folder_and_loops_are_not_followed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(here / "outside", "secret.png")
    for name, to in [
        ("loop", "."),
        ("away", "../outside"),
        ("self.png", "self.png"),
        ("secret.png", "../outside/secret.png"),
        ("absolute.png", str(here / "outside/secret.png")),
        ("nowhere.png", "nothing.png"),
        ("inner.png", "a.png"),
    ]:
        (here / "in" / name).symlink_to(to)
    assert enlarge() == 0
    assert list(tree(here / "out")) == ["a_x2.png", "b_x2.jpg", "inner_x2.png", "sub/c_x2.tif"]
    assert "4 enlarged, 0 unchanged, 5 skipped, 0 failed" in capsys.readouterr().err


def test_results_are_not_taken_for_sources(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert run("in", "-o", "in/out", "--recursive") == 0
        assert list(tree(here / "in/out")) == ["a_x2.png", "b_x2.jpg", "sub/c_x2.tif"]
    capsys.readouterr()
    for output in ("in", ".", "in/sub/.."):
        assert run("in", "-o", output) == 2
        assert "in is inside the --output" in one_line(capsys)


def test_two_sources_with_one_target_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(here / "more", "a.png")
    (here / "in/sub/c_x2.tif").write_bytes((here / "in/sub/c.tif").read_bytes())
    assert run("in", "more", "in/a.png", "-o", "out") == 3
    assert "more/a.png would write out/a_x2.png, as another image does. Rename one." in capsys.readouterr().err
    assert list(tree(here / "out")) == ["a_x2.png", "b_x2.jpg"]


def test_a_second_run_does_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert enlarge() == 0
    before = {path: path.stat() for path in (here / "out").rglob("*x2*")}
    capsys.readouterr()
    assert enlarge("--json") == 0
    lines, totals = json_lines(capsys)
    assert {path: path.stat() for path in (here / "out").rglob("*x2*")} == before
    assert [line["unchanged"] for line in lines] == [True] * 3
    assert {**totals, "seconds": 0} == {"done": 0, "skipped": 1, "unchanged": 3, "failed": 0, "seconds": 0}


@pytest.mark.slow
def test_a_second_run_does_only_what_is_missing_or_stale(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def next_run(*args: str, **options: str) -> list[str]:
        assert enlarge("--json", *args, **options) == 0
        return done(json_lines(capsys)[0])

    def pad(path: Path) -> None:
        path.write_bytes(path.read_bytes().ljust(5000, b"\0"))

    a, _, c = everything = ["out/a_x2.png", "out/b_x2.jpg", "out/sub/c_x2.tif"]
    pad(here / "in/sub/c.tif")
    assert next_run() == everything
    (here / a).unlink()
    assert next_run() == [a]
    put(here / "in", "x.png", "a.png")  # another picture of the same name and size
    (here / "in/x.png").unlink()
    assert next_run() == [a]
    os.utime(here / "in/b.jpg")  # touched, and the same
    os.utime(here / c)
    assert next_run() == []
    was = (here / "in/sub/c.tif").stat()
    write(picture(9), here / "other.tif")
    pad(here / "other.tif")
    os.utime(here / "other.tif", ns=(was.st_mtime_ns, was.st_mtime_ns))
    (here / "other.tif").replace(here / "in/sub/c.tif")  # of the same size and time, and another
    assert (here / "in/sub/c.tif").stat().st_size == was.st_size
    assert next_run() == [c]
    assert next_run(model="other.safetensors") == everything
    assert next_run("--engine", "reference", model="other.safetensors") == everything
    assert next_run() == everything
    assert next_run("--size", "32x24") == [name.replace("x2", "32x24") for name in everything]
    assert next_run("--scale", "2") == []
    store.save(small_weights(), here / "again.safetensors")
    assert next_run(model="again.safetensors") == []


def test_only_unchanged_results_of_drrn_are_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "out").mkdir()
    (here / "out/a_x2.png").write_bytes(b"mine")
    assert enlarge() == 3
    printed = capsys.readouterr().err
    assert "out/a_x2.png exists. Give another name, or --overwrite." in printed
    assert "in/a.png 16x12 ->" not in printed, "it was enlarged in vain"
    assert (here / "out/a_x2.png").read_bytes() == b"mine"
    (here / "out/b_x2.jpg").write_bytes(b"edited")
    assert enlarge(model="other.safetensors") == 3
    printed = capsys.readouterr().err
    assert "out/a_x2.png exists" in printed and "out/b_x2.jpg exists" in printed and "1 enlarged" in printed
    assert (here / "out/b_x2.jpg").read_bytes() == b"edited"
    assert enlarge("--overwrite", model="other.safetensors") == 0
    assert "2 enlarged, 1 unchanged" in capsys.readouterr().err
    assert probe(here / "out/b_x2.jpg").width == 32


def test_a_bad_file_does_not_stop_the_others(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "in/bad.png").write_text("no picture")
    whole = here / "whole.jpg"
    write(picture(9, 64, 64), whole)
    (here / "in/cut.jpg").write_bytes(whole.read_bytes()[:2000])
    assert enlarge() == 3
    *_, counts, first, second, last = capsys.readouterr().err.splitlines()
    assert "3 enlarged, 0 unchanged, 1 skipped, 2 failed" in counts
    assert "in/bad.png" in first and "in/cut.jpg" in second and last == "2 of 5 pictures failed."
    assert list(tree(here / "out")) == ["a_x2.png", "b_x2.jpg", "sub/c_x2.tif"]
    assert enlarge("--json") == 3
    lines, totals = json_lines(capsys)
    assert [line["source"] for line in lines if "error" in line] == ["in/bad.png", "in/cut.jpg"]
    assert (totals["unchanged"], totals["failed"]) == (3, 2)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["in"], "in is a folder: its results need another folder"),
        (["empty", "-o", "out"], "empty contains no pictures (subfolders are searched with --recursive)."),
        (["empty", "-o", "out", "-r"], "empty contains no pictures."),
        (["in", "-o", "tiny.safetensors"], "tiny.safetensors can't be made a folder"),
        (["in", "-o", "tiny.safetensors/out"], "tiny.safetensors/out can't be made a folder"),
        (["a" * 300], "can't be read: File name too long."),
        (["in", "-o", "a" * 300], "can't be made a folder: File name too long."),
        (["in/a.png", "-o", f"{'a' * 300}/x.png"], "can't be written: there is no folder aaa"),
        (["in", "-o", "-"], "- works for one picture only"),
        (["in", "-", "-o", "out"], "- works for one picture only"),
        (["in/a.png", "--watch"], "--watch needs a folder to watch"),
        (["in", "-o", "out", "--watch", "--estimate"], "does not work with --estimate"),
        (["in", "-o", "out", "--jobs", "0"], "got --jobs 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_impossible_requests_are_refused_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    (here / "empty").mkdir()
    before = sorted(here.rglob("*"))
    assert run(*args) == 2
    assert message in one_line(capsys)
    assert sorted(here.rglob("*")) == before


def test_json_and_a_picture_cannot_both_go_to_stdout(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("in/a.png", "-o", "-", "--json") == 2
    printed = capsys.readouterr()
    assert "can't both go to stdout" in printed.err and "can't both go to stdout" in json.loads(printed.out)["error"]


def test_a_broken_manifest_is_refused_in_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "out").mkdir()
    (here / "out/.drrn.sqlite").write_bytes(b"no database, and longer than one's first page's head" * 99)
    assert enlarge() == 2
    assert "out/.drrn.sqlite can't be used: file is not a database. Give another --output, or" in one_line(capsys)


def test_an_estimate_of_a_folder_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(here.rglob("*"))
    assert enlarge("--estimate") == 0
    printed = capsys.readouterr()
    assert (
        len(printed.out.splitlines()) == 3 and "3 to enlarge, 0 unchanged, 1 skipped, 0 failed · about" in printed.err
    )
    assert sorted(here.rglob("*")) == before
    assert enlarge() == 0
    assert enlarge("--estimate", "--json") == 0
    totals = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (totals["done"], totals["unchanged"], totals["estimated_seconds"]) == (0, 3, 0)


@pytest.mark.slow
def test_several_at_once_make_the_same_bytes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(here / "in", *(f"{number}.png" for number in range(6)))
    (here / "in/bad.png").write_text("no picture")
    assert enlarge() == 3
    assert run("in", "-o", "two", "-r", "--jobs", "3") == 3
    assert tree(here / "two") == tree(here / "out")
    capsys.readouterr()
    assert run("in", "-o", "two", "-r", "--jobs", "2") == 3
    assert "0 enlarged, 9 unchanged, 1 skipped, 1 failed" in capsys.readouterr().err


def test_several_at_once_share_the_memory(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, most = 0, 0
    turn, three = Lock(), Barrier(3)
    enlarge_one = Batch._enlarge

    def enlarging(*args: Any) -> Any:
        nonlocal at_work, most
        with turn:
            at_work += 1
            most = max(most, at_work)
        if memory > 2**29:
            three.wait(timeout=300)  # breaks unless they run at the same time
        result = enlarge_one(*args)
        with turn:
            at_work -= 1
        return result

    names = ["a.png", "b.jpg", "sub/c.tif"]
    planned = [plan(here / "in" / name, here, Request(2, many=True, overwrite=True)) for name in names]
    monkeypatch.setattr(Batch, "_enlarge", enlarging)
    weights = store.load("tiny.safetensors")
    needed = planned[0].format.estimate(planned[0], Upscaler(weights, threads=1)).memory
    for together, memory in [(3, 2**30), (1, needed)]:
        most = 0
        batch = Batch(Request(2, many=True), lambda: [], Nobody())
        batch.enlarge(planned, [[Upscaler(weights, threads=1, max_memory=memory)] for _ in range(3)])
        assert most == together


class Nobody:
    """A progress that reports nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


def test_files_need_no_manifest(here: Path) -> None:
    assert run("in/a.png", "in/b.jpg", "-o", "out", "--jobs", "2") == 0
    assert sorted(path.name for path in (here / "out").iterdir()) == ["a_x2.png", "b_x2.jpg"]


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "drrn", "upscale", *args, "-m", "tiny.safetensors", "--threads", "1"]


@pytest.mark.slow
def test_a_pipe_carries_only_the_picture(here: Path) -> None:
    assert run("in/b.jpg", "-o", "file.jpg") == 0
    with (here / "in/b.jpg").open("rb") as stdin:
        ended = subprocess.run(command("-", "-o", "-"), stdin=stdin, capture_output=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == (here / "file.jpg").read_bytes()
    assert b"stdin 16x12 -> stdout 32x24" in ended.stderr


def test_a_pipe_without_a_picture_is_refused_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, args, sentence in [
        ("in/notes.txt", ["-o", "x.png"], "drrn: stdin is not an image that drrn can read"),
        ("in/notes.txt", ["-o", "-"], "drrn: stdin is not an image that drrn can read"),
        ("in/a.png", [], "drrn: An image from stdin needs an --output"),
        ("in/a.png", ["-o", "absent/x.png"], "there is no folder absent"),
        ("in/a.png", ["-o", "-", "--max-pixels", "9"], "stdin is 16 x 12, 192 pixels; the limit is 9"),
    ]:
        with (here / name).open() as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            assert run("-", *args) == 2
        assert sentence in one_line(capsys)
    assert not (here / "x.png").exists()


def test_a_picture_is_not_written_to_a_terminal(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run("in/a.png", "-o", "-") == 2
    assert "An image can't be shown in a terminal" in one_line(capsys)


def test_an_endless_stdin_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drrn.upscaling.batch.pipes.BYTES_BESIDE_PIXELS", 2**20)
    with Path("/dev/zero").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert run("-", "-o", "x.png", "--max-pixels", "1000") == 2
    assert "stdin has more than 1,056,576 bytes" in one_line(capsys)


@pytest.mark.slow
def test_a_closed_stdout_is_reported_in_one_line(here: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        command("in/a.png", "-o", "-"), stdout=writing, stderr=subprocess.PIPE, text=True, timeout=300
    )
    os.close(writing)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == "drrn: The image can't be written to stdout: Broken pipe."


def test_an_arriving_file_is_taken_once_it_is_complete(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folders.SourceFile(here / "photo", None)
    steps: list[Callable[[], Any]] = [
        lambda: source.path.write_bytes(b"begun"),
        lambda: source.path.write_bytes(b"begun, and longer"),
        lambda: None,  # taken now
        lambda: None,
        lambda: source.path.write_bytes(b"changed"),
        lambda: None,  # taken again
        lambda: source.path.unlink(),
        lambda: source.path.write_bytes(b"there again"),
        lambda: None,  # taken again
    ]
    looks = 0

    def sleep(seconds: float) -> None:
        nonlocal looks
        steps[looks]()
        looks += 1

    monkeypatch.setattr("drrn.upscaling.batch.folders.time.sleep", sleep)
    arriving = folders.arrivals(lambda: [source] if source.path.exists() else [])
    assert [(next(arriving), looks) for _ in range(3)] == [([source], 3), ([source], 6), ([source], 9)]


@pytest.fixture(scope="module")
def run_plans() -> Iterator[RunPlans]:
    """A function that runs plans one after the other and returns their results; see folder_runs.py."""
    with start_script(HERE / "folder_runs.py") as run:
        yield run


def mixed(folder: Path, count: int) -> None:
    """Write `count` pictures in all formats to three folders."""
    suffixes = [suffix for each in SUFFIXES.values() for suffix in each if suffix != ".pgm"]  # PGM holds only gray
    put(folder, *(f"{'sub/' * (number % 3)}{number:02d}{suffixes[number % len(suffixes)]}" for number in range(count)))


@pytest.mark.slow
@pytest.mark.parametrize(("pictures", "kills"), [(12, 6), pytest.param(50, 20, marks=pytest.mark.full)])
def test_a_randomly_killed_run_ends_like_an_uninterrupted_one(
    here: Path, run_plans: RunPlans, pictures: int, kills: int
) -> None:
    shutil.rmtree(here / "in")
    mixed(here / "in", pictures)
    rng = random.Random(0)
    args, clean_args = (
        f"upscale in -o {output} --recursive --json -m tiny.safetensors --threads 1".split()
        for output in ("killed", "clean")
    )
    (clean,) = run_plans([{"folder": str(here), "args": clean_args}])
    assert clean["code"] == 0, clean["log"]
    whole = tree(here / "clean")
    assert len(whole) == pictures
    # some are there already, made by another model
    assert run("in", "-o", "killed", model="other.safetensors") == 0
    before = tree(here / "killed")
    finished_before, left = 0, 0
    for number in range(kills):
        attempt: dict[str, Any] = {"folder": str(here), "args": [*args, "--jobs", str(1 + number % 4 // 2)]}
        if number % 2 and pictures > 12:  # a few are done before a signal is sent, on a machine that is fast
            attempt |= {
                "signal": signal.SIGKILL,
                "lines": finished_before + rng.randint(0, 2),
                "delay": rng.uniform(0, 0.004),
            }
        else:
            attempt |= {"call": rng.randint(1, 16)}
        (death,) = run_plans([attempt])
        assert death["code"] == -signal.SIGKILL, death
        there = tree(here / "killed")
        files = {name for name in there if not Path(name).name.startswith(".drrn-")}
        finished = {name for name in files if there[name] == whole[name]}
        assert all(there[name] == before[name] for name in files - finished), "a file is there that is not whole"
        left += len(there) - len(files)
        again = {line["target"].removeprefix("killed/") for line in death["printed"] if "seconds" in line}
        assert again <= finished
        assert sum("unchanged" in line for line in death["printed"]) <= finished_before, "what was done was forgotten"
        assert len(finished) >= finished_before + len(again), "what was done was done again"
        finished_before = len(finished)
    assert finished_before < pictures, "all was done before the last kill"
    assert left, "no kill left a temporary file, so none can have been removed"
    (last,) = run_plans([{"folder": str(here), "args": args}])
    assert last["code"] == 0, last["log"]
    totals = last["printed"][-1]
    assert (totals["done"], totals["unchanged"]) == (pictures - finished_before, finished_before)
    assert tree(here / "killed") == whole
    assert [path.name for path in (here / "killed").rglob(".*")] == [".drrn.sqlite"]


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.full)])
def test_after_a_kill_at_any_call_the_next_run_replaces_a_stale_result(
    here: Path, run_plans: RunPlans, step: int
) -> None:
    assert run("in/sub", "-o", "out", model="other.safetensors") == 0
    assert run("in/sub", "-o", "new") == 0
    codes = []
    for call in range(1, 100, step):
        output = f"out{call}"
        shutil.copytree(here / "out", here / output)
        args = ["upscale", "in/sub", "-o", output, "--json", "-m", "tiny.safetensors", "--threads", "1"]
        killed, ended = run_plans(
            [{"folder": str(here), "args": args, "call": call}, {"folder": str(here), "args": args}]
        )
        codes.append(killed["code"])
        assert ended["code"] == 0, f"killed at call {call}: {ended['log']}"
        assert tree(here / output) == tree(here / "new"), f"killed at call {call}"
        if not killed["code"]:
            break
    assert codes == [-signal.SIGKILL] * (len(codes) - 1) + [0] and call > 10


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 2])
def test_a_signal_ends_a_run_with_its_code_and_keeps_finished_results(
    here: Path, run_plans: RunPlans, at_once: int
) -> None:
    store.save(small_weights(width=64, units=9), here / "tiny.safetensors")
    shutil.rmtree(here / "in")
    put(here / "in", "0.png", "1.png")
    write(picture(2, 2500, 100), here / "in/2.png")
    write(picture(3, 2500, 100), here / "in/3.png")
    words = f"upscale in -o out --json -m tiny.safetensors --threads 1 -s 4 --jobs {at_once}".split()
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        attempt = {"folder": str(here), "args": words, "signal": number, "lines": 2, "delay": 0.3}
        (ended,) = run_plans([attempt])
        assert ended["code"] == code, ended["log"]
        assert ended["log"].splitlines()[-1] == "stopped; the same command continues"
        assert "Traceback" not in ended["log"]
        assert sorted(path.name for path in (here / "out").iterdir()) == [".drrn.sqlite", "0_x4.png", "1_x4.png"]
    assert [line["unchanged"] for line in ended["printed"]] == [True, True]


@pytest.mark.slow
def test_a_concurrent_second_run_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.save(small_weights(width=64, units=9), here / "slow.safetensors")
    write(picture(2, 500, 500), here / "in/0.png")
    words = [*command("in", "-o", "out", "-s", "4"), "-m", "slow.safetensors"]
    first = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None and "0_x4.png" in first.stderr.readline()  # it has begun
    assert enlarge() == 2
    assert "Another drrn is running in out. Wait until it is done, or give another --output." in one_line(capsys)
    first.kill()
    first.communicate()
    assert enlarge() == 0


@pytest.mark.slow
def test_a_watched_folder_is_processed_until_a_signal(here: Path) -> None:
    code = (
        "from drrn.upscaling.batch import folders; folders.WATCH_SECONDS = 0.3; from drrn.apps.cli import main; main()"
    )
    (here / "arrive").mkdir()
    words = [sys.executable, "-c", code, *command("arrive", "-o", "out", "--watch", "--recursive")[3:]]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stderr
    for seed, name in enumerate(["a.png", "sub/b.png", "a.png"]):
        (here / "arrive/sub").mkdir(exist_ok=True)
        write(picture(seed), here / "arrive" / name, overwrite=True)
        assert process.stdout.readline().startswith(f"out/{name.replace('.png', '_x2.png')} · ")
    (here / "arrive/bad.png").write_text("no picture")
    printed = [process.stderr.readline() for _ in range(4)]
    assert "arrive/bad.png is not an image that drrn can read" in printed[-1]
    process.send_signal(signal.SIGINT)
    _, last = process.communicate(timeout=300)
    assert (process.returncode, last) == (130, "")
    assert list(tree(here / "out")) == ["a_x2.png", "sub/b_x2.png"]
