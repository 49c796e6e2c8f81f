"""`drrn models`: list, show, import, pack."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from drrn.core.config import Skip
from drrn.errors import DataError, UsageError
from drrn.weights import DEFAULT

if TYPE_CHECKING:
    from drrn.weights.store import Weights


def list_models() -> int:
    """List the models that came with the package."""
    from drrn.weights import store

    for name in store.names():
        weights = store.load(name)
        scales = ", ".join(f"x{scale:g}" for scale in weights.scales)
        config = weights.config
        default = " (default)" if name == DEFAULT else ""
        print(
            f"{name}{default}: {scales}; B{config.blocks}U{config.units}, width {config.width}, "
            f"unshuffle {config.unshuffle}; {config.parameters:,} parameters, {config.macs():,} multiply-adds a pixel"
        )
    return 0


def show_model(model: Positional[str] = DEFAULT, /, *, markdown: bool = False) -> int:
    """Show what a model is and where it comes from.

    Args:
        model: A packaged name or a weights file.
        markdown: As a model card instead of JSON.
    """
    from drrn.weights import store

    weights = store.load(model)
    print(card(weights) if markdown else json.dumps(_about(weights), indent=2))
    return 0


def import_model(
    file: Positional[Path],
    /,
    *,
    units: int,
    output: Annotated[Path, arg(aliases=["-o"])],
    skip: Skip = "rectified",
) -> int:
    """Import the .pth file of another project's DRRN. Nothing in it is executed.

    Args:
        file: What torch.save wrote: a state_dict of four 3x3 convolutions.
        units: Residual units to run; the file does not say it. 9 and 25 are usual.
        output: The weights file to write, ending in .safetensors.
        skip: What the popular ports compute, by an in-place ReLU, is `rectified`.
    """
    from drrn.weights import store

    try:
        from drrn.network.importing import import_pth
    except ModuleNotFoundError as error:
        raise UsageError(f"Importing needs {error.name}. Install it: pip install 'drrn[torch]'.") from error
    store.save(import_pth(file, units=units, skip=skip), _safetensors(output))
    print(output)
    return 0


def pack_model(
    model: Positional[str],
    /,
    *,
    scores: Path,
    output: Annotated[Path, arg(aliases=["-o"])],
) -> int:
    """Write the scores of `drrn evaluate --json` into the card of a weights file.

    Args:
        model: A packaged name or a weights file.
        scores: What `drrn evaluate MODEL --json FILE` wrote.
        output: The weights file to write, ending in .safetensors.
    """
    from dataclasses import replace

    from drrn.core.metrics import PROTOCOL
    from drrn.weights import store

    weights = store.load(model)
    try:
        rows = [row for row in json.loads(scores.read_text()) if row["source"] == "measured"]
        kept = [
            {key: row[key] for key in ("data", "scale", "psnr", "ssim")} for row in rows if row["model"] == weights.name
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{scores} is no file of `drrn evaluate --json`.") from error
    if not kept:
        raise DataError(f"{scores} has no row of {weights.name!r}. Evaluate this very file.")
    rounded = [{**row, "psnr": round(row["psnr"], 4), "ssim": round(row["ssim"], 5)} for row in kept]
    packed = replace(weights, card={**weights.card, "scores": rounded, "protocol": PROTOCOL})
    store.save(packed, _safetensors(output))
    print(output)
    return 0


def card(weights: "Weights") -> str:
    """What is known of `weights`, as Markdown."""
    config, about = weights.config, weights.card
    lines = [
        f"# {weights.name}",
        "",
        f"A DRRN of {config.blocks} block(s) of {config.units} units, width {config.width}, skip `{config.skip}`, "
        f"unshuffle {config.unshuffle}, {config.channels} channel(s): {config.parameters:,} parameters, "
        f"{config.macs():,} multiply-adds for each pixel of the result.",
        "",
        f"Trained for x{', x'.join(f'{scale:g}' for scale in weights.scales)}.",
        "",
    ]
    for key in ("command", "commit", "seed", "data", "recipe", "validation", "source", "source_sha256"):
        if key in about:
            value = about[key]
            shown = value if isinstance(value, str | int) else json.dumps(value, indent=2)
            lines += [f"## {key.replace('_', ' ').capitalize()}", "", f"```\n{shown}\n```", ""]
    if "scores" in about:
        lines += ["## Scores", "", f"{about['protocol']}.", "", "| data | scale | PSNR | SSIM |", "|---|---|---|---|"]
        lines += [
            f"| {row['data']} | x{row['scale']:g} | {row['psnr']:.2f} | {row['ssim']:.4f} |" for row in about["scores"]
        ]
        lines.append("")
    return "\n".join(lines)


def _about(weights: "Weights") -> dict[str, Any]:
    return {
        "name": weights.name,
        "config": weights.config.to_dict(),
        "parameters": weights.config.parameters,
        "macs_per_pixel": weights.config.macs(),
        "scales": weights.scales,
        "units": weights.units,
        "card": weights.card,
    }


def _safetensors(path: Path) -> Path:
    if path.suffix != ".safetensors":
        raise UsageError(f"{path} must end in .safetensors.")
    return path
