"""`drrn models join`: networks for whole scales in one file."""

from dataclasses import replace
from pathlib import Path

import pytest

from drrn.weights import store
from drrn.weights.store import Weights
from tests.command_line import run
from tests.small_weights import small_weights


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    store.save(small_weights(1), tmp_path / "other.safetensors")
    return tmp_path


def models(*args: str) -> int:
    return run("models", *args)


def alone(scale: int) -> Weights:
    return replace(small_weights(scale, unshuffle=scale), scales=(scale,), card={"command": f"train x{scale}"})


def test_networks_for_whole_scales_are_joined_and_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for scale in (2, 3, 4):
        store.save(alone(scale), here / f"x{scale}.safetensors")
    assert models("join", *(f"x{scale}.safetensors" for scale in (3, 2, 4)), "-o", "joined.safetensors") == 0
    joined = store.load("joined.safetensors")
    assert replace(joined, larger={}).digest() == alone(2).digest() and joined.all_scales == (2, 3, 4)
    assert {scale: each.digest() for scale, each in joined.larger.items()} == {s: alone(s).digest() for s in (3, 4)}
    capsys.readouterr()
    assert models("show", "joined.safetensors", "--markdown") == 0
    page = capsys.readouterr().out
    assert "Above x2, another network is used: 1 block of 2 units, width 8" in page
    assert "Trained for x2, x3, x4. Other scales are resized from the result for the next larger of these" in page
    assert "## Command of the network for x3\n\n```\ntrain x3\n```" in page


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (
            ["x2.safetensors", "other.safetensors"],
            "other.safetensors was trained for x2, x3, x4. Give networks for x2, x3 or x4 only.",
        ),
        (["x2.safetensors", "x2.safetensors"], "Give two or three networks, each for another scale."),
        (["x2.safetensors"], "Give two or three networks, each for another scale."),
        (["x2.safetensors", "rgb.safetensors"], "its network for x3 has other channels or units."),
    ],
)
def test_networks_that_do_not_fit_together_are_not_joined(
    here: Path, capsys: pytest.CaptureFixture[str], networks: list[str], message: str
) -> None:
    store.save(alone(2), here / "x2.safetensors")
    store.save(replace(small_weights(channels=3), scales=(3,)), here / "rgb.safetensors")
    assert models("join", *networks, "-o", "joined.safetensors") == 2
    assert message in capsys.readouterr().err
    assert not (here / "joined.safetensors").exists()
