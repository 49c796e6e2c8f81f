"""`python -m benchmarks`."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import tyro
from rich.console import Console
from tyro.conf import Positional

from benchmarks.command_line import run_and_exit
from benchmarks.page import to_markdown
from benchmarks.run import Settings, benchmark
from drrn.atomic import write_text
from drrn.errors import UsageError
from drrn.provenance import command, commit


def bench(
    models: Positional[tuple[str, ...]] = (),
    /,
    *,
    side: int = 512,
    repeats: int = 5,
    seconds: float = 300,
    threads: int = 0,
    only: tuple[str, ...] = (),
    baselines: bool = True,
    long: bool = False,
    data: Path | None = None,
    calibration: Path | None = None,
    markdown: Path | None = None,
    json: Path | None = None,
    plot: Path | None = None,
) -> None:
    """Measure runners and networks in turn: seconds per megapixel, memory, and the use of the machine's peak.

    Runners that are not installed are left out; `make` installs all of them.

    Args:
        models: Packaged names, weights files, or B1U9-128, B1U9-64, B1U9-32: the paper's network at three widths, with
            random weights. By default these three and all packaged models.
        side: Side of the result in pixels, a multiple of 4.
        repeats: Measured runs of each case, after one to warm up.
        seconds: No further repeat of a group begins after this time.
        threads: CPU threads, 0 for all cores.
        only: Runners: native, reference, torch-ports, torch-nchw, torch, torch-compiled, torch-bfloat16, onnxruntime,
            openvino, openvino-int8. All by default.
        baselines: Measure other people's networks, too.
        long: Enlarge images of up to 100 megapixels, too.
        data: A folder of originals, to measure the loss of trained networks in fewer bits.
        calibration: A folder of pictures to calibrate int8 on, none of them from a benchmark. int8 is left out without.
        markdown: Write the tables to this file.
        json: Write all measurements to this file.
        plot: Draw them to this file: .png, .svg or .pdf.
    """
    if plot:
        try:
            from benchmarks.plot import plot as draw
        except ModuleNotFoundError as error:
            raise UsageError(f"--plot needs {error.name}. Install it: pip install 'drrn[plot]'.") from error
    settings = Settings(
        models=models,
        runners=only,
        with_baselines=baselines,
        with_growth=long,
        side=side,
        repeats=repeats,
        seconds=seconds,
        threads=threads,
        data=data,
        calibration=calibration,
    )
    with Console(stderr=True, highlight=False).status("measuring") as status:
        report = benchmark(settings, commit=commit(), command=command("python -m benchmarks"), progress=status.update)
    if json:
        write_text(json, report.to_json())
    if plot:
        draw(report, plot)
    if markdown:
        relative = os.path.relpath(plot, markdown.parent) if plot else ""
        write_text(markdown, to_markdown(report, relative))
    print(to_markdown(report), end="")


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    run_and_exit("benchmarks", partial(tyro.cli, bench, prog="python -m benchmarks", args=args))


if __name__ == "__main__":
    main()
