"""`drrn upscale` with --ensemble, --disagreement and --check: what is written, printed and refused."""

import errno
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drrn.apps import cli
from drrn.media.image import Image
from drrn.media.images import encoding as packing
from drrn.media.images.files import probe, read, write
from drrn.media.metadata import embedding
from drrn.upscaling.consistency import WHITE, check, check_bicubic
from drrn.upscaling.upscaler import Upscaler
from drrn.weights import store
from tests.command_line import run
from tests.conftest import ROOT
from tests.small_weights import small_weights

ALL = ["--ensemble", "--disagreement", "--check-map"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a picture and a model, where the command runs."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    write(Image(pixels=rng.random((12, 16, 3), np.float32)), tmp_path / "photo.png")
    deep = Image(pixels=rng.random((9, 10, 1), np.float32), alpha=rng.random((9, 10), np.float32), bits=16)
    write(deep, tmp_path / "deep.tif")
    store.save(small_weights(), tmp_path / "tiny.safetensors")
    return tmp_path


def upscale(*args: str) -> int:
    return run("upscale", *args, "--model", "tiny.safetensors", "--engine", "native", "--threads", "1")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "tiny.safetensors")


def reported(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (line,) = capsys.readouterr().out.splitlines()
    return json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_without_check_options_there_are_no_maps_and_no_lines(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upscale("photo.png", "--json") == 0
    line = reported(capsys)
    assert line["ensemble"] is False and not {"check", "bicubic_check", "disagreement", "maps"} & line.keys()
    assert names(here) == ["deep.tif", "photo.png", "photo_x2.png"]


def test_maps_are_written_next_to_the_result_in_its_size(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upscale("photo.png", "deep.tif", "-s", "3", *ALL) == 0
    for name, small, large in [("photo_x3", (16, 12), (48, 36)), ("deep_x3", (10, 9), (30, 27))]:
        assert probe(here / f"{name}_check.png")[:3] == ("PNG", *small)
        assert probe(here / f"{name}_disagreement.png")[:3] == ("PNG", *large)
        for kind in ("check", "disagreement"):
            drawn = read(here / f"{name}_{kind}.png")
            assert drawn.pixels.shape[2] == 1 and drawn.alpha is None and drawn.bits == 8 and drawn.pixels.max() > 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 and printed[1].startswith("deep_x3.tif · ")
    assert (
        " · made smaller again, " in printed[0]
        and " dB from photo.png, at most " in printed[0]
        and "(bicubic " in printed[0]
    )
    assert " · disagreement " in printed[0] and "of 255 levels on average, at most " in printed[0]
    ending = f" · photo_x3_check.png, photo_x3_disagreement.png: black 0, white {WHITE} levels or more"
    assert printed[0].endswith(ending)


def test_json_has_the_numbers_of_the_python_api(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upscale("photo.png", "--json", *ALL) == 0
    line = reported(capsys)
    source, upscaler = read(here / "photo.png"), Upscaler("tiny.safetensors", engine="native", threads=1, ensemble=True)
    result, apart = upscaler.upscale_with_disagreement(source, 2)
    assert (result.to_array() == read(here / "photo_x2.png").to_array()).all()
    for name, found in [("check", check(source, result)), ("bicubic_check", check_bicubic(source, 32, 24))]:
        assert line[name] == {"psnr": pytest.approx(found.psnr, abs=1e-3), "largest": found.largest}
    mean, largest = 255 * apart.mean(), 255 * apart.max()
    assert line["disagreement"] == {"mean": pytest.approx(mean, abs=1e-3), "largest": pytest.approx(largest, abs=1e-3)}
    assert line["maps"] == {"files": ["photo_x2_check.png", "photo_x2_disagreement.png"], "white": WHITE}
    assert line["ensemble"] is True


def test_disagreement_and_check_leave_the_result_as_it_is_and_the_ensemble_does_not(here: Path) -> None:
    assert upscale("photo.png") == 0
    assert upscale("photo.png", "-o", "asked.png", "--disagreement", "--check") == 0
    assert upscale("photo.png", "-o", "careful.png", "--ensemble") == 0
    assert names(here) == [
        "asked.png", "asked_disagreement.png", "careful.png", "deep.tif", "photo.png", "photo_x2.png"
    ]  # fmt: skip
    plain, checked, careful = (read(here / name).to_array() for name in ("photo_x2.png", "asked.png", "careful.png"))
    assert (checked == plain).all() and (careful != plain).any()


def test_an_infinite_psnr_is_null_in_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(Image(pixels=np.full((8, 8, 3), 0.2, np.float32)), here / "plain.png")
    assert upscale("plain.png", "--check", "--json") == 0
    assert reported(capsys)["check"] == {"psnr": None, "largest": 0}
    assert upscale("plain.png", "--check", "-o", "again.png") == 0
    assert "made smaller again, inf dB from plain.png, at most 0 of 255 levels" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["check", "disagreement"])
def test_an_existing_map_is_refused_before_the_work_and_replaced_with_overwrite(
    here: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    (here / f"photo_x2_{kind}.png").write_bytes(b"mine")
    before = names(here)
    assert upscale("photo.png", *ALL) == 2
    printed = capsys.readouterr()
    assert printed.err == f"drrn: photo_x2_{kind}.png exists. Give another name, or --overwrite.\n" and not printed.out
    assert names(here) == before and (here / f"photo_x2_{kind}.png").read_bytes() == b"mine"
    assert upscale("photo.png") == 0  # an existing map does not matter if none is requested
    assert upscale("photo.png", *ALL, "--overwrite") == 0
    assert probe(here / f"photo_x2_{kind}.png").format == "PNG"


def test_a_map_never_replaces_the_picture_it_is_about(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "photo.png").rename(here / "large_check.png")
    before = (here / "large_check.png").read_bytes()
    assert upscale("large_check.png", "-o", "large.png", "--check-map", "--overwrite") == 2
    assert "would overwrite itself" in capsys.readouterr().err
    assert names(here) == ["deep.tif", "large_check.png"] and (here / "large_check.png").read_bytes() == before


def test_two_pictures_with_one_map_are_not_lost(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(read(here / "photo.png"), here / "photo.webp")
    assert upscale("photo.png", "photo.webp", "--check-map") == 3
    assert "photo.webp would write photo_x2_check.png, as another image does." in capsys.readouterr().err
    assert names(here) == ["deep.tif", "photo.png", "photo.webp", "photo_x2.png", "photo_x2_check.png"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_full_disk_leaves_neither_result_nor_map(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before, whole, calls = names(here), embedding.embed_metadata, 0

    def full(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(packing, "embed_metadata", full)
    assert upscale("photo.png", *ALL) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert calls == number and names(here) == before


def test_maps_are_refused_for_stdout(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--disagreement", "--check-map"):
        assert upscale("photo.png", "-o", "-", option) == 2
        assert "which stdout can't hold" in capsys.readouterr().err


def test_a_missing_map_makes_its_result_stale(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "in").mkdir()
    (here / "photo.png").rename(here / "in" / "photo.png")
    again = ["in", "-o", "out", "--disagreement", "--check-map"]
    assert upscale(*again) == 0
    assert upscale(*again) == 0
    assert "0 enlarged, 1 unchanged" in capsys.readouterr().err
    (here / "out" / "photo_x2_check.png").unlink()
    assert upscale(*again) == 0
    assert "1 enlarged, 0 unchanged" in capsys.readouterr().err
    (here / "out" / "photo_x2_check.png").write_bytes(b"mine")
    assert upscale(*again) == 2 and (here / "out" / "photo_x2_check.png").read_bytes() == b"mine"
    assert "photo_x2_check.png exists" in capsys.readouterr().err


def test_new_checks_make_results_stale(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "in").mkdir()
    (here / "photo.png").rename(here / "in" / "photo.png")
    assert upscale("in", "-o", "out") == 0
    capsys.readouterr()
    assert upscale("in", "-o", "out", "--check") == 0
    assert "made smaller again, " in capsys.readouterr().out


def test_a_manifest_lists_existing_maps_only(here: Path) -> None:
    (here / "in").mkdir()
    (here / "photo.png").rename(here / "in" / "photo.png")
    assert upscale("in", "-o", "out", *ALL) == 0
    write(
        Image(pixels=np.random.default_rng(1).random((12, 16, 3), np.float32)),
        here / "in" / "photo.png",
        overwrite=True,
    )
    assert upscale("in", "-o", "out", *ALL) == 0
    with closing(sqlite3.connect(here / "out" / ".drrn.sqlite")) as database:
        assert database.execute("SELECT COUNT(*), COUNT(DISTINCT target) FROM made").fetchone() == (3, 3)


def test_the_longest_possible_name_can_have_maps(here: Path) -> None:
    (here / "photo.png").rename(here / f"{'n' * 251}.png")
    assert upscale(f"{'n' * 251}.png", *ALL) == 0
    assert len(names(here)) == 5


def test_help_states_the_scale_of_the_maps_and_claims_no_confidence(capsys: pytest.CaptureFixture[str]) -> None:
    assert upscale("--help") == 0
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert printed.count(f"white for {WHITE} levels of 255 or more") == 2 and "eight times the time" in printed
    assert not [word for word in ("confiden", "probab", "certain") if word in printed.lower()]


def test_an_estimate_counts_eight_passes_for_ensemble_and_disagreement(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Image(pixels=np.zeros((500, 600, 1), np.float32)), here / "large.png")
    memory = []
    for options in ([], ["--ensemble"], ["--disagreement"]):
        assert upscale("large.png", "--estimate", "--json", *options) == 0
        memory.append(reported(capsys)["estimated_mb"])
    assert memory[0] < memory[1] == memory[2]
    assert not list(here.glob("large_*"))


@pytest.mark.slow
def test_the_check_of_the_sample_matches_the_documents(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = " ".join((ROOT / "docs/how-to/checking.md").read_text().split())
    psnr, largest, bicubic, its_largest = map(
        float,
        re.findall(
            r"large, ([\d.]+) dB and at most (\d+) of 255 levels, where bicubic has ([\d.]+) dB and (\d+)", words
        )[0],
    )
    assert "(`drrn upscale samples/chelsea.png --check --output checked.png`)" in words
    with pytest.raises(SystemExit):
        cli.main(["upscale", str(ROOT / "samples/chelsea.png"), "--check", "--output", "checked.png", "--json"])
    line = reported(capsys)
    assert line["check"] == {"psnr": pytest.approx(psnr, abs=0.02), "largest": largest}
    assert line["bicubic_check"] == {"psnr": pytest.approx(bicubic, abs=0.02), "largest": its_largest}
