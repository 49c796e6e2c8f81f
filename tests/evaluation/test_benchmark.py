"""Evaluation follows the protocol, and shows published numbers if the images are the published ones."""

import ctypes
import json
import runpy
import sys
from mmap import mmap
from pathlib import Path

import numpy as np
import pytest

from drrn.core.color import levels
from drrn.errors import DataError
from drrn.evaluation import published, timing
from drrn.evaluation.benchmark import evaluate
from drrn.evaluation.compare import compare
from drrn.evaluation.table import legend, to_json, to_markdown
from drrn.evaluation.timing import measure_cost
from drrn.media.image import Image
from drrn.media.images.files import read, write
from drrn.upscaling.upscaler import Upscaler
from tests.conftest import ROOT
from tests.small_weights import small_weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, channels in [("gray", 1), ("color", 3)]:
        coarse = 0.3 + 0.4 * rng.random((6, 7, channels), np.float32)  # far from clipping in RGB
        pixels = coarse.repeat(8, axis=0).repeat(8, axis=1)
        write(Image(pixels=pixels), tmp_path / f"{name}.png")
    return tmp_path


def nothing(channels: int = 1) -> Upscaler:
    """A network that adds nothing to bicubic."""
    return Upscaler(small_weights(gain=0.0, bias=False, channels=channels), device="cpu")


def test_a_zero_network_scores_like_bicubic(folder: Path) -> None:
    rows = list(evaluate([nothing()], [folder], [2, 2.5]))
    assert [(row.model, row.scale) for row in rows] == [
        ("bicubic", 2),
        ("random", 2),
        ("bicubic", 2.5),
        ("random", 2.5),
    ]
    for bicubic, ours in zip(rows[::2], rows[1::2], strict=True):
        assert ours.psnr == pytest.approx(bicubic.psnr, abs=1e-3)
        assert ours.ssim == pytest.approx(bicubic.ssim, abs=1e-5)
        assert [image.name for image in ours.images] == ["color", "gray"]
        assert ours.psnr == pytest.approx(np.mean([image.psnr for image in ours.images]))
        assert ours.seconds is not None and ours.seconds > 0 and ours.peak_mb is not None and ours.peak_mb > 10


def test_an_rgb_model_is_scored_on_luma(folder: Path) -> None:
    bicubic, ours = evaluate([nothing(3)], [folder], [2])
    # luma of bicubic RGB against bicubic of rounded luma: a level's rounding apart
    assert ours.psnr == pytest.approx(bicubic.psnr, abs=0.05)


def test_a_nonzero_network_scores_differently(folder: Path) -> None:
    bicubic, ours = evaluate([Upscaler(small_weights(), device="cpu")], [folder], [2])
    assert abs(bicubic.psnr - ours.psnr) > 0.5


def test_json_has_the_promised_fields(folder: Path) -> None:
    rows = json.loads(to_json(list(evaluate([nothing()], [folder], [3]))))
    assert [row["model"] for row in rows] == ["bicubic", "random"]
    for row in rows:
        assert set(row) == {"model", "source", "data", "scale", "psnr", "ssim", "seconds", "peak_mb", "images"}
        assert (row["source"], row["data"], row["scale"]) == ("measured", folder.name, 3)
        assert set(row["images"][0]) == {"name", "psnr", "ssim", "seconds", "ms_ssim", "flip"}


def test_set5_is_recognized_by_its_images_not_its_folder(data: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "some pictures"
    elsewhere.symlink_to(data / "Set5")
    rows = list(evaluate([], [elsewhere], [2, 3]))
    assert [row.model for row in rows] == ["bicubic", "SRCNN", "VDSR", "DRCN", "DRRN_B1U9", "DRRN_B1U25"] * 2
    assert {row.data for row in rows} == {"Set5"}
    assert (rows[1].psnr, rows[1].ssim, rows[1].source) == (36.66, 0.9542, "published")
    table = to_markdown(rows)
    assert "| bicubic | 33.66 / 0.9299 | 30.39 / 0.8682 |" in table
    assert "| DRRN_B1U25 † | 37.74 / 0.9591 | 34.03 / 0.9244 |" in table
    assert table.splitlines()[0].startswith("PSNR (dB) / SSIM. BT.601 luma")


def test_other_images_in_a_folder_named_set5_get_no_published_rows(folder: Path) -> None:
    other = folder.rename(folder.with_name("Set5"))
    printed: list[str] = []
    rows = list(evaluate([], [other], [2], note=printed.append))
    assert [row.model for row in rows] == ["bicubic"]
    assert len(printed) == 1 and "not the published Set5" in printed[0]


def test_unconfirmed_results_are_marked() -> None:
    rows = published.rows("Set14", 2)
    assert not rows["DRRN_B1U9"].confirmed and rows["DRRN_B1U25"].confirmed
    assert published.rows("Set14", 5) == {} and published.rows("mine", 2) == {}


def test_a_table_of_measured_rows_needs_no_legend(folder: Path) -> None:
    assert legend(list(evaluate([], [folder], [2]))) == ""


def test_an_untrained_scale_is_noted(folder: Path) -> None:
    printed: list[str] = []
    list(evaluate([nothing()], [folder], [2, 1.5], note=printed.append))
    assert printed == ["x1.5 is outside of what random was trained for (x2 to x4)."]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No pictures in"):
        list(evaluate([], [tmp_path], [2]))
    with pytest.raises(DataError, match="No folder"):
        list(evaluate([], [tmp_path / "absent"], [2]))


def test_an_image_too_small_to_evaluate_is_named(tmp_path: Path) -> None:
    write(Image(pixels=np.zeros((6, 6, 1), np.float32)), tmp_path / "tiny.png")
    with pytest.raises(DataError, match=r"tiny.png is too small to be evaluated at scale 3"):
        list(evaluate([], [tmp_path], [3]))


def test_measure_cost_sees_only_the_peak_of_the_work() -> None:
    def take() -> int:
        with mmap(-1, 64 << 20) as pages:  # not `malloc`, which may reuse memory that was freed before
            for page in range(0, len(pages), 4096):
                pages[page] = 1
            return len(pages)

    _, before = measure_cost(lambda: None)
    size, cost = measure_cost(take)
    _, after = measure_cost(lambda: None)
    assert size == 64 << 20 and cost.peak_mb > before.peak_mb + 50
    assert after.peak_mb < cost.peak_mb - 50  # an earlier peak is forgotten


@pytest.mark.parametrize("name", ["samples/coffee.png", "Set5/butterfly_GT.png"])
def test_compare_shows_four_versions_of_one_window(name: str, request: pytest.FixtureRequest) -> None:
    sample = name.startswith("samples")
    original = read((ROOT if sample else request.getfixturevalue("data")) / name)
    ((lr, bicubic, sr, hr),) = compare(original, {"drrn": nothing()}, 3, [(60, 30, 90, 120)])
    assert lr.planes.shape == (3, 40, 30)
    assert bicubic.planes.shape == sr.planes.shape == hr.planes.shape == (3, 120, 90)
    assert np.array_equal(hr.planes, original.pixels[30:150, 60:150].transpose(2, 0, 1))
    assert sample or bicubic.caption.startswith("bicubic 24.0")  # DRRN_FACTS: 24.04 with luma rounded first
    assert np.abs(levels(bicubic.planes) - levels(sr.planes)).max() <= 3  # chroma is bicubic, luma nearly


def test_compare_shows_several_models_in_each_of_several_windows(folder: Path) -> None:
    original = read(folder / "color.png")
    models = {"one": nothing(), "two": Upscaler(small_weights(), device="cpu")}
    first, second = compare(original, models, 2, [(0, 0, 20, 10), (8, 4, 16, 16)])
    assert [each.caption.split()[0] for each in first] == ["lr", "bicubic", "one", "two", "original"]
    assert [each.caption for each in first] == [each.caption for each in second]  # the PSNR is that of the whole image
    assert [each.planes.shape for each in second] == [(3, 8, 8), *[(3, 16, 16)] * 4]
    assert not np.array_equal(second[2].planes, second[3].planes)


def test_costs_are_measured_without_the_resource_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    module = runpy.run_path(timing.__file__)
    result, cost = module["measure_cost"](lambda: 7)
    assert result == 7 and cost.seconds >= 0
    assert ctypes.sizeof(module["_Counters"]) == 72 or sys.maxsize < 2**32, "as Windows lays it out"
