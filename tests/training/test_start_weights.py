"""A training can start from trained weights, and records them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drrn.core.config import DRRNConfig
from drrn.errors import TrainingError, WeightsError
from drrn.weights import store
from tests.small_weights import small_weights
from tests.training.small_training import QUICK, SMALL, make_images, read_outputs, train

STILL = replace(QUICK, epochs=1, epoch_steps=1, learning_rate=1e-12)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    path = tmp_path / "start.safetensors"
    weights = small_weights(width=4)
    store.save(replace(weights, card={"commit": "earlier"}), path)
    return path


def test_a_training_starts_from_given_weights_and_their_model(tmp_path: Path, start: Path) -> None:
    data = make_images(tmp_path / "pictures")
    train(tmp_path / "run", data, STILL, DRRNConfig(), start=str(start))
    found, initial = store.load(tmp_path / "run/best.safetensors"), store.load(start)
    assert found.config == initial.config
    for name, tensor in initial.tensors.items():
        assert np.allclose(found.tensors[name], tensor, atol=1e-6)
    assert found.card["start"] == {"commit": "earlier"}
    train(tmp_path / "other", data, STILL)
    other = store.load(tmp_path / "other/best.safetensors")
    assert "start" not in other.card
    assert not all(np.allclose(other.tensors[name], tensor, atol=1e-6) for name, tensor in initial.tensors.items())


def test_a_resumed_training_does_not_load_start_weights_again(tmp_path: Path, start: Path) -> None:
    data, how = make_images(tmp_path / "pictures"), replace(QUICK, epochs=2, epoch_steps=4)
    train(tmp_path / "whole", data, how, start=str(start))
    train(tmp_path / "parts", data, how, stop_after=6, start=str(start))
    train(tmp_path / "parts", data, how, start=str(start))
    assert read_outputs(tmp_path / "whole") == read_outputs(tmp_path / "parts")


def test_another_start_is_another_training(tmp_path: Path, start: Path) -> None:
    data = make_images(tmp_path / "pictures")
    train(tmp_path / "run", data, STILL, start=str(start))
    with pytest.raises(TrainingError, match="start_sha256"):
        train(tmp_path / "run", data, STILL)


def test_weights_of_another_model_are_refused(tmp_path: Path, start: Path) -> None:
    data = make_images(tmp_path / "pictures")
    with pytest.raises(TrainingError, match=r"of another model, with width = 4\. Leave out"):
        train(tmp_path / "run", data, STILL, replace(SMALL, width=8), start=str(start))
    with pytest.raises(WeightsError, match="No weights named 'absent'"):
        train(tmp_path / "run", data, STILL, start="absent")
    assert not (tmp_path / "run").exists()


def test_start_weights_with_another_unshuffle_keep_all_but_the_ends(tmp_path: Path, start: Path) -> None:
    data = make_images(tmp_path / "pictures")
    model = replace(store.load(start).config, unshuffle=2)
    train(tmp_path / "run", data, STILL, model, start=str(start))
    found, initial = store.load(tmp_path / "run/best.safetensors"), store.load(start)
    assert found.config == model
    trunk = [name for name in initial.tensors if not name.startswith(("blocks.0.enter", "leave"))]
    assert trunk
    for name in trunk:
        assert np.allclose(found.tensors[name], initial.tensors[name], atol=1e-6)
