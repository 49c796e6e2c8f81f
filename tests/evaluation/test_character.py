"""What a model can do and what it can't, and the card that says it."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from drrn.core.metrics import psnr
from drrn.errors import DataError, WeightsError
from drrn.evaluation.cards import card
from drrn.evaluation.cards.drawings import DRAWINGS, SHRUNK
from drrn.evaluation.cards.measure import CURVE, Character, Worse, characterise
from drrn.evaluation.cards.robustness import SPOILT, robustness
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.upscaling.upscaler import Upscaler
from drrn.weights import store
from drrn.weights.store import Weights
from tests.small_weights import small_weights

NOTHING = {"gain": 0.0, "bias": False}
"""Of a network that adds nothing to bicubic."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    chance = np.random.default_rng(0)
    made = [tmp_path_factory.mktemp("pictures") / name for name in ("first", "second")]
    for folder in made:
        folder.mkdir()
        for name in ("a", "b"):
            coarse = 0.3 + 0.4 * chance.random((8, 9, 3), np.float32)
            write(Image(pixels=coarse.repeat(6, axis=0).repeat(6, axis=1)), folder / f"{name}.png")
    return made


def character(weights: Weights, folders: list[Path]) -> Character:
    def ready(units: int | None) -> Upscaler:
        return Upscaler(weights, units=units, threads=1, device="cpu")

    return characterise(ready(None), ready, folders, command="drrn models judge", commit="abc")


@pytest.fixture(scope="module")
def found(folders: list[Path]) -> Character:
    return character(small_weights(gain=0.1, trained_units=(1, 2)), folders)


def test_all_folders_are_scored_and_the_rest_is_of_the_first(found: Character) -> None:
    assert [(row.data, row.scale) for row in found.scores] == [(d, s) for d in ("first", "second") for s in (2, 3, 4)]
    assert [point.scale for point in found.curve] == list(CURVE)
    assert [(row.units, row.scale) for row in found.units] == [(u, s) for u in (1, 2) for s in (2, 3, 4)]
    assert {row.pictures for row in found.scores} == {2}
    assert min(CURVE) == 1.2 and max(CURVE) == 4.5


def test_it_is_the_same_wherever_it_is_said_twice(found: Character) -> None:
    scores = {row.scale: row for row in found.scores if row.data == "first"}
    curve = {point.scale: point for point in found.curve}
    all_units = {row.scale: row.psnr for row in found.units if row.units == 2}
    for scale, score in scores.items():
        assert (curve[scale].psnr, curve[scale].bicubic) == (score.psnr, score.bicubic_psnr)
        assert all_units[scale] == score.psnr
    assert {row.psnr for row in found.units if row.units == 1}.isdisjoint(all_units.values())


def test_pictures_worse_than_bicubic_are_named_the_worst_first(found: Character) -> None:
    differences = [row.psnr - row.bicubic for row in found.worse]
    assert differences == sorted(differences) and max(differences) < 0
    mean = {point.scale: point.psnr - point.bicubic for point in found.curve}
    of_first = [row for row in found.worse if row.data == "first"]
    for scale, difference in mean.items():
        here = [row.psnr - row.bicubic for row in of_first if row.scale == scale]
        assert len(here) == 2 or difference > min(here, default=-1)
        if len(here) == 2:
            assert np.mean(here) == pytest.approx(difference, abs=1e-3)


def test_a_network_that_adds_nothing_harms_nothing(folders: list[Path]) -> None:
    rows = list(robustness(Upscaler(small_weights(gain=0.0, bias=False), threads=1), "first", [folders[0] / "a.png"]))
    assert len(rows) == len(SPOILT) + len(DRAWINGS) * len(SHRUNK)
    for row in rows:  # but for what clipping RGB in the middle, and not at the end, makes of drawings
        assert row.psnr == pytest.approx(row.bicubic, abs=0.02 if row.data == "first" else 0.5), row


def test_more_noise_and_more_compression_are_worse(found: Character) -> None:
    bicubic = {row.lr: row.bicubic for row in found.robustness if row.data == "first"}
    for worse in (
        ["rounded to 8 bits", "JPEG of quality 90", "JPEG of quality 75", "JPEG of quality 50"],
        ["rounded to 8 bits", "noise of 5 levels", "noise of 10 levels", "noise of 25 levels"],
    ):
        values = [bicubic[name] for name in worse]
        assert values == sorted(values, reverse=True) and len(set(values)) == 4


def test_what_spoils_is_what_its_name_says_and_always_the_same() -> None:
    lr = np.full((3, 64, 64), 128, np.uint8)
    lr[0, :, ::2] = 255  # a column of red beside one of grey: chroma that 4:2:0 does not hold
    for name, spoil in SPOILT.items():
        assert np.array_equal(spoil(lr), spoil(lr)), name
        assert spoil(lr).shape == lr.shape and spoil(lr).dtype == np.uint8
    assert np.array_equal(SPOILT["rounded to 8 bits"](lr), lr)
    flat = np.full((3, 128, 128), 128, np.uint8)
    noisy = SPOILT["noise of 10 levels"](flat).astype(float)
    assert noisy.std() == pytest.approx(10, rel=0.03) and noisy.mean() == pytest.approx(128, abs=0.3)
    red = SPOILT["JPEG of quality 90"](lr)[0].astype(float)
    assert abs(red[:, ::2].mean() - red[:, 1::2].mean()) < 90  # of 127


def test_drawings_are_of_hard_edges_and_do_not_change() -> None:
    for name, draw in DRAWINGS.items():
        hr = draw()
        assert hr.shape == (3, 240, 240) and hr.dtype == np.uint8 and np.array_equal(hr, draw()), name
        assert hr.min() == 0 and hr.max() == 255
        small = {how: shrink(hr).astype(float) for how, shrink in SHRUNK.items()}
        assert {each.shape for each in small.values()} == {(3, 120, 120)}
        assert np.array_equal(small["area"], np.rint(hr.reshape(3, 120, 2, 120, 2).mean((2, 4))))
        assert psnr(small["area"], small["bicubic"]) > psnr(small["area"], small["nearest"])


def test_folders_of_one_name_are_refused(folders: list[Path]) -> None:
    with pytest.raises(DataError, match=r"Two of the folders have one name, of first\. Rename one\."):
        character(small_weights(**NOTHING), [folders[0], folders[0]])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="No folders of pictures given"):
        character(small_weights(), [])


def test_json_gives_it_back(found: Character) -> None:
    assert Character.from_dict(json.loads(found.to_json())) == found
    for broken in ({}, {**asdict(found), "curve": [{}]}, {**asdict(found), "more": 1}):
        with pytest.raises(ValueError):
            Character.from_dict(broken)


def test_a_card_says_what_was_measured_and_survives_its_file(found: Character, tmp_path: Path) -> None:
    weights = small_weights(gain=0.1, trained_units=(1, 2))
    judged = replace(weights, card=card.judged({"seed": 7}, found), name="mine")
    store.save(judged, tmp_path / "mine.safetensors")
    page = card.to_markdown(store.load(tmp_path / "mine.safetensors"), plot="mine.png")
    assert page == card.to_markdown(judged, plot="mine.png")
    for said in (
        "to run with 1 to 2 units (`--units`)",
        "by `drrn models judge` at commit abc.",
        "| first | x2 | ",
        "| 1 | 1.3 | ",
        "![PSNR of mine and of bicubic by scale](mine.png)",
        "| x1.2 | ",
        "| first | JPEG of quality 50 | ",
        "| text | by nearest | ",
        "**harms** |",
        "## Seed\n\n```\n7\n```",
    ):
        assert said in page
    assert "![" not in card.to_markdown(judged)


def test_a_card_names_the_worst_and_stays_small(found: Character) -> None:
    many = [Worse("first", f"picture {n}", 2, 20.0, 30.0 - n / 1000) for n in range(5000)]
    about = card.judged({}, replace(found, worse=many))
    assert len(json.dumps(about)) < 20_000
    page = card.to_markdown(replace(small_weights(), card=about))
    assert "5000 of the results; the worst 30:" in page and "picture 29" in page and "picture 30" not in page
    none = card.to_markdown(replace(small_weights(), card=card.judged({}, replace(found, worse=[]))))
    assert "No picture of these sets" in none


def test_an_older_card_is_shown_as_it_is() -> None:
    rows = [{"data": "Set5", "scale": 2, "psnr": 36.83, "ssim": 0.9558}]
    page = card.to_markdown(replace(small_weights(), card={"scores": rows, "protocol": "as usual"}))
    assert "| data | scale | PSNR | SSIM |\n| --- | ---: | ---: | ---: |\n| Set5 | x2 | 36.83 | 0.9558 |" in page
    assert "## By scale" not in page
    assert card.to_markdown(small_weights()).startswith("# random\n\nA DRRN of 1 block(s) of 2 units")


@pytest.mark.parametrize(
    "about",
    [
        {"scores": 3, "protocol": ""},
        {"scores": [{}], "protocol": ""},
        {"scores": []},
        {"character": []},
        {"character": {"data": [], "curve": [{"scale": "much"}]}},
        {"character": {"data": ["first"], "curve": [{"scale": None}], "commit": "", "command": "", "units": []}},
    ],
)
def test_the_card_of_a_stranger_is_one_line(about: dict[str, object], tmp_path: Path) -> None:
    from drrn.evaluation.cards.curve import plot

    weights = replace(small_weights(), card=about)
    with pytest.raises(WeightsError, match=r"The card of random makes no sense\. Show it without --markdown\."):
        card.to_markdown(weights)
    if "character" in about:
        with pytest.raises(WeightsError, match=r"The card of random makes no sense\. Show it without --plot\."):
            plot(weights, tmp_path / "x.png")


def test_the_curve_is_drawn_where_there_is_one(found: Character, tmp_path: Path) -> None:
    from drrn.evaluation.cards.curve import plot

    judged = replace(small_weights(), card=card.judged({}, found))
    for name in ("one.png", "two.png"):
        plot(judged, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with pytest.raises(DataError, match=r"The card of random has no curve\. Measure it: drrn models judge"):
        plot(small_weights(), tmp_path / "three.png")
