"""The eight flips and rotations of an image, their mean and their disagreement."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from drrn.core.color import rgb, ycbcr
from drrn.core.resize import imresize
from drrn.engines import EngineName
from drrn.engines.engine import Planes
from drrn.engines.selection import choose
from drrn.media.image import Image
from drrn.media.images.files import read
from drrn.upscaling.ensemble import ORIENTATIONS, orient, run_ensemble, undo_orientation
from drrn.upscaling.upscaler import Upscaler
from tests.conftest import ROOT
from tests.small_weights import small_weights, stepped_weights
from tests.upscaling.test_upscaler import picture

MODELS = [{}, {"unshuffle": 2}, {"channels": 3, "unshuffle": 2}]


def eight_by_hand(run: Callable[[Planes], Planes], ilr: Planes) -> Planes:
    """The eight orientations, written out: (8, channels, H, W)."""
    results = []
    for quarters in range(4):
        results.append(np.rot90(run(np.rot90(ilr, quarters, (1, 2)).copy()), -quarters, (1, 2)))
        mirrored = np.flip(ilr, 2)
        back = np.rot90(run(np.rot90(mirrored, quarters, (1, 2)).copy()), -quarters, (1, 2))
        results.append(np.flip(back, 2))
    return np.stack(results)


def test_the_eight_orientations_differ_and_are_undone() -> None:
    planes = np.random.default_rng(0).random((2, 5, 7), np.float32)
    results = {(orient(planes, *turn).shape, orient(planes, *turn).tobytes()) for turn in ORIENTATIONS}
    assert len(results) == 8
    assert all((undo_orientation(orient(planes, *turn), *turn) == planes).all() for turn in ORIENTATIONS)
    assert (orient(planes, *ORIENTATIONS[0]) == planes).all()


@pytest.mark.parametrize("fields", MODELS, ids=str)
@pytest.mark.parametrize("engine", ["native", "reference", "torch", "onnx"])
def test_mean_and_deviation_match_the_formula_written_out(engine: EngineName, fields: dict[str, Any]) -> None:
    weights = small_weights(**fields)
    ran = choose(weights, engine=engine, device="cpu", threads=1)
    ilr = np.random.default_rng(1).random((weights.config.channels, 21, 34), np.float32)
    eight, expected = run_ensemble(ran.run, ilr), eight_by_hand(ran.run, ilr)
    assert (eight.plain == ran.run(ilr)).all()
    assert np.abs(eight.mean - expected.mean(axis=0)).max() < 1e-6
    assert np.abs(eight.deviation - expected.std(axis=0)).max() < 1e-6
    assert eight.deviation.mean() > 1e-3


@pytest.mark.parametrize("channels", [1, 3])
def test_an_upscaler_gives_the_mean_only_with_the_ensemble(channels: int) -> None:
    weights, image = small_weights(channels=channels), picture()
    image = replace(image, pixels=image.pixels * 0.2 + 0.2)  # so that no color leaves [0, 1]
    run = choose(weights, engine="native", threads=1).run
    planes = np.ascontiguousarray(image.pixels.transpose(2, 0, 1))
    ilr = imresize(planes if channels == 3 else ycbcr(planes), 40, 60)
    results = eight_by_hand(run, ilr[:channels])
    ilr[:channels] = results.mean(axis=0).clip(0, 1)
    expected = (ilr if channels == 3 else rgb(ilr).clip(0, 1)).transpose(1, 2, 0)
    careful, plain = (Upscaler(weights, engine="native", threads=1, ensemble=on) for on in (True, False))
    mean, apart = careful.upscale_with_disagreement(image, 2)
    assert np.abs(mean.pixels - expected).max() < 1e-5
    assert (careful.upscale(image, 2).pixels == mean.pixels).all()
    result, same = plain.upscale_with_disagreement(image, 2)
    assert (result.pixels == plain.upscale(image, 2).pixels).all()
    assert np.abs(result.pixels - mean.pixels).max() > 1e-3
    assert (same == apart).all() and np.abs(apart - results.std(axis=0).max(axis=0)).max() < 1e-6


def test_alpha_goes_through_the_ensemble_too() -> None:
    weights, image = small_weights(), picture()
    alpha = 0.4 + 0.2 * image.pixels[..., 0]  # neither opaque nor transparent
    results = eight_by_hand(choose(weights, engine="native", threads=1).run, imresize(alpha, 40, 60)[None])
    upscaler = Upscaler(weights, engine="native", threads=1, ensemble=True)
    result, apart = upscaler.upscale_with_disagreement(Image(pixels=image.pixels, alpha=alpha), 2)
    _, of_colors = upscaler.upscale_with_disagreement(Image(pixels=image.pixels), 2)
    assert result.alpha is not None
    assert np.abs(result.alpha - results.mean(axis=0)[0].clip(0, 1)).max() < 1e-5
    assert np.abs(apart - np.maximum(of_colors, results.std(axis=0)[0])).max() < 1e-6


@pytest.mark.parametrize("fields", MODELS, ids=str)
@pytest.mark.parametrize("sides", [(13, 23), (1, 9), (9, 1), (16, 16)])
def test_a_flipped_or_rotated_image_gives_the_flipped_or_rotated_result(
    fields: dict[str, Any], sides: tuple[int, int]
) -> None:
    upscaler = Upscaler(small_weights(**fields), engine="native", threads=1, ensemble=True)
    image = picture(*sides)
    straight, apart = upscaler.upscale_with_disagreement(image, 2.5)
    for turn in ORIENTATIONS[1:]:
        other = Image(pixels=np.ascontiguousarray(orient(image.pixels.transpose(2, 0, 1), *turn).transpose(1, 2, 0)))
        result, its = upscaler.upscale_with_disagreement(other, 2.5)
        back = undo_orientation(result.pixels.transpose(2, 0, 1), *turn).transpose(1, 2, 0)
        assert np.abs(back - straight.pixels).max() < 1e-6
        assert np.abs(undo_orientation(its, *turn) - apart).max() < 1e-6


@pytest.mark.slow
def test_little_memory_gives_the_same_mean_and_disagreement(engine: EngineName) -> None:
    weights, image = small_weights(unshuffle=2, width=32), picture(50, 90, alpha=True)
    options: Any = {"engine": engine, "device": "cpu", "threads": 1, "ensemble": True}
    large = Upscaler(weights, **options)
    enough = large.estimate(90, 50, 3, alpha=True)
    little = Upscaler(weights, **options, max_memory=enough.memory * 7 // 8)
    assert enough.tile == (150, 270) and little.estimate(90, 50, 3, alpha=True).tile[1] < 270
    (whole, apart), (tiled, in_tiles) = (each.upscale_with_disagreement(image, 3) for each in (large, little))
    assert np.abs(tiled.pixels - whole.pixels).max() <= 1e-5
    assert tiled.alpha is not None and whole.alpha is not None
    assert np.abs(tiled.alpha - whole.alpha).max() <= 1e-5
    assert np.abs(in_tiles - apart).max() <= 1e-5


@pytest.mark.parametrize("channels", [1, 3])
def test_a_zero_network_has_no_disagreement(channels: int) -> None:
    upscaler = Upscaler(small_weights(gain=0.0, bias=False, channels=channels), engine="native", threads=1)
    for image in (picture(), picture(alpha=True), picture(channels=1), picture(1, 7)):
        _, apart = upscaler.upscale_with_disagreement(image, 2)
        assert apart.shape == (2 * image.height, 2 * image.width) and (apart == 0).all()


def test_a_constant_image_stays_constant_without_disagreement() -> None:
    upscaler = Upscaler(small_weights(), engine="native", threads=1, ensemble=True)
    result, apart = upscaler.upscale_with_disagreement(Image.from_array(np.full((9, 11, 3), 77, np.uint8)), 3)
    assert (result.to_array() == 77).all() and (apart == 0).all()


def test_the_packaged_model_disagrees_at_edges_and_not_in_flat_areas() -> None:
    sample = read(ROOT / "samples" / "chelsea.png").pixels[100:140, 60:140]
    flat = np.full_like(sample, 0.5)
    _, apart = Upscaler("small", threads=1).upscale_with_disagreement(
        Image(pixels=np.concatenate([sample, flat], axis=1)), 2
    )
    assert apart[:, :160].mean() * 255 > 0.1
    assert apart[:, 200:].max() * 255 < 0.1


def test_transparent_pixels_have_no_disagreement() -> None:
    image = picture(24, 32)
    alpha = np.zeros((24, 32), np.float32)
    alpha[6:18, 8:24] = 1
    upscaler = Upscaler(small_weights(), engine="native", threads=1)
    result, apart = upscaler.upscale_with_disagreement(Image(pixels=image.pixels, alpha=alpha), 2)
    assert (apart[result.alpha == 0] == 0).all() and (apart[16:32, 20:44] > 0).any()


def test_progress_over_eight_passes_ends_at_one() -> None:
    reported: list[float] = []
    upscaler = Upscaler(small_weights(), engine="native", threads=1, ensemble=True)
    upscaler.upscale(picture(90, 70, alpha=True), 3, progress=reported.append)
    assert reported == sorted(reported) and reported[-1] == 1 and reported[0] <= 1 / 16
    upscaler.upscale(Image.from_array(np.full((9, 11), 77, np.uint8)), 3, progress=reported.append)
    assert reported[-1] == 1


def test_an_estimate_includes_the_eight_passes() -> None:
    weights = small_weights(unshuffle=2)
    plain, careful = (Upscaler(weights, engine="native", threads=1, ensemble=on) for on in (False, True))
    careful._pixels_per_second = plain._pixels_per_second = 1e6  # one speed for both
    one = plain.estimate(300, 100)
    for eight in (careful.estimate(300, 100), plain.estimate(300, 100, disagreement=True)):
        assert eight.seconds == pytest.approx(8 * one.seconds) and eight.memory > one.memory
    # half of the orientations are rotated by a quarter turn, and the engine needs more memory for wide images
    assert careful.estimate(100, 300).memory == careful.estimate(300, 100).memory


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("eight", [False, True])
@pytest.mark.parametrize(
    ("scale", "stepped"),
    [
        (1.9, True),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in [(2, False), (8, False), (1.1, True), (5, True)]),
        *(pytest.param(*each, marks=pytest.mark.full) for each in [(1.1, False), (4, False), (2.1, True)]),
    ],
)
@pytest.mark.parametrize("alpha", [False, True])
def test_an_enlargement_stays_within_its_estimated_memory(
    channels: int, eight: bool, scale: float, stepped: bool, alpha: bool
) -> None:
    side = round(400 / scale)
    image = picture(side, side, alpha=alpha)
    options: dict[str, Any] = {"channels": channels, "units": 0}
    weights = stepped_weights(2, 3, 4, **options) if stepped else small_weights(unshuffle=4, **options)
    upscaler = Upscaler(weights, engine="native", threads=1).for_size((side, side), (round(side * scale),) * 2)
    printed = upscaler.estimate(side, side, scale, alpha=alpha, disagreement=eight)
    tracemalloc.start()
    (upscaler.upscale_with_disagreement if eight else upscaler.upscale)(image, scale)
    taken = tracemalloc.get_traced_memory()[1]  # only arrays; the memory of the engine is not traced
    tracemalloc.stop()
    width, height = printed.width, printed.height
    assert taken <= upscaler._plane_memory((side, side), (width, height), 8 if eight else 1).peak <= 1.6 * taken
    assert printed.memory >= taken
