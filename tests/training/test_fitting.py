"""The loop: it learns, validates on held-out images, stops when it should, and never saves non-finite values."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from drrn.data.pairs import make_pairs, pictures_in, split, unit
from drrn.data.patches import Pool, Sampler, cut
from drrn.errors import TrainingError
from drrn.network.losses import LOSSES
from drrn.network.model import DRRN
from drrn.training import checkpoint, fit, validation
from drrn.training.config import MODERN, TrainConfig
from drrn.training.fit import draw_units
from drrn.training.logging import Epoch, best_epoch, has_stalled
from drrn.training.state import TrainState
from drrn.training.validation import batch_metrics, to_scores
from drrn.weights.store import load
from tests.training.small_training import QUICK, SMALL, make_images, train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("data") / "pictures")


def epochs(losses: Sequence[float]) -> list[Epoch]:
    return [Epoch(number, 0.1, 1, 1, 1, loss, 1, 1) for number, loss in enumerate(losses)]


def all_finite(value: Any) -> bool:
    match value:
        case Tensor():
            return bool(value.isfinite().all())
        case dict():
            return all(map(all_finite, value.values()))
        case list() | tuple():
            return all(map(all_finite, value))
        case float():
            return bool(np.isfinite(value))
    return True


@pytest.mark.slow
def test_training_beats_bicubic(tmp_path: Path) -> None:
    data = make_images(tmp_path / "pictures", count=40)
    how = replace(MODERN, scales=(2,), patch=24, epoch_steps=50, epochs=2, warm_up=10, batch_size=8)
    how = replace(how, learning_rate=3e-3, ema_decay=0.9, sheet_every=0)
    history, _ = train(tmp_path / "run", data, how, replace(SMALL, width=8))
    _, held_out = split(pictures_in([data]), how.validation, how.seed)
    pool = Pool.from_pairs(make_pairs(held_out, how.scales, 1))
    validation = Sampler(pool=pool, size=24, stride=24, batch_size=4, epoch_steps=1, augment=False, seed=0)
    ilr, hr = cut(pool, validation.patches, np.zeros(len(validation.patches), np.int64), 24)
    bicubic = to_scores([0, float(np.mean((ilr - hr) ** 2)), 0])[1]
    assert history[-1].val_psnr > bicubic + 2


@pytest.mark.parametrize("accumulate", [2, *(pytest.param(parts, marks=pytest.mark.slow) for parts in (3, 8, 99))])
def test_a_step_in_parts_equals_the_whole_step(tmp_path: Path, data: Path, accumulate: int) -> None:
    """Also if the parts differ in size, or are fewer than requested."""
    histories = []
    for name, parts in [("whole", 1), ("parts", accumulate)]:
        history, log = train(tmp_path / name, data, replace(QUICK, accumulate=parts, optimiser="sgd", epochs=2))
        histories.append(np.array([row[1:] for row in history]))
        assert log.steps == 24
    assert histories[1] == pytest.approx(histories[0], rel=1e-5)
    whole, ours = (load(tmp_path / name / "best.safetensors").tensors for name in ("whole", "parts"))
    for name in whole:
        assert ours[name] == pytest.approx(whole[name], abs=1e-6), name


def test_a_part_is_as_large_as_asked_for(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, forward = set(), DRRN.forward

    def measured(self: DRRN, ilr: Tensor, **options: Any) -> Tensor:
        if self.training:
            sizes.add(len(ilr))
        return forward(self, ilr, **options)

    monkeypatch.setattr(DRRN, "forward", measured)
    train(tmp_path / "run", data, replace(QUICK, accumulate=4, epochs=1))
    assert sizes == {2}


def test_saved_weights_reproduce_the_recorded_validation_loss(tmp_path: Path, data: Path) -> None:
    """The validation loss in the history is that of best.safetensors on exactly the held-out images."""
    history, _ = train(tmp_path / "run", data)
    weights = load(tmp_path / "run/best.safetensors")
    net = DRRN(weights.config)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in weights.tensors.items()})
    _, held_out = split(pictures_in([data]), QUICK.validation, QUICK.seed)
    pool = Pool.from_pairs(make_pairs(held_out, QUICK.scales, 1))
    corners = Sampler(pool=pool, size=16, stride=16, batch_size=8, epoch_steps=1, augment=False, seed=0).patches
    ilr, hr = cut(pool, corners, np.zeros(len(corners), np.int64), 16)
    with torch.no_grad():
        loss = float(LOSSES["mse"](net(torch.from_numpy(ilr)), torch.from_numpy(hr)))
    assert best_epoch(history).val_loss == pytest.approx(loss, rel=1e-5)
    assert weights.card["validation"] == {
        "epoch": best_epoch(history).epoch,
        "psnr": round(best_epoch(history).val_psnr, 4),
    }
    assert weights.card["command"] == "drrn train" and weights.card["commit"] == "commit"
    assert weights.scales == (2,) and weights.units == (2, 2)


def test_training_and_validation_share_no_image(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[Sampler] = []

    def record(inputs: fit.Inputs, *_: Any, **__: Any) -> list[Epoch]:
        sides.extend([inputs.patches, inputs.held_out])
        return []

    monkeypatch.setattr("tests.training.small_training.fit", record)
    for seed in range(3):
        train(tmp_path / f"run{seed}", data, replace(QUICK, seed=seed, validation=0.4))
    for learning, judging in zip(sides[::2], sides[1::2], strict=True):
        views = [
            {
                side.pool.hr[:, start : start + size].tobytes()
                for start, size in zip(side.pool.start, sizes, strict=True)
            }
            for side in (learning, judging)
            for sizes in [side.pool.height * side.pool.width]
        ]
        assert (len(views[0]), len(views[1])) == (4, 2)
        assert not views[0] & views[1]


def test_a_validation_folder_replaces_the_held_out_share(tmp_path: Path, data: Path) -> None:
    other = make_images(tmp_path / "other", count=2, seed=9)
    _, log = train(tmp_path / "run", data, validation_data=(other,), stop_after=1)
    assert log.notes[0].startswith("6 pictures to learn from, 2 to validate on")


def test_weights_record_the_scale_of_given_pairs(tmp_path: Path, data: Path) -> None:
    lr = tmp_path / "lr"
    make_images(lr, height=10, width=12)
    for path in lr.iterdir():
        path.rename(lr / f"{path.stem}x4.png")
    history, _ = train(tmp_path / "run", data, replace(QUICK, scales=(2, 3)), lr_data=lr)
    assert len(history) == 3
    assert load(tmp_path / "run/best.safetensors").scales == (4,), "and not those that were asked for"


@pytest.mark.slow
def test_a_scale_given_twice_is_recorded_once(tmp_path: Path, data: Path) -> None:
    train(tmp_path / "run", data, replace(QUICK, scales=(3, 2, 2)))
    assert load(tmp_path / "run/best.safetensors").scales == (2, 3)


RATES = [QUICK, replace(QUICK, optimiser="sgd", ema_decay=0), replace(QUICK, epoch_steps=1)]


@pytest.mark.parametrize("how", [*RATES, replace(QUICK, optimiser="muon")])
def test_divergence_stops_with_advice_and_leaves_finite_files(tmp_path: Path, data: Path, how: TrainConfig) -> None:
    run = tmp_path / "run"
    train(run, data, replace(how, learning_rate=1e30), stop_after=1)
    with pytest.raises(TrainingError, match=r"is not finite, in epoch \d+ after \d+ steps\. Lower --learning-rate or"):
        train(run, data, replace(how, learning_rate=1e30))
    state, damaged = checkpoint.load(run)
    assert state and not damaged
    assert all_finite(state)
    if (run / "best.safetensors").exists():
        load(run / "best.safetensors")  # loading refuses non-finite weights


@pytest.mark.parametrize("at", range(1, 15))
def test_an_infinite_loss_at_any_step_is_never_saved(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    calls = 0

    def loss(sr: Tensor, hr: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return ((sr - hr) ** 2).mean() * (float("nan") if calls == at else 1)

    monkeypatch.setitem(LOSSES, "mse", loss)
    with pytest.raises(TrainingError, match=r"^The (validation )?loss is not finite"):
        train(tmp_path / "run", data, replace(QUICK, ema_decay=0.5, epoch_steps=5, validation_patches=4))
    state, _ = checkpoint.load(tmp_path / "run")
    assert all_finite(state)
    assert (tmp_path / "run/best.safetensors").exists() == (state is not None)


def test_a_non_finite_gradient_is_never_applied(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, "mse", lambda sr, hr: torch.sqrt(((sr - sr.detach()) ** 2).sum()))  # 0, slope 0/0
    with pytest.raises(TrainingError, match=r"The gradient is not finite, in epoch 1 after 0 steps"):
        train(tmp_path / "run", data)
    assert checkpoint.load(tmp_path / "run") == (None, None)


def test_non_finite_weights_are_not_saved_on_a_signal(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(state: TrainState, _decay: float) -> None:
        next(state.net.parameters()).data[0] = float("inf")

    monkeypatch.setattr(TrainState, "update_ema", spoil)
    with pytest.raises(TrainingError, match="A weight is not finite"):
        train(tmp_path / "run", data, stop_after=1)
    assert checkpoint.load(tmp_path / "run") == (None, None)


@pytest.mark.parametrize("patience", [0, 1, 2])
def test_training_stops_after_patience_epochs_without_improvement(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, patience: int
) -> None:
    losses = [5.0, 4.0, 4.5, 3.0, 3.0, 3.5, 9.0, 1.0]
    epochs = {0: 8, 1: 3, 2: 6}[patience]
    reported = iter(losses)
    monkeypatch.setattr(fit, "validate", lambda *_: [next(reported), 0.1, 1.0])
    how = replace(QUICK, epochs=8, patience=patience, epoch_steps=1)
    history, log = train(tmp_path / "run", data, how)
    assert [row.val_loss for row in history] == losses[:epochs]
    assert [is_best for _, is_best in log.rows] == [True, True, False, True, False, False, False, True][:epochs]
    saved = load(tmp_path / "run/best.safetensors").card["validation"]["epoch"]
    assert saved == int(np.argmin(losses[:epochs]))


def test_patience_counts_epochs_since_the_best() -> None:
    assert not has_stalled([], 5)
    assert not has_stalled(epochs([1, 2, 2, 2, 2]), 5)
    assert has_stalled(epochs([1, 2, 2, 2, 2, 2]), 5)
    assert has_stalled(epochs([1, 1, 1, 1, 1, 1]), 5), "as good is not better"
    assert not has_stalled(epochs([1] + [2] * 100), 0)
    assert best_epoch(epochs([3, 1, 2, 1])).epoch == 1


@pytest.mark.parametrize(("how", "norm"), [({"clip": 0.5}, 0.5), ({"clip": 0.01, "clip_by_rate": True}, 0.1)])
def test_gradients_are_clipped_to_the_norm_or_to_the_norm_over_the_rate(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], norm: float
) -> None:
    """The paper uses 0.01 / 0.1. The length of a step of plain SGD is then rate x norm."""
    mse = LOSSES["mse"]
    monkeypatch.setitem(LOSSES, "mse", lambda sr, hr: 1e4 * mse(sr, hr))
    plain = replace(QUICK, optimiser="sgd", momentum=0, weight_decay=0, learning_rate=0.1, ema_decay=0, **how)
    nets: list[dict[str, Tensor]] = []
    for steps in (1, 2):
        train(tmp_path / str(steps), data, plain, stop_after=steps)
        state, _ = checkpoint.load(tmp_path / str(steps))
        assert state
        nets.append(state["net"])
    moved = sum(float(((nets[1][name] - nets[0][name]) ** 2).sum()) for name in nets[0]) ** 0.5
    assert moved == pytest.approx(0.1 * norm, rel=1e-3)


def test_weight_decay_is_added_after_clipping(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, "mse", lambda sr, hr: 0 * sr.sum())
    how = replace(QUICK, optimiser="sgd", momentum=0, weight_decay=0.5, learning_rate=0.1, ema_decay=0, clip=1e-9)
    nets: list[dict[str, Tensor]] = []
    for steps in (1, 2):
        train(tmp_path / str(steps), data, how, stop_after=steps)
        state, _ = checkpoint.load(tmp_path / str(steps))
        assert state
        nets.append(state["net"])
    for name in nets[0]:
        torch.testing.assert_close(nets[1][name], nets[0][name] * (1 - 0.1 * 0.5))


def test_the_running_average_covers_weights_and_batch_norm_statistics() -> None:
    torch.manual_seed(0)
    config = replace(SMALL, batch_norm=True)
    average, net = DRRN(config), DRRN(config)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None and module.num_batches_tracked is not None
            module.running_mean += 2
            module.num_batches_tracked += 7
    before = {name: value.clone() for name, value in average.state_dict().items()}
    TrainState(net, average, torch.optim.SGD(net.parameters()), [], 0, torch.zeros(3)).update_ema(0.75)
    for name, value in average.state_dict().items():
        now = net.state_dict()[name]
        expected = 0.75 * before[name] + 0.25 * now if value.is_floating_point() else now
        torch.testing.assert_close(value, expected)


def test_units_are_drawn_uniformly_and_depend_only_on_the_step() -> None:
    model, how = replace(SMALL, units=5), replace(QUICK, fewest_units=2)
    drawn = [draw_units(model, how, 0, step) for step in range(400)]
    assert drawn == [draw_units(model, how, 0, step) for step in range(400)]
    assert drawn != [draw_units(model, how, 1, step) for step in range(400)]
    assert all(70 < drawn.count(units) < 130 for units in (2, 3, 4, 5))
    assert {draw_units(model, QUICK, 0, step) for step in range(9)} == {5}


def test_accuracy_is_the_share_of_pixels_whose_largest_channel_agrees() -> None:
    """The accuracy of Keras, as plotted in the report: red, green and blue against red, red and blue."""
    sr = torch.tensor([[0.9, 0.1, 0.2], [0.1, 0.8, 0.1], [0.0, 0.2, 0.7]])[None, :, None]  # (1, 3, 1, 3)
    hr = torch.tensor([[0.5, 0.9, 0.2], [0.0, 0.8, 0.1], [0.4, 0.2, 0.3]])[None, :, None]
    squared, accuracy = batch_metrics(sr, hr)
    assert float(accuracy) == pytest.approx(2 / 3)
    assert float(squared) == pytest.approx((0.4**2 + 0.1**2 + 0.4**2 + 0.8**2 + 0.4**2) / 9)


def test_psnr_is_computed_over_all_pixels_together() -> None:
    assert to_scores([3.0, 0.01, 0.5]) == pytest.approx((3.0, 20.0, 0.5))
    assert to_scores([0, 0, 1])[1] == 120, "no infinity in a table"


def test_few_validation_patches_are_spread_over_all_images(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Any] = []

    def record(pool: Pool, patches: Any, turns: Any, size: int) -> Any:
        taken.append((pool, patches, turns))
        return cut(pool, patches, turns, size)

    monkeypatch.setattr(validation, "cut", record)
    how = replace(QUICK, epochs=1, epoch_steps=1, validation=0.5, validation_patches=5, batch_size=2)
    train(tmp_path / "run", data, how)
    pool, corners = taken[0][0], np.concatenate([patches for _, patches, _ in taken])[:, 0]
    assert len(corners) == 10 and np.array_equal(corners[:5], corners[5:]), "of bicubic, then of the network"
    corners = corners[:5]
    assert set(np.searchsorted(pool.start, corners, side="right")) == {1, 2, 3}
    assert not np.concatenate([turns for _, _, turns in taken]).any(), "as they are"
    assert float(unit(pool.hr).max()) <= 1
