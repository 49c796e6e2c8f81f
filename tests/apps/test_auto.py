"""`drrn upscale --model auto`: the best model for each picture within the budget, and what is reported about it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drrn.apps.words import parse_duration
from drrn.errors import UsageError
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.upscaling.upscaler import Upscaler
from drrn.weights import store
from tests.command_line import run
from tests.small_weights import small_weights

SPEEDS = {"tiny": 1e6, "fast": 1e4, "best": 1e2}
"""Pixels per second."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two pictures, and three packaged models with known speeds."""
    (tmp_path / "packaged").mkdir()
    for seed, name in enumerate(SPEEDS):
        scores = [{"data": "Set5", "scale": 2, "psnr": 36.0 + seed, "ssim": 0.9}]
        weights = replace(small_weights(seed), card={"scores": scores, "protocol": "as usual"})
        store.save(weights, tmp_path / "packaged" / f"{name}.safetensors")
    monkeypatch.setattr(store, "PACKAGED", tmp_path / "packaged")
    monkeypatch.setattr(Upscaler, "speed", lambda self: SPEEDS[self.weights.name])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name, side in [("large.png", 50), ("small.png", 10)]:  # x2: 10,000 and 400 pixels
        pixels = np.random.default_rng(side).random((side, side, 3), np.float32)
        write(Image(pixels=pixels), tmp_path / "in" / name)
    return tmp_path


def upscale(*args: str, model: str = "auto") -> int:
    return run("upscale", *args, "--model", model, "--device", "cpu", "--threads", "1")


def reported(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {Path(line["source"]).stem: line for line in lines if "source" in line}


def test_each_picture_gets_the_best_model_within_the_budget(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upscale("in", "-o", "out", "--budget", "10s") == 0
    printed = capsys.readouterr().err
    assert "small_x2.png 20x20 · best: the best within the budget of 10 s · native (" in printed
    assert "large_x2.png 100x100 · fast: the best within the budget of 10 s · native (" in printed
    for name, model in [("small", "best"), ("large", "fast")]:
        assert upscale(f"in/{name}.png", "-o", "named.png", "--overwrite", model=model) == 0
        assert (here / "named.png").read_bytes() == (here / f"out/{name}_x2.png").read_bytes()


def test_a_model_over_the_budget_is_reported(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upscale("in/large.png", "--budget", "0.001") == 0
    assert " · tiny: 0.0 s expected, over the budget of 0.0 s · " in capsys.readouterr().err
    assert upscale("in/large.png", "--budget", "0.001", "--json", "--overwrite") == 0
    line = reported(capsys)["large"]
    assert (line["model"], line["budget_seconds"], line["within_budget"]) == ("tiny", 0.001, False)
    assert line["why"] == "tiny: 0.0 s expected, over the budget of 0.0 s"


def test_auto_alone_has_thirty_seconds(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upscale("in", "-o", "out", "--json", "--estimate") == 0
    lines = reported(capsys)
    assert [(lines[name]["model"], lines[name]["budget_seconds"]) for name in ("small", "large")] == [
        ("best", 30.0),
        ("fast", 30.0),
    ]
    assert not (here / "out").exists()
    assert upscale("in", "-o", "out", "--budget", "2m", "--json", "--estimate") == 0
    assert reported(capsys)["large"]["model"] == "best"


def test_a_named_model_reports_no_budget(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upscale("in/small.png", "--json", model="tiny") == 0
    line = reported(capsys)["small"]
    assert line["model"] == "tiny" and not {"budget_seconds", "within_budget", "why"} & set(line)


def test_a_second_run_does_nothing_whatever_the_speed_is_then(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("in", "-o", "out", "--budget", "10", "--json")
    assert upscale(*command) == 0
    assert {name: line["model"] for name, line in reported(capsys).items()} == {"small": "best", "large": "fast"}
    monkeypatch.setattr(Upscaler, "speed", lambda self: SPEEDS[self.weights.name] / 50)
    assert upscale(*command) == 0
    assert all(line["unchanged"] for line in reported(capsys).values())
    (here / "out/small_x2.png").unlink()  # a missing result is chosen again
    assert upscale(*command) == 0
    lines = reported(capsys)
    assert lines["large"]["unchanged"] and lines["small"]["model"] == "fast"


def test_another_budget_or_another_package_makes_what_is_there_stale(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert upscale("in", "-o", "out", "--budget", "10") == 0
    capsys.readouterr()
    assert upscale("in", "-o", "out", "--budget", "300", "--json") == 0
    assert {name: line["model"] for name, line in reported(capsys).items()} == {"small": "best", "large": "best"}
    store.save(replace(small_weights(7), card=store.load("best").card), here / "packaged" / "best.safetensors")
    assert upscale("in", "-o", "out", "--budget", "300", "--json") == 0
    assert {name: line["model"] for name, line in reported(capsys).items()} == {"small": "best", "large": "best"}


def test_several_at_once_make_the_same_bytes(here: Path) -> None:
    assert upscale("in", "-o", "one", "--budget", "10") == 0
    assert upscale("in", "-o", "two", "--budget", "10", "--jobs", "2") == 0
    for name in ("small_x2.png", "large_x2.png"):
        assert (here / "one" / name).read_bytes() == (here / "two" / name).read_bytes()


def test_a_scale_outside_the_training_range_is_reported(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upscale("in/small.png", "-s", "1.5", model="tiny") == 0
    assert "15x15 · x1.5 is outside of what tiny was trained for (x2 to x4) · native (" in capsys.readouterr().err
    for scale, expected in [("1.6", True), ("2", False)]:
        assert upscale("in/small.png", "-s", scale, "--json", model="fast") == 0
        assert reported(capsys)["small"]["outside_trained_scales"] is expected


@pytest.mark.parametrize(
    ("args", "model", "message"),
    [
        (["--budget", "30s"], "tiny", "--budget only works with --model auto."),
        (["--units", "2"], "auto", "--units needs a named model"),
        (["--budget", "soon"], "auto", "A time is written 90, 30s, 2m or 1.5h, got 'soon'."),
    ],
)
def test_invalid_options_are_refused_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], args: list[str], model: str, message: str
) -> None:
    assert upscale("in/small.png", *args, model=model) == 2
    printed = capsys.readouterr().err
    assert message in printed and len(printed.splitlines()) == 1
    assert not (here / "in/small_x2.png").exists()


def test_times_are_read_in_seconds_minutes_and_hours() -> None:
    durations = {"90": 90, "30s": 30, "2m": 120, "2 min": 120, "1.5h": 5400, "0.5": 0.5}
    assert {text: parse_duration(text) for text in durations} == durations
    for text in ("", "0", "0s", "-1", "1d", "s", "1e3", "nan", "٣"):
        with pytest.raises(UsageError, match="A time is written"):
            parse_duration(text)
