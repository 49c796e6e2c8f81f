"""`drrn upscale`."""

import json as json_lines
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from drrn.apps.words import duration
from drrn.engines import EngineName, Precision
from drrn.errors import DRRNError, UsageError
from drrn.weights import DEFAULT

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from drrn.upscaling.jobs import Job
    from drrn.upscaling.upscaler import Size, Upscaler


def upscale(
    pictures: Positional[tuple[Path, ...]],
    /,
    *,
    output: Annotated[Path | None, arg(aliases=["-o"])] = None,
    scale: Annotated[float | None, arg(aliases=["-s"])] = None,
    size: str | None = None,
    model: Annotated[str, arg(aliases=["-m"])] = DEFAULT,
    units: int | None = None,
    overwrite: bool = False,
    estimate: bool = False,
    max_memory: int = 2048,
    max_pixels: int = 100_000_000,
    device: str = "auto",
    engine: EngineName = "auto",
    threads: int = 0,
    precision: Precision = "float32",
    compile: bool = False,
    json: bool = False,
) -> int:
    """Enlarge pictures: photo.png becomes photo_x2.png.

    PNG, JPEG, WebP and TIFF, of 8 or 16 bit, with alpha, colour profile and EXIF, stay what they are.

    Args:
        pictures: Picture files.
        output: A file, or for several pictures a folder. Beside each picture where none is given.
        scale: How many times larger, above 1 and at most 4. 2 where no size is given either.
        size: How large instead, in pixels: 1920x1080, 1920x or x1080.
        model: A packaged model (`drrn models list`) or a weights file.
        units: Residual units to run, for models trained with several: fewer are faster.
        overwrite: Replace files that exist.
        estimate: Say what it would cost in time and memory, and stop there.
        max_memory: MB that an enlargement may take; it goes in smaller tiles, to the same result.
        max_pixels: Largest picture to read or to make.
        device: auto, cpu, cuda, cuda:1, mps.
        engine: What computes. auto is torch where --device names an accelerator, else native, the compiled engine;
            where that was not compiled, reference, the same in NumPy.
        threads: CPU threads, 0 for all cores.
        precision: Arithmetic of the torch engine.
        compile: Let torch compile the network first: for many pictures.
        json: Print a line of JSON for each picture.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from drrn.engines.engine import pick
    from drrn.upscaling.jobs import plan
    from drrn.upscaling.upscaler import Upscaler

    if not pictures:
        raise UsageError("No pictures given. Try: drrn upscale photo.png")
    wanted = parse_size(size) if size is not None else None
    aside = Console(stderr=True, highlight=False, soft_wrap=True)
    failed: list[tuple[Path, DRRNError]] = []
    jobs: list[Job] = []
    for source in pictures:
        try:
            job = plan(
                source, output, scale, wanted, many=len(pictures) > 1, max_pixels=max_pixels, overwrite=overwrite
            )
            if job.target in [other.target for other in jobs]:
                raise UsageError(f"{source} would become {job.target}, as another picture does. Rename one.")
            jobs.append(job)
        except DRRNError as error:
            if len(pictures) == 1:
                raise
            failed.append((source, error))
    if not jobs:
        return _tell(failed, len(pictures), aside)

    upscaler = Upscaler(
        model,
        engine=engine,
        device=device,
        units=units,
        threads=threads,
        precision=precision,
        compiled=compile,
        max_memory=max_memory << 20,
    )
    computing = f"{upscaler.engine.name}: {pick(device)[1]}" if engine == "auto" else upscaler.engine.name
    if not estimate and output is not None and (len(pictures) > 1 or not output.suffix):
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{output} can't be made a folder: {error.strerror or error}.") from error
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=aside, disable=not aside.is_terminal, transient=True) as progress:
        for job in jobs:
            try:
                _do(job, upscaler, computing, progress, stop_at_estimate=estimate, overwrite=overwrite, as_json=json)
            except DRRNError as error:
                if len(pictures) == 1:
                    raise
                failed.append((job.source, error))
    return _tell(failed, len(pictures), aside)


def parse_size(text: str) -> "Size":
    """1920x1080, 1920x or x1080 as (width, height), None for a side that is not given.

    Raises:
        UsageError: it is none of these.
    """
    width, cross, height = text.lower().partition("x")
    sides = [side for side in (width, height) if side]
    if not cross or not sides or not all(side.isascii() and side.isdigit() and int(side) for side in sides):
        raise UsageError(f"A size is written 1920x1080, 1920x or x1080, got {text!r}.")
    return int(width) if width else None, int(height) if height else None


def _do(
    job: "Job",
    upscaler: "Upscaler",
    computing: str,
    progress: "Progress",
    *,
    stop_at_estimate: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    from drrn.media.files import read, write

    cost = job.estimate(upscaler)
    line = f"{job.source} {job.header.width}x{job.header.height} -> {job.target} {job.width}x{job.height}"
    about = {
        "source": str(job.source),
        "target": str(job.target),
        "width": job.width,
        "height": job.height,
        "model": upscaler.weights.name,
        "engine": upscaler.engine.name,
        "estimated_seconds": float(f"{cost.seconds:.3g}"),
        "estimated_mb": cost.memory >> 20,
    }
    expected = f"about {duration(cost.seconds)} and {cost.memory / 2**20:.0f} MB"
    if stop_at_estimate:
        print(json_lines.dumps(about) if as_json else f"{line} · {computing} · {expected}")
        return
    began = time.perf_counter()
    picture = read(job.source, max_pixels=job.header.width * job.header.height)  # a damaged file ends here
    if not as_json:
        progress.console.print(f"{line} · {computing} · {expected}", markup=False)
    bar = progress.add_task(job.source.name, total=1.0)
    size = (job.width, job.height)
    result = upscaler.upscale(picture, size=size, progress=lambda share: progress.update(bar, completed=share))
    write(result, job.target, overwrite=overwrite)
    seconds = time.perf_counter() - began
    progress.remove_task(bar)
    print(
        json_lines.dumps({**about, "seconds": round(seconds, 3)}) if as_json else f"{job.target} · {duration(seconds)}",
        flush=True,
    )


def _tell(failed: list[tuple[Path, DRRNError]], pictures: int, aside: "Console") -> int:
    """List what failed; 0 where nothing did, 3 where some of many did, 2 where all did."""
    for _, error in failed:
        aside.print(f"drrn: {' '.join(str(error).split())}", markup=False)
    if failed:
        print(f"{len(failed)} of {pictures} pictures failed.", file=sys.stderr)
    return (2 if len(failed) == pictures else 3) if failed else 0
