"""The presets, and the table of docs/how-to/presets.md."""

import pytest

from docs.write import presets
from docs.write.presets import NAMES, packaged, read_preset
from drrn.core.config import DRRNConfig
from drrn.training.config import TrainConfig
from tests.conftest import ROOT


def test_the_presets_are_complete() -> None:
    assert sorted(path.stem for path in (ROOT / "presets").iterdir()) == sorted(NAMES)
    costs = [read_preset(name)[0].macs() for name in NAMES]
    assert costs == sorted(costs)


def test_best_costs_at_most_an_eighth_of_the_papers_largest() -> None:
    assert read_preset("best")[0].macs() <= read_preset("b1u25")[0].macs() / 8


@pytest.mark.parametrize("units", [9, 25])
def test_the_papers_networks_are_the_papers(units: int) -> None:
    model, _ = read_preset(f"b1u{units}")
    assert model == DRRNConfig(blocks=1, units=units, width=128, unshuffle=1)
    assert model.convolution_weights == 297_216  # `DRRN_FACTS.md`, section 1: both


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_covers_fewer_units_and_many_scales_or_one(name: str) -> None:
    model, how = read_preset(name)
    assert how.precision in ("auto", "32-true"), "bfloat16 takes ten times as long on many CPUs"
    assert how.fewest_units == 1 < model.units
    if "_x" in name:
        assert name.endswith(f"_x{how.scales[0]:g}") and len(how.scales) == 1 and model.unshuffle == how.scales[0]
    else:
        assert {2, 3, 4} < set(how.scales) and min(how.scales) <= 1.2 and max(how.scales) == 4


@pytest.mark.parametrize("name", [name for name in NAMES if packaged(name)])
def test_a_packaged_network_matches_its_preset(name: str) -> None:
    weights, (model, how) = packaged(name), read_preset(name)
    assert weights and weights.config == model
    if "start" not in weights.card:  # trained in one part
        assert TrainConfig.from_dict(weights.card["recipe"]) == how


def test_the_page_contains_the_table_of_presets() -> None:
    for path, text in presets.texts().items():
        assert path.read_text(encoding="utf-8") == text
