"""Run the parts of a plan in a Ray cluster, with a task for each part.

Ray chooses the machine for a task, and repeats a task whose process or machine is lost. It only handles numbers of
parts and counts of files, and only the tasks that can start soon are submitted to it.
"""

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import Any

from drrn.bulk.part import MAX_KILLS
from drrn.bulk.plan import Part
from drrn.bulk.task import Machine, Outcome, run_part
from drrn.errors import DRRNError, EngineError, StorageError, UsageError

WAITING = 16
"""Tasks to keep waiting besides those that run: a cluster that can grow only grows while tasks wait."""
LOST_MACHINES = 10
"""How often the machine of a task may be lost, besides the processes that its files may get killed."""
START_SECONDS = 600
"""Time for machines to join the cluster."""
STOP_SECONDS = 60
"""Time for tasks to stop."""
POLL_SECONDS = 0.5


def run_on_ray(
    parts: Sequence[Part],
    url: str,
    *,
    machine: Machine,
    workers: tuple[int, int] | None = None,
    retry: bool = False,
    report: Callable[[Part, Outcome], None] = lambda part, outcome: None,
) -> int:
    """Run parts in the cluster that `RAY_ADDRESS` names, or else in the one that runs on this machine.

    A task takes `machine.threads` CPUs (1 if that is 0), `machine.max_memory` of memory, and a GPU if the device is
    one.

    Args:
        parts: the parts to run.
        url: the target, as all machines know it, or a folder that all of them mount at the same path.
        workers: (how many tasks the cluster must have room for within ten minutes, how many run at the same time).
            None for 1, and for as many as fit.
        retry, report: as in `run_parts`.

    Returns:
        How many files failed.

    Raises:
        UsageError: Ray is not installed, or there is no cluster.
        EngineError: the cluster has too little room, or the process of a part keeps being killed.
        StorageError: a part can't be run.
    """
    ray, stopped = _connect(), Event()
    try:
        with ThreadPoolExecutor(1) as threads:
            url = url if "://" in url else str(Path(url).resolve())
            running = threads.submit(_run_tasks, ray, parts, url, machine, workers, retry, report, stopped)
            try:
                # This thread handles signals: inside a call of Ray, the exception of a handler would be replaced.
                while wait([running], timeout=POLL_SECONDS).not_done:
                    pass
            finally:
                stopped.set()
            return running.result()
    finally:
        ray.shutdown()


def _run_tasks(
    ray: Any,
    parts: Sequence[Part],
    url: str,
    machine: Machine,
    workers: tuple[int, int] | None,
    retry: bool,
    report: Callable[[Part, Outcome], None],
    stopped: Event,
) -> int:
    """Keep the cluster busy until all parts are done, or `stopped` is set. See `run_on_ray`."""
    least, most = workers or (1, 0)
    demand = {
        "num_cpus": machine.threads or 1,
        "num_gpus": int(machine.device.startswith("cuda")),
        "memory": machine.max_memory << 20,
    }
    task = ray.remote(_run_part)
    machine = replace(machine, threads=machine.threads or 1)
    waiting, running, failed = iter(parts), dict[Any, Part](), 0
    deadline: float | None = time.monotonic() + START_SECONDS
    try:
        while not stopped.is_set():
            room = _count_room(ray, demand)
            while len(running) < (most or room + WAITING) and (part := next(waiting, None)):
                kills = MAX_KILLS * part.count + 2 + LOST_MACHINES
                options = {**demand, "max_retries": kills}
                running[task.options(**options).remote(url, part.number, machine, retry)] = part
            if not running:
                break
            if room >= least:
                deadline = None
            elif deadline and time.monotonic() > deadline:
                raise EngineError(
                    f"The cluster has room for {room} workers of {demand['num_cpus']} CPUs and {machine.max_memory} MB,"
                    f" but at least {least} are needed. Add machines, or lower --workers, --threads or --max-memory."
                )
            ended, _ = ray.wait(list(running), timeout=POLL_SECONDS)
            for reference in ended:
                part = running.pop(reference)
                outcome = _get(ray, reference, part)
                failed += outcome.failed
                report(part, outcome)
    finally:
        for reference in running:
            ray.cancel(reference, force=False)  # not by force: a kill would be counted against the file
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=STOP_SECONDS)
    return failed


def _connect() -> Any:
    """Raises UsageError: Ray is not installed, or there is no cluster."""
    try:
        ray = import_module("ray")
    except ModuleNotFoundError as error:
        raise UsageError(f"--on ray needs {error.name}. Install it: pip install 'drrn[ray]'.") from error
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address="auto", log_to_driver=False, logging_level="error")
    except ConnectionError as error:
        raise UsageError(
            "There is no Ray cluster here. Start one with `ray start --head`, or submit this with `ray job submit`."
        ) from error
    finally:
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, handler)  # Ray's own handler exits with another code
    return ray


def _count_room(ray: Any, demand: dict[str, int]) -> int:
    """How many tasks the cluster can run at the same time."""
    names = {"CPU": demand["num_cpus"], "GPU": demand["num_gpus"], "memory": demand["memory"]}
    return sum(
        min(int(node["Resources"].get(name, 0) // amount) for name, amount in names.items() if amount)
        for node in ray.nodes()
        if node["Alive"]
    )


def _run_part(url: str, number: int, machine: Machine, retry: bool) -> Outcome | str:
    """The body of a task: returns the outcome, or the message of an error."""
    try:
        return run_part(url, number, machine=machine, retry=retry)
    except DRRNError as error:
        return str(error)


def _get(ray: Any, reference: Any, part: Part) -> Outcome:
    """The outcome of a task that has ended. See `run_on_ray` for errors."""
    try:
        outcome: Outcome | str = ray.get(reference)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError) as error:
        raise EngineError(
            f"The process of part {part.number} keeps being killed. Check whether it has enough memory."
        ) from error
    if isinstance(outcome, str):
        raise StorageError(outcome)
    return outcome
