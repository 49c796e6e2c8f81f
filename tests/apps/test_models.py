"""From a trained model to a packaged one with its card, on the command line."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drrn.apps import cli
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.weights import store
from drrn.weights.store import Weights
from tests.small_weights import small_weights


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    pixels = np.random.default_rng(0).random((8, 8, 3), np.float32).repeat(5, axis=0).repeat(5, axis=1)
    write(Image(pixels=pixels), tmp_path / "set/a.png")
    store.save(small_weights(), tmp_path / "best.safetensors")
    store.save(small_weights(1), tmp_path / "other.safetensors")
    return tmp_path


def models(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["models", *args])
    return int(ended.value.code or 0)


def test_a_model_is_judged_packed_shown_and_listed(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert models("judge", "best.safetensors", "--data", "set", "-o", "judged.json", "--threads", "1") == 0
    assert "judged.json: " in capsys.readouterr().out
    (here / "packaged").mkdir()
    packed = "packaged/mine.safetensors"
    assert models("pack", "best.safetensors", "--judged", "judged.json", "-o", packed) == 0
    assert store.load(packed).digest() == store.load("best.safetensors").digest()
    assert models("pack", packed, "--judged", "judged.json", "-o", "again.safetensors") == 0
    assert store.load("again.safetensors").card == store.load(packed).card
    capsys.readouterr()
    assert models("show", packed, "--markdown", "--plot", "mine.png") == 0
    page = capsys.readouterr().out
    assert page.startswith("# mine\n") and page.endswith("\n") and not page.endswith("\n\n")
    assert "(mine.png)" in page and (here / "mine.png").exists()
    monkeypatch.setattr(store, "PACKAGED", here / "packaged")
    assert models("list") == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.startswith("model ") and line.startswith("mine ")
    assert models("list", "--json", "--markdown", "table.md") == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["name"] == "mine" and entry["seconds_per_megapixel"] > 0
    assert "| mine | x2, x3, x4 | B1U2, width 8, unshuffle 1 |" in (here / "table.md").read_text()


def test_what_was_measured_of_another_network_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert models("judge", "best.safetensors", "--data", "set", "-o", "judged.json", "--threads", "1") == 0
    (here / "none.json").write_text("[]")
    capsys.readouterr()
    for judged, model, message in [
        ("judged.json", "other.safetensors", "judged.json is of another network than other.safetensors."),
        ("none.json", "best.safetensors", "none.json is no file of `drrn models judge`: "),
        ("absent.json", "best.safetensors", "absent.json is no file of `drrn models judge`: "),
    ]:
        assert models("pack", model, "--judged", judged, "-o", "x.safetensors") == 2
        said = capsys.readouterr().err
        assert message in said and len(said.splitlines()) == 1
        assert not (here / "x.safetensors").exists()


def test_what_can_t_be_judged_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert models("judge", "best.safetensors", "--data", "absent", "-o", "judged.json") == 2
    assert "No folder absent." in capsys.readouterr().err
    assert models("show", "best.safetensors", "--plot", "mine.png") == 2
    assert "has no curve" in capsys.readouterr().err
    assert not (here / "judged.json").exists() and not (here / "mine.png").exists()


# --- networks for exact scales ---


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
    assert "exactly 3 times as large have a network of their own: 1 block(s) of 2 units, width 8" in page
    assert "## Command of the network for x2\n\n```\ntrain x2\n```" in page


@pytest.mark.parametrize(
    ("exact", "message"),
    [
        (["other.safetensors"], "other.safetensors was trained for x2, x3, x4. Give networks for x2, x3 or x4 alone."),
        (["x2.safetensors", "x2.safetensors"], "Two networks are for one scale. Give one for each."),
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
