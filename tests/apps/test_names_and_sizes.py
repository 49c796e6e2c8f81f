"""Names, formats and sizes of results, and --quiet: the options of `drrn upscale` for these."""

import json
from pathlib import Path

import numpy as np
import pytest

from drrn.errors import UsageError
from drrn.media.image import Image
from drrn.media.images.files import probe, write
from drrn.upscaling.batch.naming import Fit, parse_size
from drrn.weights import store
from tests.command_line import run
from tests.small_weights import small_weights


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a wide and a tall picture and a model, where the command runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    write(Image(pixels=rng.random((12, 16, 3), np.float32)), tmp_path / "in" / "wide.png")
    write(Image(pixels=rng.random((16, 12, 3), np.float32)), tmp_path / "in" / "tall.png")
    store.save(small_weights(), tmp_path / "tiny.safetensors")
    return tmp_path


def upscale(*args: str) -> int:
    return run("upscale", *args, "--model", "tiny.safetensors", "--device", "cpu")


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: probe(path)[1:3] for path in folder.iterdir() if path.suffix != ".sqlite"}


@pytest.mark.parametrize(
    ("options", "results"),
    [
        (["--format", "webp"], {"wide_x2.webp": (32, 24), "tall_x2.webp": (24, 32)}),
        (["--format", ".tif", "--name", "{stem}"], {"wide.tif": (32, 24), "tall.tif": (24, 32)}),
        (["--name", "{stem}"], {"wide.png": (32, 24), "tall.png": (24, 32)}),
        (
            ["--name", "{width}-{height}_{stem}@{scale}", "-s", "1.5"],
            {"24-18_wide@1.5.png": (24, 18), "18-24_tall@1.5.png": (18, 24)},
        ),
        (["--size", "40"], {"wide_40x30.png": (40, 30), "tall_30x40.png": (30, 40)}),
        (["--size", "30x"], {"wide_30x23.png": (30, 23), "tall_30x40.png": (30, 40)}),
        (["--size", "30x30+"], {"wide_40x30.png": (40, 30), "tall_30x40.png": (30, 40)}),
        (["--size", "32x", "--name", "{stem}_x{scale}"], {"wide_x2.png": (32, 24), "tall_x2.667.png": (32, 43)}),
    ],
)
def test_a_folder_gets_names_formats_and_sizes(
    here: Path, options: list[str], results: dict[str, tuple[int, int]]
) -> None:
    assert upscale("in", "-o", "out", *options) == 0
    assert sizes(here / "out") == results


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        (["--name", "{step}"], "A --name is text with {stem}, {scale}, {width}, {height}, without a folder"),
        (["--name", "../{stem}"], "without a folder, got '../{stem}'"),
        (["--name", ""], "A --name is text"),
        (["--name", "{stem}"], "would overwrite itself"),
        (["--format", "xyz"], "wide_x2.xyz can't be written"),
        (["--format", "a/b"], "A --format is a suffix"),
        (["-o", "large.png", "--format", "webp"], "large.png names a file"),
        (["-o", "-", "--format", "webp"], "--name and --format do not work with -"),
        (["--size", "12"], "is not an enlargement of 16x12"),
        (["--quiet", "--json"], "--quiet prints no results"),
    ],
)
def test_invalid_names_and_sizes_are_refused_in_one_line(
    here: Path, options: list[str], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert upscale("in/wide.png", *options) == 2
    error = capsys.readouterr().err
    assert answer in error and error.count("\n") == 1
    assert set(sizes(here / "in")) == {"wide.png", "tall.png"}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4000", Fit(4000)),
        ("1920x1080+", Fit(1920, 1080)),
        ("1920x1080", (1920, 1080)),
        ("2000X", (2000, None)),
        ("x1000", (None, 1000)),
    ],
)
def test_a_size_can_be_written_in_five_ways(text: str, size: object) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "0", "0x5", "5x0+", "5+", "5x+", "x5+", "-5", "5x5x5", "5.5", "\u0665"])
def test_other_forms_of_size_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="A size is written"):
        parse_size(text)


@pytest.mark.parametrize("width", range(1, 60, 7))
@pytest.mark.parametrize("height", range(1, 60, 7))
def test_a_minimum_size_is_met_exactly_on_one_side(width: int, height: int) -> None:
    from drrn.upscaling.size import target_size

    wanted = Fit(7 * width // 2 + 1, 3 * height + 1)
    try:
        found = target_size(width, height, None, wanted.size(width, height))
    except UsageError:
        pytest.skip("beyond a scale of 8")
    assert found[0] >= wanted.width and found[1] >= (wanted.height or 0)
    assert found[0] == wanted.width or found[1] == wanted.height


def test_quiet_prints_only_failures(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upscale("in", "-o", "out", "-q") == 0
    assert capsys.readouterr() == ("", "")
    (here / "in" / "bad.png").write_text("no image")
    assert upscale("in", "-o", "out", "--quiet") == 3
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("drrn: ") and "bad.png" in printed.err
    assert "1 of 3 pictures failed." in printed.err


def test_a_second_run_with_the_same_name_does_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = ["in", "-o", "out", "--name", "{stem}", "--format", "webp", "--json"]
    assert upscale(*again) == 0
    capsys.readouterr()
    assert upscale(*again) == 0
    *_, totals = map(json.loads, capsys.readouterr().out.splitlines())
    assert (totals["done"], totals["unchanged"]) == (0, 2)
