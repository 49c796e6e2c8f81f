"""Run experiments, several at a time, each in a process of its own: one that crashes ends no other."""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, NamedTuple

from drrn.errors import DRRNError
from drrn.progress import Progress
from drrn.study.experiments import Budget, Experiment
from drrn.study.task import Task, check_images, is_done
from drrn.training.events import Step, TrainingEvent
from drrn.training.session import never

Outcome = Literal["trained", "diverged", "failed", "stopped"]

NEEDED = ("torch", "lightning_fabric", "tensorboard")
"""Packages that only the processes of the experiments import."""
REPORT_SECONDS = 0.5
"""Seconds between two progress reports of an experiment."""
EXIT_SECONDS = 30.0
"""Seconds a process may take to exit after its experiment; then it is killed."""
STOPPED: tuple[Outcome, str] = "stopped", "the same command resumes it"


@dataclass(frozen=True, kw_only=True)
class Study:
    """Which experiments to run, on what, and where."""

    experiments: Sequence[Experiment]
    budget: Budget
    seeds: int
    """How often each experiment is run."""
    data: tuple[Path, ...]
    test: tuple[Path, ...]
    """Folders of test images; if empty, the held-out images are used."""
    output: Path
    backbone: tuple[Path, ...] = ()
    device: str = "cpu"
    threads: int = 1
    """CPU threads of one experiment."""
    jobs: int = 1
    """Experiments that run at the same time."""


class Completion(NamedTuple):
    """How an experiment ended."""

    task: Task
    outcome: Outcome
    message: str
    """Its PSNR and bicubic's, or what went wrong."""


class Begin(NamedTuple):
    """The study begins."""

    tasks: Sequence[Task]
    done: int
    """How many of them have a result already."""


class Advance(NamedTuple):
    """The study goes on."""

    share: float
    """How much of the whole study is done, in [0, 1]."""
    seconds_left: float | None
    """An estimate."""
    running: Sequence[Task]


StudyEvent = Begin | Advance | Completion
"""What a study reports."""


def check_packages() -> None:
    """Raises ModuleNotFoundError: a package that the experiments need is not installed. None is imported."""
    for name in NEEDED:
        if not find_spec(name):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def plan(study: Study) -> list[Task]:
    """Each experiment with each seed: the first seed of all experiments, then the second of all, and so on.

    Raises:
        DataError: a folder is missing or empty, or there are too few images.
    """
    tasks = [
        Task(
            experiment=study.budget.shrink(Experiment(each.name, each.model, each.train, each.seed + seed)),
            budget=study.budget,
            data=study.data,
            test=study.test,
            backbone=study.backbone,
            run=study.output / each.name / f"seed-{each.seed + seed}",
            device=study.device,
            threads=study.threads,
            jobs=study.jobs,
            with_examples=seed == 0,
        )
        for seed in range(study.seeds)
        for each in study.experiments
    ]
    check_images(tasks[0])
    return tasks


def run(
    tasks: Sequence[Task], jobs: int, progress: Progress[StudyEvent], should_stop: Callable[[], bool] = never
) -> list[Completion]:
    """Perform the tasks that have no result yet, `jobs` at a time.

    Returns:
        How each ended, once all have ended or `should_stop()` is true.

    Raises:
        StudyError: an existing result is damaged, or of another experiment.
    """
    pending = [task for task in tasks if not is_done(task)]
    total = sum(task.cost for task in tasks)
    estimate = _TimeEstimate(total, total - sum(task.cost for task in pending))
    progress.report(Begin(tasks, len(tasks) - len(pending)))
    context = _process_context()
    workers: list[_Worker] = []
    completions = []
    stopping = False
    while workers or (pending and not stopping):
        if should_stop() and not stopping:
            stopping = True
            for each in workers:
                with suppress(OSError):  # it is dead already
                    each.pipe.send("stop")
        while pending and len(workers) < jobs and not stopping:
            workers.append(_start_worker(context, pending.pop(0)))
        wait([each.pipe for each in workers], timeout=REPORT_SECONDS)
        for each in workers:
            _poll_worker(each, stopping)
        ended = [each for each in workers if each.ended]
        workers = [each for each in workers if not each.ended]
        for each in ended:
            estimate.finish(each)
        progress.report(Advance(*estimate.now(workers), [each.task for each in workers]))
        for each in ended:
            assert each.ended
            _join_worker(each)
            completions.append(Completion(each.task, *each.ended))
            progress.report(completions[-1])
    return completions


@dataclass
class _Worker:
    """A process that performs one task."""

    task: Task
    process: BaseProcess
    pipe: Connection
    """Receives progress; anything sent to it asks the process to stop."""
    initial_share: float | None = None
    """The share of the training that an earlier process had done; None until reported."""
    share: float = 0.0
    """The share of the training that is done."""
    ended: tuple[Outcome, str] | None = None


@dataclass
class _TimeEstimate:
    """Estimates the time left from what this process has seen done."""

    total: float
    done: float
    start: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.done_before = self.done

    def finish(self, worker: _Worker) -> None:
        self.done += worker.task.cost * (worker.share if worker.ended == STOPPED else 1)
        self.done_before += (worker.initial_share or 0) * worker.task.cost

    def now(self, workers: Sequence[_Worker]) -> tuple[float, float | None]:
        """The share that is done, and the seconds left."""
        done = self.done + sum(each.share * each.task.cost for each in workers)
        done_here = done - self.done_before - sum((each.initial_share or 0) * each.task.cost for each in workers)
        elapsed = time.monotonic() - self.start
        return done / self.total, (self.total - done) * elapsed / done_here if done_here > 0 else None


def _process_context() -> Any:
    context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    if sys.platform != "win32":  # import the slowest modules once for all; they must not start threads
        context.set_forkserver_preload(["torch", "lightning_fabric", "torch.utils.tensorboard.writer"])
    return context


def _start_worker(context: Any, task: Task) -> _Worker:
    # a pipe for each, not one shared Event: a process killed while holding its lock would block the others
    pipe, worker_pipe = context.Pipe()
    process = context.Process(target=_run_worker, args=(task, worker_pipe), daemon=True)
    process.start()
    worker_pipe.close()
    return _Worker(task, process, pipe)


def _poll_worker(worker: _Worker, stopping: bool) -> None:
    """Read what a worker has sent; notice if it has ended or died."""
    try:
        while worker.ended is None and worker.pipe.poll():
            message = worker.pipe.recv()
            if isinstance(message, float):
                worker.share = message
                worker.initial_share = message if worker.initial_share is None else worker.initial_share
            else:
                worker.ended = message
    except (EOFError, OSError):
        _join_worker(worker)
        died = f"its process ended with exit code {worker.process.exitcode}, perhaps for lack of memory"
        worker.ended = STOPPED if stopping else ("failed", died)


def _join_worker(worker: _Worker) -> None:
    """Wait for the process of an ended worker to exit, and kill it if it does not."""
    worker.process.join(EXIT_SECONDS)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
    worker.pipe.close()


def _run_worker(task: Task, pipe: Connection) -> None:
    """What a worker process does: perform its task, and report."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives it, too, and asks to stop
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()
    ended: tuple[Outcome, str]
    try:
        from drrn.study.perform import perform  # torch is slow to import, and the parent does without

        result = perform(task, _PipeProgress(pipe, task.experiment.train.epochs), pipe.poll)
        if result is None:
            ended = STOPPED
        elif result.psnr is None:
            ended = result.outcome, result.reason
        else:
            failure = f"{result.failure}, " if result.failure and result.failure != result.outcome else ""
            ended = result.outcome, f"{failure}{result.psnr:.2f} dB, bicubic {result.bicubic().psnr:.2f} dB"
    except DRRNError as error:
        ended = "failed", str(error)
    except Exception as error:
        traceback.print_exc()
        ended = "failed", f"{type(error).__name__}: {error}"
    pipe.send(ended)


def _exit_with_parent(parent: BaseProcess) -> None:
    """Exit when the parent does, however it ends: if it is run again, it resumes what this process leaves."""
    parent.join()
    os._exit(1)


class _PipeProgress:
    """Reports the progress of a training to the parent process."""

    def __init__(self, pipe: Connection, epochs: int):
        self.pipe, self.epochs, self.last = pipe, epochs, 0.0

    def report(self, event: TrainingEvent) -> None:
        if isinstance(event, Step) and time.monotonic() - self.last > REPORT_SECONDS:
            self.last = time.monotonic()
            self.pipe.send((event.epoch + event.step / event.steps) / self.epochs)
