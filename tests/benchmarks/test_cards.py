"""The measurements of a finished model, and its card."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cards.__main__ import main
from benchmarks.cards.drawings import DOWNSCALED, DRAWINGS
from benchmarks.cards.measurements import CURVE, Measurements, Worse, measure_model
from benchmarks.cards.robustness import DEGRADATIONS, measure_robustness
from drrn.core.metrics import psnr
from drrn.errors import DataError, WeightsError
from drrn.evaluation.cards import card
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.upscaling.upscaler import Upscaler
from drrn.weights import store
from drrn.weights.store import Weights
from tests.command_line import run
from tests.small_weights import small_weights

NOTHING = {"gain": 0.0, "bias": False}
"""A network that adds nothing to bicubic."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    rng = np.random.default_rng(0)
    made = [tmp_path_factory.mktemp("pictures") / name for name in ("first", "second")]
    for folder in made:
        folder.mkdir()
        for name in ("a", "b"):
            coarse = 0.3 + 0.4 * rng.random((8, 9, 3), np.float32)
            write(Image(pixels=coarse.repeat(6, axis=0).repeat(6, axis=1)), folder / f"{name}.png")
    return made


def measure(weights: Weights, folders: list[Path]) -> Measurements:
    def upscaler(units: int | None) -> Upscaler:
        return Upscaler(weights, units=units, threads=1, device="cpu")

    return measure_model(upscaler, folders, command="measure mine", commit="abc")


@pytest.fixture(scope="module")
def measured(folders: list[Path]) -> Measurements:
    return measure(small_weights(gain=0.1, trained_units=(1, 2)), folders)


@pytest.mark.slow
def test_all_folders_are_scored_and_the_first_is_measured_further(measured: Measurements) -> None:
    assert [(row.data, row.scale) for row in measured.scores] == [
        (d, s) for d in ("first", "second") for s in (2, 3, 4)
    ]
    assert [point.scale for point in measured.curve] == list(CURVE)
    assert [(row.units, row.scale) for row in measured.units] == [(u, s) for u in (1, 2) for s in (2, 3, 4)]
    assert {row.pictures for row in measured.scores} == {2}
    assert min(CURVE) == 1.2 and max(CURVE) == 4.5


@pytest.mark.slow
def test_repeated_values_are_equal(measured: Measurements) -> None:
    scores = {row.scale: row for row in measured.scores if row.data == "first"}
    curve = {point.scale: point for point in measured.curve}
    all_units = {row.scale: row.psnr for row in measured.units if row.units == 2}
    for scale, score in scores.items():
        assert (curve[scale].psnr, curve[scale].bicubic) == (score.psnr, score.bicubic_psnr)
        assert all_units[scale] == score.psnr
    assert {row.psnr for row in measured.units if row.units == 1}.isdisjoint(all_units.values())


def test_results_worse_than_bicubic_are_listed_worst_first(measured: Measurements) -> None:
    differences = [row.psnr - row.bicubic for row in measured.worse]
    assert differences == sorted(differences) and max(differences) < 0
    mean = {point.scale: point.psnr - point.bicubic for point in measured.curve}
    of_first = [row for row in measured.worse if row.data == "first"]
    for scale, difference in mean.items():
        here = [row.psnr - row.bicubic for row in of_first if row.scale == scale]
        assert len(here) == 2 or difference > min(here, default=-1)
        if len(here) == 2:
            assert np.mean(here) == pytest.approx(difference, abs=1e-3)


def test_a_network_that_adds_nothing_equals_bicubic(folders: list[Path]) -> None:
    rows = list(
        measure_robustness(Upscaler(small_weights(gain=0.0, bias=False), threads=1), "first", [folders[0] / "a.png"])
    )
    assert len(rows) == len(DEGRADATIONS) + len(DRAWINGS) * len(DOWNSCALED)
    for row in rows:  # drawings differ if RGB is clipped in between
        assert row.psnr == pytest.approx(row.bicubic, abs=0.02 if row.data == "first" else 0.5), row


def test_more_noise_and_more_compression_lower_psnr(measured: Measurements) -> None:
    bicubic = {row.lr: row.bicubic for row in measured.robustness if row.data == "first"}
    for order in (
        ["rounded to 8 bits", "JPEG of quality 90", "JPEG of quality 75", "JPEG of quality 50"],
        ["rounded to 8 bits", "noise of 5 levels", "noise of 10 levels", "noise of 25 levels"],
    ):
        values = [bicubic[name] for name in order]
        assert values == sorted(values, reverse=True) and len(set(values)) == 4


def test_degradations_match_their_names_and_are_reproducible() -> None:
    lr = np.full((3, 64, 64), 128, np.uint8)
    lr[0, :, ::2] = 255  # columns of red and gray: chroma that 4:2:0 can't hold
    for name, spoil in DEGRADATIONS.items():
        assert np.array_equal(spoil(lr), spoil(lr)), name
        assert spoil(lr).shape == lr.shape and spoil(lr).dtype == np.uint8
    assert np.array_equal(DEGRADATIONS["rounded to 8 bits"](lr), lr)
    flat = np.full((3, 128, 128), 128, np.uint8)
    noisy = DEGRADATIONS["noise of 10 levels"](flat).astype(float)
    assert noisy.std() == pytest.approx(10, rel=0.03) and noisy.mean() == pytest.approx(128, abs=0.3)
    red = DEGRADATIONS["JPEG of quality 90"](lr)[0].astype(float)
    assert abs(red[:, ::2].mean() - red[:, 1::2].mean()) < 90  # of 127


def test_drawings_have_hard_edges_and_are_reproducible() -> None:
    for name, draw in DRAWINGS.items():
        hr = draw()
        assert hr.shape == (3, 240, 240) and hr.dtype == np.uint8 and np.array_equal(hr, draw()), name
        assert hr.min() == 0 and hr.max() == 255
        small = {how: shrink(hr).astype(float) for how, shrink in DOWNSCALED.items()}
        assert {each.shape for each in small.values()} == {(3, 120, 120)}
        assert np.array_equal(small["area"], np.rint(hr.reshape(3, 120, 2, 120, 2).mean((2, 4))))
        assert psnr(small["area"], small["bicubic"]) > psnr(small["area"], small["nearest"])


def test_folders_with_the_same_name_are_refused(folders: list[Path]) -> None:
    with pytest.raises(DataError, match=r"Two of the folders have one name, of first\. Rename one\."):
        measure(small_weights(**NOTHING), [folders[0], folders[0]])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="No folders of pictures given"):
        measure(small_weights(), [])


def test_measurements_survive_json(measured: Measurements) -> None:
    assert Measurements.from_dict(json.loads(measured.to_json())) == measured
    for broken in ({}, {**asdict(measured), "curve": [{}]}, {**asdict(measured), "more": 1}):
        with pytest.raises(ValueError):
            Measurements.from_dict(broken)


def test_a_card_shows_the_measurements_and_survives_its_file(measured: Measurements, tmp_path: Path) -> None:
    weights = small_weights(gain=0.1, trained_units=(1, 2))
    packed = replace(weights, card=measured.add_to({"seed": 7}), name="mine")
    store.save(packed, tmp_path / "mine.safetensors")
    page = card.to_markdown(store.load(tmp_path / "mine.safetensors"), plot="mine.png")
    assert page == card.to_markdown(packed, plot="mine.png")
    for printed in (
        "to run with 1 to 2 units (`--units`)",
        "by `measure mine` at commit abc.",
        "| first | x2 | ",
        "| 1 | 1.3 | ",
        "![PSNR of mine and of bicubic by scale](mine.png)",
        "| x1.2 | ",
        "| first | JPEG of quality 50 | ",
        "| text | by nearest | ",
        "**harms** |",
        "## Seed\n\n```\n7\n```",
    ):
        assert printed in page
    assert "![" not in card.to_markdown(packed)


def test_a_card_lists_the_30_worst_and_stays_small(measured: Measurements) -> None:
    many = [Worse("first", f"picture {n}", 2, 20.0, 30.0 - n / 1000) for n in range(5000)]
    about = replace(measured, worse=many).add_to({})
    assert len(json.dumps(about)) < 20_000
    page = card.to_markdown(replace(small_weights(), card=about))
    assert "5000 of the results; the worst 30:" in page and "picture 29" in page and "picture 30" not in page
    none = card.to_markdown(replace(small_weights(), card=replace(measured, worse=[]).add_to({})))
    assert "None: no image of these sets" in none


def test_an_older_card_is_shown() -> None:
    rows = [{"data": "Set5", "scale": 2, "psnr": 36.83, "ssim": 0.9558}]
    page = card.to_markdown(replace(small_weights(), card={"scores": rows, "protocol": "as usual"}))
    assert "| data | scale | PSNR | SSIM |\n| --- | ---: | ---: | ---: |\n| Set5 | x2 | 36.83 | 0.9558 |" in page
    assert "## By scale" not in page
    assert card.to_markdown(small_weights()).startswith("# random\n\nA DRRN of 1 block of 2 units")


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
def test_a_malformed_card_ends_in_one_line(about: dict[str, object], tmp_path: Path) -> None:
    from drrn.evaluation.cards.curve import plot

    weights = replace(small_weights(), card=about)
    with pytest.raises(WeightsError, match=r"The card of random makes no sense\. Show it without --markdown\."):
        card.to_markdown(weights)
    if "character" in about:
        with pytest.raises(WeightsError, match=r"The card of random makes no sense\. Show it without --plot\."):
            plot(weights, tmp_path / "x.png")


def test_the_curve_of_a_card_is_drawn(measured: Measurements, tmp_path: Path) -> None:
    from drrn.evaluation.cards.curve import plot

    packed = replace(small_weights(), card=measured.add_to({}))
    for name in ("one.png", "two.png"):
        plot(packed, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with pytest.raises(DataError, match=r"The card of random has no curve\. Models of `drrn models list` have one\."):
        plot(small_weights(), tmp_path / "three.png")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    pixels = np.random.default_rng(0).random((8, 8, 3), np.float32).repeat(5, axis=0).repeat(5, axis=1)
    write(Image(pixels=pixels), tmp_path / "set/a.png")
    store.save(small_weights(), tmp_path / "best.safetensors")
    store.save(small_weights(1), tmp_path / "other.safetensors")
    return tmp_path


def cards(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(args)
    return int(ended.value.code or 0)


def models(*args: str) -> int:
    return run("models", *args)


@pytest.mark.slow
def test_a_model_is_measured_packed_shown_and_listed(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cards("measure", "best.safetensors", "--data", "set", "-o", "measured.json", "--threads", "1") == 0
    assert "measured.json: " in capsys.readouterr().out
    (here / "packaged").mkdir()
    packed = "packaged/mine.safetensors"
    terms = ("--terms", "Pictures for research only.")
    assert cards("pack", "best.safetensors", "--measured", "measured.json", *terms, "-o", packed) == 0
    assert store.load(packed).digest() == store.load("best.safetensors").digest()
    assert cards("pack", packed, "--measured", "measured.json", "-o", "again.safetensors") == 0
    assert store.load("again.safetensors").card == store.load(packed).card
    capsys.readouterr()
    assert models("show", packed, "--markdown", "--plot", "mine.png") == 0
    page = capsys.readouterr().out
    assert page.startswith("# mine\n") and page.endswith("\n") and not page.endswith("\n\n")
    assert "## Terms\n\n```\nPictures for research only.\n```" in page
    assert "(mine.png)" in page and (here / "mine.png").exists()
    monkeypatch.setattr(store, "PACKAGED", here / "packaged")
    assert models("list") == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.startswith("model ") and line.startswith("mine ")
    assert models("list", "--json", "--markdown", "table.md") == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["name"] == "mine" and entry["seconds_per_megapixel"] > 0
    assert "| mine | x2, x3, x4 | B1U2, width 8, unshuffle 1 |" in (here / "table.md").read_text()


@pytest.mark.slow
def test_measurements_of_another_network_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cards("measure", "best.safetensors", "--data", "set", "-o", "measured.json", "--threads", "1") == 0
    (here / "none.json").write_text("[]")
    capsys.readouterr()
    for measured, model, message in [
        ("measured.json", "other.safetensors", "measured.json is of another network than other.safetensors."),
        ("none.json", "best.safetensors", "none.json is not a file of `python -m benchmarks.cards measure`: "),
        ("absent.json", "best.safetensors", "absent.json is not a file of `python -m benchmarks.cards measure`: "),
    ]:
        assert cards("pack", model, "--measured", measured, "-o", "x.safetensors") == 2
        printed = capsys.readouterr().err
        assert message in printed and len(printed.splitlines()) == 1
        assert not (here / "x.safetensors").exists()


def test_a_missing_folder_or_curve_ends_in_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cards("measure", "best.safetensors", "--data", "absent", "-o", "measured.json") == 2
    assert "No folder absent." in capsys.readouterr().err
    assert models("show", "best.safetensors", "--plot", "mine.png") == 2
    assert "has no curve" in capsys.readouterr().err
    assert not (here / "measured.json").exists() and not (here / "mine.png").exists()
