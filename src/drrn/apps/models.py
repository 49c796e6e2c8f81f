"""`drrn models`: list, show, join, import."""

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from drrn.core.config import Skip
from drrn.errors import UsageError
from drrn.weights import DEFAULT

if TYPE_CHECKING:
    from drrn.weights.store import Weights


def list_models(*, json: bool = False, markdown: Path | None = None, threads: int = 0) -> int:
    """List the packaged models, with their speed (measured now) and their PSNR (from their cards).

    Args:
        json: Print a list of objects instead of a table.
        markdown: Also write the table to this file.
        threads: CPU threads, 0 for all cores.
    """
    from drrn.atomic import write_text
    from drrn.evaluation.cards.model_list import list_entries, to_json, to_markdown, to_text
    from drrn.provenance import command, commit, machine
    from drrn.weights import store

    entries = list_entries(store.names(), threads=threads)
    if markdown:
        write_text(markdown, to_markdown(entries, command=command(), commit=commit(), machine=machine()))
    print(to_json(entries) if json else to_text(entries))
    return 0


def show_model(
    model: Positional[str] = DEFAULT,
    /,
    *,
    markdown: bool = False,
    plot: Path | None = None,
) -> int:
    """Show what a model is and where it comes from.

    Args:
        model: A packaged name or a weights file.
        markdown: Print a model card instead of JSON.
        plot: Plot its PSNR by scale to this .png, .svg or .pdf file, which the card embeds as a file next to it.
    """
    from drrn.evaluation.cards.card import to_markdown
    from drrn.weights import store

    weights = store.load(model)
    if plot:
        try:
            from drrn.evaluation.cards.curve import plot as draw
        except ModuleNotFoundError as error:
            raise UsageError(f"--plot needs {error.name}. Install it: pip install 'drrn[plot]'.") from error
        draw(weights, plot)
    card = to_markdown(weights, plot=plot.name if plot else "")
    print(card if markdown else json_text.dumps(_about(weights), indent=2), end="" if markdown else "\n")
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
        file: A file written by torch.save: the state_dict of four 3x3 convolutions.
        units: Residual units to run, which the file does not record. 9 and 25 are common.
        output: The weights file to write, ending in .safetensors.
        skip: The popular ports compute `rectified`, because of an in-place ReLU.
    """
    from drrn.weights import store

    try:
        from drrn.network.importing import import_pth
    except ModuleNotFoundError as error:
        raise UsageError(f"Importing needs {error.name}. Install it: pip install 'drrn[torch]'.") from error
    store.save(import_pth(file, units=units, skip=skip), _safetensors(output))
    print(output)
    return 0


def join_models(
    networks: Positional[tuple[Path, ...]],
    /,
    *,
    output: Annotated[Path, arg(aliases=["-o"])],
    half: bool = False,
) -> int:
    """Join networks for x2, x3 and x4 into one model for all scales up to the largest.

    Args:
        networks: Two or three weights files, each trained for one of these scales only.
        output: The weights file to write, ending in .safetensors.
        half: Round the weights to 16 bits, which halves the file.
    """
    from dataclasses import replace

    from drrn.weights import store
    from drrn.weights.header import WHOLE_SCALES

    by_scale: dict[int, store.Weights] = {}
    for path in networks:
        weights = store.load(path)
        if len(weights.all_scales) != 1 or weights.scales[0] not in WHOLE_SCALES:
            scales = ", ".join(f"x{scale:g}" for scale in weights.all_scales)
            raise UsageError(f"{path} was trained for {scales}. Give networks for x2, x3 or x4 only.")
        by_scale[int(weights.scales[0])] = weights
    if len(by_scale) < max(len(networks), 2):
        raise UsageError("Give two or three networks, each for another scale.")
    first, *others = sorted(by_scale)
    try:
        joined = replace(by_scale[first], larger={scale: by_scale[scale] for scale in others})
        joined = store.rounded(joined) if half else joined
    except ValueError as error:
        raise UsageError(f"The networks do not fit together: {error}") from error
    store.save(joined, _safetensors(output))
    print(output)
    return 0


def _about(weights: "Weights") -> dict[str, Any]:
    return {
        "name": weights.name,
        "config": weights.config.to_dict(),
        "parameters": weights.parameters,
        "macs_per_pixel": weights.config.macs(),
        "scales": weights.all_scales,
        "units": weights.units,
        "card": weights.card,
    }


def _safetensors(path: Path) -> Path:
    if path.suffix != ".safetensors":
        raise UsageError(f"{path} must end in .safetensors.")
    return path
