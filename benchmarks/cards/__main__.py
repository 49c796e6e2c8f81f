"""`python -m benchmarks.cards measure` and `pack`."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

from rich.console import Console
from tyro.conf import Positional, arg
from tyro.extras import subcommand_cli_from_dict

from benchmarks.cards.measurements import Measurements, measure_model
from benchmarks.command_line import run_and_exit
from drrn.atomic import write_text
from drrn.engines import EngineName
from drrn.errors import DataError, UsageError
from drrn.provenance import command, commit
from drrn.upscaling.upscaler import Upscaler
from drrn.weights import store

PROGRAM = "python -m benchmarks.cards"


def measure(
    model: Positional[str],
    /,
    *,
    data: tuple[Path, ...],
    output: Annotated[Path, arg(aliases=["-o"])],
    engine: EngineName = "auto",
    device: str = "auto",
    threads: int = 0,
) -> None:
    """Measure what the card of a model shows.

    PSNR and SSIM by the protocol on all folders; on the first one also by number of units, by scale, and from
    compressed and noisy images; and PSNR on graphics and text.

    Measure finished models only: none of these pictures may influence a choice made during training.

    Args:
        model: A packaged name or a weights file.
        data: Folders of original pictures: Set5, Set14, BSD100, your own.
        output: The JSON file to write, for `pack`.
        engine: As in `drrn upscale`.
        device: Where to compute: auto, cpu, cuda, mps.
        threads: CPU threads, 0 for all cores.
    """
    weights = store.load(model)

    def upscaler(units: int | None = None) -> Upscaler:
        return Upscaler(weights, engine=engine, units=units, device=device, threads=threads)

    with Console(stderr=True, highlight=False).status("measuring") as status:
        measured = measure_model(upscaler, data, command=command(PROGRAM), commit=commit(), progress=status.update)
    write_text(output, measured.to_json())
    harmed = [f"{row.data}, {row.lr}" for row in measured.robustness if row.is_harmed]
    print(f"{output}: {len(measured.worse)} results are worse than bicubic's")
    print(f"harmed: {'; '.join(harmed) or 'nothing that was tried'}")


def pack(
    model: Positional[str],
    /,
    *,
    measured: Path,
    terms: str = "",
    output: Annotated[Path, arg(aliases=["-o"])],
) -> None:
    """Write measurements, and the terms of the training data, into the card of a weights file.

    Args:
        model: A packaged name or a weights file.
        measured: The file that `measure MODEL` wrote.
        terms: A sentence on the licenses of the pictures it was trained on. The card keeps its own where none is given.
        output: The weights file to write, ending in .safetensors.
    """
    if output.suffix != ".safetensors":
        raise UsageError(f"{output} must end in .safetensors.")
    weights = store.load(model)
    try:
        measurements = Measurements.from_dict(json.loads(measured.read_text()))
    except (OSError, ValueError) as error:
        raise DataError(f"{measured} is not a file of `{PROGRAM} measure`: {error}") from error
    if measurements.sha256 != weights.digest():
        raise DataError(f"{measured} is of another network than {model}. Measure {model} itself.")
    card = measurements.add_to(weights.card) | ({"terms": terms} if terms else {})
    store.save(replace(weights, card=card), output)
    print(output)


COMMANDS: dict[str, Callable[..., None]] = {"measure": measure, "pack": pack}


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    run_and_exit("benchmarks.cards", partial(subcommand_cli_from_dict, COMMANDS, prog=PROGRAM, args=args))


if __name__ == "__main__":
    main()
