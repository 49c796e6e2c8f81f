"""Jobs: accepted or refused, done one at a time, kept for a while, forgotten."""

import asyncio
import contextlib
import json
import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256 as hash_of
from pathlib import Path
from typing import Any, Final, Literal

from drrn import __version__
from drrn.errors import DRRNError, UsageError
from drrn.serving.config import Recipe, ServeConfig
from drrn.serving.events import Events
from drrn.serving.store import Store
from drrn.serving.studio import Task, recipe_json
from drrn.serving.worker import CanceledError, CrashedError, Worker

State = Literal["queued", "running", "done", "failed", "canceled"]
LOG: Final = logging.getLogger("drrn.serving")
SWEEP_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 60.0
"""In which a picture must be probed, planned, previewed or viewed."""
SLACK: Final = 10.0
"""A job may take so many times as long as was expected, and at least"""
LEAST_SECONDS: Final = 60.0
"""these seconds: the machine may be busy with something else."""


class BusyError(DRRNError):
    """The queue is full."""

    def __init__(self, sentence: str, seconds: float):
        super().__init__(sentence)
        self.seconds = max(math.ceil(seconds), 1)
        """After which there will be room, as far as is known."""


@dataclass
class Job:
    """A picture that becomes larger."""

    id: str
    source: str
    """SHA-256 of the picture."""
    recipe: Recipe
    plan: dict[str, Any]
    state: State = "queued"
    share: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    """In seconds of `time.monotonic`, as the one before."""
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    canceled: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_over(self) -> bool:
        return self.over.is_set()

    def seconds_left(self) -> float:
        """Expected until it is done, once it runs."""
        if self.is_over:
            return 0.0
        expected = float(self.plan.get("seconds", 0))
        if self.state != "running":
            return expected
        passed = time.monotonic() - self.began
        return passed / self.share * (1 - self.share) if self.share > 0.05 else max(expected - passed, 0)


class Jobs:
    """All jobs, the two processes that work on them, and who is told."""

    def __init__(self, config: ServeConfig, log: Callable[[str], None] = lambda line: None):
        self.config, self.log = config, log
        self.store = Store(config.folder)
        self.events = Events()
        self.engine, self.studio = Worker(config, "engine"), Worker(config, "studio")
        """The one enlarges. The other looks at pictures meanwhile: plans, previews and views never wait for a job."""
        self.all: dict[str, Job] = {}
        self.counts = Counter[str]()
        """Of jobs by how they ended, and of other things that are counted."""
        self.seconds = 0.0
        """That the engine has worked."""
        self._waiting: deque[Job] = deque()
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []
        self.is_ready = False
        """Whether the models have been loaded. A process that dies later is replaced when it is next needed."""
        self._is_stopped = False
        for about in self.store.lost:
            job = Job(about["id"], "", Recipe(name=about.get("name", "")), about, "failed")
            job.error = "drrn serve was stopped before this was fetched. Send the picture again."
            self._end(job)
            self.all[job.id] = job

    @property
    def queued(self) -> list[Job]:
        return list(self._waiting)

    async def start(self) -> None:
        """Make both processes ready, and begin to work.

        Raises:
            CrashedError: a process did not start.
        """
        if self.store.lost:
            self.log(f"{len(self.store.lost)} jobs of an earlier drrn serve were lost; what they left is deleted")
        await asyncio.gather(self.engine.start(), self.studio.start())
        self.is_ready = True
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._sweep())]

    def stop(self) -> None:
        """End everything, at once: what is being enlarged too. More calls do nothing."""
        if self._is_stopped:
            return
        self._is_stopped = True
        self.events.close()
        for task in self._tasks:
            task.cancel()
        for job in self.all.values():
            if not job.is_over:
                job.error = "drrn serve was stopped."
                self._end(job, "failed")
        self.engine.close()
        self.studio.close()
        self.store.close()

    async def plan(self, source: str, recipe: Recipe) -> dict[str, Any]:
        """See `drrn.serving.studio.Studio.plan`."""
        arguments = {"source": self.store.source(source), "recipe": recipe}
        return dict(await self.look(Task("plan", arguments)))

    async def look(self, task: Task) -> Any:
        """Do something that is not a job. Raises DRRNError."""
        return await self.studio.do(task, seconds=LOOK_SECONDS)

    async def add(self, source: str, recipe: Recipe, *, within: float = math.inf) -> tuple[Job, bool]:
        """The job that makes this of that picture, and whether it is new.

        Args:
            within: seconds in which it must be expected to be done.

        Raises:
            BusyError: there is no room for it now.
            DRRNError: the picture can't be read, or what is asked for can't be done.
        """
        identity = job_id(source, recipe)
        known = self.all.get(identity)
        if known and known.state in ("queued", "running", "done"):
            return known, False
        plan = await self.plan(source, recipe)
        if (known := self.all.get(identity)) and known.state in ("queued", "running", "done"):
            return known, False  # somebody else was faster
        if plan["seconds"] > self.config.max_seconds:
            raise UsageError(
                f"It is expected to take {plan['seconds']:.0f} seconds, more than the {self.config.max_seconds:.0f} "
                "that this service allows. Take a smaller scale or a faster model."
            )
        self._check_room(plan, within)
        job = Job(identity, source, recipe, plan)
        try:
            self.store.add_job(identity, plan)
        except OSError as error:
            raise BusyError("The service's disk is full. Try again later.", self.config.keep) from error
        self.all.pop(identity, None)
        self.all[identity] = job
        self._waiting.append(job)
        self._arrived.set()
        self.tell(job, "queued")
        return job, True

    def expected(self) -> float:
        """Seconds until all that was accepted is done."""
        return sum(job.seconds_left() for job in self.all.values() if not job.is_over)

    def cancel(self, job: Job) -> None:
        """Stop it, or forget it with its result if it is over."""
        if job.is_over:
            self._forget(job)
            return
        job.canceled.set()
        if job in self._waiting:
            self._waiting.remove(job)
            self._end(job, "canceled")

    def result(self, job: Job) -> Path | None:
        """Its file, if there is one."""
        path = self.store.job(job.id) / job.result["file"] if job.state == "done" else None
        return path if path and path.is_file() else None

    def about(self, job: Job) -> dict[str, Any]:
        """What clients are told of it."""
        told: dict[str, Any] = {"id": job.id, "source": job.source, "state": job.state, **job.plan}
        if job.state == "queued":
            told["place"] = self._waiting.index(job) + 1 if job in self._waiting else 1
        if job.state == "running":
            told |= {"share": round(job.share, 4), "seconds_left": round(job.seconds_left(), 1)}
        if job.error:
            told["error"] = job.error
        if job.state == "done":
            told |= {key: job.result[key] for key in ("bytes", "sha256", "check", "model")}
            told["took"] = round(job.ended - job.began, 3)
        if job.is_over:
            told["expires"] = max(round(job.ended + self.config.keep - time.monotonic()), 0)
        return told

    def tell(self, job: Job, kind: str) -> None:
        self.events.send(kind, self.about(job))

    def _check_room(self, plan: dict[str, Any], within: float) -> None:
        """Raises BusyError."""
        config, ahead = self.config, self.expected()
        if len(self._waiting) >= config.queue_jobs:
            raise BusyError(f"{len(self._waiting)} pictures wait already. Try again later.", ahead / 2)
        if self._waiting and ahead + plan["seconds"] > config.queue_seconds:
            raise BusyError(f"The pictures that wait will take {ahead:.0f} seconds. Try again later.", ahead / 2)
        if self.store.bytes() > config.queue_bytes:
            raise BusyError("The space for results is used up. Try again when some were deleted.", self._next_expiry())
        if ahead + plan["seconds"] > within:
            raise BusyError(
                f"Done in about {ahead + plan['seconds']:.0f} seconds, and the longest wait is {within:.0f}. "
                "POST it to api/jobs.",
                ahead,
            )

    def _next_expiry(self) -> float:
        ended = [job.ended for job in self.all.values() if job.is_over]
        return min(ended) + self.config.keep - time.monotonic() if ended else self.config.keep

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            await self._run(self._waiting.popleft())

    async def _run(self, job: Job) -> None:
        job.state, job.began = "running", time.monotonic()
        self.tell(job, "progress")

        def progress(share: float) -> None:
            job.share = share
            self.tell(job, "progress")

        folder = self.store.job(job.id)
        recipe = replace(job.recipe, model=job.plan["model"])  # as it was told, and not chosen anew
        arguments = {"source": self.store.source(job.source), "recipe": recipe, "folder": folder}
        limit = min(max(SLACK * job.plan["seconds"], LEAST_SECONDS), self.config.max_seconds)
        try:
            job.result = await self.engine.do(
                Task("enlarge", arguments), seconds=limit, progress=progress, canceled=job.canceled
            )
            self._end(job, "done")
        except CanceledError:
            self._end(job, "canceled")
        except DRRNError as error:
            job.error = str(error)
            self._end(job, "failed")
        except asyncio.CancelledError:
            raise
        except Exception as error:  # whatever it was, the next job is worked on
            LOG.error("a bug, %s in a job", type(error).__name__)
            job.error = "drrn serve met a fault of its own; please report it."
            self._end(job, "failed")
        self.seconds += time.monotonic() - job.began

    def _end(self, job: Job, state: State = "failed") -> None:
        job.state, job.ended = state, time.monotonic()
        job.began = job.began or job.ended
        self.counts[state] += 1
        job.over.set()
        if state != "done":
            self.store.remove_job(job.id)
        with contextlib.suppress(RuntimeError):  # before there is a loop, nobody listens
            self.tell(job, state)

    def _forget(self, job: Job) -> None:
        self.all.pop(job.id, None)
        self.store.remove_job(job.id)
        self.events.send("gone", {"id": job.id})

    async def _sweep(self) -> None:
        """Delete what has been kept long enough."""
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS, max(self.config.keep / 4, 0.05)))
            now = time.monotonic()
            old = [job for job in self.all.values() if job.is_over and now - job.ended > self.config.keep]
            for job in old:
                self._forget(job)
            needed = {job.source for job in self.all.values() if not job.is_over or job.state == "done"}
            unused = [each for each, at in self.store.used.items() if now - at > self.config.keep]
            gone = [each for each in unused if each not in needed]
            for sha256 in gone:
                self.store.remove_source(sha256)
            if old or gone:
                with contextlib.suppress(CrashedError):
                    await self.look(Task("forget", {}))


def job_id(source: str, recipe: Recipe) -> str:
    """What the same request for the same picture always has: SHA-256 of both, and of drrn's version."""
    return hash_of(json.dumps([source, recipe_json(recipe), __version__]).encode()).hexdigest()
