"""The worker process: it receives tasks through a connection, runs them one at a time, and sends the answers back.

The service's end is in `drrn.serving.worker`, and what the tasks do is in `drrn.serving.tasks`.
"""

import logging
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from drrn.errors import DRRNError
from drrn.serving.answers import client_message
from drrn.serving.config import ServeConfig
from drrn.serving.recipe import Recipe
from drrn.serving.tasks import Tasks

Answer = tuple[Literal["progress", "done", "refused", "canceled", "crashed"], Any]
LOG: Final = logging.getLogger("drrn.serving")
PROGRESS_SECONDS: Final = 0.2
"""Shortest time between two progress messages."""
MARGIN: Final = 768 << 20
"""Bytes that a process may use besides the memory for an enlargement: for decoders, views and threads."""


class Task(NamedTuple):
    """A call for a worker process: the name of a method of `Tasks`, and its arguments."""

    name: Literal["plan", "enlarge", "preview", "view", "forget"]
    arguments: dict[str, Any]


class CanceledTask(BaseException):
    """Raised within a task that was canceled."""


def run_tasks(connection: Connection, config: ServeConfig) -> None:
    """Run the tasks that come through the connection, until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the service ends its processes itself
    os.umask(0o077)
    try:
        tasks = Tasks(config)
        limit_memory(config.max_memory + MARGIN)
        connection.send(("done", tasks.about()))
        while True:
            task = connection.recv()
            if task is not None:  # a cancellation that came too late
                connection.send(perform(tasks, task, connection))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.exit(0)
    except DRRNError as error:
        connection.send(("refused", (type(error).__name__, str(error))))


def limit_memory(beyond: int) -> None:
    """Limit the memory of this process to what it uses now and `beyond` more bytes, if the system supports that."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        held = next(
            int(line.split()[1]) << 10
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmData")
        )
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (held + beyond, hard))


def perform(tasks: Tasks, task: Task, connection: Connection) -> Answer:
    """Run one task, and return its answer.

    Progress messages go through the connection. A None that arrives on it cancels the task.
    """
    last = time.monotonic()

    def report(share: float) -> None:
        nonlocal last
        if connection.poll() and connection.recv() is None:
            raise CanceledTask
        if time.monotonic() - last > PROGRESS_SECONDS:
            last = time.monotonic()
            connection.send(("progress", share))

    tasks.progress = report
    try:
        return "done", getattr(tasks, task.name)(**task.arguments)
    except CanceledTask:
        return "canceled", ""
    except DRRNError as error:
        recipe = task.arguments.get("recipe", Recipe())
        source = task.arguments.get("source") or task.arguments.get("path", Path())
        folder = task.arguments.get("folder", source.parent)
        return "refused", (type(error).__name__, client_message(error, source, folder, recipe.name))
    except MemoryError:
        return "refused", ("UsageError", "This needs more memory than the service may use. Choose a smaller scale.")
    except (BrokenPipeError, EOFError):
        raise
    except Exception as error:  # a bug: log where it is, but nothing about the picture
        where = " < ".join(
            f"{each.name} ({Path(each.filename).name}:{each.lineno})"
            for each in reversed(traceback.extract_tb(error.__traceback__))
        )
        LOG.error("bug: %s in %s", type(error).__name__, where)
        return "crashed", "This is a bug in drrn. The service's log says where; please report it."
