"""Of several models, a file gets the best one within its time budget."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drrn.errors import UsageError
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.media.images.quality import Loss
from drrn.upscaling.batch.choosing import choose, outside_training, trained_for
from drrn.upscaling.batch.planning import Request, plan
from drrn.upscaling.formats.job import Job, Options
from drrn.upscaling.upscaler import Upscaler
from tests.small_weights import small_weights

PIXELS = 40 * 60 * 4
"""Pixels of a result that is twice as large."""


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    write(Image(pixels=np.random.default_rng(0).random((40, 60, 3), np.float32)), tmp_path / "photo.png")
    return tmp_path / "photo.png"


def job(picture: Path, budget: float | None, scale: float = 2) -> Job:
    return plan(picture, None, Request(scale, options=Options(budget=budget)))


def model(
    name: str,
    psnr: dict[float, float],
    seconds: float,
    scales: tuple[float, ...] = (2, 3, 4),
    max_memory: int = 1 << 30,
) -> Upscaler:
    """A model with these scores in its card and this expected time for a result of `PIXELS`."""
    scores = [{"data": data, "scale": scale, "psnr": each} for scale, each in psnr.items() for data in ("Set5", "mine")]
    scores += [{"data": "mine", "scale": 2, "psnr": 99 - each} for each in psnr.values()]
    weights = replace(small_weights(), name=name, scales=scales, card={"scores": scores})
    upscaler = Upscaler(weights, threads=1, device="cpu", max_memory=max_memory)
    upscaler._pixels_per_second = PIXELS / seconds
    return upscaler


def test_the_best_by_its_card_within_the_budget_is_chosen(picture: Path) -> None:
    models = [model("tiny", {2: 36}, 1), model("best", {2: 38}, 100), model("fast", {2: 37}, 10)]
    for budget, name in [(1.0, "tiny"), (9.9, "tiny"), (10.1, "fast"), (99, "fast"), (101, "best"), (1e9, "best")]:
        choice = choose(job(picture, budget), models)
        assert (choice.upscaler.weights.name, choice.budget, choice.within_budget) == (name, budget, True)
        assert models[choice.index] is choice.upscaler
        assert choice.cost.seconds == PIXELS / choice.upscaler.speed()


@pytest.mark.parametrize(("quality", "name"), [(60, "photo"), (95, "tiny")])
def test_a_degraded_image_gets_a_photo_model(picture: Path, quality: int, name: str) -> None:
    smooth = np.linspace(0, 1, 60 * 3, dtype=np.float32).reshape(1, 60, 3).repeat(40, axis=0)
    write(Image(pixels=smooth), picture.with_suffix(".jpg"), loss=Loss(quality))
    photo = model("photo", {2: 30}, 2)
    photo.weights = replace(photo.weights, card={**photo.weights.card, "recipe": {"degrade": "photo"}})
    for budget in (None, 5):
        choice = choose(job(picture.with_suffix(".jpg"), budget), [model("tiny", {2: 36}, 1), photo])
        assert (choice.upscaler.weights.name, choice.condition) == (name, f"JPEG quality {quality}")
    named = choose(job(picture.with_suffix(".jpg"), None), [photo])
    assert named.upscaler is photo and not named.condition


def test_a_better_and_faster_model_is_chosen_with_any_budget(picture: Path) -> None:
    models = [model("slow", {2: 36}, 10), model("better", {2: 37}, 1)]
    assert {choose(job(picture, budget), models).index for budget in (0.1, 2, 100)} == {1}


def test_the_fastest_model_is_chosen_if_none_is_within_the_budget(picture: Path) -> None:
    models = [model("best", {2: 38}, 100), model("tiny", {2: 36}, 1), model("fast", {2: 37}, 10)]
    choice = choose(job(picture, 0.5), models)
    assert choice.upscaler.weights.name == "tiny" and not choice.within_budget


def test_a_named_model_has_no_budget(picture: Path) -> None:
    choice = choose(job(picture, None), [model("slow", {}, 1e6)])
    assert choice.index == 0 and choice.budget is None and choice.within_budget


def test_models_are_ranked_by_the_nearest_scored_scale(picture: Path) -> None:
    models = [model("a", {2: 38, 4: 30}, 1), model("b", {2: 37, 4: 31}, 1), model("unknown", {}, 1)]
    names = {scale: choose(job(picture, 1e9, scale), models).upscaler.weights.name for scale in (2, 2.9, 3.1, 4)}
    assert names == {2: "a", 2.9: "a", 3.1: "b", 4: "b"}


def test_a_model_trained_for_the_scale_is_preferred(picture: Path) -> None:
    best, wide = model("best", {2: 38}, 1), model("wide", {2: 36}, 50, scales=(1.2, 4))
    assert choose(job(picture, 10, 1.2), [best, wide]).upscaler is wide  # though over its budget
    assert choose(job(picture, 10, 2), [best, wide]).upscaler is best
    assert choose(job(picture, 10, 1.2), [best]).upscaler is best
    assert choose(job(picture, 1e9, 8), [best, wide]).upscaler is best  # no model was trained for this scale


def test_a_model_that_needs_too_much_memory_is_left_out(picture: Path) -> None:
    models = [model("best", {2: 38}, 1, max_memory=1000), model("tiny", {2: 36}, 1)]
    assert choose(job(picture, 10), models).index == 1
    with pytest.raises(UsageError, match="--max-memory"):
        choose(job(picture, 10), models[:1])


def test_a_scale_outside_the_training_range_is_reported(picture: Path) -> None:
    weights = model("small", {}, 1).weights
    assert (
        outside_training(job(picture, None, 1.2), weights) == "x1.2 is outside of what small was trained for (x2 to x4)"
    )
    assert trained_for(job(picture, None, 1.2)) == "base" and trained_for(job(picture, None, 8)) == ""
    assert outside_training(job(picture, None, 2), weights) == ""
    stretched = plan(picture, None, Request(size=(90, 120)))
    assert outside_training(stretched, weights).startswith("x1.5 is outside")
    assert (
        outside_training(job(picture, None, 3), replace(weights, scales=(2,)))
        == "small enlarges it x2, and bicubic does the rest"
    )
