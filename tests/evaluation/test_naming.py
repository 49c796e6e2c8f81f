"""Models and sets that share a name are listed by their paths."""

import json
from pathlib import Path

import numpy as np
import pytest

from drrn.errors import UsageError
from drrn.evaluation.naming import distinct_names
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.weights import store
from tests.command_line import run
from tests.small_weights import small_weights


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with weights a/best, b/best and bicubic, and pictures in x/val and y/val."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(["a/best", "b/best", "bicubic"]):
        path = tmp_path / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        store.save(small_weights(seed, width=4), path)
    rng = np.random.default_rng(0)
    for folder in (tmp_path / "x/val", tmp_path / "y/val"):
        folder.mkdir(parents=True)
        write(Image(pixels=rng.random((24, 26, 1), np.float32)), folder / "0.png")
    return tmp_path


MODELS = ["a/best.safetensors", "b/best.safetensors", "bicubic.safetensors"]


def test_only_names_that_clash_become_paths() -> None:
    assert distinct_names(["tiny", "runs/best.safetensors"], ["tiny", "best"], {"bicubic"}) == ["tiny", "best"]
    assert distinct_names(["a/x", "b/x", "c/y"], ["x", "x", "y"]) == ["a/x", "b/x", "y"]
    assert distinct_names(["mine/bicubic"], ["bicubic"], {"bicubic"}) == ["mine/bicubic"]
    with pytest.raises(UsageError, match=r"^a/x is given twice\. Give each once\.$"):
        distinct_names(["a/x", "a/x"], ["x", "x"])


def test_models_with_the_same_name_have_separate_rows(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--json", "scores.json", "--markdown", "table.md"]
    assert run("evaluate", *MODELS, "--data", "x/val", "--scales", "2", "--device", "cpu", *files) == 0
    shown = capsys.readouterr().out
    rows = json.loads(Path("scores.json").read_text())
    assert [row["model"] for row in rows] == ["bicubic", *MODELS]
    assert len({row["psnr"] for row in rows}) == 4
    for row in rows:
        score = f"{row['psnr']:.2f} / {row['ssim']:.4f}"
        assert f"| {row['model']} | {score} |" in Path("table.md").read_text()
        assert f"{row['model']} " in shown and score in shown


def test_sets_with_the_same_name_have_separate_tables(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "a/best.safetensors", "--scales", "2", "--device", "cpu", "--json", "scores.json", "--data"]
    assert run(*words, "x/val", "y/val") == 0
    rows = json.loads(Path("scores.json").read_text())
    assert [(row["data"], row["model"]) for row in rows] == [
        (data, model) for data in ("x/val", "y/val") for model in ("bicubic", "best")
    ]
    assert run(*words, "x/val", "x/val") == 2
    assert "drrn: x/val is given twice. Give each once." in capsys.readouterr().err


def test_the_same_known_set_twice_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("drrn.evaluation.published.recognize", lambda *_: "Set5")
    assert run("evaluate", "a/best.safetensors", "--scales", "2", "--device", "cpu", "--data", "x/val", "y/val") == 2
    assert "drrn: x/val and y/val would both be named Set5." in capsys.readouterr().err


def test_compared_models_with_the_same_name_have_separate_columns(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("compare", "x/val/0.png", "--models", *MODELS, "-s", "2", "-o", "c.png", "--device", "cpu") == 0
    captions = capsys.readouterr().out.partition(": ")[2].split(" | ")
    assert [caption.split()[0] for caption in captions] == ["bicubic", *MODELS, "original"]
