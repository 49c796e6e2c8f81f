"""Run the parts of a plan in a Ray cluster, a task for each part.

Ray chooses the machine of a task, and repeats a task whose process or machine is lost. Only numbers of parts and counts
of files pass through it, and only the tasks that can run soon are with it at any time.
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
"""Tasks that wait beside those that run: a cluster that can grow does so while tasks wait."""
LOST_MACHINES = 10
"""Machines that may be lost under a task, beside the processes that its files may kill."""
START_SECONDS = 600
"""For machines to join the cluster."""
STOP_SECONDS = 60
"""For tasks to stop in."""
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
    """Run these parts in the cluster that `RAY_ADDRESS` names or that runs here; return how many files failed.

    A task takes `machine.threads` CPUs, one if that is 0, `machine.max_memory`, and a GPU if the device is one.

    Args:
        url: of the target, as all machines know it; or a folder that all mount at the same path.
        workers: how many tasks the cluster must have room for within ten minutes, and how many run at the same time.
        retry, report: as in `run_parts`.

    Raises:
        UsageError: Ray is not installed, or there is no cluster.
        EngineError: the cluster has too little room, or the process of a part is killed again and again.
        StorageError: what a task can't do.
    """
    ray, stopped = _connect(), Event()
    try:
        with ThreadPoolExecutor(1) as threads:
            url = url if "://" in url else str(Path(url).resolve())
            running = threads.submit(_run_tasks, ray, parts, url, machine, workers, retry, report, stopped)
            try:
                # Signals are handled here: within its own calls Ray replaces what their handlers raise.
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
                    f" at least {least} are needed. Add machines, or lower --workers, --threads or --max-memory."
                )
            ended, _ = ray.wait(list(running), timeout=POLL_SECONDS)
            for reference in ended:
                part = running.pop(reference)
                outcome = _get(ray, reference, part)
                failed += outcome.failed
                report(part, outcome)
    finally:
        for reference in running:
            ray.cancel(reference, force=False)  # a task that is interrupted leaves no kill to its file
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
            "There is no Ray cluster here. Begin one by `ray start --head`, or run this in one by `ray job submit`."
        ) from error
    finally:
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, handler)  # Ray has one of its own, which ends with another code
    return ray


def _count_room(ray: Any, demand: dict[str, int]) -> int:
    """How many tasks the machines of the cluster hold at the same time."""
    names = {"CPU": demand["num_cpus"], "GPU": demand["num_gpus"], "memory": demand["memory"]}
    return sum(
        min(int(node["Resources"].get(name, 0) // amount) for name, amount in names.items() if amount)
        for node in ray.nodes()
        if node["Alive"]
    )


def _run_part(url: str, number: int, machine: Machine, retry: bool) -> Outcome | str:
    """Run as the task: the outcome, or the sentence of an error."""
    try:
        return run_part(url, number, machine=machine, retry=retry)
    except DRRNError as error:
        return str(error)


def _get(ray: Any, reference: Any, part: Part) -> Outcome:
    try:
        outcome: Outcome | str = ray.get(reference)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError) as error:
        raise EngineError(
            f"The process of part {part.number} is killed again and again. Look at its memory."
        ) from error
    if isinstance(outcome, str):
        raise StorageError(outcome)
    return outcome
