"""One enlargement that the service was asked for, and how it stands."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from drrn.serving.recipe import Recipe

State = Literal["queued", "running", "done", "failed", "canceled"]


@dataclass
class Job:
    """A picture to enlarge."""

    id: str
    source: str
    """SHA-256 of the picture's file."""
    recipe: Recipe
    plan: dict[str, Any]
    state: State = "queued"
    share: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    """By `time.monotonic`, as `began`."""
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    canceled: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_over(self) -> bool:
        return self.over.is_set()

    def seconds_left(self) -> float:
        """Expected seconds of work that remain."""
        if self.is_over:
            return 0.0
        expected = float(self.plan.get("seconds", 0))
        if self.state != "running":
            return expected
        passed = time.monotonic() - self.began
        return passed / self.share * (1 - self.share) if self.share > 0.05 else max(expected - passed, 0)

    def describe(self, *, place: int, keep: float) -> dict[str, Any]:
        """The job as clients see it.

        Args:
            place: its number in the queue, from 1, if it is there.
            keep: seconds that results are kept.
        """
        about: dict[str, Any] = {"id": self.id, "source": self.source, "state": self.state, **self.plan}
        if self.state == "queued":
            about["place"] = place
        if self.state == "running":
            about |= {"share": round(self.share, 4), "seconds_left": round(self.seconds_left(), 1)}
        if self.error:
            about["error"] = self.error
        if self.state == "done":
            about |= {key: self.result[key] for key in ("bytes", "sha256", "check", "model")}
            about["took"] = round(self.ended - self.began, 3)
        if self.is_over:
            about["expires"] = max(round(self.ended + keep - time.monotonic()), 0)
        return about
