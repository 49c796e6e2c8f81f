"""A claim, the comparisons that decide it, and the verdict on it."""

from dataclasses import dataclass
from typing import NamedTuple

from drrn.study.parts import MOST_SEEDS, Outcome, Part, Verdict


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence of the report or the paper, and the comparisons that decide it."""

    name: str
    source: str
    says: str
    clause: str
    """The same, worded to follow *that*."""
    section: str
    """The list of experiments whose section it belongs to."""
    parts: tuple[Part, ...]


class Finding(NamedTuple):
    """A claim with the outcome of each part, and a verdict on the whole."""

    claim: Claim
    outcomes: tuple[Outcome, ...]

    @property
    def verdict(self) -> Verdict:
        """The first verdict of `WEAKEST_FIRST` that a part has: a claim holds if all its parts do."""
        verdicts = {outcome.verdict for outcome in self.outcomes}
        return next(verdict for verdict in WEAKEST_FIRST if verdict in verdicts)

    @property
    def missing(self) -> str:
        """What would decide it, if it cannot be told."""
        parts = [outcome for outcome in self.outcomes if outcome.verdict == "cannot be told"]
        against = [part.seeds for part in parts if part.seeds and part.expected != "holds"]
        if against:  # one part is enough to refute a claim
            return f"about {min(against)} seeds would decide"
        return max(parts, key=lambda part: part.seeds or MOST_SEEDS + 1).missing if parts else ""


WEAKEST_FIRST: tuple[Verdict, ...] = ("does not hold", "too small to matter", "not run", "cannot be told", "holds")
