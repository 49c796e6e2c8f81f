"""The table of docs/how-to/presets.md: what each preset is and costs, and whether a model was trained by it."""

import csv

from docs.write import DOCS, ROOT, Texts, read, replace_between
from drrn.core.config import DRRNConfig
from drrn.evaluation.cards.model_list import epoch, spans
from drrn.tables import markdown
from drrn.training.config import TrainConfig, read_config
from drrn.weights import store
from drrn.weights.store import Weights

NAMES = (
    "tiny_x2",
    "tiny_x3",
    "tiny_x4",
    "small_x2",
    "photo-small_x2",
    "base_x2",
    "base_x3",
    "base_x4",
    "photo_x2",
    "best",
    "b1u9",
    "b1u25",
)
"""The cheapest first."""
TRIED = DOCS / "log/2026-11-29-presets"
HEAD = ["preset", "network", "scales", "trained", "parameters", "kMAC a pixel", "of B1U25's", "steps", "patches a step"]


def texts() -> Texts:
    """The page with its table."""
    page = DOCS / "how-to/presets.md"
    return {page: replace_between(read(page), "presets", table())}


def read_preset(name: str) -> tuple[DRRNConfig, TrainConfig]:
    """The network and the recipe of a preset."""
    return read_config(ROOT / f"presets/{name}.json")


def table() -> str:
    """A row for each preset."""
    largest = read_preset("b1u25")[0].macs()
    lines = []
    for name in NAMES:
        model, recipe = read_preset(name)
        units = f"{recipe.fewest_units}-{model.units}"
        lines.append(
            [
                f"[{name}](../../presets/{name}.json)",
                f"B{model.blocks}U{units}, width {model.width}, unshuffle {model.unshuffle}",
                spans(recipe.scales),
                _trained(name),
                f"{model.parameters:,}",
                f"{model.macs() / 1000:,.1f}",
                f"1/{largest / model.macs():.0f}" if model.macs() < largest else "1",
                f"{recipe.epochs * recipe.epoch_steps:,}",
                f"{recipe.batch_size} of {recipe.patch}x{recipe.patch}",
            ]
        )
    return markdown(HEAD, lines, texts=4)


def packaged(name: str) -> Weights | None:
    """The packaged network of a preset: of `tiny` the one for x3, by `tiny_x3`."""
    model, _, scale = name.partition("_x")
    if model not in store.names():
        return None
    weights = store.load(model)
    return weights.network(float(scale)) if scale else weights


def _trained(name: str) -> str:
    if weights := packaged(name):
        card = weights.card
        started = ", from trained weights" if "start" in card else ""
        taught = any(card["data"].get(f"teacher_{what}sha256") for what in ("", "data_"))
        started += ", taught by another" if taught else ""
        return f"**packaged**: epoch {epoch(card)}{started}"
    with (TRIED / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    first, last = (float(row["val_psnr"]) for row in (rows[0], rows[-1]))
    return f"no: [tried](../log/{TRIED.name}/{name}.csv) for {100 * len(rows)} steps, {first:.2f} to {last:.2f} dB"
