"""A training can learn from the results of trained weights instead of the originals."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from drrn.core.color import levels
from drrn.core.config import DRRNConfig
from drrn.data.pairs import read_levels
from drrn.errors import DataError, EngineError, TrainingError, WeightsError
from drrn.media.image import Image
from drrn.media.images.files import read, write
from drrn.training.teachers import teach_by_files, teach_by_weights
from drrn.upscaling.upscaler import Upscaler
from drrn.weights import store
from tests.small_weights import small_weights
from tests.training.small_training import QUICK, SMALL, ProgressLog, make_images, read_outputs, train

STILL = replace(QUICK, epochs=1, patch=40, stride=40, batch_size=5, learning_rate=1e-12)
"""A single step on whole images, as the teacher saw them."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_images(tmp_path / "pictures", width=40)


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    path = tmp_path / "teacher.safetensors"
    store.save(small_weights(width=4, gain=0.2), path)
    return path


def test_the_teachers_results_are_learned(tmp_path: Path, data: Path, teacher: Path) -> None:
    (alone,), _ = train(tmp_path / "alone", data, STILL, DRRNConfig(), start=str(teacher))
    (taught,), log = train(tmp_path / "taught", data, STILL, DRRNConfig(), start=str(teacher), teacher=(str(teacher),))
    assert taught.train_loss < alone.train_loss / 100, "what it makes itself, rounded and clipped"
    assert taught.val_loss == alone.val_loss, "validation stays with the originals"
    assert log.enlarged == [(number, 5) for number in range(1, 6)]


def test_given_pairs_can_have_a_teacher(tmp_path: Path, data: Path, teacher: Path) -> None:
    lr = make_images(tmp_path / "lr", height=20, width=20)
    learn = partial(train, data=data, how=STILL, model=DRRNConfig(), start=str(teacher), lr_data=lr)
    ((alone,), _), ((taught,), _) = learn(tmp_path / "alone"), learn(tmp_path / "taught", teacher=(str(teacher),))
    assert taught.train_loss < alone.train_loss / 100


def test_a_resumed_distillation_ends_in_the_same_bytes(tmp_path: Path, data: Path, teacher: Path) -> None:
    how = replace(QUICK, epochs=2, epoch_steps=4)
    train(tmp_path / "whole", data, how, teacher=(str(teacher),))
    train(tmp_path / "parts", data, how, stop_after=6, teacher=(str(teacher),))
    train(tmp_path / "parts", data, how, teacher=(str(teacher),))
    assert read_outputs(tmp_path / "whole") == read_outputs(tmp_path / "parts")
    train(tmp_path / "alone", data, how)
    alone, taught = (store.load(tmp_path / run / "best.safetensors") for run in ("alone", "whole"))
    assert not all(np.array_equal(alone.tensors[name], taught.tensors[name]) for name in alone.tensors)


def test_another_teacher_is_another_training(tmp_path: Path, data: Path, teacher: Path) -> None:
    train(tmp_path / "run", data, STILL, teacher=(str(teacher),))
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["data"]["teacher_sha256"] == store.load(teacher).digest()
    store.save(small_weights(seed=1, width=4, gain=0.2), teacher)
    for another in (str(teacher), None):
        with pytest.raises(TrainingError, match="teacher_sha256"):
            train(tmp_path / "run", data, STILL, teacher=(another,) if another else ())


def test_a_stop_during_teaching_ends_the_training(
    tmp_path: Path, data: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProgressLog, "should_stop", lambda self: len(self.enlarged) >= 2)
    history, log = train(tmp_path / "run", data, STILL, teacher=(str(teacher),))
    assert (history, log.steps, len(log.enlarged)) == ([], 0, 2)
    monkeypatch.undo()
    assert len(train(tmp_path / "run", data, STILL, teacher=(str(teacher),))[0]) == 1


def test_an_rgb_teachers_target_equals_drrn_upscale() -> None:
    weights = small_weights(channels=3, gain=0.2)
    lr = np.random.default_rng(0).random((3, 7, 9), np.float32)
    for planes in (lr, np.repeat(lr[:1], 3, axis=0)):  # a gray one stays gray
        original = np.zeros((3, 14, 18), np.uint8)
        target = teach_by_weights(weights, "cpu", 1)(Path("a.png"), planes, 2, original)
        picture = Image(pixels=planes.transpose(1, 2, 0))
        larger = Upscaler(weights, device="cpu").upscale(picture, 2).pixels.transpose(2, 0, 1)
        assert np.array_equal(target, levels(larger))


def test_a_teacher_with_non_finite_results_is_an_error(tmp_path: Path, data: Path, teacher: Path) -> None:
    store.save(small_weights(width=4, gain=1e30), teacher)
    with pytest.raises(EngineError):
        train(tmp_path / "run", data, STILL, teacher=(str(teacher),))


def test_an_unsuitable_teacher_is_refused(tmp_path: Path, data: Path, teacher: Path) -> None:
    with pytest.raises(TrainingError, match=r"channels = 1 and can't teach a model with channels = 3\. Give another"):
        train(tmp_path / "run", data, STILL, replace(SMALL, channels=3), teacher=(str(teacher),))
    with pytest.raises(TrainingError, match=r"x5 is outside of what teacher was trained for \(.*\), so it can't teach"):
        train(tmp_path / "run", data, replace(STILL, scales=(2, 5)), teacher=(str(teacher),))
    with pytest.raises(WeightsError, match="No weights named 'absent'"):
        train(tmp_path / "run", data, STILL, teacher=("absent",))
    assert not (tmp_path / "run").exists()
    lr = make_images(tmp_path / "lr", height=8, width=8)
    with pytest.raises(TrainingError, match=r"x5 is outside .* Give another --teacher, or other scales\."):
        train(tmp_path / "run", data, STILL, teacher=(str(teacher),), lr_data=lr)


# --- targets on disk ---


@pytest.fixture
def taught(tmp_path: Path, data: Path) -> Path:
    """Targets for scale 2: the originals, flipped upside down."""
    folder = tmp_path / "taught"
    (folder / "x2/pictures").mkdir(parents=True)
    for path in data.iterdir():
        turned = replace(read(path), pixels=read(path).pixels[::-1].copy())
        write(turned, folder / f"x2/pictures/{path.stem}.webp")
    return folder


def test_targets_on_disk_are_learned_and_validation_stays_with_the_originals(
    tmp_path: Path, data: Path, taught: Path
) -> None:
    (alone,), _ = train(tmp_path / "alone", data, STILL)
    (turned,), _ = train(tmp_path / "turned", data, STILL, teacher_data=taught)
    assert turned.train_loss > 1.3 * alone.train_loss, "bicubic is far from a picture upside down"
    assert turned.val_loss == alone.val_loss


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_a_gray_target_is_used_as_luma(tmp_path: Path, data: Path, suffix: str) -> None:
    """WebP keeps gray as three equal colors."""
    (tmp_path / "taught/x2").mkdir(parents=True)
    path = data / "0.png"
    wanted = read_levels(path, 1)
    write(Image.from_array(wanted[0][..., None]), tmp_path / f"taught/x2/0{suffix}")
    teach = teach_by_files(tmp_path / "taught", (2,), 1)
    assert np.array_equal(teach(path, np.zeros((1, 20, 20), np.float32), 2, np.zeros_like(wanted)), wanted)


def test_a_scale_without_targets_learns_from_the_originals(tmp_path: Path, data: Path, taught: Path) -> None:
    how = replace(STILL, scales=(3,), patch=39, stride=39)
    (taught / "x2").rename(taught / "x3")
    with pytest.raises(DataError, match=r"is 40x40\. Expected 39x39: .*\.png, cropped to a multiple of 3\.$"):
        train(tmp_path / "run", data, how, teacher_data=taught)
    (taught / "x3").rename(taught / "x2")
    both = replace(how, scales=(2, 3), patch=36, stride=36)
    (targets_of_2,), log = train(tmp_path / "both", data, both, teacher_data=taught)
    assert f"no targets for x3 in {taught}: these learn from the originals" in log.notes
    originals = train(tmp_path / "neither", data, both)[0][0]
    assert targets_of_2.train_loss > originals.train_loss


def test_missing_targets_are_named(tmp_path: Path, data: Path, taught: Path) -> None:
    for target in (taught / "x2/pictures").iterdir():
        target.unlink()
    with pytest.raises(DataError, match=r"No target for .*(\d)\.png in .*x2\. Expected .*x2/pictures/\1\.webp\.$"):
        train(tmp_path / "run", data, STILL, teacher_data=taught)
    with pytest.raises(DataError, match=r"holds no targets for these scales\. Expected folders x4 in it\.$"):
        train(tmp_path / "run", data, replace(STILL, scales=(4,)), teacher_data=taught)
    with pytest.raises(TrainingError, match=r"--teacher and --teacher-data are two teachers\. Give one of them\.$"):
        train(tmp_path / "run", data, STILL, teacher_data=taught, teacher=("small",))


def test_other_targets_are_another_training(tmp_path: Path, data: Path, taught: Path) -> None:
    train(tmp_path / "run", data, STILL, teacher_data=taught)
    (taught / "x2/pictures/0.webp").write_bytes((taught / "x2/pictures/1.webp").read_bytes())
    with pytest.raises(TrainingError, match="teacher_data_sha256"):
        train(tmp_path / "run", data, STILL, teacher_data=taught)
