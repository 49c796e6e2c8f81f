"""The service's end of a worker process, in which pictures are decoded and enlarged.

The process may crash, hang or be killed, and the service continues. The other end is `drrn.serving.process`.
"""

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final

from drrn.errors import DRRNError, EngineError, ImageError, UsageError
from drrn.serving.config import ServeConfig
from drrn.serving.kinds import KindError
from drrn.serving.process import Answer, Task, run_tasks

START_SECONDS: Final = 300.0
"""Seconds within which a process must be ready."""
CANCEL_SECONDS: Final = 2.0
"""Seconds that a canceled task has to end. Then its process is killed."""
END_SECONDS: Final = 1.0
"""Seconds to wait for killed processes when the service ends."""
ERRORS: Final = {each.__name__: each for each in (ImageError, UsageError, EngineError, KindError)}


class CrashedError(DRRNError):
    """The worker process ended during a task, or took too long."""


class CanceledError(DRRNError):
    """The task was canceled."""


class Worker:
    """A worker process that runs one task at a time.

    A process that died is replaced for the next task, and any process after `config.tasks_per_worker` tasks.

    Args:
        purpose: a word for names and metrics.
    """

    def __init__(self, config: ServeConfig, purpose: str):
        self.config, self.purpose = config, purpose
        self.starts = 0
        """How many processes have been started."""
        self.about: dict[str, Any] = {}
        """The answer of `drrn.serving.tasks.Tasks.about`."""
        self._lock = asyncio.Lock()
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._threads = ThreadPoolExecutor(2, thread_name_prefix=f"drrn-{purpose}")
        self._tasks = 0
        self._closed = False

    async def start(self) -> None:
        """Start the process if it is not running.

        Raises:
            CrashedError: it ended before it was ready.
        """
        async with self._lock:
            await self._ensure()

    async def do(
        self,
        task: Task,
        *,
        seconds: float,
        progress: Callable[[float], None] = lambda share: None,
        canceled: asyncio.Event | None = None,
    ) -> Any:
        """Run a task, and return its result.

        Args:
            seconds: deadline after which the process is killed.
            progress: called with the share that is done, 0 to 1.
            canceled: an event that cancels the task when it is set.

        Raises:
            CrashedError: the process crashed, or missed the deadline.
            CanceledError: `canceled` was set.
            DRRNError: the task was refused.
        """
        async with self._lock:
            if canceled and canceled.is_set():
                raise CanceledError("The task was canceled.")
            await self._ensure()
            try:
                return await self._do(task, seconds, progress, canceled)
            finally:
                self._tasks += 1
                if self._tasks >= self.config.tasks_per_worker:
                    self.kill()

    def kill(self) -> None:
        """Kill the process. The next task starts another one."""
        if self._process is not None:
            self._process.kill()
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
        self._process = self._connection = None

    def close(self) -> BaseProcess | None:
        """Kill the process for good, and return it if there was one."""
        self._closed = True
        process = self._process
        self.kill()
        self._threads.shutdown(wait=False)
        return process

    @property
    def pid(self) -> int | None:
        """The id of the process, None if there is none."""
        return self._process.pid if self._process is not None else None

    async def _do(
        self, task: Task, seconds: float, progress: Callable[[float], None], canceled: asyncio.Event | None
    ) -> Any:
        loop = asyncio.get_running_loop()
        end, is_canceling = loop.time() + seconds, False
        await self._send(task)
        cancellation = asyncio.ensure_future(canceled.wait()) if canceled else None
        answer: asyncio.Future[Any] = self._next()
        try:
            while True:
                waiting: set[asyncio.Future[Any]] = {answer}
                if cancellation and not is_canceling:
                    waiting.add(cancellation)
                await asyncio.wait(waiting, timeout=max(end - loop.time(), 0), return_when=asyncio.FIRST_COMPLETED)
                if answer.done():
                    kind, value = answer.result()
                    if kind == "progress":
                        progress(value)
                        answer = self._next()
                    elif kind == "done":
                        return value
                    elif kind == "canceled":
                        raise CanceledError("The task was canceled.")
                    elif kind == "refused":
                        raise ERRORS.get(value[0], ImageError)(value[1])
                    else:
                        self.kill()
                        raise CrashedError(value)
                elif cancellation and cancellation.done() and not is_canceling:
                    is_canceling, end = True, loop.time() + CANCEL_SECONDS
                    await self._send(None)
                elif loop.time() >= end:
                    self.kill()
                    if is_canceling:
                        raise CanceledError("The task was canceled.")
                    raise CrashedError(f"This took more than {seconds:.0f} seconds and was stopped.")
        except asyncio.CancelledError:  # otherwise the next task would get the answer of this one
            self.kill()
            raise
        finally:
            if cancellation:
                cancellation.cancel()

    async def _send(self, task: Task | None) -> None:
        connection = self._connection
        assert connection is not None
        with contextlib.suppress(OSError):  # the process has died, which the next answer will say
            await asyncio.get_running_loop().run_in_executor(self._threads, connection.send, task)

    def _next(self) -> "asyncio.Future[Answer]":
        """The next message of the process."""
        return asyncio.get_running_loop().run_in_executor(self._threads, _receive, self._connection, self._process)

    async def _ensure(self) -> None:
        """Start the process if it is not running. See `start`."""
        if self._process is not None and self._process.is_alive():
            return
        self.kill()
        if self._closed:
            raise CrashedError("The service is being stopped.")
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=run_tasks, args=(theirs, self.config), name=f"drrn-{self.purpose}", daemon=True
        )
        await asyncio.get_running_loop().run_in_executor(self._threads, process.start)
        theirs.close()  # so that the end of the process closes the connection
        self._process, self._connection, self._tasks = process, ours, 0
        self.starts += 1
        try:
            kind, value = await asyncio.wait_for(self._next(), START_SECONDS)
        except TimeoutError:
            kind, value = "crashed", "A worker process did not start in time."
        if kind != "done":
            self.kill()
            raise CrashedError(value if isinstance(value, str) else value[1])
        self.about = value


def close(workers: Iterable[Worker]) -> None:
    """Close workers, and wait up to `END_SECONDS` for all their processes together."""
    processes = [worker.close() for worker in workers]
    end = time.monotonic() + END_SECONDS
    for process in processes:
        if process is not None:
            process.join(max(end - time.monotonic(), 0))


def _receive(connection: "Connection | None", process: BaseProcess | None) -> Answer:
    """Wait for the next message, in a thread. If the process has ended, the answer is crashed."""
    assert connection is not None and process is not None
    try:
        message: Answer = connection.recv()
        return message
    except (EOFError, OSError):
        process.join(1)
        how = f" (signal {-process.exitcode})" if process.exitcode and process.exitcode < 0 else ""
        return "crashed", f"The process that worked on this ended unexpectedly{how}. Send the picture again."
