"""Files in, larger files out: what is to be done is checked before anything is begun."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import Final, Protocol

from drrn.atomic import TEMPORARY
from drrn.errors import DRRNError, ImageError, UsageError, printable
from drrn.media.images.files import MAX_PIXELS, SUFFIXES
from drrn.media.naming import split
from drrn.upscaling.batch.choosing import Choice, choose
from drrn.upscaling.batch.folders import Source, is_folder
from drrn.upscaling.batch.manifest import Manifest
from drrn.upscaling.batch.naming import Fit, Naming
from drrn.upscaling.consistency import CheckResult, Checks
from drrn.upscaling.fingerprint import Fingerprint, file_stamp
from drrn.upscaling.formats.job import Hooks, Job, Options
from drrn.upscaling.formats.registry import format_of
from drrn.upscaling.upscaler import Size, Upscaler, target_size

LOSSY: Final = (*SUFFIXES["JPEG"], *SUFFIXES["WebP"])
LONGEST_NAME = 255
"""Bytes of a file's name, on all common file systems."""
WAIT_SECONDS = 0.5
"""Who waits for others looks so often for a signal, where that does not end the waiting: on Windows."""

Upscalers = Sequence[Upscaler]
"""One, or several of which `choose` takes one for each file."""
Running = dict[Future[tuple[float, CheckResult]], tuple[Job, Choice, Upscalers]]


class Progress(Protocol):
    """Who looks on. `start` and `progress` come from several threads where several pictures are enlarged at once."""

    def begin(self, jobs: Sequence[Job]) -> None:
        """These will be done."""

    def unchanged(self, job: Job) -> None:
        """It was done before, and nothing has changed since."""

    def start(self, job: Job, choice: Choice) -> None:
        """It is read, and will be enlarged so."""

    def progress(self, job: Job, share: float) -> None:
        """How much of it is done, in [0, 1]."""

    def done(self, job: Job, choice: Choice, seconds: float | None, found: CheckResult) -> None:
        """It is done, and this was found; or, where there are no seconds, its cost alone was asked for."""

    def failed(self, source: Path, error: DRRNError) -> None: ...


def plan(
    source: Path,
    output: Path | None,
    scale: float | None,
    size: Size | Fit | None,
    *,
    many: bool,
    naming: Naming = Naming(),
    max_pixels: int = MAX_PIXELS,
    overwrite: bool = False,
    strict: bool = False,
    options: Options = Options(),
) -> Job:
    """What is to be done with one file.

    Args:
        output: the file to write where it has a suffix and there are not `many`, else the folder to write to.
            None writes beside the source, `photo.png` to `photo_x2.png` or `photo_1920x1080.png`; of a name that would
            be too long for a file, the end of `photo` is left out.
        naming: what it is called instead, where `output` is no file.
        max_pixels: of the source and of the result.
        strict: refuse what breaks the rules of its format, even if no pixel depends on it.

    Raises:
        ImageError: the source can't be read, or the target or a map can't be written.
        UsageError: scale or size is out of range, or the source would overwrite itself.
    """
    format_ = format_of(source)
    header = format_.probe(source, max_pixels=max_pixels)
    if strict and header.tolerated:
        faults = ", ".join(header.tolerated)
        raise ImageError(
            f"{printable(source)} breaks the rules of {header.format}: without --strict it is read, {faults}."
        )
    if options.checks != Checks() and not format_.has_checks:
        what = "an animation" if header.seconds else f"a {header.format} file"
        raise UsageError(f"{printable(source)} is {what}, which has no checks and no maps. Leave them out.")
    exact = size.size(header.width, header.height) if isinstance(size, Fit) else size
    width, height = target_size(header.width, header.height, scale, exact)
    frames = header.frames if format_.counts_frames else 1
    if width * height * frames > max_pixels:
        counted = f" in {frames} frames" if frames > 1 else ""
        raise UsageError(
            f"{printable(source)} would become {width}x{height}{counted}, more than {max_pixels} pixels. Give a "
            "smaller scale, or a larger --max-pixels."
        )
    if size is None:
        wanted = f"x{scale or 2:g}"
    else:
        wanted = str(size) if isinstance(size, Fit) else "x".join(str(side or "") for side in size)
    if output is not None and output.suffix and not many and not is_folder(output):
        target = output
        if naming != Naming():
            raise UsageError(f"{printable(target)} is a name already. Leave out --name and --format, or name a folder.")
        if not is_folder(target.parent):  # found out now, and not after the work
            raise UsageError(f"{printable(target)} can't be written: there is no folder {printable(target.parent)}.")
    else:
        stem, suffix = split(source.name)[0], format_.suffix(source, header)
        factor = f"{scale or 2:g}" if size is None else f"{width / header.width:.4g}"
        named = partial(naming.name, suffix=suffix, scale=factor, size=(width, height), exact=size is not None)
        target = (output or source.parent) / _name(stem, named, options.checks)
    if options.quality is not None and not many and target.suffix.lower() not in LOSSY:
        raise UsageError(f"--quality is for JPEG and WebP, and {printable(target)} will be neither. Leave it out.")
    job = Job(format_, source, target, header, width, height, overwrite, options, wanted)
    for path in job.outputs:
        with suppress(OSError):  # most are not there
            if path.samefile(source):
                raise UsageError(
                    f"{printable(source)} would be overwritten by its own enlargement. Give another --output."
                )
        job.check_writable(path, overwrite=overwrite)
    return job


def work_through(
    batches: Iterable[Iterable[Source]],
    one: Callable[..., Job],
    make: Callable[[], Upscalers],
    watch: Progress,
    *,
    overwrite: bool = False,
    at_once: int = 1,
    manifest: Manifest | None = None,
    estimate: bool = False,
) -> None:
    """Enlarge them, batch by batch; one that fails stops no other.

    Whatever ends this, a signal's exception too, does so within a band or a tile, and leaves no part of a file.

    Args:
        one: `plan`, with all else that is the same for every picture.
        make: gives the upscalers to choose from, always the same; asked for each picture that is enlarged at one time.
        overwrite: whether targets may be replaced that are there, and not known to `manifest`.
        at_once: how many these are, as far as the memory of an upscaler is enough for all of them.
        manifest: of the folder that they go to; what is in it already, and not stale, is left as it is.
        estimate: tell the cost, and stop there.
    """
    upscalers: list[Upscalers] = []
    for sources in batches:
        jobs = _plan_all(sources, partial(one, overwrite=overwrite or estimate or manifest is not None), watch)
        if not jobs:
            continue
        upscalers += [make() for _ in range(min(at_once, len(jobs)) - len(upscalers))]
        if manifest:
            if not estimate:
                _sweep(jobs)
            jobs = _stale(jobs, upscalers[0], manifest, watch, overwrite=overwrite or estimate)
        watch.begin(jobs)
        if estimate:
            for job, choice in _choices(jobs, upscalers[0], watch):
                watch.done(job, choice, None, CheckResult())
        else:
            _run(jobs, upscalers, watch, manifest)


def make_folder(path: Path) -> None:
    """Make it, with those above it, unless it is there. Raises UsageError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{printable(path)} can't be made a folder: {error.strerror or error}.") from error


def _plan_all(sources: Iterable[Source], one: Callable[..., Job], watch: Progress) -> list[Job]:
    """The jobs of those that can be done."""
    jobs: list[Job] = []
    taken: set[Path] = set()
    for source in sources:
        try:
            job = one(source.path, source.output)
            for path in taken.intersection(job.outputs):
                raise UsageError(
                    f"{printable(source.path)} would write {printable(path)}, as another picture does. Rename one."
                )
            taken.update(job.outputs)
            jobs.append(job)
        except DRRNError as error:
            watch.failed(source.path, error)
    return jobs


def _sweep(jobs: Iterable[Job]) -> None:
    """Remove what killed runs left half-written where `jobs` will write. Nobody else may be writing there."""
    for folder in {job.target.parent for job in jobs}:
        for left in folder.glob(TEMPORARY):
            with suppress(OSError):
                left.unlink()


def _stale(
    jobs: Iterable[Job], upscalers: Upscalers, manifest: Manifest, watch: Progress, *, overwrite: bool
) -> list[Job]:
    """Those whose target is missing, or was made of something else or in another way.

    That one of `upscalers` made it is enough: which of them is chosen depends on their speed, which is never the same.
    Targets are overwritten that are as drrn left them; others, where that is asked for.
    """
    left = []
    for job in jobs:
        made = [manifest.made(path) for path in job.outputs]
        recipes = [job.recipe(each) for each in upscalers]
        if made[0] and all(made) and any(manifest.is_fresh(job.target, made[0], job.source, each) for each in recipes):
            watch.unchanged(job)
            continue
        try:
            for path, before in zip(job.outputs, made, strict=True):
                job.check_writable(path, overwrite=overwrite or before is not None)
            left.append(replace(job, overwrite=overwrite or any(made)))
        except DRRNError as error:
            watch.failed(job.source, error)
    return left


def _run(jobs: Sequence[Job], upscalers: Sequence[Upscalers], watch: Progress, manifest: Manifest | None) -> None:
    """Do them, as many at a time as there are sets of upscalers, and as the memory of one allows."""
    first, free, stop = upscalers[0], list(upscalers), Event()
    running: Running = {}

    def one(job: Job, choice: Choice, upscalers: Upscalers) -> tuple[float, CheckResult]:
        def progress(share: float) -> None:
            if stop.is_set():
                raise CancelledError
            watch.progress(job, share)

        return _enlarge(job, upscalers[choice.index], partial(watch.start, job, choice), progress, manifest)

    def finish(job: Job, choice: Choice, result: Callable[[], tuple[float, CheckResult]]) -> None:
        try:
            watch.done(job, choice, *result())
        except DRRNError as error:
            watch.failed(job.source, error)

    def wait_for_one() -> None:
        for future in wait(running, timeout=WAIT_SECONDS, return_when=FIRST_COMPLETED).done:
            job, choice, mine = running.pop(future)
            free.append(mine)
            finish(job, choice, future.result)

    choices = _choices(jobs, first, watch)
    if len(upscalers) == 1:  # in this thread, where a signal's exception is raised between two layers
        for job, choice in choices:
            finish(job, choice, partial(one, job, choice, first))
        return
    if len(first) > 1:
        for upscaler in first:
            upscaler.speed()  # before anything else runs
    with ThreadPoolExecutor(len(upscalers)) as threads:
        try:
            for job, choice in choices:
                while running and (not free or _memory(running) + choice.cost.memory > first[0].max_memory):
                    wait_for_one()
                mine = free.pop()
                running[threads.submit(one, job, choice, mine)] = (job, choice, mine)
            while running:
                wait_for_one()
        finally:
            stop.set()


def _name(stem: str, named: Callable[[str], str], asked: Checks) -> str:
    """With room for the names of the maps."""
    name = named(stem)
    longest = max(len(os.fsencode(path.name)) for path in [Path(name), *asked.maps(Path(name))])
    return _name(stem[:-1], named, asked) if longest > LONGEST_NAME and stem else name


def _choices(jobs: Iterable[Job], upscalers: Upscalers, watch: Progress) -> Iterator[tuple[Job, Choice]]:
    for job in jobs:
        try:
            choice = choose(job, upscalers)
        except DRRNError as error:
            watch.failed(job.source, error)
        else:
            yield job, choice


def _memory(running: Running) -> int:
    return sum(choice.cost.memory for _, choice, _ in running.values())


def _enlarge(
    job: Job,
    upscaler: Upscaler,
    start: Callable[[], None],
    progress: Callable[[float], None],
    manifest: Manifest | None,
) -> tuple[float, CheckResult]:
    """Do one, and return the seconds it took and what was found."""
    began = perf_counter()
    seen = Fingerprint.of(job.source) if manifest else None

    def started() -> None:
        same()
        make_folder(job.target.parent)
        start()

    def made(path: Path, temporary: Path) -> None:
        same()
        if manifest and seen:
            manifest.add(path, temporary, source=job.source, seen=seen, recipe=job.recipe(upscaler))

    def same() -> None:
        if seen and file_stamp(job.source) != seen.mark:
            raise ImageError(f"{printable(job.source)} has changed while it was read. Run it again.")

    found = job.format.enlarge(job, upscaler, Hooks(started, progress, made))
    if manifest:
        for path in job.outputs:
            manifest.forget_others(path)
    return perf_counter() - began, found
