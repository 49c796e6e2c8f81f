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

from drrn.apps.words import duration
from drrn.errors import DRRNError

if TYPE_CHECKING:
    from rich.progress import TaskID

    from drrn.upscaling.batch.choosing import Choice
    from drrn.upscaling.batch.folders import Sources
    from drrn.upscaling.consistency import CheckResult
    from drrn.upscaling.formats.job import Job
    from drrn.upscaling.upscaler import Upscaler

LONG_SECONDS = 60.0
"""Expected time above which the fastest model is suggested."""


class Show:
    """A line a picture, and a list of what failed; on a terminal also bars, with the time left.

    See `drrn.upscaling.batch.jobs.Progress`.
    """

    def __init__(
        self,
        why: str,
        names: dict[Path, str],
        ready: "Callable[[str], Upscaler]",
        *,
        many: bool,
        endless: bool,
        as_json: bool,
        quiet: bool = False,
    ):
        """Say nothing yet.

        Args:
            why: it is that engine.
            names: what files are called that stand for something else.
            ready: makes an upscaler for a packaged model, to measure its speed.
            many: off, a failure is raised, in place of a list of one.
            endless: there will be no end with a list.
            quiet: say only what failed, and warnings.
        """
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.why, self.names, self.many, self.endless, self.as_json = why, names, many, endless, as_json
        self.quiet, self.ready = quiet, cache(ready)
        self.process_memory: int | None = None
        """Bytes the process holds before the first image is read."""
        self.began = time.perf_counter()
        self.failures: list[DRRNError] = []
        self.told = Counter[str]()
        self.expected = 0.0  # seconds
        self.aside = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeRemainingColumn(),
        )
        self.bars = Progress(*columns, console=self.aside, disable=quiet or not self.aside.is_terminal, transient=True)
        self.whole: TaskID | None = None
        self.bar_of: dict[Path, TaskID] = {}  # by source
        self.work_of: dict[Path, int] = {}
        self.share_of: dict[Path, float] = {}

    def __enter__(self) -> "Show":
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def found(self, sources: "Sources") -> None:
        """Report the paths without images, and the skipped files that are images or videos drrn cannot read."""
        for path, error in [] if self.endless else sources.failed:
            self.failed(path, error)
        paths = sources.unreadable
        if paths and self.as_json:
            self._json(unreadable=[self._name(path) for path in paths])
        elif paths:
            kinds = Counter(path.suffix.lower() or "without a suffix" for path in paths)
            counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            self.aside.print(
                f"skipped images and videos that drrn can't read: {counts}; name {self._name(paths[0])} to see why",
                markup=False,
            )

    def begin(self, jobs: "Sequence[Job]") -> None:
        from drrn.evaluation.timing import resident_memory

        self.process_memory = resident_memory() if self.process_memory is None else self.process_memory
        self.work_of = {job.source: _work(job) for job in jobs}
        if self.whole is not None:
            self.bars.remove_task(self.whole)
        what = f"{len(jobs)} pictures" if len(jobs) > 1 else ""
        self.whole = self.bars.add_task(what, total=sum(self.work_of.values()), visible=bool(what))

    def unchanged(self, job: "Job") -> None:
        self.told["unchanged"] += 1
        if self.as_json:
            self._json(source=self._name(job.source), target=self._name(job.target), unchanged=True)

    def start(self, job: "Job", choice: "Choice") -> None:
        if (warning := job.format.warning) and not self.told[warning]:
            self.told[warning] += 1
            self.aside.print(warning, markup=False)
        if not (self.as_json or self.quiet):
            self.aside.print(self._line(job, choice), markup=False)
        self.bar_of[job.source] = self.bars.add_task(self._name(job.source), total=1)

    def advance(self, job: "Job", share: float) -> None:
        self.bars.update(self.bar_of[job.source], completed=share)
        self._reach(job.source, share)

    def done(self, job: "Job", choice: "Choice", seconds: float | None, found: "CheckResult") -> None:
        self._over(job.source)
        self.told["done"] += 1
        self.expected += choice.cost.seconds
        if self.as_json:
            self._json(
                source=self._name(job.source),
                target=self._name(job.target),
                width=job.width,
                height=job.height,
                **_how(job, choice, self.process_memory or 0),
                converted=job.format.changes(job),
                **({} if seconds is None else {"seconds": round(seconds, 3)}),
                **_found(job, found),
            )
        elif seconds is None:
            print(self._line(job, choice), flush=True)
        elif not self.quiet:
            line = " · ".join([self._name(job.target), duration(seconds), *self._told(job, found)])
            print(line, file=sys.stderr if job.target in self.names else sys.stdout, flush=True)

    def failed(self, source: Path, error: DRRNError) -> None:
        if not self.many:
            error.source = self._name(source)
            raise error
        self._over(source)
        if self.endless:
            self.aside.print(f"drrn: {sentence(error)}", markup=False)
        else:
            self.failures.append(error)
        if self.as_json:
            self._json(source=self._name(source), error=sentence(error))

    def end(self, skipped: int, *, totals: bool, estimate: bool) -> int:
        """The totals and the list; 0 where nothing failed, 3 where some of many did, 2 where all did."""
        done, unchanged, failed = self.told["done"], self.told["unchanged"], len(self.failures)
        seconds = self.expected if estimate else time.perf_counter() - self.began
        if totals and not (self.as_json or self.quiet):
            did, about = ("to enlarge", "about ") if estimate else ("enlarged", "")
            counts = f"{done} {did}, {unchanged} unchanged, {skipped} skipped, {failed} failed"
            self.aside.print(f"{counts} · {about}{duration(seconds)}", markup=False)
        elif totals and self.as_json:
            name = "estimated_seconds" if estimate else "seconds"
            self._json(done=done, skipped=skipped, unchanged=unchanged, failed=failed, **{name: round(seconds, 3)})
        for error in self.failures:
            self.aside.print(f"drrn: {sentence(error)}", markup=False)
        if not failed:
            return 0
        print(f"{failed} of {done + unchanged + failed} pictures failed.", file=sys.stderr)
        return 3 if done or unchanged else 2

    def _told(self, job: "Job", found: "CheckResult") -> list[str]:
        from drrn.upscaling.consistency import WHITE

        told = []
        if found.check and found.bicubic:
            check, bicubic = ((f"{each.psnr:.2f} dB", each.largest) for each in (found.check, found.bicubic))
            told.append(
                f"made smaller again, {check[0]} from {self._name(job.source)}, at most {check[1]} of 255 levels "
                f"(bicubic {bicubic[0]}, {bicubic[1]})"
            )
        if found.disagreement is not None:
            mean, most = found.disagreement.mean(), found.disagreement.max()
            told.append(f"disagreement {mean:.2f} of 255 levels on average, at most {most:.1f}")
        if job.outputs[1:]:
            told.append(f"{', '.join(map(self._name, job.outputs[1:]))}: black 0, white {WHITE} levels or more")
        return told

    def _reach(self, source: Path, share: float) -> None:
        if self.whole is not None:
            self.bars.advance(self.whole, (share - self.share_of.get(source, 0)) * self.work_of.get(source, 0))
        self.share_of[source] = share

    def _over(self, source: Path) -> None:
        self._reach(source, 1)
        self.share_of.pop(source)
        if source in self.bar_of:
            self.bars.remove_task(self.bar_of.pop(source))

    def _line(self, job: "Job", choice: "Choice") -> str:
        from drrn.upscaling.batch.choosing import find_faster, outside_training, trained_for

        upscaler, cost = choice.upscaler, choice.cost
        source, target = self._name(job.source), self._name(job.target)
        sizes = f"{source} {job.header.width}x{job.header.height} -> {target} {job.width}x{job.height}"
        frames = f"{job.header.frames} frames" if job.header.frames > 1 else ""
        how = f"{upscaler.engine.name}: {self.why}" if self.why else upscaler.engine.name
        about = f"about {duration(cost.seconds)} and {(cost.memory + (self.process_memory or 0)) / 2**20:.0f} MB"
        if choice.budget is None and cost.seconds > LONG_SECONDS and (fast := find_faster(job, choice, self.ready)):
            least = fast.upscaler.weights.name
            about = f"{upscaler.weights.name}: {about}; {least} would take {duration(fast.cost.seconds)} (-m {least})"
        if (untrained := outside_training(job, upscaler.weights)) and (other := trained_for(job)):
            untrained += f": take --model {other}"
        told = [sizes, frames, *job.format.changes(job), untrained, _why(choice), how, about]
        return " · ".join(filter(None, told))

    def _name(self, path: Path) -> str:
        from drrn.errors import printable

        return self.names.get(path) or (str(path) if self.as_json else printable(path))

    def _json(self, **about: Any) -> None:
        print(json.dumps(about), flush=True)


def _work(job: "Job") -> int:
    """Pixels that the network makes."""
    return job.width * job.height * job.header.frames * (2 if job.header.alpha else 1)


def _why(choice: "Choice") -> str:
    """Why it is that model, where there was a choice."""
    if choice.budget is None:
        return ""
    name, budget = choice.upscaler.weights.name, duration(choice.budget)
    if choice.within_budget:
        return f"{name}: the best within the budget of {budget}"
    return f"{name}: {duration(choice.cost.seconds)} expected, over the budget of {budget}"


def _how(job: "Job", choice: "Choice", held: int) -> dict[str, Any]:
    """By what it is enlarged, and what that is expected to cost, with the `held` bytes of the process, for JSON."""
    from drrn.upscaling.batch.choosing import outside_training

    upscaler, cost = choice.upscaler, choice.cost
    told = {
        "model": upscaler.weights.name,
        "engine": upscaler.engine.name,
        "ensemble": upscaler.ensemble,
        "outside_trained_scales": bool(outside_training(job, upscaler.weights)),
        "estimated_seconds": float(f"{cost.seconds:.3g}"),
        "estimated_mb": (cost.memory + held) >> 20,
        "process_mb": held >> 20,
    }
    if choice.budget is not None:
        told |= {"budget_seconds": choice.budget, "within_budget": choice.within_budget, "why": _why(choice)}
    return told


def _found(job: "Job", found: "CheckResult") -> dict[str, Any]:
    """What was found, for JSON, which has no infinity: null is the PSNR of what is the same."""
    from drrn.upscaling.consistency import WHITE

    told: dict[str, Any] = {}
    for name, each in [("check", found.check), ("bicubic_check", found.bicubic)]:
        if each:
            psnr = round(each.psnr, 4) if isfinite(each.psnr) else None
            told[name] = {"psnr": psnr, "largest": each.largest}
    if found.disagreement is not None:
        mean, largest = (round(float(value), 4) for value in (found.disagreement.mean(), found.disagreement.max()))
        told["disagreement"] = {"mean": mean, "largest": largest}
    if told and job.outputs[1:]:
        told["maps"] = {"files": [str(path) for path in job.outputs[1:]], "white": WHITE}
    return told


def sentence(error: DRRNError) -> str:
    """The message on one line, without control characters."""
    from drrn.errors import printable

    return printable(" ".join(str(error).split()))
