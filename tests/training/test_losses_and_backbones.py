"""A training minimizes the configured loss, and resumes only with the same backbone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor

from drrn.errors import TrainingError, WeightsError
from drrn.network.losses import LOSSES, msssim
from drrn.training import checkpoint
from drrn.weights.store import load
from tests.small_vgg import small_vgg
from tests.training.small_training import QUICK, SMALL, make_images, read_outputs, train

STILL = replace(QUICK, epochs=1, epoch_steps=1, learning_rate=1e-12)
SHORT = replace(QUICK, epochs=2, epoch_steps=4)
PRECISIONS: tuple[Literal["32-true", "bf16-mixed"], ...] = ("32-true", "bf16-mixed")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture
def vgg(tmp_path: Path) -> Path:
    torch.save(small_vgg(), tmp_path / "vgg.pth")
    return tmp_path / "vgg.pth"


def test_a_weighted_sum_is_trained_and_validated(tmp_path: Path, data: Path, vgg: Path) -> None:
    losses = []
    for number, loss in enumerate(["l1", "msssim", "lpips", "l1+0.25*msssim+2*lpips"]):
        backbone = (vgg,) if "lpips" in loss else ()
        (row,), _ = train(tmp_path / str(number), data, replace(STILL, loss=loss), backbone=backbone)
        losses.append((row.train_loss, row.val_loss))
    for first, second, third, mixed in zip(*losses, strict=True):
        assert mixed == pytest.approx(first + 0.25 * second + 2 * third, rel=1e-5)
        assert min(first, second, third) > 0


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["msssim+l1", "l1+0.1*focal_frequency", "l1+0.1*vgg", "lpips+charbonnier"])
def test_interrupted_equals_uninterrupted(tmp_path: Path, data: Path, vgg: Path, loss: str) -> None:
    backbone = (vgg,) if "vgg" in loss or "lpips" in loss else ()
    how = replace(SHORT, loss=loss)
    train(tmp_path / "whole", data, how, backbone=backbone)
    for life in (3, 4):
        train(tmp_path / "parts", data, how, backbone=backbone, stop_after=life)
    history, _ = train(tmp_path / "parts", data, how, backbone=backbone)
    assert read_outputs(tmp_path / "parts") == read_outputs(tmp_path / "whole")
    assert history[1].train_loss < history[0].train_loss


def test_the_backbone_is_not_stored_in_any_file(tmp_path: Path, data: Path, vgg: Path) -> None:
    train(tmp_path / "run", data, replace(STILL, loss="vgg"), backbone=(vgg,))
    state, _ = checkpoint.load(tmp_path / "run")
    assert state and state["net"].keys() == SMALL.tensors().keys()
    assert load(tmp_path / "run/best.safetensors").config == SMALL


def test_losses_are_computed_in_single_precision(
    tmp_path: Path, data: Path, vgg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def look(sr: Tensor, hr: Tensor) -> Tensor:
        calls.append((sr.dtype, hr.dtype, torch.is_autocast_enabled("cpu")))
        return msssim(sr, hr)

    monkeypatch.setitem(LOSSES, "msssim", look)
    losses = []
    for precision in PRECISIONS:
        how = replace(STILL, loss="msssim+focal_frequency+0.01*vgg+lpips", precision=precision)
        (row,), _ = train(tmp_path / precision, data, how, replace(SMALL, channels=3), backbone=(vgg,))
        losses.append((row.train_loss, row.val_loss))
    assert losses[1] == pytest.approx(losses[0], rel=0.05) and losses[1] != losses[0]
    assert set(calls) == {(torch.float32, torch.float32, False)}


def test_images_are_not_rounded_in_mixed_precision(tmp_path: Path, data: Path) -> None:
    rows = []
    for precision in PRECISIONS:
        how = replace(STILL, leave_gain=0.0, precision=precision)  # bicubic is given back
        rows += train(tmp_path / precision, data, how)[0]
    assert rows[0] == rows[1]


def test_another_backbone_is_another_training(tmp_path: Path, data: Path, vgg: Path) -> None:
    how = replace(SHORT, loss="vgg")
    train(tmp_path / "run", data, how, backbone=(vgg,), stop_after=1)
    torch.save(small_vgg(seed=1), tmp_path / "other.pth")
    with pytest.raises(TrainingError, match=r"data\.backbone_sha256 = \w+, now it is \w+\. Give another --run"):
        train(tmp_path / "run", data, how, backbone=(tmp_path / "other.pth",))
    moved = vgg.rename(tmp_path / "moved.pth")
    train(tmp_path / "run", data, how, backbone=(moved,))


def test_a_run_older_than_backbones_resumes(tmp_path: Path, data: Path) -> None:
    train(tmp_path / "run", data, stop_after=2)
    config = tmp_path / "run/config.json"
    content = json.loads(config.read_text())
    assert content["train"]["loss"] == "mse" and content["data"].pop("backbone_sha256") is None
    config.write_text(json.dumps(content))
    assert len(train(tmp_path / "run", data)[0]) == QUICK.epochs


def test_a_run_older_than_the_choice_of_initialization_used_he(tmp_path: Path, data: Path) -> None:
    how = replace(QUICK, initial="he")
    train(tmp_path / "run", data, how, stop_after=2)
    config = tmp_path / "run/config.json"
    content = json.loads(config.read_text())
    assert content["train"].pop("initial") == "he" and content["train"].pop("centred") is False
    config.write_text(json.dumps(content))
    with pytest.raises(TrainingError, match=r"train\.initial = he, now it is glorot\."):
        train(tmp_path / "run", data, replace(QUICK, initial="glorot"))
    assert len(train(tmp_path / "run", data, how)[0]) == QUICK.epochs


def test_a_backbone_without_its_loss_or_the_reverse_is_refused(tmp_path: Path, data: Path, vgg: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(TrainingError, match=r"--loss l1\+vgg needs a backbone\. Give a VGG: --backbone vgg16\.pth\."):
        train(run, data, replace(STILL, loss="l1+vgg"))
    with pytest.raises(TrainingError, match=r"--loss mse needs no backbone\. Leave out --backbone, or use vgg or"):
        train(run, data, STILL, backbone=(vgg,))
    with pytest.raises(TrainingError, match=r"--loss lpips needs patches of at least 16 pixels\. Give a larger --pa"):
        train(run, data, replace(STILL, loss="lpips", patch=15), backbone=(vgg,))
    with pytest.raises(WeightsError, match=r"No file absent\.pth\. Give the backbone's"):
        train(run, data, replace(STILL, loss="lpips"), backbone=(Path("absent.pth"),))
    assert not run.exists()
