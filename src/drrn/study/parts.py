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
"""The largest number of seeds considered: more would take days even for small networks."""
SIZES = tuple({each.name: each for each in (*UNITS, *BLOCKS, *GRID)}.values())
"""Networks that differ only in their numbers of blocks and units."""


class Outcome(NamedTuple):
    """What a comparison found."""

    verdict: Verdict
    measured: str = ""
    """The number with its interval."""
    details: str = ""
    seeds: int | None = None
    """How many seeds would decide, with the same means, if it cannot be told; None if more than `MOST_SEEDS`."""
    expected: Verdict = "cannot be told"
    """The verdict that is expected then."""
    reason: str = ""
    """Why no number of seeds would decide."""

    @property
    def missing(self) -> str:
        """What would decide it, if it cannot be told."""
        return f"about {self.seeds} seeds would decide" if self.seeds else self.reason


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
    """If the difference is less than this in either direction, it is too small to matter."""

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
        measured = format_interval(estimate.mean, estimate.interval(), self.unit)
        return _with_seeds(
            Outcome(verdict, measured, details), estimate.seeds, lambda seeds: self.verdict(estimate, seeds)
        )

    def verdict(self, estimate: Estimate, seeds: int | None = None) -> Verdict:
        """The verdict, also as expected with another number of seeds and the same mean."""
        if self.margin is not None and _is_within(estimate.interval(ONE_SIDED, seeds), self.margin):
            return "too small to matter"
        return _side(estimate.interval(seeds=seeds), self.above, self.below)


@dataclass(frozen=True, kw_only=True)
class NoGain:
    """A gain in PSNR is less than `MARGIN`: a one-sided test; another test excludes a loss of that size."""

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
        measured = format_interval(estimate.mean, interval, "dB", "90 %: ")
        return _with_seeds(
            Outcome(verdict, measured, details), estimate.seeds, lambda seeds: self.verdict(estimate, seeds)
        )

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
        measured = f"{describe_share(*fragile)} against {describe_share(*stable)}"

        def at(seeds: int) -> Verdict:
            return self.verdict(*((round(count / total * seeds), seeds) for count, total in (fragile, stable)))

        outcome = Outcome(self.verdict(fragile, stable), measured, "Fisher's exact test")
        return _with_seeds(outcome, max(fragile[1], stable[1]), at)

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
        outcome = Outcome(verdict, f"{best} {measured}", details)
        return _with_seeds(outcome, found[best].seeds, lambda seeds: self.verdict([*found.values()], seeds))

    @staticmethod
    def verdict(rivals: Sequence[Estimate], seeds: int | None = None) -> Verdict:
        if all(rival.interval(ONE_SIDED, seeds).high < MARGIN for rival in rivals):
            return "holds"
        # one of many comparisons may be above by chance: Bonferroni
        strict = 1 - (1 - ONE_SIDED) / len(rivals)
        is_behind = any(rival.interval(strict, seeds).low > MARGIN for rival in rivals)
        return "does not hold" if is_behind else "cannot be told"


def missing(results: Results, names: Sequence[str]) -> Outcome | None:
    """`not run`, if experiments are missing."""
    absent = [name for name in names if not results.of(name)]
    return Outcome("not run", details=f"{', '.join(absent)} not run") if absent else None


def too_few() -> Outcome:
    return Outcome("cannot be told", details="too few results", reason="it needs two seeds with living networks")


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
            share = 100 * 10**value
            return f"{share:.0f}" if share >= 10 else f"{share:.2g}"
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


def _with_seeds(outcome: Outcome, seeds: int, verdict: Callable[[int], Verdict]) -> Outcome:
    """The outcome, and how many seeds would decide it if it cannot be told; `verdict` is that of a number of seeds."""
    if outcome.verdict != "cannot be told":
        return outcome
    for more in range(seeds + 1, MOST_SEEDS + 1):
        if (expected := verdict(more)) != "cannot be told":
            return outcome._replace(seeds=more, expected=expected)
    by_images = verdict(10**6) == "cannot be told"
    return outcome._replace(
        reason="no number of seeds would decide, only more test pictures"
        if by_images
        else f"more than {MOST_SEEDS} seeds would be needed"
    )
