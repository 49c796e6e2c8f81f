"""The models that are there, side by side: what each is, what it costs here, and how good its card says it is."""

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
"""Those whose PSNR is shown."""
LAPS = 5
"""Samples of each model's speed."""
SECONDS = 1.5
"""After so many no further lap is begun."""
TEXTS = 4
"""Columns that are no numbers."""


@dataclass(frozen=True)
class Entry:
    """A model."""

    name: str
    default: bool
    scales: tuple[float, ...]
    """What it was trained for, as the next."""
    units: tuple[int, int]
    blocks: int
    width: int
    unshuffle: int
    epoch: str
    """Which one its weights are of, and how many its recipe has: `60 of 60`. Empty where its card does not say."""
    parameters: int
    macs: int
    """Multiply-adds for each pixel of the result, with all units."""
    engine: str
    seconds_per_megapixel: float
    """Of the result, by that engine here and now: `Upscaler.speed`."""
    psnr: dict[str, float]
    """dB on `RANKED_ON` by scale, as the card has it."""


def catalogue(names: Sequence[str | Path], *, threads: int = 0) -> list[Entry]:
    """Of packaged models or weights files, run on the CPU, the cheapest first.

    The speed of each is that of its fastest sample, of up to `LAPS`. They take turns: what else the machine does hits
    all alike.

    Raises:
        WeightsError: there is no such model.
    """
    weights = [load(name) for name in names]
    laps: list[list[Upscaler]] = []
    began = perf_counter()
    while not laps or (len(laps) < LAPS and perf_counter() - began < SECONDS):
        ready = (Upscaler(each, device="cpu", threads=threads) for each in weights)
        laps.append([each.for_size((1, 1), (2, 2)) for each in ready])
        for upscaler in laps[-1]:
            upscaler.speed()
    entries = [_entry(max(samples, key=Upscaler.speed)) for samples in zip(*laps, strict=True)]
    return sorted(entries, key=lambda each: each.macs)


def _entry(upscaler: Upscaler) -> Entry:
    weights, config = upscaler.weights, upscaler.network.config
    return Entry(
        name=weights.name,
        default=weights.name == DEFAULT,
        scales=weights.scales,
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
    """As `Entry.epoch`, of a card that may be a stranger's."""
    try:
        return f"{int(card['validation']['epoch']) + 1} of {int(card['recipe']['epochs'])}"
    except (LookupError, TypeError, ValueError, OverflowError):
        return ""


def to_json(entries: Sequence[Entry]) -> str:
    """A list of objects, each with the fields of `Entry`."""
    return json.dumps([asdict(each) for each in entries], indent=1)


def to_text(entries: Sequence[Entry]) -> str:
    """The table in columns, the first of texts and the rest of numbers."""
    head, *body = lines(entries)
    return tables.columns(head, body, texts=TEXTS)


def to_markdown(entries: Sequence[Entry], *, command: str, commit: str, machine: dict[str, str]) -> str:
    """The table, below it what wrote it and where."""
    engines = ", ".join(dict.fromkeys(each.engine for each in entries))
    head, *body = lines(entries)
    table = tables.markdown(head, body, texts=TEXTS)
    written = f"Written by `{command}`{f' at commit {commit}' if commit else ''}"
    where = f"{machine['cpu']} with {machine['cores']} cores, {machine['system']}"
    return (
        f"{table}\n\n*epoch*: that of the weights, and how many its recipe has. *s/MP*: seconds for each megapixel of "
        f"the result, on {where}, by {engines}: machines differ and are shared, compare the ratios. PSNR in dB is that "
        f"of the cards. {written}.\n"
    )


def lines(entries: Sequence[Entry]) -> list[list[str]]:
    """The cells of the table: head, then a line a model."""
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
    """x2, x3, x4; of more than four, the first and the last."""
    if len(scales) > 4:
        return f"x{min(scales):g} to x{max(scales):g}"
    return ", ".join(f"x{scale:g}" for scale in scales)
