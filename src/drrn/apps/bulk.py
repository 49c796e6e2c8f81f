"""`drrn bulk`: plan, run, status."""

import json as json_text
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from drrn.apps.words import duration
from drrn.engines import EngineName, Precision
from drrn.errors import UsageError
from drrn.tables import plural
from drrn.weights import AUTO, DEFAULT

if TYPE_CHECKING:
    from drrn.bulk.plan import Part
    from drrn.bulk.storage import Store
    from drrn.bulk.task import Outcome


def plan_bulk(
    source: Positional[str],
    target: Positional[str],
    /,
    *,
    scale: Annotated[float | None, arg(aliases=["-s"])] = None,
    size: Annotated[str | None, arg(metavar="SIZE")] = None,
    model: Annotated[str, arg(aliases=["-m"], metavar="MODEL")] = DEFAULT,
    units: int | None = None,
    ensemble: bool = False,
    format: Annotated[str | None, arg(metavar="FORMAT")] = None,
    name: Annotated[str | None, arg(metavar="PATTERN")] = None,
    quality: int | None = None,
    lossless: bool = False,
    strict: bool = False,
    overwrite: bool = False,
    max_pixels: int = 100_000_000,
    part_files: int = 100,
    part_megapixels: int = 200,
    by_bytes: bool = False,
) -> int:
    """List the files of a folder, and cut them into parts that machines can run. Nothing is enlarged yet.

    If it is interrupted, the same command continues. The plan and the weights lie in the target, in the folder .drrn.

    Args:
        source: Folder of pictures, with all its folders, or a bucket: s3://, gs://, az:// (drrn[bulk]).
        target: Folder or bucket for the results, outside of the source: photos/a/b.png becomes a/b_x2.png in it.
        scale: How many times larger, above 1 and at most 8. 2 unless a size is given.
        size: The size in pixels instead, as in `drrn upscale`.
        model: A packaged model or a weights file.
        units: Residual units to run, for models trained with several.
        ensemble: Average the results for the eight flips and turns, in eight times the time.
        format: Format of the results, as the end of their names. By default that of each source.
        name: Name of the results, without its end; {stem}_x{scale} by default.
        quality: Quality of JPEG and WebP, 1 to 100; by default that of each source.
        lossless: Write WebP without loss, and refuse JPEG.
        strict: Refuse files that break the rules of their format.
        overwrite: Let results replace files of the target that are others.
        max_pixels: Pixels of the largest picture to read or to make.
        part_files: A part ends after so many files.
        part_megapixels: And after so many million pixels of them: some minutes of work.
        by_bytes: Guess the pixels of a file from its bytes instead of reading its header: for buckets of many millions,
            where listing is a request for a thousand files and each header is one more.
    """
    from drrn.bulk.plan import Recipe, make_plan
    from drrn.bulk.storage import open_store
    from drrn.weights.store import load

    if model == AUTO:
        raise UsageError("Which model auto chooses depends on the machine, and all must make the same. Name a model.")
    if part_files < 1 or part_megapixels < 1:
        raise UsageError("--part-files and --part-megapixels must be at least 1.")
    weights, store = load(model), open_store(source)
    recipe = Recipe(
        source=str(Path(source).resolve()) if "://" not in source else source,
        weights_sha256=weights.digest(),
        model=weights.name,
        scale=scale,
        size=size,
        units=units,
        ensemble=ensemble,
        format=format,
        name=name,
        quality=quality,
        lossless=lossless,
        strict=strict,
        overwrite=overwrite,
        max_pixels=max_pixels,
    )
    plan = make_plan(
        store,
        open_store(target),
        recipe,
        weights,
        part_files=part_files,
        part_pixels=part_megapixels * 1_000_000,
        headers=not by_bytes,
        progress=lambda parts, files: print(
            f"{plural(files, 'file')} in {plural(parts, 'part')} so far", file=sys.stderr
        ),
    )
    skipped = f"; skipped, no images: {plural(plan.skipped, 'file')}" if plan.skipped else ""
    found = f"{plural(plan.files, 'file')} in {plural(len(plan.parts), 'part')}"
    print(f"{found}{skipped}. Run them: drrn bulk run {target}")
    return 0


def run_bulk(
    target: Positional[str],
    /,
    *,
    part: int | None = None,
    parts_per_task: int = 1,
    jobs: Annotated[int | None, arg(aliases=["-j"])] = None,
    on: Literal["here", "ray"] = "here",
    workers: tuple[int, int] | None = None,
    retry: bool = False,
    same_bytes: bool = False,
    max_memory: int = 2048,
    device: Annotated[str, arg(metavar="DEVICE")] = "auto",
    engine: EngineName = "auto",
    threads: int = 0,
    precision: Precision = "float32",
    compile: bool = False,
) -> int:
    """Run the parts of a plan that are not done, here or in a Ray cluster.

    Other machines may run other parts meanwhile. After a stop or a kill the same command continues: a part is done
    when its record is in the target. Exits with 3 if files failed; `drrn bulk status --failed` lists them.

    Args:
        target: Folder or bucket of the plan.
        part: Run one part alone, counted from 0: for arrays of jobs, as --part $SLURM_ARRAY_TASK_ID.
        parts_per_task: With --part, run so many parts: 5 of task 2 are parts 10 to 14.
        jobs: Parts to run at the same time, each in a process; 1 by default.
        on: Where: here, or ray for the cluster of `ray job submit` or `ray start` (drrn[ray]), by a task for each part.
        workers: For ray: parts that it must have room for within ten minutes, and parts to run at the same time. By
            default one, and as many as fit.
        retry: Try failed files again.
        same_bytes: Refuse to run where the engine rounds otherwise than on the machine that began.
        max_memory: MB that each part may take.
        device: auto, cpu, cuda, cuda:1 or mps.
        engine: As in `drrn upscale`.
        threads: CPU threads of each part, 0 to share the cores among the jobs; in Ray the CPUs of a task, 0 for one.
        precision: Arithmetic of the torch engine.
        compile: Let torch compile the network first.
    """
    from drrn.bulk.plan import load_plan
    from drrn.bulk.ray import run_on_ray
    from drrn.bulk.run import parts_left, read_status, run_parts
    from drrn.bulk.storage import open_store
    from drrn.bulk.task import Machine
    from drrn.engines.engine import cores

    _check_run(part, parts_per_task, jobs, on, workers)
    store, jobs = open_store(target), jobs or 1
    if part is None:
        plan = load_plan(store)
        left = parts_left(plan, store, retry=retry)
    else:
        left = _parts_of_task(store, part, parts_per_task)
    done = [0, 0]

    def report(part: "Part", outcome: "Outcome") -> None:
        done[0] += 1
        done[1] += part.count
        failed = f", {outcome.failed} failed" if outcome.failed else ""
        print(f"part {part.number}: {plural(part.count, 'file')}{failed} ({done[0]} of {len(left)} parts)", flush=True)

    machine = Machine(
        device=device,
        engine=engine,
        threads=threads or (max(cores() // jobs, 1) if jobs > 1 else 0),
        precision=precision,
        compiled=compile,
        max_memory=max_memory,
        same_bytes=same_bytes,
    )
    try:
        if on == "ray":
            failed = run_on_ray(left, target, machine=machine, workers=workers, retry=retry, report=report)
        else:
            failed = run_parts(left, target, machine=machine, jobs=jobs, retry=retry, report=report)
    except (KeyboardInterrupt, SystemExit):
        print("stopped; the same command goes on", file=sys.stderr)
        raise
    if part is None:
        failed = read_status(plan, store).failed
    print(f"failed: {plural(failed, 'file')}" if failed else "all done" if part is None else "done")
    return 3 if failed else 0


def _check_run(
    part: int | None, parts_per_task: int, jobs: int | None, on: str, workers: tuple[int, int] | None
) -> None:
    """Raise a UsageError for options of `drrn bulk run` that are out of range or do not go together."""
    if (jobs is not None and jobs < 1) or parts_per_task < 1:
        raise UsageError("--jobs and --parts-per-task must be at least 1.")
    if workers and not 1 <= workers[0] <= workers[1]:
        raise UsageError(f"--workers takes a minimum of at least 1 and a maximum, got {workers[0]} {workers[1]}.")
    if on == "ray" and (part is not None or jobs is not None):
        raise UsageError("--on ray divides all parts by itself: leave out --part and --jobs, and see --workers.")
    if on == "here" and workers:
        raise UsageError("--workers only works with --on ray. Here it is --jobs.")


def _parts_of_task(store: "Store", task: int, size: int) -> list["Part"]:
    """The parts that one task of an array runs: `size` of them, fewer for the last task.

    Raises:
        UsageError: the plan has no such parts.
    """
    from drrn.bulk.plan import find_part, load_outline

    first, count = task * size, load_outline(store).parts
    if not 0 <= first < count:
        raise UsageError(f"There are {count} parts, the last one is {count - 1}: there is no part {first}.")
    return [find_part(store, number) for number in range(first, min(first + size, count))]


def show_bulk(target: Positional[str], /, *, failed: bool = False, json: bool = False) -> int:
    """Show what is done of a plan, by all machines together.

    Args:
        target: Folder or bucket of the plan.
        failed: List the files that failed, with the reason.
        json: Print JSON: an object, or with --failed a line for each file.
    """
    from dataclasses import asdict

    from drrn.bulk.plan import load_plan
    from drrn.bulk.run import failed_rows, read_status
    from drrn.bulk.storage import open_store

    store = open_store(target)
    plan = load_plan(store)
    if failed:
        for row in failed_rows(plan, store):
            print(row.to_json().rstrip() if json else f"{row.source}: {row.error}")
        return 0
    status = read_status(plan, store)
    if json:
        pace = {"files_per_second": status.pace, "seconds_left": status.seconds_left}
        values = {name: value for name, value in asdict(status).items() if name != "pace"}
        print(json_text.dumps({**values, "left": status.left, **pace}))
        return 0
    time = f", about {duration(status.seconds_left)} left" if status.seconds_left else ""
    pace_text = f" · {status.pace:.3g} files/s{time}" if status.pace and status.left else ""
    print(
        f"{status.done:,} of {status.files:,} files done, {status.failed:,} failed, {status.left:,} left "
        f"({status.parts_done:,} of {status.parts:,} parts){pace_text}"
    )
    return 0
