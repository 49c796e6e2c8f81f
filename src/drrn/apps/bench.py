"""`drrn bench`."""

import os
from pathlib import Path

from tyro.conf import Positional

from drrn.errors import UsageError


def bench(
    models: Positional[tuple[str, ...]] = (),
    /,
    *,
    side: int = 512,
    rounds: int = 5,
    seconds: float = 300,
    threads: int = 0,
    only: tuple[str, ...] = (),
    peers: bool = True,
    long: bool = False,
    data: Path | None = None,
    calibration: Path | None = None,
    markdown: Path | None = None,
    json: Path | None = None,
    plot: Path | None = None,
) -> int:
    """Race engines and networks in turn: seconds a megapixel, memory, and what they make of the machine.

    What is not installed is left out. `pip install 'drrn[bench]'` brings all.

    Args:
        models: Packaged names, weights files, or B1U9-128, B1U9-64, B1U9-32 (the paper's network, of such widths, with
            random weights). These three and all packaged ones where none is given.
        side: Pixels of a side of the enlarged picture, a multiple of 4.
        rounds: Laps of each, after one to warm up.
        seconds: A race that has taken so long begins no further round.
        threads: CPU threads, 0 for all cores.
        only: What to race: native, reference, torch-ports, torch-nchw, torch, torch-compiled, torch-bfloat16,
            onnxruntime, openvino, openvino-int8. All where none is given.
        peers: Race other people's networks, too.
        long: Enlarge pictures of up to 100 megapixels, too.
        data: A folder of originals on which to measure what a trained network loses in fewer bits.
        calibration: A folder of pictures to calibrate int8 on, none of a benchmark; it is left out without.
        markdown: Write the tables here.
        json: Write all measurements here.
        plot: Draw them here, as .png, .svg or .pdf.
    """
    from rich.console import Console

    from drrn.atomic import write_text
    from drrn.evaluation.performance import to_markdown
    from drrn.evaluation.race import race
    from drrn.provenance import command, commit

    if plot:
        try:
            from drrn.evaluation.plot import plot as draw
        except ModuleNotFoundError as error:
            raise UsageError(f"Drawing needs {error.name}. Install it: pip install 'drrn[bench]'.") from error
    aside = Console(stderr=True, highlight=False)
    with aside.status("racing") as status:
        report = race(
            models,
            runners=only,
            with_peers=peers,
            with_growth=long,
            side=side,
            rounds=rounds,
            seconds=seconds,
            threads=threads,
            data=data,
            calibration=calibration,
            commit=commit(),
            command=command(),
            note=status.update,
        )
    if json:
        write_text(json, report.to_json())
    if plot:
        draw(report, plot)
    if markdown:
        beside = os.path.relpath(plot, markdown.parent) if plot else ""
        write_text(markdown, to_markdown(report, beside))
    print(to_markdown(report), end="")
    return 0
