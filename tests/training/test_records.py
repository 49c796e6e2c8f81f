"""The records of a training: history, times, TensorBoard events and image sheets."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drrn.errors import DRRNError
from drrn.media.images.files import read
from drrn.training.logging import Epoch, Journal, read_times
from tests.training.small_training import QUICK, SMALL, make_images, train

COLUMNS = [
    "epoch",
    "learning_rate",
    "train_loss",
    "train_psnr",
    "train_accuracy",
    "val_loss",
    "val_psnr",
    "val_accuracy",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Epoch]]:
    """A run of an RGB model over 5 epochs, with a sheet every second epoch."""
    folder = tmp_path_factory.mktemp("trained")
    how = replace(QUICK, epochs=5, sheet_every=2, scales=(2, 3), patience=0, validation=0.4, epoch_steps=4)
    history, _ = train(folder / "run", make_images(folder / "pictures"), how, replace(SMALL, channels=3))
    return folder / "run", history


def test_the_history_has_one_row_per_epoch(trained: tuple[Path, list[Epoch]]) -> None:
    run, history = trained
    with (run / "history.csv").open() as file:
        head, *rows = csv.reader(file)
    assert head == COLUMNS == list(Epoch._fields)
    assert len(rows) == len(history) == 5
    for row, epoch in zip(rows, history, strict=True):
        assert [float(value) for value in row] == pytest.approx(list(epoch), rel=1e-8)
    assert [epoch.epoch for epoch in history] == [0, 1, 2, 3, 4]
    assert all(0 < epoch.val_accuracy < 1 for epoch in history), "of three channels it says something"


def test_times_are_separate_from_reproducible_files(trained: tuple[Path, list[Epoch]]) -> None:
    run, _ = trained
    rows = [line.split(",") for line in (run / "times.csv").read_text().splitlines()]
    assert [int(epoch) for epoch, *_ in rows] == [0, 1, 2, 3, 4]
    assert all(float(seconds) > 0 and float(cpu_seconds) > 0 for _, seconds, cpu_seconds, _ in rows)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorBoard's own
def test_tensorboard_reads_every_scalar_and_sheet(trained: tuple[Path, list[Epoch]]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    run, history = trained
    events = EventAccumulator(str(run))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == sorted(COLUMNS[1:])
    for name in COLUMNS[1:]:
        reported = [(event.step, event.value) for event in events.Scalars(name)]
        assert reported == [(row.epoch, pytest.approx(getattr(row, name), rel=1e-6)) for row in history]
    images = events.Images("lr | ilr | sr | hr")
    assert [image.step for image in images] == [0, 2, 4]


def test_a_sheet_shows_lr_ilr_sr_and_hr_under_their_names(trained: tuple[Path, list[Epoch]]) -> None:
    run, _ = trained
    assert sorted(path.name for path in (run / "sheets").iterdir()) == [f"epoch_000{n}.png" for n in (0, 2, 4)]
    pixels = read(run / "sheets/epoch_0004.png").pixels
    # 2 pictures at 2 scales: 48x40, and cropped for scale 3 48x39; 4 of white around each, a caption of 18 above
    assert pixels.shape == (18 + 2 * (44 + 43), 4 * (48 + 8), 3)
    cells = [pixels[18 : 18 + 40, 4 + 56 * column : 52 + 56 * column] for column in range(4)]
    lr, ilr, sr, hr = cells
    assert np.array_equal(lr, np.repeat(np.repeat(lr[::2, ::2], 2, axis=0), 2, axis=1)), "blocks as large as its pixels"
    errors = [float(np.mean((cell - hr) ** 2)) for cell in (lr, ilr, sr)]
    assert 0 < errors[1] < errors[0], "bicubic is nearer than blocks"
    assert errors[2] > 0
    for column in range(4):
        caption = pixels[:18, 56 * column : 56 * (column + 1)]
        assert 0.01 < float(np.mean(caption < 0.5)) < 0.5, "each column has its name"


def test_the_planned_last_epoch_has_a_sheet_but_an_early_stop_has_none(tmp_path: Path) -> None:
    data = make_images(tmp_path / "pictures")
    train(tmp_path / "run", data, replace(QUICK, epochs=2, epoch_steps=1, sheet_every=5))
    assert sorted(path.name for path in (tmp_path / "run/sheets").iterdir()) == ["epoch_0000.png", "epoch_0001.png"]
    train(tmp_path / "none", data, replace(QUICK, epochs=2, epoch_steps=1, sheet_every=0))
    assert not (tmp_path / "none/sheets").exists()


def test_incomplete_lines_of_times_are_skipped(tmp_path: Path) -> None:
    lines = ["0,1.5,2.5,2", "1,7.0,8.0,2", "1,3.0", "2,4.0,5.0,2", "\0\0\0", "3,9.03,1.0,2.0,2", "4,1.0,1.0,2"]
    (tmp_path / "times.csv").write_text("\n".join(lines))
    assert read_times(tmp_path, 4) == ((1.5, 7.0, 4.0), (2.5, 8.0, 5.0))


def test_a_journal_that_cant_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DRRNError, match="can't be written"):
        Journal(tmp_path / "file")
    (tmp_path / "run").mkdir()
    journal = Journal(tmp_path / "run")
    (tmp_path / "run/times.csv").mkdir()
    with pytest.raises(DRRNError, match=r"times\.csv can't be written: Is a directory"):
        journal.epoch([Epoch(0, 1, 1, 1, 1, 1, 1, 1)], 1.0, 1.0)
    journal.close()
