"""A stopped and resumed training gives the same bytes as an uninterrupted one, or is refused."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from drrn.core.config import DRRNConfig
from drrn.data.pairs import Pair, make_pairs
from drrn.data.patches import Pool
from drrn.errors import DataError, TooLittleMemoryError, TrainingError
from drrn.network.model import DRRN
from drrn.training import checkpoint
from drrn.training import run as room
from drrn.training.config import MODERN, PAPER, REPORT, TrainConfig
from drrn.training.logging import Epoch
from drrn.weights import store
from tests.training.small_training import QUICK, SMALL, ProgressLog, make_images, read_outputs, train

SIZES: dict[str, Any] = {
    "scales": (2, 1.5),
    "patch": 16,
    "batch_size": 8,
    "validation_patches": 12,
    "epochs": 2,
    "sheet_every": 0,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("data") / "pictures")


@pytest.mark.parametrize(
    ("how", "model"),
    [
        pytest.param(replace(REPORT, **SIZES, stride=12), SMALL, id="report"),
        pytest.param(replace(PAPER, **SIZES, stride=12), SMALL, id="paper", marks=pytest.mark.slow),
        pytest.param(replace(MODERN, **SIZES, epoch_steps=9, warm_up=5), SMALL, id="modern"),
        pytest.param(
            replace(PAPER, **SIZES, stride=12), replace(SMALL, batch_norm=True), id="batch norm", marks=pytest.mark.slow
        ),
        pytest.param(
            replace(MODERN, **SIZES, epoch_steps=9, ema_decay=0.9),
            replace(SMALL, batch_norm=True),
            id="batch norm averaged",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            replace(REPORT, **SIZES, stride=12, fewest_units=1),
            replace(SMALL, units=4),
            id="fewest units",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            replace(REPORT, **SIZES, stride=12),
            replace(SMALL, channels=3, blocks=2, skip="chain"),
            id="rgb",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            replace(MODERN, **SIZES, epoch_steps=9, precision="bf16-mixed"),
            replace(SMALL, unshuffle=2),
            id="bfloat16",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            replace(REPORT, **SIZES, stride=12, learning_rate=0.3, recycle=1),
            replace(SMALL, width=8),
            id="recycled",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_interrupted_equals_uninterrupted(tmp_path: Path, data: Path, how: TrainConfig, model: DRRNConfig) -> None:
    whole, watched = train(tmp_path / "whole", data, how, model)
    steps = 0
    for life in (1, 4, 5, 3):  # of 9 steps an epoch; the third ends while it validates
        _, log = train(tmp_path / "parts", data, how, model, stop_after=life)
        steps += log.steps
    assert steps == 1 + 4 + 4 + 3
    parts, log = train(tmp_path / "parts", data, how, model)
    assert steps + log.steps == watched.steps
    assert parts == whole
    assert read_outputs(tmp_path / "parts") == read_outputs(tmp_path / "whole")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, data: Path) -> None:
    for seed in (0, 1, 2):
        for run in ("a", "b"):
            train(tmp_path / f"{run}{seed}", data, replace(QUICK, seed=seed, epochs=1))
        assert read_outputs(tmp_path / f"a{seed}") == read_outputs(tmp_path / f"b{seed}")
    assert len({read_outputs(tmp_path / f"a{seed}")["history.csv"] for seed in (0, 1, 2)}) == 3


def test_another_thread_count_is_allowed_and_recorded(tmp_path: Path, data: Path) -> None:
    train(tmp_path / "run", data, stop_after=3)
    torch.set_num_threads(2)
    try:
        _, log = train(tmp_path / "run", data, stop_after=1)
    finally:
        torch.set_num_threads(1)
    assert "the last digits may differ" in log.notes[-1]
    assert "'threads': 2" in log.notes[-1]


def test_a_finished_training_does_nothing(tmp_path: Path, data: Path) -> None:
    run = tmp_path / "run"
    history, _ = train(run, data)
    before = {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.iterdir() if path.name != "history.csv"
    }
    (run / "history.csv").unlink()
    again, log = train(run, data)
    assert again == history
    assert log.steps == 0 and not log.rows
    assert (run / "history.csv").exists(), "a lost table comes back"
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.iterdir() if path.name != "history.csv"}
    assert after == before


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (replace(QUICK, learning_rate=0.01), r"train.learning_rate = 0.001, now it is 0.01\. Give another --run, or"),
        (replace(QUICK, seed=3), "train.seed = 0, now it is 3"),
        (replace(QUICK, epochs=2), "train.epochs = 3, now it is 2"),
        (replace(QUICK, scales=(2, 3)), r"train.scales = \[2\], now it is \[2, 3\]"),
    ],
)
def test_the_folder_of_another_training_is_refused(tmp_path: Path, data: Path, other: TrainConfig, named: str) -> None:
    train(tmp_path / "run", data, stop_after=2)
    with pytest.raises(TrainingError, match=named):
        train(tmp_path / "run", data, other)


@pytest.mark.slow
def test_more_epochs_extend_a_finished_training_as_if_planned(tmp_path: Path, data: Path) -> None:
    train(tmp_path / "whole", data, replace(QUICK, epochs=5))
    run = tmp_path / "run"
    train(run, data, replace(QUICK, epochs=2))
    _, log = train(run, data, replace(QUICK, epochs=5), extends=True)
    assert log.steps == 3 * 12 and log.plans[0].done == 2
    assert (run / "history.csv").read_bytes() == (tmp_path / "whole/history.csv").read_bytes()
    weights, whole = (store.load(folder / "best.safetensors") for folder in (run, tmp_path / "whole"))
    assert weights.digest() == whole.digest()
    assert weights.card["extended"] == [{"epochs": 2}] and weights.card["recipe"]["epochs"] == 5
    assert not train(run, data, replace(QUICK, epochs=5), extends=True)[1].steps, "it goes by the new number now"
    with pytest.raises(TrainingError, match=r"epochs = 5, now it is 4\. .* or a larger --epochs\."):
        train(run, data, replace(QUICK, epochs=4), extends=True)


def test_trials_and_experiments_cannot_be_extended(tmp_path: Path, data: Path) -> None:
    train(tmp_path / "run", data, replace(QUICK, epochs=1))
    with pytest.raises(TrainingError, match=r"train.epochs = 1, now it is 2"):
        train(tmp_path / "run", data, replace(QUICK, epochs=2))


@pytest.mark.slow
def test_more_patience_extends_an_early_stopped_training(tmp_path: Path, data: Path) -> None:
    still = replace(QUICK, epochs=9, patience=1, learning_rate=1e-30)
    history, _ = train(tmp_path / "run", data, still)
    assert len(history) == 2
    again, log = train(tmp_path / "run", data, replace(still, epochs=12), extends=True)
    assert again == history and "A larger --patience continues" in log.notes[-1]
    longer, log = train(tmp_path / "run", data, replace(still, epochs=12, patience=3), extends=True)
    assert len(longer) == 4 and longer[:2] == history
    assert len(train(tmp_path / "run", data, replace(still, epochs=12, patience=0), extends=True)[0]) == 12


def test_more_epochs_follow_the_longer_cosine(tmp_path: Path, data: Path) -> None:
    how = replace(QUICK, epochs=2, schedule="cosine")
    train(tmp_path / "run", data, how)
    history, _ = train(tmp_path / "run", data, replace(how, epochs=4), extends=True)
    rates = [row.learning_rate for row in history]
    assert rates == pytest.approx([1e-3, 0.5e-3, 0.5e-3, 1e-3 * (1 - 2**-0.5) / 2])


def test_another_network_or_other_images_are_refused(tmp_path: Path, data: Path) -> None:
    run = tmp_path / "run"
    train(run, data, stop_after=2)
    with pytest.raises(TrainingError, match=r"model.width = 4, now it is 5"):
        train(run, data, model=replace(SMALL, width=5))
    with pytest.raises(TrainingError, match=r"data.folders = "):
        train(run, make_images(tmp_path / "others", seed=1))
    copies = tmp_path / "data"
    copies.mkdir()
    changed = make_images(copies / data.name)
    (changed / "2.png").write_bytes((changed / "3.png").read_bytes())
    with pytest.raises(TrainingError, match=r"data\.\w+ = "):
        train(run, changed)


def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path, data: Path) -> None:
    for number, content in enumerate(["{", "[]", "{}", '{"model": 1, "train": 2, "data": 3}']):
        run = tmp_path / str(number)
        run.mkdir()
        (run / "config.json").write_text(content)
        with pytest.raises(TrainingError, match="is not the config of a run"):
            train(run, data)
    train(tmp_path / "run", data, stop_after=2)
    (tmp_path / "run/config.json").unlink()
    with pytest.raises(TrainingError, match=r"holds a checkpoint but no config\.json"):
        train(tmp_path / "run", data)
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="can't be made a folder: File exists"):
        train(tmp_path / "file", data)


@pytest.mark.slow
def test_a_damaged_checkpoint_costs_only_the_steps_since_the_previous_one(tmp_path: Path, data: Path) -> None:
    train(tmp_path / "whole", data)
    run = tmp_path / "run"
    train(run, data, stop_after=5)
    train(run, data, stop_after=5)
    content = bytearray((run / "last.ckpt").read_bytes())
    content[len(content) // 2] ^= 1
    (run / "last.ckpt").write_bytes(content)
    _, log = train(run, data, stop_after=2)
    assert "last.ckpt is damaged: resuming from the checkpoint before it." in log.notes[-1]
    state, damaged = checkpoint.load(run)
    assert state and not damaged
    assert state["step"] == 7, "5 steps of the first life, none of the second, 2 of the third"
    train(run, data)
    assert read_outputs(run) == read_outputs(tmp_path / "whole")


def test_changed_lr_images_are_another_training(tmp_path: Path, data: Path) -> None:
    lr = make_images(tmp_path / "lr", height=20, width=24)
    train(tmp_path / "run", data, lr_data=lr, stop_after=2)
    (lr / "0.png").write_bytes((lr / "1.png").read_bytes())
    with pytest.raises(TrainingError, match=r"data\.lr_sha256"):
        train(tmp_path / "run", data, lr_data=lr)


def test_a_stop_while_reading_images_stops_reading(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Pair] = []

    def reading(*args: Any) -> Iterator[Pair]:
        for pair in make_pairs(*args):
            read.append(pair)
            yield pair

    monkeypatch.setattr(room, "make_pairs", reading)
    monkeypatch.setattr(ProgressLog, "should_stop", lambda _: len(read) >= 3)
    history, log = train(tmp_path / "run", data)
    assert (len(read), history, log.steps) == (3, [], 0)
    monkeypatch.undo()
    assert len(train(tmp_path / "run", data)[0]) == QUICK.epochs


def test_one_image_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 different pictures can't be split"):
        train(tmp_path / "run", make_images(tmp_path / "one", count=1))


def test_an_impossible_range_of_units_is_refused(tmp_path: Path, data: Path) -> None:
    for model in (SMALL, replace(SMALL, units=5, batch_norm=True), replace(SMALL, units=5, share=False)):
        with pytest.raises(TrainingError, match=r"Can't draw between 3 and \d units"):
            train(tmp_path / "run", data, replace(QUICK, fewest_units=3), model)


@pytest.mark.slow
def test_a_step_depends_only_on_its_number(tmp_path: Path, data: Path) -> None:
    """The state of the global generators of NumPy and torch has no effect after the initial weights."""
    train(tmp_path / "a", data, stop_after=3)
    np.random.seed(5)
    torch.manual_seed(5)
    train(tmp_path / "a", data)
    train(tmp_path / "b", data)
    assert read_outputs(tmp_path / "a") == read_outputs(tmp_path / "b")


def test_an_epoch_that_was_not_saved_is_reported_again(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[tuple[Epoch, bool]] = []
    monkeypatch.setattr(ProgressLog, "epoch", lambda _self, row, best: reported.append((row, best)))
    with monkeypatch.context() as first:
        first.setattr(checkpoint, "save", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run", data)
    history, _ = train(tmp_path / "run", data)
    assert reported[0] == reported[1] and [row for row, _ in reported[1:]] == history


@pytest.mark.slow
@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), torch.OutOfMemoryError("CUDA")]
)
def test_out_of_memory_is_one_sentence_and_loses_nothing_saved(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    train(tmp_path / "whole", data)
    train(tmp_path / "run", data, stop_after=3)
    with monkeypatch.context() as poor:
        poor.setattr(DRRN, "forward", Mock(side_effect=error))
        with pytest.raises(
            TooLittleMemoryError, match=r"Not enough memory\. Start in another --run with --accumulate 2"
        ):
            train(tmp_path / "run", data)
    train(tmp_path / "run", data)
    assert read_outputs(tmp_path / "run") == read_outputs(tmp_path / "whole")


def test_out_of_memory_while_reading_images_is_the_same_sentence(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pool, "from_pairs", Mock(side_effect=MemoryError()))
    with pytest.raises(TooLittleMemoryError, match=r"Not enough memory\."):
        train(tmp_path / "run", data)


@pytest.mark.parametrize("message", ["size mismatch", "CUDA error: an illegal memory access was encountered"])
def test_other_errors_are_not_translated(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    monkeypatch.setattr(DRRN, "forward", Mock(side_effect=RuntimeError(message)))
    with pytest.raises(RuntimeError, match=message):
        train(tmp_path / "run", data)


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path, data: Path) -> None:
    how = replace(MODERN, **SIZES, epoch_steps=9)
    train(tmp_path / "run", data, how, stop_after=3)
    state, _ = checkpoint.load(tmp_path / "run")
    assert state
    filters, others = state["optimiser"]["param_groups"]
    others["params"].append(filters["params"].pop())
    checkpoint.save(tmp_path / "run", state)
    with pytest.raises(TrainingError, match=r"was started by another version of drrn\. Give another --run\."):
        train(tmp_path / "run", data, how)


@pytest.mark.parametrize(
    ("launched", "each", "all_of_them", "expected"),
    [(True, 2, 4, (2, 2)), (True, 1, 2, (1, 2)), (True, 2, 2, (2, 1)), (False, 2, 4, (1, 1))],
)
def test_the_number_of_machines_comes_from_torchrun(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    launched: bool,
    each: int,
    all_of_them: int,
    expected: tuple[int, int],
) -> None:
    fabric = Mock(side_effect=KeyboardInterrupt)
    monkeypatch.setattr(room, "Fabric", fabric)
    if launched:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(each))
    monkeypatch.setenv("WORLD_SIZE", str(all_of_them))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", data)
    assert (fabric.call_args.kwargs["devices"], fabric.call_args.kwargs["num_nodes"]) == expected


def test_different_numbers_of_processes_per_machine_are_refused(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(TrainingError, match="3 processes can't be split evenly over machines"):
        train(tmp_path / "run", data)


def test_several_processes_cannot_use_auto_precision(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="--precision auto is for one process"):
        train(tmp_path / "run", data, replace(QUICK, precision="auto"))
