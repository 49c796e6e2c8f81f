"""The card of a model, stored in its file and shown as Markdown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drrn import tables
from drrn.core.config import DRRNConfig
from drrn.errors import DataError, WeightsError
from drrn.evaluation.cards.model_list import spans
from drrn.weights.store import Weights

ORIGIN = ("terms", "command", "commit", "seed", "data", "recipe", "validation", "source", "source_sha256")


@dataclass(frozen=True)
class CurvePoint:
    """PSNR of a model and of bicubic at one scale, in dB."""

    scale: float
    psnr: float
    bicubic: float


def to_markdown(weights: Weights, *, plot: str = "") -> str:
    """The card as a page; older cards have fewer sections.

    Args:
        plot: path of the plot of its curve, relative to the page; empty for none.

    Raises:
        WeightsError: the card is not one that drrn wrote.
    """
    try:
        return _page(weights, plot)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"The card of {weights.name} makes no sense. Show it without --markdown.") from error


def curve(weights: Weights) -> tuple[str, list[CurvePoint]]:
    """The test set of the card's PSNR curve, and its points.

    Raises:
        DataError: the card has no curve.
        WeightsError: the curve is not one that drrn wrote.
    """
    if "character" not in weights.card:
        raise DataError(f"The card of {weights.name} has no curve. Models of `drrn models list` have one.")
    try:
        about = weights.card["character"]
        points = [CurvePoint(*(float(row[name]) for name in ("scale", "psnr", "bicubic"))) for row in about["curve"]]
        return str(about["data"][0]), points
    except (LookupError, TypeError, ValueError) as error:
        raise WeightsError(f"The card of {weights.name} makes no sense. Show it without --plot.") from error


def _page(weights: Weights, plot: str) -> str:
    config, card = weights.config, weights.card
    least, most = weights.units
    runs = f" and to run with {least} to {most} units (`--units`)" if least < most else ""
    parts = [
        f"# {weights.name}",
        f"A DRRN of {_describe(config)}",
        *(
            f"Above x{below:g}, another network is used: {_describe(network.config)}"
            for below, network in zip(weights.all_scales, weights.larger.values(), strict=False)
        ),
        f"Trained for {spans(weights.all_scales)}{runs}."
        + " Other scales are resized from the result for the next larger of these, or for the largest."
        * weights.stepped,
    ]
    if "scores" in card:
        parts += ["## Scores", f"{card['protocol']}.", _scores(card["scores"])]
    if "character" in card:
        parts += _measurements(weights.name, card["character"], plot)
    origins = {"": card, **{f" of the network for x{scale}": each.card for scale, each in weights.larger.items()}}
    for of, about in origins.items():
        for key in ORIGIN:
            if key in about:
                value = about[key]
                shown = value if isinstance(value, str | int) else json.dumps(value, indent=2)
                parts += [f"## {key.replace('_', ' ').capitalize()}{of}", f"```\n{shown}\n```"]
    return "\n\n".join(filter(None, parts)) + "\n"


def _describe(config: DRRNConfig) -> str:
    return (
        f"{tables.plural(config.blocks, 'block')} of {tables.plural(config.units, 'unit')}, width {config.width}, "
        f"skip `{config.skip}`, unshuffle {config.unshuffle}, for {'RGB' if config.channels == 3 else 'luma'}: "
        f"{config.parameters:,} parameters, "
        f"{config.macs():,} multiply-adds for each pixel of the result."
    )


def _scores(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ["data", "scale", "PSNR", "SSIM"]
    lines = [[row["data"], f"x{row['scale']:g}", f"{row['psnr']:.2f}", f"{row['ssim']:.4f}"] for row in rows]
    if all("bicubic_psnr" in row for row in rows):
        head += ["bicubic", "difference"]
        for line, row in zip(lines, rows, strict=True):
            bicubic = row["bicubic_psnr"]
            line += [f"{bicubic:.2f} / {row['bicubic_ssim']:.4f}", f"{row['psnr'] - bicubic:+.2f} dB"]
    return tables.markdown(head, lines)


def _measurements(name: str, about: Mapping[str, Any], plot: str) -> list[str]:
    first = about["data"][0]
    at = f" at commit {about['commit']}" if about["commit"] else ""
    written = f"`{about['command']}`{at}"
    parts = [f"Measured, like everything below, by {written}. None of these images was used to make the model."]
    if about["units"]:
        parts += ["## By units", f"PSNR in dB on {first}, when run with fewer units.", _units(about["units"])]
    by_scale = [[f"x{row['scale']:g}", *_against(row)] for row in about["curve"]]
    parts += [
        "## By scale",
        f"PSNR in dB on {first}.",
        f"![PSNR of {name} and of bicubic by scale]({plot})" if plot else "",
        tables.markdown(["scale", name, "bicubic", "difference"], by_scale),
        "## Worse than bicubic",
        _worse(about),
        "## Robustness",
        f"PSNR in dB at x2: {first} from degraded 8-bit color lr, and drawings reduced by three filters (nearest "
        "shifts them by half a pixel). Networks trained only on lr made by bicubic also enlarge JPEG blocks and noise. "
        "**harms** marks results worse than bicubic.",
        tables.markdown(
            ["pictures", "lr", name, "bicubic", "difference", ""],
            [
                [row["data"], row["lr"], *_against(row), "**harms**" if row["psnr"] < row["bicubic"] else ""]
                for row in about["robustness"]
            ],
            texts=2,
        ),
    ]
    return parts


def _units(rows: Sequence[Mapping[str, Any]]) -> str:
    scales = list(dict.fromkeys(row["scale"] for row in rows))
    psnrs = {(row["units"], row["scale"]): row["psnr"] for row in rows}
    macs = {row["units"]: row["macs"] for row in rows}
    return tables.markdown(
        ["units", "kMAC a pixel", *(f"x{scale:g}" for scale in scales)],
        [
            [f"{units}", f"{each / 1000:,.1f}", *(f"{psnrs[units, scale]:.2f}" for scale in scales)]
            for units, each in macs.items()
        ],
    )


def _worse(about: Mapping[str, Any]) -> str:
    rows, count = about["worse"], about["worse_count"]
    if not rows:
        return "None: no image of these sets at the scales of the scores, nor of the first set at those of the curve."
    summary = f"{count} of the results" + (f"; the worst {len(rows)}:" if count > len(rows) else ":")
    lines = [[row["data"], row["picture"], f"x{row['scale']:g}", *_against(row)] for row in rows]
    return (
        f"{summary}\n\n{tables.markdown(['data', 'picture', 'scale', 'PSNR', 'bicubic', 'difference'], lines, texts=2)}"
    )


def _against(row: Mapping[str, Any]) -> list[str]:
    return [f"{row['psnr']:.2f}", f"{row['bicubic']:.2f}", f"{row['psnr'] - row['bicubic']:+.2f}"]
