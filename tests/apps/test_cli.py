"""The command line: what a user types, what is written and printed, and the exit code."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from drrn.apps import upscale_progress
from drrn.media.image import Image
from drrn.media.images.files import probe, read, write
from drrn.weights import store
from tests.command_line import run
from tests.small_weights import small_weights


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a picture and a model, where the command runs."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    write(Image(pixels=rng.random((12, 16, 3), np.float32)), tmp_path / "photo.png")
    deep = Image(
        pixels=rng.random((10, 10, 3), np.float32),
        alpha=rng.random((10, 10), np.float32),
        bits=16,
        icc=b"profile",
    )
    write(deep, tmp_path / "deep.tif")
    store.save(small_weights(), tmp_path / "tiny.safetensors")
    return tmp_path


def upscale(*args: str) -> int:
    return run("upscale", *args, "--model", "tiny.safetensors", "--device", "cpu")


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    printed = capsys.readouterr()
    lines = printed.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("drrn: ") and printed.out == "", printed
    return lines[0]


def test_photo_png_becomes_photo_x2_png(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upscale("photo.png") == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("photo.png 16x12 -> photo_x2.png 32x24 · native (")
    assert "): the fastest on a CPU · about " in printed.err
    assert printed.out.startswith("photo_x2.png · ")
    assert probe(here / "photo_x2.png")[:3] == ("PNG", 32, 24)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["reference", "torch", "onnx"])
def test_every_engine_makes_the_same_picture(here: Path, capsys: pytest.CaptureFixture[str], engine: str) -> None:
    assert run("upscale", "photo.png", "--size", "61x43", "-o", "native.png", "--engine", "native") == 0
    assert run("upscale", "photo.png", "--size", "61x43", "-o", "other.png", "--engine", engine) == 0
    assert f" · {engine} (" in capsys.readouterr().err
    assert (read(here / "native.png").to_array() == read(here / "other.png").to_array()).mean() > 0.999


def test_a_missing_native_engine_is_reported(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drrn.engines.selection.is_compiled", lambda: False)
    assert upscale("photo.png") == 0
    printed = capsys.readouterr().err
    assert "the native engine was not compiled here" in printed and "· reference (NumPy): " in printed


def test_depth_alpha_and_profile_are_kept(here: Path) -> None:
    assert upscale("deep.tif", "-s", "3") == 0
    result = read(here / "deep_x3.tif")
    assert (result.width, result.height, result.bits, result.icc) == (30, 30, 16, b"profile")
    assert result.alpha is not None and len(np.unique(result.to_array())) > 256


@pytest.mark.parametrize(
    ("args", "name", "size"),
    [
        (["-s", "1.5"], "photo_x1.5.png", (24, 18)),
        (["--size", "40x30"], "photo_40x30.png", (40, 30)),
        (["--size", "40x"], "photo_40x30.png", (40, 30)),
        (["-o", "large.webp"], "large.webp", (32, 24)),
        (["-o", "folder", "-s", "4"], "folder/photo_x4.png", (64, 48)),
    ],
)
def test_results_have_the_expected_sizes_and_names(
    here: Path, args: list[str], name: str, size: tuple[int, int]
) -> None:
    assert upscale("photo.png", *args) == 0
    assert probe(here / name)[1:3] == size


def test_nothing_is_overwritten_without_the_option(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "photo_x2.png").write_bytes(b"mine")
    assert upscale("photo.png") == 2
    assert "photo_x2.png exists. Give another name, or --overwrite." in one_line(capsys)
    assert (here / "photo_x2.png").read_bytes() == b"mine"
    assert upscale("photo.png", "--overwrite") == 0
    assert probe(here / "photo_x2.png").width == 32


def test_a_picture_is_never_its_own_enlargement(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (here / "photo.png").read_bytes()
    assert upscale("photo.png", "-o", "photo.png", "--overwrite") == 2
    assert "would overwrite itself" in one_line(capsys)
    assert (here / "photo.png").read_bytes() == before


def test_one_bad_file_of_many_does_not_stop_the_others(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "text.png").write_text("no picture")
    assert upscale("photo.png", "text.png", "absent.png", "deep.tif", "-o", "out") == 3
    assert sorted(path.name for path in (here / "out").iterdir()) == ["deep_x2.tif", "photo_x2.png"]
    *expected, first, second, last = capsys.readouterr().err.strip().splitlines()
    assert len(expected) == 2 and "text.png" in first and "absent.png" in second
    assert last == "2 of 4 pictures failed."


def test_two_pictures_with_the_same_result_name_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "other").mkdir()
    shutil.copy("photo.png", "other/photo.png")
    assert upscale("photo.png", "other/photo.png", "-o", "out") == 3
    assert "as another image does" in capsys.readouterr().err


def test_an_estimate_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(here.iterdir())
    assert upscale("photo.png", "--estimate", "--json") == 0
    reported = json.loads(capsys.readouterr().out)
    assert (reported["target"], reported["width"], reported["height"]) == ("photo_x2.png", 32, 24)
    assert reported["estimated_seconds"] > 0 and "estimated_mb" in reported
    assert sorted(here.iterdir()) == before


def test_an_estimate_works_if_the_result_exists(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "photo_x2.png").write_bytes(b"mine")
    (here / "out").mkdir()
    (here / "out/photo_x2.png").write_bytes(b"mine")
    (here / "folder").mkdir()
    shutil.copy("photo.png", "folder/photo.png")
    assert upscale("photo.png", "--estimate") == 0
    assert upscale("folder", "-o", "out", "--estimate") == 0
    assert "1 to enlarge, 0 unchanged, 0 skipped, 0 failed" in capsys.readouterr().err
    assert (here / "photo_x2.png").read_bytes() == (here / "out/photo_x2.png").read_bytes() == b"mine"


def test_the_memory_estimate_includes_the_process(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upscale("photo.png", "--estimate", "--json") == 0
    reported = json.loads(capsys.readouterr().out)
    assert reported["process_mb"] > 30 and reported["estimated_mb"] > reported["process_mb"], "Python and its libraries"
    assert upscale("photo.png", "--estimate") == 0
    printed = re.search(r"about .* and (\d+) MB$", capsys.readouterr().out.strip())
    assert printed and int(printed[1]) == pytest.approx(reported["estimated_mb"], abs=10)


@pytest.mark.slow
def test_a_long_run_suggests_the_fastest_model(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("upscale", "photo.png", "--estimate") == 0
    assert "would take" not in capsys.readouterr().out, "it is short"
    monkeypatch.setattr(upscale_progress, "LONG_SECONDS", 0.0)
    assert run("upscale", "photo.png", "--estimate") == 0
    assert re.search(r" · base: about \S+ s and \d+ MB; tiny would take \S+ s \(-m tiny\)$", capsys.readouterr().out)
    assert run("upscale", "photo.png", "-o", "a.png") == 0
    assert "; tiny would take " in capsys.readouterr().err
    for words in (["-m", "auto"], ["-m", "tiny"]):
        assert run("upscale", "photo.png", "--estimate", *words) == 0
        assert "would take" not in capsys.readouterr().out


def test_a_single_failure_is_printed_as_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, error in [
        (["absent.png"], {"source": "absent.png", "error": "There is no file absent.png."}),
        (["photo.png", "-s", "9"], {"source": "photo.png", "error": "A scale must be above 1 and at most 8, got 9."}),
        (["photo.png", "--jobs", "0"], {"error": "--jobs must be at least 1, got --jobs 0."}),
    ]:
        assert upscale(*words, "--json") == 2
        printed = capsys.readouterr()
        assert json.loads(printed.out) == error
        assert printed.err == f"drrn: {error['error']}\n"
    (here / "text.png").write_text("no picture")
    assert upscale("text.png", "absent.png", "-o", "out", "--json") == 2
    reported = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["source"] for each in reported] == ["text.png", "absent.png"] and all(
        each["error"] for each in reported
    )


def test_json_reports_each_result(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upscale("photo.png", "deep.tif", "--json") == 0
    reported = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["target"] for line in reported] == ["photo_x2.png", "deep_x2.tif"]
    assert all(line["seconds"] > 0 and line["model"] == "tiny" for line in reported)


def test_conversions_are_reported(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Pillow.open(here / "photo.png") as photo:
        photo.quantize(8).save(here / "few.gif")
    assert upscale("few.gif") == 0
    assert "few.gif 16x12 -> few_x2.png 32x24 · palette to RGB · native (" in capsys.readouterr().err
    assert probe(here / "few_x2.png")[:3] == ("PNG", 32, 24)
    assert upscale("few.gif", "photo.png", "deep.tif", "-o", "out", "--json", "--estimate") == 0
    reported = [json.loads(line)["converted"] for line in capsys.readouterr().out.splitlines()]
    assert reported == [["palette to RGB"], [], []]


BAD = [
    (["text.png"], "text.png"),
    (["cut.jpg"], "cut.jpg"),
    (["absent.png"], "There is no file absent.png"),
    (["folder"], "folder is a folder"),
    (["photo.png", "-s", "0"], "A scale must be above 1 and at most 8, got 0."),
    (["photo.png", "-s", "nan"], "got nan"),
    (["photo.png", "-s", "9"], "got 9"),
    (["photo.png", "-s", "2", "--size", "40x30"], "Give a scale or a size, not both."),
    (["photo.png", "--size", "40+"], "A size is written 4000, 2000x, x1000, 1920x1080 or 1920x1080+, got '40+'"),
    (["photo.png", "--size", "10x10"], "is not an enlargement of 16x12"),
    (["photo.png", "-o", "x.gif"], "x.gif"),
    (["photo.png", "-o", "absent/x.png"], "there is no folder absent"),
    (["deep.tif", "-o", "x.jpg"], "JPEG holds no alpha"),
    (["photo.png", "--units", "7"], "trained for 2 units"),
    (["photo.png", "--max-pixels", "100"], "--max-pixels"),
    (["photo.png", "--max-memory", "0"], "--max-memory"),
    (["photo.png", "--device", "warp"], "There is no device 'warp'"),
    ([], "No pictures given"),
]


@pytest.mark.parametrize(("args", "message"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_bad_input_is_refused_in_one_line_with_exit_code_2(
    here: Path, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    (here / "text.png").write_text("no picture")
    write(Image(pixels=np.random.default_rng(0).random((64, 64, 3), np.float32)), here / "whole.jpg")
    (here / "cut.jpg").write_bytes((here / "whole.jpg").read_bytes()[:2000])
    (here / "folder").mkdir()
    before = sorted(here.rglob("*"))
    device = [] if "--device" in args else ["--device", "cpu"]
    assert run("upscale", *args, "--model", "tiny.safetensors", *device) == 2
    assert message in one_line(capsys)
    assert sorted(here.rglob("*")) == before


def test_an_output_that_is_a_file_is_refused_for_folders(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "file").write_bytes(b"mine")
    assert upscale("photo.png", "deep.tif", "-o", "file") == 2
    assert "file can't be made a folder" in one_line(capsys)
    assert (here / "file").read_bytes() == b"mine"


def test_a_bomb_is_refused_in_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """20000x20000 pixels of one bit in 50 KB."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)

    side = 20_000
    header = side.to_bytes(4) * 2 + bytes([1, 0, 0, 0, 0])
    pixels = zlib.compress(bytes((1 + side // 8) * side))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    (here / "bomb.png").write_bytes(png)
    assert upscale("bomb.png") == 2
    assert "--max-pixels" in one_line(capsys)


def test_an_unknown_model_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("upscale", "photo.png", "-m", "x5") == 2
    assert "No weights named 'x5', and no such file. Packaged: " in one_line(capsys)


def test_every_corrupt_pngsuite_file_is_refused_in_one_line(
    data: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corrupt = sorted((data / "formats" / "PngSuite").glob("x*.png"))
    assert len(corrupt) == 14
    for path in corrupt:
        assert upscale(str(path), "-o", str(here / "out.png")) == 2
        assert path.name in one_line(capsys)
        assert not (here / "out.png").exists()


def test_wrong_usage_exits_2(here: Path) -> None:
    assert run("upscale", "photo.png", "--scale", "two") == 2
    assert run("enlarge") == 2
    assert run() == 2
    assert run("models", "burn") == 2


def test_models_are_imported_measured_and_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    shapes = [(4, 1, 3, 3), (4, 4, 3, 3), (4, 4, 3, 3), (1, 4, 3, 3)]
    torch.save({f"{i}": torch.randn(shape) / 9 for i, shape in enumerate(shapes)}, "port.pth")
    assert run("models", "import", "port.pth", "--units", "3", "-o", "port.safetensors") == 0
    assert store.load("port.safetensors").config.skip == "rectified"
    (here / "set").mkdir()
    shutil.copy("photo.png", "set/photo.png")
    arguments = ["evaluate", "port.safetensors", "--data", "set", "--scales", "2", "--device", "cpu"]
    assert run(*arguments, "--json", "scores.json", "--markdown", "table.md") == 0
    assert "| port | " in (here / "table.md").read_text()
    capsys.readouterr()
    assert run("models", "show", "port.safetensors") == 0
    assert json.loads(capsys.readouterr().out)["config"]["units"] == 3
    assert run("models", "show", "port.safetensors", "--markdown") == 0
    assert "# port" in capsys.readouterr().out


def test_a_comparison_is_written_as_an_image(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(Image(pixels=np.random.default_rng(1).random((60, 80, 3), np.float32)), here / "large.png")
    assert run("compare", "large.png", "-m", "tiny.safetensors", "-s", "2", "--crop", "40x30+10+6", "-o", "c.png") == 0
    assert "bicubic " in capsys.readouterr().out
    assert probe(here / "c.png").width == 4 * (40 + 8)
    assert run("compare", "large.png", "-m", "tiny.safetensors", "--crop", "90x30+0+0", "-o", "d.png") == 2
    assert "is outside the 80x60 picture" in one_line(capsys)


def test_a_contact_sheet_has_a_column_per_model_and_a_row_per_crop(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    write(Image(pixels=rng.random((60, 80, 3), np.float32)), here / "large.png")
    write(Image(pixels=rng.random((60, 80, 1), np.float32)), here / "gray.png")
    store.save(small_weights(1), here / "other.safetensors")
    models = ["--models", "tiny.safetensors", "other.safetensors"]
    crops = ["--crop", "40x30+10+6", "30x20+0+0"]
    assert run("compare", "large.png", *models, "-s", "2", *crops, "-o", "c.png") == 0
    printed = capsys.readouterr().out
    assert [part.split()[0] for part in printed.partition(": ")[2].split(" | ")] == [
        "bicubic",
        "tiny",
        "other",
        "original",
    ]
    sheet = probe(here / "c.png")
    assert (sheet.width, sheet.height) == (4 * (40 + 8), (30 + 20) + 2 * (18 + 4))
    assert run("compare", "large.png", "gray.png", *models, "-s", "2", *crops, "-o", "d.png") == 0
    assert run("compare", "large.png", "gray.png", *models, "-s", "1.5", "-o", "e.png") == 0
    assert "x1.5 is outside of what tiny was trained for (x2 to x4)\n" in capsys.readouterr().err
    for wrong, message in [
        (["large.png", "gray.png", "--crop", "40x30+10+6"], "2 pictures need one --crop each, or none; got 1."),
        ([], "No pictures or no models given"),
        (["large.png", *models, models[1]], "tiny.safetensors is given twice. Give each once."),
    ]:
        assert run("compare", *wrong, "-o", "f.png") == 2
        assert message in one_line(capsys)


def command(*args: str, code: str = "") -> subprocess.CompletedProcess[str]:
    words = [sys.executable, *(["-c", code] if code else ["-X", "importtime", "-m", "drrn", *args])]
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_a_closed_pipe_ends_the_command_quietly() -> None:
    words = [sys.executable, "-m", "drrn", "models", "show"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_help_is_instant_because_it_imports_no_torch() -> None:
    """`make bench` measures the time. This test checks that nothing slow is imported."""
    for args in (["--help"], ["tune", "--help"]):
        ended = command(*args)
        assert ended.returncode == 0 and ended.stdout
        imported = {line.rsplit("|", 1)[-1].strip() for line in ended.stderr.splitlines()}
        assert ("tyro" in imported) == ("drrn.tuning.space" in imported) == ("tune" in args)
        assert not imported & {
            "torch",
            "numpy",
            "pyvips",
            "lightning_fabric",
            "PIL",
            "tensorboard",
            "matplotlib",
            "optuna",
        }


def test_the_package_is_lazy_and_complete() -> None:
    lazy = "import sys, drrn; assert not {'torch', 'numpy'} & set(sys.modules)"
    ended = command(code=f"{lazy}; print([getattr(drrn, name) for name in drrn.__all__])")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_a_terminated_upscale_leaves_no_file(here: Path) -> None:
    store.save(small_weights(width=64, units=9), here / "slow.safetensors")
    write(Image(pixels=np.random.default_rng(0).random((500, 500, 3), np.float32)), here / "large.png")
    before = sorted(here.iterdir())
    words = [
        sys.executable,
        "-m",
        "drrn",
        "upscale",
        "large.png",
        "-s",
        "4",
        "-m",
        "slow.safetensors",
        "--threads",
        "1",
    ]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None and "large_x4.png" in process.stderr.readline()  # it has begun
    time.sleep(0.2)
    process.terminate()
    _, printed = process.communicate(timeout=300)
    assert process.returncode == 143 and "Traceback" not in printed
    assert sorted(here.iterdir()) == before


@pytest.mark.slow
def test_a_second_signal_ends_at_once(here: Path) -> None:
    first = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        assert run("models", "list") == 0  # installs the signal handlers
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert {signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} == {signal.SIG_DFL}
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), first, strict=True):
            signal.signal(number, handler)
