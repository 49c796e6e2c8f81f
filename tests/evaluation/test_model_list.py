"""The list of models, with their measurements side by side."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drrn.evaluation.cards.model_list import epoch, lines, list_entries, spans, to_json, to_markdown, to_text
from drrn.weights import store
from tests.small_weights import small_weights

TRAINED = {"validation": {"epoch": 8}, "recipe": {"epochs": 10}}


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    wide = replace(small_weights(width=16, trained_units=(1, 2)), scales=(1.2, 1.5, 2, 3, 4))
    scores = [{"data": "Set5", "scale": 2, "psnr": 36.5, "ssim": 0.9}, {"data": "Set14", "scale": 3, "psnr": 29.0}]
    store.save(wide, tmp_path / "wide.safetensors")
    store.save(replace(small_weights(), card={"scores": scores} | TRAINED), tmp_path / "narrow.safetensors")
    return [tmp_path / "wide.safetensors", tmp_path / "narrow.safetensors"]


def test_the_list_is_sorted_by_cost(models: list[Path]) -> None:
    entries = list_entries(models, threads=1)
    assert [each.name for each in entries] == ["narrow", "wide"]
    head, narrow, wide = lines(entries)
    assert head[-3:] == ["Set5 x2", "Set5 x3", "Set5 x4"]
    assert narrow[:4] == ["narrow", "x2, x3, x4", "B1U2, width 8, unshuffle 1", "9 of 10"]
    assert narrow[-3:] == ["36.50", "", ""]
    assert wide[1:4] == ["x1.2 to x4", "B1U1-2, width 16, unshuffle 1", ""], "whose card says nothing"
    assert all(each.seconds_per_megapixel > 0 for each in entries)


def test_json_has_all_fields(models: list[Path]) -> None:
    narrow, wide = json.loads(to_json(list_entries(models, threads=1)))
    config = small_weights().config
    assert (narrow["parameters"], narrow["macs"]) == (config.parameters, config.macs())
    assert narrow["psnr"] == {"2": 36.5} and narrow["default"] is False
    assert wide["units"] == [1, 2] and wide["scales"] == [1.2, 1.5, 2, 3, 4]


def test_the_table_names_its_command_and_machine(models: list[Path]) -> None:
    entries = list_entries(models, threads=1)
    about = {"cpu": "Z80", "cores": "1", "system": "CP/M"}
    page = to_markdown(entries, command="drrn models list", commit="abc", machine=about)
    assert page.splitlines()[0].startswith("| model | scales | network | ")
    assert "on Z80 with 1 cores, CP/M, with " in page
    assert page.endswith("Written by `drrn models list` at commit abc.\n")
    assert len({len(line) for line in to_text(entries).splitlines()}) == 1


def test_many_scales_are_shown_as_a_range() -> None:
    assert spans([2]) == "x2" and spans([2, 3, 4]) == "x2, x3, x4" and spans([4, 1.2, 2, 3, 3.5]) == "x1.2 to x4"


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"recipe": {"epochs": 9}},
        TRAINED | {"recipe": 3},
        TRAINED | {"validation": "x"},
        TRAINED | {"validation": {"epoch": float("inf")}},
    ],
)
def test_a_card_without_epoch_shows_none(card: dict[str, Any]) -> None:
    assert epoch(TRAINED) == "9 of 10" and epoch(card) == ""
