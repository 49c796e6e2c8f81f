"""The presets of the family: what they are, and what docs/presets.md says of them. `DRRN_WRITE=1` writes its table."""

import csv
import os

import pytest

from drrn.core.config import DRRNConfig
from drrn.evaluation.cards.catalogue import epoch, spans
from drrn.training.config import TrainConfig, read_config
from drrn.weights import store
from tests.conftest import ROOT

PAGE = ROOT / "docs/presets.md"
NAMES = ("tiny", "small", "fast", "best", "b1u9", "b1u25")
"""The cheapest first."""
TRIED = ROOT / "docs/log/2026-11-29-presets"
HEAD = """| preset | network | scales | parameters | kMAC a pixel | of B1U25's | steps | patches a step | trained |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |"""


def preset(name: str) -> tuple[DRRNConfig, TrainConfig]:
    return read_config(ROOT / f"presets/{name}.json")


def test_these_are_the_presets() -> None:
    assert sorted(path.stem for path in (ROOT / "presets").iterdir()) == sorted(NAMES)
    costs = [preset(name)[0].macs() for name in NAMES]
    assert costs == sorted(costs)


def test_best_is_an_eighth_of_the_papers_largest_at_most() -> None:
    assert preset("best")[0].macs() <= preset("b1u25")[0].macs() / 8


@pytest.mark.parametrize("units", [9, 25])
def test_the_papers_networks_are_the_papers(units: int) -> None:
    model, _ = preset(f"b1u{units}")
    assert model == DRRNConfig(blocks=1, units=units, width=128, unshuffle=1)
    assert model.convolution_weights == 297_216  # `DRRN_FACTS.md`, section 1: both


@pytest.mark.parametrize("name", NAMES)
def test_each_is_for_many_scales_and_fewer_units(name: str) -> None:
    model, how = preset(name)
    assert {2, 3, 4} < set(how.scales) and min(how.scales) <= 1.2 and max(how.scales) == 4
    assert how.fewest_units == 1 < model.units


@pytest.mark.parametrize("name", [name for name in NAMES if name in store.names()])
def test_a_packaged_model_is_that_of_its_preset(name: str) -> None:
    weights, (model, how) = store.load(name), preset(name)
    assert weights.config == model
    if "start" not in weights.card:  # trained in one part
        assert TrainConfig.from_dict(weights.card["recipe"]) == how


def test_the_page_has_them_all() -> None:
    before, _, rest = PAGE.read_text().partition("<!-- presets -->")
    _, _, after = rest.partition("<!-- /presets -->")
    page = f"{before}<!-- presets -->\n\n{table()}\n\n<!-- /presets -->{after}"
    if os.environ.get("DRRN_WRITE"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page


def table() -> str:
    largest = preset("b1u25")[0].macs()
    lines = []
    for name in NAMES:
        model, how = preset(name)
        cells = [
            f"[{name}](../presets/{name}.json)",
            f"B{model.blocks}U{how.fewest_units}-{model.units}, width {model.width}, unshuffle {model.unshuffle}",
            spans(how.scales),
            f"{model.parameters:,}",
            f"{model.macs() / 1000:,.1f}",
            f"1/{largest / model.macs():.0f}" if model.macs() < largest else "1",
            f"{how.epochs * how.epoch_steps:,}",
            f"{how.batch_size} of {how.patch}x{how.patch}",
            trained(name),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([HEAD, *lines])


def trained(name: str) -> str:
    if name in store.names():
        card = store.load(name).card
        started = ", from trained weights" if "start" in card else ""
        taught = ", taught by another" if card["data"].get("teacher_sha256") else ""
        return f"**packaged**: epoch {epoch(card)}{started}{taught}"
    with (TRIED / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    first, last = (float(row["val_psnr"]) for row in (rows[0], rows[-1]))
    return f"no: [tried](log/{TRIED.name}/{name}.csv) for {100 * len(rows)} steps, {first:.2f} to {last:.2f} dB"
