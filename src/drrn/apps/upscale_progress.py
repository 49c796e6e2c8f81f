"""What `drrn upscale` says: a line a picture, bars on a terminal, a list of what failed, or JSON."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

from drrn.apps.printer import Printer
from drrn.apps.words import duration, sentence
from drrn.errors import DRRNError, printable

if TYPE_CHECKING:
    from rich.progress import TaskID

    from drrn.upscaling.batch.choosing import Choice
    from drrn.upscaling.batch.events import BatchEvent
    from drrn.upscaling.batch.folders import SourceFiles
    from drrn.upscaling.consistency import CheckResult
    from drrn.upscaling.formats.job import Job
    from drrn.upscaling.upscaler import Upscaler

LONG_SECONDS = 60.0
"""Expected time above which the fastest model is suggested."""


class UpscaleProgress(Printer):
    """One line per picture and a list of failures; on a terminal also bars, with the time left.

    Its events are those of `drrn.upscaling.batch.events`.
    """

    def __init__(
        self,
        engine_reason: str,
        names: dict[Path, str],
        make_upscaler: "Callable[[str], Upscaler]",
        *,
        many: bool,
        endless: bool,
        as_json: bool,
        quiet: bool = False,
    ):
        """Print nothing yet.

        Args:
            engine_reason: why that engine was chosen; empty if the user named it.
            names: what to call files that stand for pipes.
            make_upscaler: for a packaged model, to measure its speed.
            many: collect failures into a list at the end; off, the first one is raised.
            endless: the run has no end, and so no list: print failures at once.
            quiet: print only failures and warnings.
        """
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeRemainingColumn(),
            quiet=quiet,
            transient=True,
        )
        self.engine_reason, self.names, self.make_upscaler = engine_reason, names, cache(make_upscaler)
        self.many, self.endless, self.as_json, self.quiet = many, endless, as_json, quiet
        self.process_memory: int | None = None
        """Bytes the process holds before the first image is read."""
        self.began = time.perf_counter()
        self.failures: list[DRRNError] = []
        self.done_count = self.unchanged_count = 0
        self.warned: set[str] = set()
        self.expected_seconds = 0.0
        self.total_bar: TaskID | None = None
        self.bar_of: dict[Path, TaskID] = {}  # by source
        self.work_of: dict[Path, int] = {}
        self.share_of: dict[Path, float] = {}

    def found(self, sources: "SourceFiles") -> None:
        """Report the paths without images, and the skipped files that are images or videos drrn cannot read."""
        for path, error in [] if self.endless else sources.failed:
            self.failed(path, error)
        paths = sources.unreadable
        if paths and self.as_json:
            self._json(unreadable=[self._name(path) for path in paths])
        elif paths:
            kinds = Counter(path.suffix.lower() or "without a suffix" for path in paths)
            counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            self.note(
                f"skipped images and videos that drrn can't read: {counts}; name {self._name(paths[0])} to see why"
            )

    def report(self, event: "BatchEvent") -> None:
        from drrn.upscaling.batch.events import Advanced, Done, Failed, Planned, Started, Unchanged

        match event:
            case Planned():
                self.begin(*event)
            case Unchanged():
                self.unchanged(*event)
            case Started():
                self.start(*event)
            case Advanced():
                self.advance(*event)
            case Done():
                self.done(*event)
            case Failed():
                self.failed(*event)

    def begin(self, jobs: "Sequence[Job]") -> None:
        from drrn.evaluation.timing import resident_memory

        self.process_memory = resident_memory() if self.process_memory is None else self.process_memory
        self.work_of = {job.source: _work(job) for job in jobs}
        if self.total_bar is not None:
            self.bars.remove_task(self.total_bar)
        what = f"{len(jobs)} pictures" if len(jobs) > 1 else ""
        self.total_bar = self.bars.add_task(what, total=sum(self.work_of.values()), visible=bool(what))

    def unchanged(self, job: "Job") -> None:
        self.unchanged_count += 1
        if self.as_json:
            self._json(source=self._name(job.source), target=self._name(job.target), unchanged=True)

    def start(self, job: "Job", choice: "Choice") -> None:
        if (warning := job.format.warning) and warning not in self.warned:
            self.warned.add(warning)
            self.note(warning)
        if not (self.as_json or self.quiet):
            self.note(self._line(job, choice))
        self.bar_of[job.source] = self.bars.add_task(self._name(job.source), total=1)

    def advance(self, job: "Job", share: float) -> None:
        self.bars.update(self.bar_of[job.source], completed=share)
        self._set_share(job.source, share)

    def done(self, job: "Job", choice: "Choice", seconds: float | None, result: "CheckResult") -> None:
        self._finish_bar(job.source)
        self.done_count += 1
        self.expected_seconds += choice.cost.seconds
        if self.as_json:
            self._json(
                source=self._name(job.source),
                target=self._name(job.target),
                width=job.width,
                height=job.height,
                **_cost_json(job, choice, self.process_memory or 0),
                converted=job.format.changes(job),
                **({} if seconds is None else {"seconds": round(seconds, 3)}),
                **_findings_json(job, result),
            )
        elif seconds is None:
            print(self._line(job, choice), flush=True)
        elif not self.quiet:
            line = " · ".join([self._name(job.target), duration(seconds), *self._findings(job, result)])
            print(line, file=sys.stderr if job.target in self.names else sys.stdout, flush=True)

    def failed(self, source: Path, error: DRRNError) -> None:
        if not self.many:
            error.source = self._name(source)
            raise error
        self._finish_bar(source)
        if self.endless:
            self.note(f"drrn: {sentence(error)}")
        else:
            self.failures.append(error)
        if self.as_json:
            self._json(source=self._name(source), error=sentence(error))

    def end(self, skipped: int, *, totals: bool, estimate: bool) -> int:
        """Print totals and failures, and return the exit code: 0 none failed, 3 some of many failed, 2 all failed."""
        done, unchanged, failed = self.done_count, self.unchanged_count, len(self.failures)
        seconds = self.expected_seconds if estimate else time.perf_counter() - self.began
        if totals and not (self.as_json or self.quiet):
            did, about = ("to enlarge", "about ") if estimate else ("enlarged", "")
            counts = f"{done} {did}, {unchanged} unchanged, {skipped} skipped, {failed} failed"
            self.note(f"{counts} · {about}{duration(seconds)}")
        elif totals and self.as_json:
            name = "estimated_seconds" if estimate else "seconds"
            self._json(done=done, skipped=skipped, unchanged=unchanged, failed=failed, **{name: round(seconds, 3)})
        for error in self.failures:
            self.note(f"drrn: {sentence(error)}")
        if not failed:
            return 0
        print(f"{failed} of {done + unchanged + failed} pictures failed.", file=sys.stderr)
        return 3 if done or unchanged else 2

    def _findings(self, job: "Job", result: "CheckResult") -> list[str]:
        from drrn.upscaling.consistency import WHITE

        findings = []
        if result.check and result.bicubic:
            check, bicubic = ((f"{each.psnr:.2f} dB", each.largest) for each in (result.check, result.bicubic))
            findings.append(
                f"made smaller again, {check[0]} from {self._name(job.source)}, at most {check[1]} of 255 levels "
                f"(bicubic {bicubic[0]}, {bicubic[1]})"
            )
        if result.disagreement is not None:
            mean, most = result.disagreement.mean(), result.disagreement.max()
            findings.append(f"disagreement {mean:.2f} of 255 levels on average, at most {most:.1f}")
        if job.outputs[1:]:
            findings.append(f"{', '.join(map(self._name, job.outputs[1:]))}: black 0, white {WHITE} levels or more")
        return findings

    def _set_share(self, source: Path, share: float) -> None:
        if self.total_bar is not None:
            self.bars.advance(self.total_bar, (share - self.share_of.get(source, 0)) * self.work_of.get(source, 0))
        self.share_of[source] = share

    def _finish_bar(self, source: Path) -> None:
        self._set_share(source, 1)
        self.share_of.pop(source)
        if source in self.bar_of:
            self.bars.remove_task(self.bar_of.pop(source))

    def _line(self, job: "Job", choice: "Choice") -> str:
        from drrn.upscaling.batch.choosing import find_faster, outside_training, trained_for

        upscaler, cost = choice.upscaler, choice.cost
        source, target = self._name(job.source), self._name(job.target)
        sizes = f"{source} {job.header.width}x{job.header.height} -> {target} {job.width}x{job.height}"
        frames = f"{job.header.frames} frames" if job.header.frames > 1 else ""
        how = f"{upscaler.engine.name}: {self.engine_reason}" if self.engine_reason else upscaler.engine.name
        about = f"about {duration(cost.seconds)} and {(cost.memory + (self.process_memory or 0)) / 2**20:.0f} MB"
        if (
            choice.budget is None
            and cost.seconds > LONG_SECONDS
            and (fast := find_faster(job, choice, self.make_upscaler))
        ):
            least = fast.upscaler.weights.name
            about = f"{upscaler.weights.name}: {about}; {least} would take {duration(fast.cost.seconds)} (-m {least})"
        untrained, stepped = outside_training(job, upscaler.weights), upscaler.weights.stepped
        if untrained and not stepped and (other := trained_for(job)):
            untrained += f": take --model {other}"
        parts = [sizes, frames, *job.format.changes(job), untrained, _model_reason(choice), how, about]
        return " · ".join(filter(None, parts))

    def _name(self, path: Path) -> str:
        return self.names.get(path) or (str(path) if self.as_json else printable(path))

    def _json(self, **about: Any) -> None:
        print(json.dumps(about), flush=True)


def _work(job: "Job") -> int:
    """Pixels that the network computes."""
    return job.width * job.height * job.header.frames * (2 if job.header.alpha else 1)


def _model_reason(choice: "Choice") -> str:
    """Why that model was chosen; empty if the user named it."""
    if choice.budget is None:
        return f"{choice.condition}, by {choice.upscaler.weights.name}" if choice.condition else ""
    name, budget = choice.upscaler.weights.name, duration(choice.budget)
    if choice.condition:
        name = f"{choice.condition}, by {name}"
    if choice.within_budget:
        return f"{name}: the best within the budget of {budget}"
    return f"{name}: {duration(choice.cost.seconds)} expected, over the budget of {budget}"


def _cost_json(job: "Job", choice: "Choice", process_memory: int) -> dict[str, Any]:
    """How it is enlarged and at what cost, the bytes of the process included, for JSON."""
    from drrn.upscaling.batch.choosing import outside_training

    upscaler, cost = choice.upscaler, choice.cost
    about = {
        "model": upscaler.weights.name,
        "engine": upscaler.engine.name,
        "ensemble": upscaler.ensemble,
        "outside_trained_scales": bool(outside_training(job, upscaler.weights)),
        "estimated_seconds": float(f"{cost.seconds:.3g}"),
        "estimated_mb": (cost.memory + process_memory) >> 20,
        "process_mb": process_memory >> 20,
    }
    if choice.budget is not None:
        about |= {"budget_seconds": choice.budget, "within_budget": choice.within_budget}
    if why := _model_reason(choice):
        about["why"] = why
    return about


def _findings_json(job: "Job", result: "CheckResult") -> dict[str, Any]:
    """The results of the checks, for JSON, which has no infinity: null is the PSNR of identical images."""
    from drrn.upscaling.consistency import WHITE

    findings: dict[str, Any] = {}
    for name, each in [("check", result.check), ("bicubic_check", result.bicubic)]:
        if each:
            psnr = round(each.psnr, 4) if isfinite(each.psnr) else None
            findings[name] = {"psnr": psnr, "largest": each.largest}
    if result.disagreement is not None:
        mean, largest = (round(float(value), 4) for value in (result.disagreement.mean(), result.disagreement.max()))
        findings["disagreement"] = {"mean": mean, "largest": largest}
    if findings and job.outputs[1:]:
        findings["maps"] = {"files": [str(path) for path in job.outputs[1:]], "white": WHITE}
    return findings
