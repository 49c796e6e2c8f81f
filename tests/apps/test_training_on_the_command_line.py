"""Without a terminal, `drrn train` prints its steps, the expected time and the PSNR of bicubic."""

import re
from pathlib import Path

import pytest

from drrn.apps import progress
from drrn.weights import store
from tests.command_line import run
from tests.small_weights import small_weights
from tests.training.small_training import make_images

OPTIONS = [
    *("train", "--data", "pictures", "--run", "run", "--scales", "2", "--patch", "16", "--stride", "8"),
    *("--batch-size", "8", "--device", "cpu", "--threads", "1", "--sheet-every", "0"),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_images(tmp_path / "pictures")
    return tmp_path


def train(*words: str) -> int:
    return run(*OPTIONS, *words)


def test_images_patches_and_steps_are_printed_and_one_line_per_epoch(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--epochs", "2", "--width", "4", "--units", "1") == 0
    first, second, *epochs = capsys.readouterr().err.splitlines()
    assert first == "5 pictures to learn from, 1 to validate on, in run"
    pattern = (
        r"100 patches of 16x16, 12 steps of 8 patches per epoch, at most 2 epochs; bicubic has (\d+\.\d+) dB on .*"
    )
    reported = re.fullmatch(pattern, second)
    assert reported, second
    assert len(epochs) == 2 and all(f" dB (bicubic {reported[1]})" in line for line in epochs)
    assert re.search(r"about \d.* left$", epochs[0]) and " left" not in epochs[1]
    assert train("--epochs", "3", "--width", "4", "--units", "1") == 0
    _, second, *epochs = capsys.readouterr().err.splitlines()
    assert "at most 3 epochs, 2 of them done" in second and len(epochs) == 1


def test_the_expected_time_is_printed_during_the_first_epoch(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EXPECT_SECONDS", 0.0)
    assert train("--epochs", "1", "--width", "4", "--units", "1") == 0
    *_, expected, _ = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"about \d.* per epoch, \d.* until the end", expected)


def test_the_expected_time_of_a_teacher_is_printed_once(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EXPECT_SECONDS", 0.0)
    assert train("--epochs", "1", "--width", "4", "--units", "1", "--teacher", "tiny") == 0
    reported = [line for line in capsys.readouterr().err.splitlines() if line.startswith("the teacher")]
    assert len(reported) == 1 and re.fullmatch(r"the teacher has enlarged 2 of 5, about \d.* left", reported[0])


def test_bicubic_is_measured_on_the_same_patches_as_the_network(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.save(small_weights(gain=0.0, bias=False), here / "nothing.safetensors")  # it returns bicubic unchanged
    assert train("--start", "nothing.safetensors", "--learning-rate", "1e-30", "--epochs", "1") == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    reported = re.search(r"PSNR (.*) dB \(bicubic (.*)\)", line)
    assert reported and reported[1] == reported[2]


def test_images_smaller_than_a_patch_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, path in enumerate(make_images(here / "low", count=12, height=12).iterdir()):
        path.rename(here / "pictures" / f"low {number}.png")
    assert train("--epochs", "1", "--width", "4", "--units", "1", "--validation-data", "pictures") == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out")]
    assert line.startswith("left out, smaller than a 16x16 patch: low ") and line.endswith(" and 2 more")
