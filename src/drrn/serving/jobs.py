"""The queue: jobs are accepted or refused, done one at a time, kept for a while, and forgotten."""

import asyncio
import contextlib
import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from drrn.errors import DRRNError, UsageError
from drrn.serving.config import ServeConfig
from drrn.serving.events import Events
from drrn.serving.job import Job, State
from drrn.serving.process import Task
from drrn.serving.recipe import Recipe, job_id
from drrn.serving.store import Store
from drrn.serving.worker import CanceledError, CrashedError, Worker, close

LOG: Final = logging.getLogger("drrn.serving")
SWEEP_SECONDS: Final = 5.0
VIEW_SECONDS: Final = 60.0
"""Deadline to plan, preview or view a picture."""
DEADLINE_FACTOR: Final = 10.0
"""A job may take this many times its expected time: the machine may be busy with something else."""
MIN_DEADLINE: Final = 60.0
"""Seconds that any job may take."""


class BusyError(DRRNError):
    """The queue is full."""

    def __init__(self, sentence: str, seconds: float):
        super().__init__(sentence)
        self.seconds = max(math.ceil(seconds), 1)
        """Expected seconds until there is room."""


class Jobs:
    """All jobs, the two worker processes, and the events that tell of them."""

    def __init__(self, config: ServeConfig, log: Callable[[str], None] = lambda line: None):
        self.config, self.log = config, log
        self.store = Store(config.folder)
        self.events = Events()
        self.engine, self.viewer = Worker(config, "engine"), Worker(config, "viewer")
        """One enlarges; the other plans, previews and views, so that these never wait for a job."""
        self.all: dict[str, Job] = {}
        self.counts = Counter[str]()
        """Ended jobs by state."""
        self.seconds = 0.0
        """Time that the engine has worked."""
        self._waiting: deque[Job] = deque()
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []
        self.is_ready = False
        """Whether the models have been loaded. A process that dies later is replaced when it is next needed."""
        self.failure: DRRNError | None = None
        """Why no job can be done, if none can."""
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
        await asyncio.gather(self.engine.start(), self.viewer.start())
        self.is_ready = True
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._sweep())]

    def stop(self) -> None:
        """End everything, at once: what is being enlarged too. More calls do nothing."""
        if self._is_stopped:
            return
        self._is_stopped = True
        for task in self._tasks:
            task.cancel()
        for job in self.all.values():
            if not job.is_over:
                job.error = "drrn serve was stopped."
                self._end(job, "failed")
        self.events.close()  # after it has told of these
        close((self.engine, self.viewer))
        self.store.close()

    async def plan(self, source: str, recipe: Recipe) -> dict[str, Any]:
        """See `drrn.serving.tasks.Tasks.plan`."""
        arguments = {"source": self.store.source(source), "recipe": recipe}
        return dict(await self.view(Task("plan", arguments)))

    async def view(self, task: Task) -> Any:
        """Do a task that is not a job. Raises DRRNError."""
        return await self.viewer.do(task, seconds=VIEW_SECONDS)

    async def add(self, source: str, recipe: Recipe, *, within: float = math.inf) -> tuple[Job, bool]:
        """Accept a job, or find the one that does the same. Returns it, and whether it is new.

        Args:
            within: longest expected wait in seconds.

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
            return known, False  # another request was faster
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
        self.publish(job, "queued")
        return job, True

    def expected(self) -> float:
        """Seconds until all accepted jobs are done."""
        return sum(job.seconds_left() for job in self.all.values() if not job.is_over)

    def cancel(self, job: Job) -> None:
        """Stop a job, or forget it and its result if it is over."""
        if job.is_over:
            self._forget(job)
            return
        job.canceled.set()
        if job in self._waiting:
            self._waiting.remove(job)
            self._end(job, "canceled")

    def result(self, job: Job) -> Path | None:
        """The result's file, if there is one."""
        path = self.store.job(job.id) / job.result["file"] if job.state == "done" else None
        return path if path and path.is_file() else None

    def describe(self, job: Job) -> dict[str, Any]:
        """The job as clients see it."""
        place = self._waiting.index(job) + 1 if job in self._waiting else 1
        return job.describe(place=place, keep=self.config.keep)

    def publish(self, job: Job, kind: str) -> None:
        self.events.send(kind, self.describe(job))

    def _check_room(self, plan: dict[str, Any], within: float) -> None:
        """Raises BusyError."""
        config, ahead = self.config, self.expected()
        if len(self._waiting) >= config.queue_jobs:
            raise BusyError(f"{len(self._waiting)} pictures are waiting. Try again later.", ahead / 2)
        if self._waiting and ahead + plan["seconds"] > config.queue_seconds:
            raise BusyError(f"The waiting pictures will take {ahead:.0f} seconds. Try again later.", ahead / 2)
        self.check_space(0)
        if ahead + plan["seconds"] > within:
            raise BusyError(
                f"It would take about {ahead + plan['seconds']:.0f} seconds, and the longest wait is {within:.0f}. "
                "POST it to api/jobs instead.",
                ahead,
            )

    def check_space(self, more: int) -> None:
        """Raises BusyError: there is no room for this many more bytes."""
        if self.store.bytes() + more > self.config.queue_bytes:
            sentence = "The space for pictures is used up. Try again when some have been deleted."
            raise BusyError(sentence, self._next_expiry())

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
        self.publish(job, "progress")

        def progress(share: float) -> None:
            job.share = share
            self.publish(job, "progress")

        folder = self.store.job(job.id)
        recipe = replace(job.recipe, model=job.plan["model"])  # as planned: it is not chosen again
        arguments = {"source": self.store.source(job.source), "recipe": recipe, "folder": folder}
        limit = min(max(DEADLINE_FACTOR * job.plan["seconds"], MIN_DEADLINE), self.config.max_seconds)
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
        except Exception as error:  # the next job is done all the same
            LOG.error("a bug, %s in a job", type(error).__name__)
            job.error = "This is a bug in drrn serve; please report it."
            self._end(job, "failed")
        self.seconds += time.monotonic() - job.began

    def _end(self, job: Job, state: State = "failed") -> None:
        job.state, job.ended = state, time.monotonic()
        job.began = job.began or job.ended
        self.counts[state] += 1
        job.over.set()
        if state != "done":
            self.store.remove_job(job.id)
        with contextlib.suppress(RuntimeError):  # there is no event loop yet, and no listener
            self.publish(job, state)

    def _forget(self, job: Job) -> None:
        self.all.pop(job.id, None)
        self.store.remove_job(job.id)
        self.events.send("gone", {"id": job.id})

    async def _sweep(self) -> None:
        """Delete what was kept long enough, again and again."""
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
                    await self.view(Task("forget", {}))
