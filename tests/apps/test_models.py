"""`drrn models join`: networks for exact scales in one file."""

from dataclasses import replace
from pathlib import Path

import pytest

from drrn.apps import cli
from drrn.weights import store
from drrn.weights.store import Weights
from tests.small_weights import small_weights


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    store.save(small_weights(), tmp_path / "best.safetensors")
    store.save(small_weights(1), tmp_path / "other.safetensors")
    return tmp_path


def models(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["models", *args])
    return int(ended.value.code or 0)


def alone(scale: int) -> Weights:
    return replace(small_weights(scale, unshuffle=scale), scales=(scale,), card={"command": f"train x{scale}"})


def test_networks_for_exact_scales_are_joined_and_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for scale in (2, 3):
        store.save(alone(scale), here / f"x{scale}.safetensors")
    exact = ("--exact", "x2.safetensors", "x3.safetensors")
    assert models("join", "best.safetensors", *exact, "-o", "joined.safetensors") == 0
    joined = store.load("joined.safetensors")
    assert {scale: each.digest() for scale, each in joined.exact.items()} == {s: alone(s).digest() for s in (2, 3)}
    capsys.readouterr()
    assert models("show", "joined.safetensors", "--markdown") == 0
    page = capsys.readouterr().out
    assert "Images enlarged by exactly 3 have their own network: 1 block(s) of 2 units, width 8" in page
    assert "## Command of the network for x2\n\n```\ntrain x2\n```" in page


@pytest.mark.parametrize(
    ("exact", "message"),
    [
        (["other.safetensors"], "other.safetensors was trained for x2, x3, x4. Give networks for x2, x3 or x4 only."),
        (["x2.safetensors", "x2.safetensors"], "Two networks are for the same scale. Give one per scale."),
        (["rgb.safetensors"], "its network for x2 has other channels or units."),
    ],
)
def test_networks_that_do_not_fit_together_are_not_joined(
    here: Path, capsys: pytest.CaptureFixture[str], exact: list[str], message: str
) -> None:
    store.save(alone(2), here / "x2.safetensors")
    store.save(replace(small_weights(channels=3), scales=(2,)), here / "rgb.safetensors")
    assert models("join", "best.safetensors", "--exact", *exact, "-o", "joined.safetensors") == 2
    assert message in capsys.readouterr().err
    assert not (here / "joined.safetensors").exists()
