"""The list of models: the network, speed on this machine, and PSNR of each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from drrn import tables
from drrn.upscaling.batch.choosing import RANKED_ON, scores
from drrn.upscaling.upscaler import Upscaler
from drrn.weights import DEFAULT
from drrn.weights.store import load

SCALES = (2, 3, 4)
"""Scales whose PSNR is shown."""
SAMPLES = 5
"""Samples of each model's speed."""
MAX_SECONDS = 1.5
"""No further sample is started after this time."""
TEXTS = 4
"""Columns of text, before those of numbers."""


@dataclass(frozen=True)
class ModelEntry:
    """A line of the list."""

    name: str
    default: bool
    scales: tuple[float, ...]
    """The scales, and below the units, that it was trained for."""
    units: tuple[int, int]
    blocks: int
    width: int
    unshuffle: int
    epoch: str
    """The epoch of its weights and the number of epochs of its recipe: `60 of 60`. Empty if its card does not say."""
    parameters: int
    macs: int
    """Multiply-adds per pixel of the result, with all units."""
    engine: str
    seconds_per_megapixel: float
    """Per megapixel of the result, measured with that engine by `Upscaler.speed`."""
    psnr: dict[str, float]
    """In dB on `RANKED_ON` by scale, from the card."""


def list_entries(names: Sequence[str | Path], *, threads: int = 0) -> list[ModelEntry]:
    """The entries of packaged models or weights files, run on the CPU, cheapest first.

    A model's speed is that of its fastest sample, of up to `SAMPLES`. Models take turns, so that other load on the
    machine affects all alike.

    Raises:
        WeightsError: a model does not exist.
    """
    weights = [load(name) for name in names]
    rounds: list[list[Upscaler]] = []
    start = perf_counter()
    while not rounds or (len(rounds) < SAMPLES and perf_counter() - start < MAX_SECONDS):
        upscalers = (Upscaler(each, device="cpu", threads=threads) for each in weights)
        rounds.append([each.for_size((1, 1), (2, 2)) for each in upscalers])
        for upscaler in rounds[-1]:
            upscaler.measure_speed()
    entries = [_entry(max(samples, key=Upscaler.speed)) for samples in zip(*rounds, strict=True)]
    return sorted(entries, key=lambda each: each.macs)


def _entry(upscaler: Upscaler) -> ModelEntry:
    weights, config = upscaler.weights, upscaler.network.config
    return ModelEntry(
        name=weights.name,
        default=weights.name == DEFAULT,
        scales=weights.all_scales,
        units=weights.units,
        blocks=config.blocks,
        width=config.width,
        unshuffle=config.unshuffle,
        epoch=epoch(weights.card),
        parameters=weights.parameters,
        macs=config.macs(),
        engine=upscaler.engine.name,
        seconds_per_megapixel=1e6 / upscaler.speed(),
        psnr={f"{scale:g}": psnr for scale, psnr in sorted(scores(weights).items())},
    )


def epoch(card: Mapping[str, Any]) -> str:
    """`ModelEntry.epoch` from a card, which may be untrusted."""
    try:
        return f"{int(card['validation']['epoch']) + 1} of {int(card['recipe']['epochs'])}"
    except (LookupError, TypeError, ValueError, OverflowError):
        return ""


def to_json(entries: Sequence[ModelEntry]) -> str:
    """A list of objects, each with the fields of `ModelEntry`."""
    return json.dumps([asdict(each) for each in entries], indent=1)


def to_text(entries: Sequence[ModelEntry]) -> str:
    """The table in aligned columns."""
    head, *body = lines(entries)
    return tables.columns(head, body, texts=TEXTS)


def to_markdown(entries: Sequence[ModelEntry], *, command: str, commit: str, machine: dict[str, str]) -> str:
    """The table, with the command and machine that produced it below."""
    engines = ", ".join(dict.fromkeys(each.engine for each in entries))
    head, *body = lines(entries)
    table = tables.markdown(head, body, texts=TEXTS)
    written = f"Written by `{command}`{f' at commit {commit}' if commit else ''}"
    where = f"{machine['cpu']} with {machine['cores']} cores, {machine['system']}"
    return (
        f"{table}\n\n*epoch*: the epoch of the weights, and the number of epochs of the recipe. *s/MP*: seconds per "
        f"megapixel of the result on {where}, with {engines}: machines differ and are shared, so compare ratios. PSNR "
        f"in dB is from the cards. {written}.\n"
    )


def lines(entries: Sequence[ModelEntry]) -> list[list[str]]:
    """The cells of the table: the head, then one line per model."""
    head = ["model", "scales", "network", "epoch", "parameters", "kMAC a pixel", "s/MP"]
    table = [head + [f"{RANKED_ON} x{scale:g}" for scale in SCALES]]
    for each in entries:
        least, most = each.units
        units = f"{most}" if least == most else f"{least}-{most}"
        psnr = [each.psnr.get(f"{scale:g}") for scale in SCALES]
        table.append(
            [
                f"{each.name} (default)" if each.default else each.name,
                spans(each.scales),
                f"B{each.blocks}U{units}, width {each.width}, unshuffle {each.unshuffle}",
                each.epoch,
                f"{each.parameters:,}",
                f"{each.macs / 1000:,.1f}",
                tables.number(each.seconds_per_megapixel),
                *("" if value is None else f"{value:.2f}" for value in psnr),
            ]
        )
    return table


def spans(scales: Sequence[float]) -> str:
    """As in `x2, x3, x4`; more than four as `x1.2 to x4`."""
    if len(scales) > 4:
        return f"x{min(scales):g} to x{max(scales):g}"
    return ", ".join(f"x{scale:g}" for scale in scales)
