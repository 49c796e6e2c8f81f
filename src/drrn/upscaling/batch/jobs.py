"""A batch plans one job per file, skips those that are up to date, and runs the rest."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from time import perf_counter

from drrn.atomic import TEMPORARY
from drrn.errors import DRRNError, ImageError, UsageError, printable
from drrn.progress import Progress
from drrn.upscaling.batch.choosing import Choice, choose
from drrn.upscaling.batch.events import Advanced, BatchEvent, Done, Failed, Planned, Started, Unchanged
from drrn.upscaling.batch.folders import SourceFile
from drrn.upscaling.batch.manifest import Manifest
from drrn.upscaling.batch.planning import Request, plan
from drrn.upscaling.consistency import CheckResult
from drrn.upscaling.fingerprint import Fingerprint, file_stamp
from drrn.upscaling.formats.job import Hooks, Job
from drrn.upscaling.upscaler import Upscaler

POLL_SECONDS = 0.5
"""Poll interval for signals: on Windows they do not interrupt a wait."""

Upscalers = Sequence[Upscaler]
"""One or several upscalers, of which `choose` selects one for each file."""


@dataclass(frozen=True)
class Batch:
    """Enlarges many files. A file that fails does not stop the others."""

    request: Request
    make_upscalers: Callable[[], Upscalers]
    """Makes the upscalers to choose from, always the same; called once for each file that runs at the same time."""
    progress: Progress[BatchEvent]
    at_once: int = 1
    """Most files to enlarge at the same time, if the memory of one upscaler suffices for all of them."""
    manifest: Manifest | None = None
    """Manifest of the output folder; files that it lists and that are up to date are skipped."""
    estimate: bool = False
    """Report the cost of each file, and write nothing."""

    def run(self, batches: Iterable[Iterable[SourceFile]]) -> None:
        """Enlarge the sources, batch by batch.

        An exception raised by a callback or a signal handler takes effect within a band or a tile, and leaves no
        partial file.
        """
        sets: list[Upscalers] = []
        for sources in batches:
            jobs = self._plan(sources)
            if not jobs:
                continue
            sets += [self.make_upscalers() for _ in range(min(self.at_once, len(jobs)) - len(sets))]
            if self.manifest:
                jobs = self._find_stale(jobs, sets[0], self.manifest)
            self.progress.report(Planned(jobs))
            if self.estimate:
                for job, choice in self._choices(jobs, sets[0]):
                    self.progress.report(Done(job, choice, None, CheckResult()))
            else:
                self.enlarge(jobs, sets)

    def enlarge(self, jobs: Iterable[Job], sets: Sequence[Upscalers]) -> None:
        """Run planned jobs, as many at a time as there are sets of upscalers and as the memory of one allows."""
        choices = self._choices(jobs, sets[0])
        if len(sets) > 1:
            self._enlarge_in_threads(choices, sets)
            return
        for job, choice in choices:  # in this thread, in which signal handlers run between two layers
            self._report(job, choice, partial(self._enlarge, job, choice, sets[0][choice.index], Event()))

    def _plan(self, sources: Iterable[SourceFile]) -> list[Job]:
        """Plan a job for each file that can be enlarged; report the others as failed."""
        may_replace = self.request.overwrite or self.estimate or self.manifest is not None
        request = replace(self.request, overwrite=may_replace)
        jobs: list[Job] = []
        taken: set[Path] = set()
        for source in sources:
            try:
                job = plan(source.path, source.output, request)
                for path in taken.intersection(job.outputs):
                    raise UsageError(
                        f"{printable(source.path)} would write {printable(path)}, as another image does. Rename one."
                    )
                taken.update(job.outputs)
                jobs.append(job)
            except DRRNError as error:
                self.progress.report(Failed(source.path, error))
        return jobs

    def _find_stale(self, jobs: Sequence[Job], upscalers: Upscalers, manifest: Manifest) -> list[Job]:
        """Return the jobs whose result is missing, or was made from another source or in another way.

        A result is up to date if any of `upscalers` made it: which one is chosen depends on their speed, which varies.
        Results are replaced only if drrn wrote them and nobody changed them; other files only if the user allows it.
        """
        if not self.estimate:
            _remove_leftovers(jobs)
        overwrite = self.request.overwrite or self.estimate
        stale = []
        for job in jobs:
            records = [manifest.find(path) for path in job.outputs]
            if (
                records[0]
                and all(records)
                and any(manifest.is_fresh(job.target, records[0], job.source, job.recipe(each)) for each in upscalers)
            ):
                self.progress.report(Unchanged(job))
                continue
            try:
                for path, record in zip(job.outputs, records, strict=True):
                    job.check_writable(path, overwrite=overwrite or record is not None)
                stale.append(replace(job, overwrite=overwrite or any(records)))
            except DRRNError as error:
                self.progress.report(Failed(job.source, error))
        return stale

    def _choices(self, jobs: Iterable[Job], upscalers: Upscalers) -> Iterator[tuple[Job, Choice]]:
        for job in jobs:
            try:
                choice = choose(job, upscalers)
            except DRRNError as error:
                self.progress.report(Failed(job.source, error))
            else:
                yield job, choice

    def _enlarge_in_threads(self, choices: Iterable[tuple[Job, Choice]], sets: Sequence[Upscalers]) -> None:
        free, stop = list(sets), Event()
        running: dict[Future[tuple[float, CheckResult]], tuple[Job, Choice, Upscalers]] = {}

        def wait_for_one() -> None:
            for future in wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED).done:
                job, choice, upscalers = running.pop(future)
                free.append(upscalers)
                self._report(job, choice, future.result)

        def memory() -> int:
            return sum(choice.cost.memory for _, choice, _ in running.values())

        if len(sets[0]) > 1:
            for upscaler in sets[0]:
                upscaler.speed()  # the speed is measured before anything else runs
        with ThreadPoolExecutor(len(sets)) as threads:
            try:
                for job, choice in choices:
                    while running and (not free or memory() + choice.cost.memory > sets[0][0].max_memory):
                        wait_for_one()
                    upscalers = free.pop()
                    future = threads.submit(self._enlarge, job, choice, upscalers[choice.index], stop)
                    running[future] = job, choice, upscalers
                while running:
                    wait_for_one()
            finally:
                stop.set()

    def _report(self, job: Job, choice: Choice, result: Callable[[], tuple[float, CheckResult]]) -> None:
        try:
            self.progress.report(Done(job, choice, *result()))
        except DRRNError as error:
            self.progress.report(Failed(job.source, error))

    def _enlarge(self, job: Job, choice: Choice, upscaler: Upscaler, stop: Event) -> tuple[float, CheckResult]:
        """Run one job; return the seconds it took and the result of its checks."""
        began, manifest = perf_counter(), self.manifest
        before = Fingerprint.of(job.source) if manifest else None

        def check_unchanged() -> None:
            if before and file_stamp(job.source) != before.mark:
                raise ImageError(f"{printable(job.source)} has changed while it was read. Run it again.")

        def start() -> None:
            check_unchanged()
            make_folder(job.target.parent)
            self.progress.report(Started(job, choice))

        def report(share: float) -> None:
            if stop.is_set():
                raise CancelledError
            self.progress.report(Advanced(job, share))

        def record(path: Path, temporary: Path) -> None:
            check_unchanged()
            if manifest and before:
                manifest.add(path, temporary, source=job.source, seen=before, recipe=job.recipe(upscaler))

        result = job.format.enlarge(job, upscaler, Hooks(start, report, record))
        if manifest:
            for path in job.outputs:
                manifest.forget_others(path)
        return perf_counter() - began, result


def make_folder(path: Path) -> None:
    """Make the folder and its parents unless it exists. Raises UsageError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{printable(path)} can't be made a folder: {error.strerror or error}.") from error


def _remove_leftovers(jobs: Iterable[Job]) -> None:
    """Remove partial files that killed runs have left where `jobs` will write. Nobody else may be writing there."""
    for folder in {job.target.parent for job in jobs}:
        for partial_file in folder.glob(TEMPORARY):
            with suppress(OSError):
                partial_file.unlink()
