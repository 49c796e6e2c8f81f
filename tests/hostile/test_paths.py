"""Odd file names and special files: handled, or refused in one line with exit code 2, without waiting."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drrn.data.pairs import pictures_in
from drrn.errors import DataError, TrainingError
from drrn.media.image import Image
from drrn.media.images.files import probe, write
from drrn.training.config import read_config
from drrn.weights import store
from tests.command_line import run
from tests.conftest import ROOT
from tests.small_weights import small_weights

NAMES = {
    "a new line": "a\nb.png",
    "an escape": "\x1b[31mred\x1b[2J.png",
    "right to left": "photo\u202egpj.png",
    "no UTF-8": os.fsdecode(b"\xff\xfe.png"),
    "a lone surrogate": "\udc80.png",
    "255 bytes": "ü" * 125 + "z.png",
    "a hyphen": "-s.png",
    "a device of Windows": "CON.png",
    "quotes": "a'\"$(id);&|`id`.png",
    "a pattern": "[1]*?{a}.png",
    "spaces": "  .png",
    "a parent": "..png",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    store.save(small_weights(), tmp_path / "tiny.safetensors")
    put("photo.png")
    return tmp_path


def put(name: str) -> None:
    """Write an image under a name that image writers may refuse."""
    write(Image(pixels=np.random.default_rng(0).random((4, 5, 3), np.float32)), Path("a picture.png"))
    Path("a picture.png").replace(name)


def upscale(*args: str) -> int:
    return run("upscale", *args, "-m", "tiny.safetensors", "--device", "cpu", "--threads", "1")


def list_files(folder: str = ".") -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    printed = capsys.readouterr()
    lines = printed.err.removesuffix("\n").split("\n")
    assert len(lines) == 1 and lines[0].startswith("drrn: ") and lines[0].isprintable() and printed.out == "", printed
    return lines[0]


@pytest.mark.skipif(sys.platform != "linux", reason="such names are only to be had there")
@pytest.mark.parametrize("kind", NAMES)
def test_a_file_with_any_name_is_enlarged_and_named_in_one_line(
    kind: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = NAMES[kind]
    put(name)
    before = list_files()
    assert upscale(f"./{name}") == 0
    (output,) = list_files() - before
    assert probe(Path(output)).width == 10 and output.endswith(("_x2.png", ".png"))
    printed = capsys.readouterr()
    assert (
        len(printed.out.splitlines()) == 1
        and len(printed.err.splitlines()) == 1
        and (printed.out + printed.err).count("\n") == 2
    )
    assert "\x1b" not in printed.out + printed.err
    Path(name).write_text("no picture")
    assert upscale(f"./{name}") == 2
    one_line(capsys)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("pipe.png", "is not a regular file"),
        ("/dev/zero", "is not a regular file"),
        ("/dev/stdin/x.png", "can't be read|There is no file"),
        ("folder.png", "is a folder"),
        ("loop.png", "can't be read: Too many levels of symbolic links"),
        ("dangling.png", "There is no file dangling.png"),
        ("photo.png/x.png", "can't be read: Not a directory"),
        ("n" * 256, "File name too long"),
        ("x/" * 3000 + "x.png", "File name too long"),
    ],
    ids=lambda value: value[:16],
)
def test_special_files_are_refused_in_one_line_without_waiting(
    name: str, sentence: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("pipe.png")
    Path("folder.png").mkdir()
    Path("loop.png").symlink_to("loop.png")
    Path("dangling.png").symlink_to("nothing.png")
    before = list_files()
    assert upscale(name) == 2
    printed = one_line(capsys)
    assert any(part in printed for part in sentence.split("|")), printed
    assert upscale("photo.png", name, "-o", "out") == 3
    outputs = [name for name in list_files("out") if name != ".drrn.sqlite"]  # made by a run over a folder
    assert list_files() - before == {"out"} and outputs == ["photo_x2.png"]


@pytest.mark.parametrize("other", ["./photo.png", "sub/../photo.png", "link.png", "hard.png", "linked/photo.png"])
def test_an_image_is_not_overwritten_through_another_of_its_names(
    other: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("sub").mkdir()
    Path("link.png").symlink_to("photo.png")
    os.link("photo.png", "hard.png")
    Path("linked").symlink_to(".")
    before = Path("photo.png").read_bytes()
    assert upscale("photo.png", "-o", other, "--overwrite") == 2
    assert "would overwrite itself" in one_line(capsys)
    assert Path("photo.png").read_bytes() == before and Path("link.png").is_symlink()


def test_a_link_at_the_result_is_replaced_and_not_followed(here: Path) -> None:
    put("other.png")
    before = Path("other.png").read_bytes()
    Path("photo_x2.png").symlink_to("other.png")
    assert upscale("photo.png") == 2
    assert upscale("photo.png", "--overwrite") == 0
    assert Path("other.png").read_bytes() == before and not Path("photo_x2.png").is_symlink()


@pytest.mark.parametrize("output", ["folder.png", "pipe.png", "/dev/full/x.png"])
def test_an_unwritable_place_is_reported_in_one_line(
    output: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("pipe.png")
    Path("folder.png").mkdir()
    (Path("folder.png") / "photo_x2.png").mkdir()
    assert upscale("photo.png", "-o", output) == 2
    printed = capsys.readouterr().err.splitlines()[-1]
    assert printed.startswith("drrn: ") and ("exists" in printed or "can't be written" in printed)
    assert not [name for name in list_files() if name.startswith(".drrn")]


def test_a_read_only_folder_is_reported_in_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir(mode=0o500)
    if os.access("out", os.W_OK):
        pytest.skip("root writes everywhere")
    assert upscale("photo.png", "-o", "out") == 2
    assert "Permission denied" in capsys.readouterr().err and not list_files("out")


@pytest.mark.slow
def test_of_two_concurrent_runs_to_one_file_one_wins(here: Path) -> None:
    command = [sys.executable, "-m", "drrn", "upscale", "photo.png", "-m", "tiny.safetensors", "--threads", "1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [*sys.path, str(ROOT)]))}
    runs = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)
    ]
    results = [(run.communicate(timeout=300), run.returncode) for run in runs]
    assert sorted(code for _, code in results) in ([0, 0], [0, 2])
    assert all(b"Traceback" not in printed for (_, printed), _ in results)
    assert probe(Path("photo_x2.png")).width == 10 and not list(here.glob(".drrn-*"))


@pytest.mark.parametrize("name", ["n" * 300, "/dev/zero", "photo.png", "loop.png"])
def test_a_path_that_is_not_a_folder_has_no_images(name: str, here: Path) -> None:
    Path("loop.png").symlink_to("loop.png")
    with pytest.raises(DataError, match="Give a folder of pictures"):
        pictures_in([Path(name)])


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/urandom"])
def test_a_device_is_refused_as_a_config(name: str) -> None:
    with pytest.raises(TrainingError, match=r"is not a (valid )?config"):
        read_config(Path(name))
