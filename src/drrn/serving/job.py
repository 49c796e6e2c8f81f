"""A job: one picture to enlarge, and its state."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from drrn.serving.recipe import Recipe

State = Literal["queued", "running", "done", "failed", "canceled"]


@dataclass
class Job:
    """One picture to enlarge, and its state."""

    id: str
    source: str
    """SHA-256 of the picture's file."""
    recipe: Recipe
    plan: dict[str, Any]
    """As `drrn.serving.tasks.Tasks.plan` returns it."""
    state: State = "queued"
    share: float = 0.0
    """The share that is done, 0 to 1."""
    began: float = 0.0
    ended: float = 0.0
    """When it began and ended, by `time.monotonic`."""
    error: str = ""
    """Why it failed."""
    result: dict[str, Any] = field(default_factory=dict)
    """As `drrn.serving.tasks.Tasks.enlarge` returns it; empty until it is done."""
    canceled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to cancel it."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it is done, failed or canceled."""

    @property
    def is_over(self) -> bool:
        return self.over.is_set()

    def seconds_left(self) -> float:
        """Expected remaining seconds of work, without the time in the queue."""
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
            place: its position in the queue, from 1, if it waits.
            keep: seconds that jobs are kept after their end.
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
