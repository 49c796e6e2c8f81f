"""`drrn bulk`: plan, run, status."""

import json as json_text
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional

from drrn.apps.bulk_options import (
    BulkMachineOptions,
    BulkModelOptions,
    BulkResultOptions,
    PartOptions,
    RunOptions,
    SourceOptions,
)
from drrn.apps.upscale_options import SizeOptions
from drrn.apps.words import duration
from drrn.errors import UsageError
from drrn.tables import plural

if TYPE_CHECKING:
    from drrn.bulk.plan import Part
    from drrn.bulk.storage import Store
    from drrn.bulk.task import Outcome


def plan_bulk(
    source: Positional[str],
    target: Positional[str],
    /,
    *,
    sizes: Annotated[SizeOptions, OmitArgPrefixes],
    network: Annotated[BulkModelOptions, OmitArgPrefixes],
    result: Annotated[BulkResultOptions, OmitArgPrefixes],
    sources: Annotated[SourceOptions, OmitArgPrefixes],
    parts: Annotated[PartOptions, OmitArgPrefixes],
) -> int:
    """List the pictures of a folder, and divide them into parts that machines can run. Nothing is enlarged yet.

    If it is interrupted, the same command continues. The plan and the weights are stored in the folder .drrn of the
    target.

    Args:
        source: Folder of pictures, with all its subfolders, or a bucket: s3://, gs://, az:// (drrn[bulk]).
        target: Folder or bucket for the results, outside the source: photos/a/b.png becomes a/b_x2.png in it.
    """
    from drrn.bulk.plan import make_plan
    from drrn.bulk.recipe import Recipe
    from drrn.bulk.storage import open_store
    from drrn.weights.store import load

    weights, store = load(network.model), open_store(source)
    recipe = Recipe(
        source=str(Path(source).resolve()) if "://" not in source else source,
        weights_sha256=weights.digest(),
        model=weights.name,
        scale=sizes.scale,
        size=sizes.size,
        units=network.units,
        ensemble=network.ensemble,
        format=result.format,
        name=result.name,
        quality=result.quality,
        lossless=result.lossless,
        strict=sources.strict,
        overwrite=result.overwrite,
        max_pixels=sources.max_pixels,
    )
    plan = make_plan(
        store,
        open_store(target),
        recipe,
        weights,
        part_files=parts.part_files,
        part_pixels=parts.part_megapixels * 1_000_000,
        headers=not parts.by_bytes,
        progress=lambda parts, files: print(
            f"{plural(files, 'file')} in {plural(parts, 'part')} so far", file=sys.stderr
        ),
    )
    skipped = f"; skipped {plural(plan.skipped, 'file')} (not pictures)" if plan.skipped else ""
    contents = f"{plural(plan.files, 'file')} in {plural(len(plan.parts), 'part')}"
    print(f"{contents}{skipped}. Run them: drrn bulk run {target}")
    return 0


def run_bulk(
    target: Positional[str],
    /,
    *,
    run: Annotated[RunOptions, OmitArgPrefixes],
    machine: Annotated[BulkMachineOptions, OmitArgPrefixes],
) -> int:
    """Run the parts of a plan that are not done, here or in a Ray cluster.

    Other machines may run other parts meanwhile. After a stop or a kill the same command continues: a part is done
    when its record is in the target. Exits with 3 if files failed; `drrn bulk status --failed` lists them.

    Args:
        target: Folder or bucket of the plan.
    """
    from drrn.bulk.plan import load_plan
    from drrn.bulk.ray import run_on_ray
    from drrn.bulk.run import parts_left, read_status, run_parts
    from drrn.bulk.storage import open_store

    store, jobs = open_store(target), run.jobs or 1
    if run.part is None:
        plan = load_plan(store)
        left = parts_left(plan, store, retry=run.retry)
    else:
        left = _parts_of_task(store, run.part, run.parts_per_task)
    done = 0

    def report(part: "Part", outcome: "Outcome") -> None:
        nonlocal done
        done += 1
        failed = f", {outcome.failed} failed" if outcome.failed else ""
        print(f"part {part.number}: {plural(part.count, 'file')}{failed} ({done} of {len(left)} parts)", flush=True)

    settings = machine.machine(jobs)
    try:
        if run.on == "ray":
            failed = run_on_ray(left, target, machine=settings, workers=run.workers, retry=run.retry, report=report)
        else:
            failed = run_parts(left, target, machine=settings, jobs=jobs, retry=run.retry, report=report)
    except (KeyboardInterrupt, SystemExit):
        print("stopped; the same command continues", file=sys.stderr)
        raise
    if run.part is None:
        failed = read_status(plan, store).failed
    print(f"failed: {plural(failed, 'file')}" if failed else "all done" if run.part is None else "done")
    return 3 if failed else 0


def _parts_of_task(store: "Store", task: int, size: int) -> list["Part"]:
    """The parts that one task of a job array runs: `size` of them, fewer for the last task.

    Raises:
        UsageError: the plan has no such parts.
    """
    from drrn.bulk.plan import find_part, load_outline

    first, count = task * size, load_outline(store).parts
    if not 0 <= first < count:
        raise UsageError(f"There is no part {first}: the plan has {plural(count, 'part')}, counted from 0.")
    return [find_part(store, number) for number in range(first, min(first + size, count))]


def show_bulk(target: Positional[str], /, *, failed: bool = False, json: bool = False) -> int:
    """Show how much of a plan is done, by all machines together.

    Args:
        target: Folder or bucket of the plan.
        failed: List the failed files, each with the reason.
        json: Print a JSON object, or with --failed one per line for each file.
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
