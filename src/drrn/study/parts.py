"""The kinds of comparison that decide a claim, and the verdict of each.

A difference is decided by its 95 % interval. Whether a difference is less than a margin is decided by two one-sided
tests at 5 % each, which is the same as a 90 % interval: equal within the margin if the whole interval is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from drrn.study.experiments import BLOCKS, GRID, UNITS
from drrn.study.intervals import Estimate, Interval, greater_share, share_interval
from drrn.study.measures import Measure, contrast, psnr_if_alive
from drrn.study.result import Results

Verdict = Literal["holds", "does not hold", "too small to matter", "cannot be told", "not run"]

MARGIN = 0.05
"""dB that count as no difference: invisible, and what another seed changes."""
ONE_SIDED = 0.90
"""Confidence of the interval that two one-sided tests at 5 % correspond to."""
MOST_SEEDS = 100
"""More would take days even for small networks."""
SIZES = tuple({each.name: each for each in (*UNITS, *BLOCKS, *GRID)}.values())
"""Networks that differ in their numbers of blocks and units alone."""


class Outcome(NamedTuple):
    """What a comparison found."""

    verdict: Verdict
    measured: str = ""
    """The number with its interval."""
    details: str = ""
    missing: str = ""
    """If it cannot be told: what would decide."""


class Part(Protocol):
    """A comparison."""

    @property
    def says(self) -> str: ...

    @property
    def names(self) -> Sequence[str]:
        """The experiments that it needs."""

    def decide(self, results: Results) -> Outcome: ...


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The weighted sum of a quantity of experiments is above, or below, a bound."""

    says: str
    weights: Mapping[str, float]
    """By experiment."""
    measure: Measure
    above: float | None = None
    below: float | None = None
    unit: str = "dB"
    margin: float | None = None
    """If the difference is less than this either way, it is too small to matter."""

    @property
    def names(self) -> Sequence[str]:
        return list(self.weights)

    def decide(self, results: Results) -> Outcome:
        if not_run := missing(results, self.names):
            return not_run
        estimate = contrast(results, self.weights, self.measure)
        if not estimate:
            return too_few()
        verdict = self.verdict(estimate)
        boot = estimate.bootstrap()
        details = f"bootstrap {_number(boot.low, self.unit)} to {_number(boot.high, self.unit)}, {of_seeds(estimate)}"
        wanted = _what_would_decide(estimate, self.verdict) if verdict == "cannot be told" else ""
        return Outcome(verdict, format_interval(estimate.mean, estimate.interval(), self.unit), details, wanted)

    def verdict(self, estimate: Estimate, seeds: int | None = None) -> Verdict:
        """The verdict, also as expected with another number of seeds and the same mean."""
        if self.margin is not None and _is_within(estimate.interval(ONE_SIDED, seeds), self.margin):
            return "too small to matter"
        return _side(estimate.interval(seeds=seeds), self.above, self.below)


@dataclass(frozen=True, kw_only=True)
class NoGain:
    """A difference in PSNR is less than `MARGIN`: a test in one direction; another one asks for the opposite one."""

    says: str
    weights: Mapping[str, float]

    @property
    def names(self) -> Sequence[str]:
        return list(self.weights)

    def decide(self, results: Results) -> Outcome:
        if not_run := missing(results, self.names):
            return not_run
        estimate = contrast(results, self.weights, psnr_if_alive)
        if not estimate:
            return too_few()
        verdict, interval = self.verdict(estimate), estimate.interval(ONE_SIDED)
        lost = interval.low > -MARGIN
        details = f"a loss of {MARGIN:g} dB is {'excluded, too' if lost else 'not excluded'}; {of_seeds(estimate)}"
        wanted = _what_would_decide(estimate, self.verdict) if verdict == "cannot be told" else ""
        return Outcome(verdict, format_interval(estimate.mean, interval, "dB", "90 %: "), details, wanted)

    def verdict(self, estimate: Estimate, seeds: int | None = None) -> Verdict:
        return _side(estimate.interval(ONE_SIDED, seeds), None, MARGIN)


@dataclass(frozen=True, kw_only=True)
class MoreFailures:
    """A larger share of the trainings of one experiment fails than of another: Fisher's exact test."""

    says: str
    fragile: str
    stable: str

    @property
    def names(self) -> Sequence[str]:
        return [self.fragile, self.stable]

    def decide(self, results: Results) -> Outcome:
        if not_run := missing(results, self.names):
            return not_run
        fragile, stable = (failures(results, name) for name in self.names)
        verdict = self.verdict(fragile, stable)
        wanted = ""
        if verdict == "cannot be told":

            def at(seeds: int) -> Verdict:
                return self.verdict(*((round(count / total * seeds), seeds) for count, total in (fragile, stable)))

            more = range(max(fragile[1], stable[1]) + 1, MOST_SEEDS + 1)
            enough = next((seeds for seeds in more if at(seeds) != verdict), None)
            wanted = f"{enough} seeds would, with the same shares" if enough else _MORE_THAN_MOST
        measured = f"{describe_share(*fragile)} against {describe_share(*stable)}"
        return Outcome(verdict, measured, "Fisher's exact test", wanted)

    @staticmethod
    def verdict(fragile: tuple[int, int], stable: tuple[int, int]) -> Verdict:
        if greater_share(fragile, stable) < 0.025:
            return "holds"
        return "does not hold" if greater_share(stable, fragile) < 0.025 else "cannot be told"


@dataclass(frozen=True, kw_only=True)
class NearFront:
    """No network that costs as much or less, in multiply-adds, is better than a network by `MARGIN` or more."""

    says: str
    name: str

    @property
    def names(self) -> Sequence[str]:
        return [self.name]

    def decide(self, results: Results) -> Outcome:
        if not_run := missing(results, self.names):
            return not_run
        most = results.of(self.name)[0].macs
        rivals = [each.name for each in SIZES if (runs := results.of(each.name)) and runs[0].macs <= most]
        found = {
            rival: estimate
            for rival in rivals
            if rival != self.name and (estimate := contrast(results, {rival: 1.0, self.name: -1.0}, psnr_if_alive))
        }
        if not found:
            return too_few()
        verdict = self.verdict([*found.values()])
        best = max(found, key=lambda rival: found[rival].mean)
        measured = format_interval(found[best].mean, found[best].interval(ONE_SIDED), "dB", "90 %: ")
        details = f"the best of {len(found)} that cost no more is {best}"
        wanted = ""
        if verdict == "cannot be told":
            more = range(found[best].seeds + 1, MOST_SEEDS + 1)
            enough = next((seeds for seeds in more if self.verdict([*found.values()], seeds) != verdict), None)
            wanted = f"about {enough} seeds would, with the same means" if enough else _MORE_THAN_MOST
        return Outcome(verdict, f"{best} {measured}", details, wanted)

    @staticmethod
    def verdict(rivals: Sequence[Estimate], seeds: int | None = None) -> Verdict:
        if all(rival.interval(ONE_SIDED, seeds).high < MARGIN for rival in rivals):
            return "holds"
        # one of many comparisons may be above by chance: Bonferroni
        strict = 1 - (1 - ONE_SIDED) / len(rivals)
        is_behind = any(rival.interval(strict, seeds).low > MARGIN for rival in rivals)
        return "does not hold" if is_behind else "cannot be told"


_MORE_THAN_MOST = f"more than {MOST_SEEDS} seeds would be needed"


def missing(results: Results, names: Sequence[str]) -> Outcome | None:
    """`not run`, if experiments are missing."""
    absent = [name for name in names if not results.of(name)]
    return Outcome("not run", details=f"{', '.join(absent)} not run") if absent else None


def too_few() -> Outcome:
    return Outcome("cannot be told", details="too few results", missing="two seeds at least, of networks that live")


def failures(results: Results, *names: str) -> tuple[int, int]:
    """How many trainings of these experiments failed, and of how many."""
    runs = [run for name in names for run in results.of(name)]
    return sum(run.failure is not None for run in runs), len(runs)


def describe_share(count: int, total: int) -> str:
    """`1 of 3 (1 to 91 %)`."""
    low, high = share_interval(count, total)
    return f"{count} of {total} ({100 * low:.0f} to {100 * high:.0f} %)"


def of_seeds(estimate: Estimate) -> str:
    return f"from {estimate.seeds} seeds"


def format_interval(mean: float, interval: Interval, unit: str, level: str = "") -> str:
    """A mean with its interval, in a unit: `+0.012 dB (-0.103 to +0.127)`."""
    shown = {"doublings": "times", "of it": "%", "decades": "%"}.get(unit, unit)
    number = " ".join(filter(None, [_number(mean, unit), shown]))
    return f"{number} ({level}{_number(interval.low, unit)} to {_number(interval.high, unit)})"


def _number(value: float, unit: str) -> str:
    match unit:
        case "doublings":
            return f"{2**value:.2f}"
        case "of it":
            return f"{100 * value:.0f}"
        case "decades":
            return f"{100 * 10**value:.2g}"
        case _:
            return f"{value:+.3f}"


def _is_within(interval: Interval, margin: float) -> bool:
    return -margin < interval.low and interval.high < margin


def _side(interval: Interval, above: float | None, below: float | None) -> Verdict:
    """On which side of the bound the whole interval lies."""
    bound = above if above is not None else below
    assert bound is not None
    sides = {True: interval.low > bound, False: interval.high < bound}
    wanted = above is not None
    return "holds" if sides[wanted] else "does not hold" if sides[not wanted] else "cannot be told"


def _what_would_decide(estimate: Estimate, verdict: Callable[[Estimate, int], Verdict]) -> str:
    """How many seeds would decide if the mean stayed as it is."""
    more = range(estimate.seeds + 1, MOST_SEEDS + 1)
    enough = next((seeds for seeds in more if verdict(estimate, seeds) != "cannot be told"), None)
    if enough:
        return f"about {enough} seeds would, with the same mean"
    if verdict(estimate, 10**6) == "cannot be told":
        return "no number of seeds would, only more test pictures"
    return _MORE_THAN_MOST
