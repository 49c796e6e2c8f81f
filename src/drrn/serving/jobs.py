"""The queue: jobs are accepted or refused, run one at a time, kept for some time, and deleted."""

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
"""Seconds between two searches for what has expired."""
VIEW_SECONDS: Final = 60.0
"""Deadline in seconds to plan, preview or view a picture."""
DEADLINE_FACTOR: Final = 10.0
"""Deadline of a job as a multiple of its expected time: the machine may be busy with something else."""
MIN_DEADLINE: Final = 60.0
"""Shortest deadline of a job in seconds."""


class BusyError(DRRNError):
    """The queue is full, or the storage."""

    def __init__(self, sentence: str, seconds: float):
        super().__init__(sentence)
        self.seconds = max(math.ceil(seconds), 1)
        """Expected seconds until there is room again, at least 1."""


class Jobs:
    """All jobs, the two worker processes that do the work, and the events that report it."""

    def __init__(self, config: ServeConfig, log: Callable[[str], None] = lambda line: None):
        self.config, self.log = config, log
        self.store = Store(config.folder)
        self.events = Events()
        self.engine, self.viewer = Worker(config, "engine"), Worker(config, "viewer")
        """The engine runs jobs. The viewer plans, previews and views pictures, so that these never wait for a job."""
        self.all: dict[str, Job] = {}
        """Jobs by their ids, the oldest first."""
        self.counts = Counter[str]()
        """Number of jobs that ended, by state."""
        self.seconds = 0.0
        """Total time of all jobs."""
        self._waiting: deque[Job] = deque()
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []
        self.is_ready = False
        """Whether the models are loaded. A process that dies later is restarted when it is needed again."""
        self.failure: DRRNError | None = None
        """Why the service can't run jobs at all; None if it can."""
        self._is_stopped = False
        for about in self.store.lost:
            job = Job(about["id"], "", Recipe(name=about.get("name", "")), about, "failed")
            job.error = "drrn serve was stopped before this result was downloaded. Send the picture again."
            self._end(job)
            self.all[job.id] = job

    @property
    def queued(self) -> list[Job]:
        return list(self._waiting)

    async def start(self) -> None:
        """Start both processes, and begin to run jobs.

        Raises:
            CrashedError: a process did not start.
        """
        if self.store.lost:
            self.log(f"{len(self.store.lost)} jobs of an earlier drrn serve were lost, and their files are deleted")
        await asyncio.gather(self.engine.start(), self.viewer.start())
        self.is_ready = True
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._sweep())]

    def stop(self) -> None:
        """End everything at once, including a running job. Further calls do nothing."""
        if self._is_stopped:
            return
        self._is_stopped = True
        for task in self._tasks:
            task.cancel()
        for job in self.all.values():
            if not job.is_over:
                job.error = "drrn serve was stopped."
                self._end(job, "failed")
        self.events.close()  # which still sends these
        close((self.engine, self.viewer))
        self.store.close()

    async def plan(self, source: str, recipe: Recipe) -> dict[str, Any]:
        """Describe a picture and its result. See `drrn.serving.tasks.Tasks.plan`."""
        arguments = {"source": self.store.source(source), "recipe": recipe}
        return dict(await self.view(Task("plan", arguments)))

    async def view(self, task: Task) -> Any:
        """Run a task in the viewer process. Raises DRRNError: the task is refused, or the process crashed."""
        return await self.viewer.do(task, seconds=VIEW_SECONDS)

    async def add(self, source: str, recipe: Recipe, *, within: float = math.inf) -> tuple[Job, bool]:
        """Add a job, or find the one that was added by the same request.

        Args:
            source: SHA-256 of a stored picture.
            within: longest acceptable time in seconds until it is done.

        Returns:
            The job, and whether it is new.

        Raises:
            BusyError: there is no room for it now, or it would take longer than `within`.
            DRRNError: the picture can't be read, or the recipe is not possible for it.
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
                "that this service allows. Choose a smaller scale or a faster model."
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

    def seconds_left(self) -> float:
        """Expected seconds until all jobs are done."""
        return sum(job.seconds_left() for job in self.all.values() if not job.is_over)

    def cancel(self, job: Job) -> None:
        """Cancel a job. One that is over is deleted, with its result."""
        if job.is_over:
            self._forget(job)
            return
        job.canceled.set()
        if job in self._waiting:
            self._waiting.remove(job)
            self._end(job, "canceled")

    def result(self, job: Job) -> Path | None:
        """The file of the result, None if there is none."""
        path = self.store.job(job.id) / job.result["file"] if job.state == "done" else None
        return path if path and path.is_file() else None

    def describe(self, job: Job) -> dict[str, Any]:
        """The job as clients see it."""
        place = self._waiting.index(job) + 1 if job in self._waiting else 1
        return job.describe(place=place, keep=self.config.keep)

    def publish(self, job: Job, kind: str) -> None:
        """Send an event about a job to all clients."""
        self.events.send(kind, self.describe(job))

    def _check_room(self, plan: dict[str, Any], within: float) -> None:
        """Raises BusyError: a limit of the queue is reached, or it would be done later than `within` seconds."""
        config, ahead = self.config, self.seconds_left()
        if len(self._waiting) >= config.queue_jobs:
            raise BusyError(
                f"{len(self._waiting)} pictures are waiting, the most that this service allows. Try again later.",
                ahead / 2,
            )
        if self._waiting and ahead + plan["seconds"] > config.queue_seconds:
            raise BusyError(f"The waiting pictures will take another {ahead:.0f} seconds. Try again later.", ahead / 2)
        self.check_space(0)
        if ahead + plan["seconds"] > within:
            raise BusyError(
                f"The result would take about {ahead + plan['seconds']:.0f} seconds, and this request waits at most "
                f"{within:.0f}. POST to api/jobs instead.",
                ahead,
            )

    def check_space(self, more: int) -> None:
        """Raises BusyError: there is no space for this many more bytes."""
        if self.store.bytes() + more > self.config.queue_bytes:
            sentence = "The space for pictures is used up. Try again after some have been deleted."
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
        recipe = replace(job.recipe, model=job.plan["model"])  # the planned one: auto must not choose again
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
        except Exception as error:  # the next jobs must still run
            LOG.error("bug: %s in a job", type(error).__name__)
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
        with contextlib.suppress(RuntimeError):  # no event loop yet, and so no client
            self.publish(job, state)

    def _forget(self, job: Job) -> None:
        self.all.pop(job.id, None)
        self.store.remove_job(job.id)
        self.events.send("gone", {"id": job.id})

    async def _sweep(self) -> None:
        """Delete expired jobs and unused pictures from time to time."""
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS, max(self.config.keep / 4, 0.05)))
            now = time.monotonic()
            old = [job for job in self.all.values() if job.is_over and now - job.ended > self.config.keep]
            for job in old:
                self._forget(job)
            needed = {job.source for job in self.all.values() if not job.is_over or job.state == "done"}
            unused = [each for each, at in self.store.used.items() if now - at > self.config.keep]
            expired = [each for each in unused if each not in needed]
            for sha256 in expired:
                self.store.remove_source(sha256)
            if old or expired:
                with contextlib.suppress(CrashedError):
                    await self.view(Task("forget", {}))
