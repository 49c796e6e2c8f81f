"""The recipes match the report and the paper, and the learning rate falls as they say."""

from dataclasses import replace
from math import cos, pi
from typing import Any

import pytest

from drrn.training.config import MODERN, PAPER, RECIPES, REPORT, TrainConfig
from drrn.training.optimizers import learning_rate


def test_the_report_recipe_follows_section_2_3() -> None:
    """MSE, Adam of rate 0.001, clipped gradients, 50 epochs, stopped after 5 without a better validation loss."""
    assert (REPORT.loss, REPORT.optimiser, REPORT.learning_rate) == ("mse", "adam", 0.001)
    assert (REPORT.schedule, REPORT.warm_up, REPORT.clip_by_rate) == ("constant", 0, False)
    assert (REPORT.epochs, REPORT.patience) == (50, 5)
    assert REPORT.ema_decay == 0 and REPORT.precision == "32-true"
    assert (REPORT.initial, REPORT.unit_gain, REPORT.leave_gain) == ("glorot", 1, 1), "Keras's default"


def test_the_paper_recipe_follows_the_authors_solver() -> None:
    """Loss 1/(2N) of the squares; SGD 0.1, momentum 0.9, decay 1e-4, clipping 0.01 / rate, halved each 65360 steps."""
    assert (PAPER.loss, PAPER.optimiser) == ("euclidean", "sgd")
    assert (PAPER.learning_rate, PAPER.momentum, PAPER.weight_decay) == (0.1, 0.9, 1e-4)
    assert (PAPER.clip, PAPER.clip_by_rate) == (0.01, True)
    assert (PAPER.schedule, PAPER.halve_every * 6536) == ("halving", 65360)
    assert (PAPER.batch_size, PAPER.patch, PAPER.stride, PAPER.scales) == (128, 31, 21, (2, 3, 4))
    assert PAPER.augment, "the authors' files are turned and mirrored, eight of each"
    assert PAPER.patience == 0
    assert (PAPER.initial, PAPER.unit_gain, PAPER.leave_gain) == ("he", 1, 1), "msra"


def test_every_recipe_has_its_name() -> None:
    assert RECIPES == {"report": REPORT, "paper": PAPER, "modern": MODERN}


def test_a_constant_rate_is_constant() -> None:
    assert {learning_rate(REPORT, step, 10) for step in range(500)} == {0.001}


def test_halving_halves_the_rate_every_halve_every_epochs() -> None:
    assert learning_rate(PAPER, 65359, 6536) == 0.1
    assert learning_rate(PAPER, 65360, 6536) == 0.05
    assert learning_rate(PAPER, 7 * 65360, 6536) == pytest.approx(7.8e-4, rel=0.01), "at the authors' 464056"
    assert learning_rate(PAPER, 660136, 6536) == pytest.approx(9.8e-5, rel=0.01), "at the authors' 660136"


def test_a_cosine_rises_and_falls() -> None:
    how = replace(MODERN, learning_rate=2.0, warm_up=4, epochs=10)
    rates = [learning_rate(how, step, 10) for step in range(100)]
    falling = [1 + cos(pi * step / 100) for step in range(100)]
    assert rates[:4] == pytest.approx([falling[step] * (step + 1) / 4 for step in range(4)])
    assert rates[4:] == pytest.approx(falling[4:])
    assert rates[50] == pytest.approx(1.0)
    assert 0 < rates[-1] < 0.001


def test_decay_is_linear_over_the_last_decay_epochs() -> None:
    how = replace(MODERN, schedule="decay", learning_rate=2.0, warm_up=0, epochs=10, decay_epochs=4)
    rates = [learning_rate(how, step, 10) for step in range(100)]
    assert rates[:61] == [2.0] * 61
    assert rates[60:] == pytest.approx([2.0 * (100 - step) / 40 for step in range(60, 100)])
    longer = replace(how, epochs=20)
    assert [learning_rate(longer, step, 10) for step in range(61)] == rates[:61]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"later_patches": (64,)}, "`later_patches` must be at least 1, with `stride` 0"),
        ({"later_patches": (0,), "stride": 0, "epoch_steps": 1}, "`later_patches` must be at least 1"),
        ({"quality": (95, 30)}, r"`quality` must be a minimum and a maximum in 1..100, got \(95, 30\)"),
        ({"blur": -0.1}, "`blur` and `noise` must be at least 0, got -0.1"),
        ({"other_kernels": 1.5}, r"`other_kernels` must be in \[0, 1\], got 1.5"),
        ({"odds": (0.5, -0.1, 0.5)}, r"`odds` must be in \[0, 1\], got \(0.5, -0.1, 0.5\)"),
        ({"align": True, "patch": 32}, "multiples of every whole scale, got 32 at 3"),
        ({"epochs": 0}, "`epochs` must be at least 1, got 0"),
        ({"patience": -1}, "`patience` must be at least 0, got -1"),
        ({"learning_rate": 0}, "`learning_rate` must be above 0, got 0"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be above 0, got nan"),
        ({"clip": float("inf")}, "`clip` must be above 0, got inf"),
        ({"ema_decay": 1.0}, r"`ema_decay` must be in \[0, 1\), got 1.0"),
        ({"validation": 0.0}, r"`validation` must be in \(0, 1\), got 0.0"),
        ({"scales": ()}, r"`scales` must be in \(1, 8\], got \(\)"),
        ({"scales": (1,)}, r"`scales` must be in \(1, 8\], got \(1,\)"),
        ({"stride": 0}, "`epoch_steps` must be at least 1 if patches are drawn anywhere"),
    ],
)
def test_an_invalid_value_is_refused_and_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**wrong)
