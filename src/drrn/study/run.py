"""Many experiments, several at a time, each in a process of its own: one that crashes ends no other."""

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
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from drrn.errors import DRRNError
from drrn.study.experiments import Budget, Experiment
from drrn.study.perform import Task, check, is_done, perform
from drrn.training.fit import Plan
from drrn.training.logging import Epoch

Outcome = Literal["trained", "diverged", "failed", "stopped"]

TELL_SECONDS = 0.5
"""Between two words of an experiment on how far it is."""
LINGER_SECONDS = 30.0
"""For a process to end once its experiment is over; then it is killed."""
STOPPED: tuple[Outcome, str] = "stopped", "the same command resumes it"


class End(NamedTuple):
    """How an experiment ended."""

    task: Task
    outcome: Outcome
    about: str
    """Its PSNR against bicubic's, or what went wrong."""


class Watch(Protocol):
    """Who looks on."""

    def progress(self, share: float, seconds_left: float | None) -> None:
        """How much of the whole is done, in [0, 1], and how long the rest may take."""

    def end(self, end: End) -> None: ...


def plan(
    experiments: Sequence[Experiment],
    budget: Budget,
    seeds: int,
    *,
    data: tuple[Path, ...],
    test: tuple[Path, ...],
    output: Path,
    backbone: tuple[Path, ...] = (),
    device: str = "cpu",
    threads: int = 1,
    jobs: int = 1,
) -> list[Task]:
    """Every experiment from every seed, the first seed of all before the second of any.

    Raises:
        DataError: a folder is missing or empty, or there are too few pictures.
    """
    tasks = [
        Task(
            experiment=budget.shrink(Experiment(each.name, each.model, each.train, each.seed + seed)),
            budget=budget,
            data=data,
            test=test,
            backbone=backbone,
            run=output / each.name / f"seed-{each.seed + seed}",
            device=device,
            threads=threads,
            jobs=jobs,
            with_examples=seed == 0,
        )
        for seed in range(seeds)
        for each in experiments
    ]
    check(tasks[0])
    return tasks


@dataclass
class _Running:
    """An experiment in its process."""

    task: Task
    process: BaseProcess
    pipe: Connection
    """It tells by this how far it is; anything that is sent to it asks it to stop."""
    begun_at: float | None = None
    """How much of its training was done already, by a process before it; None until it tells."""
    share: float = 0.0
    """How much of its training is done."""
    ended: tuple[Outcome, str] | None = None


@dataclass
class _Clock:
    """How long the rest takes, by what this process has seen done."""

    total: float
    done: float
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.before = self.done

    def end(self, one: _Running) -> None:
        self.done += one.task.cost * (one.share if one.ended == STOPPED else 1)
        self.before += (one.begun_at or 0) * one.task.cost

    def left(self, running: Sequence[_Running]) -> tuple[float, float | None]:
        """The share that is done, and the seconds left."""
        done = self.done + sum(each.share * each.task.cost for each in running)
        seen = done - self.before - sum((each.begun_at or 0) * each.task.cost for each in running)
        seconds = (self.total - done) * (time.monotonic() - self.began) / seen if seen > 0 else None
        return done / self.total, seconds


def run(tasks: Sequence[Task], jobs: int, watch: Watch, stopped: Callable[[], bool] = lambda: False) -> list[End]:
    """Perform what has no result yet, `jobs` at a time; return how each ended, once all have or it is stopped.

    Raises:
        StudyError: a result is damaged, or of something else.
    """
    pending = [task for task in tasks if not is_done(task)]
    total = sum(task.cost for task in tasks)
    clock = _Clock(total, total - sum(task.cost for task in pending))
    context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    if sys.platform != "win32":  # what takes longest to import, once for all; nothing that starts threads
        context.set_forkserver_preload(["torch", "lightning_fabric", "torch.utils.tensorboard.writer"])
    running: list[_Running] = []
    ends = []
    stopping = False
    while running or (pending and not stopping):
        if stopped() and not stopping:
            stopping = True
            for each in running:
                with suppress(OSError):  # it is dead
                    each.pipe.send("stop")
        while pending and len(running) < jobs and not stopping:
            task = pending.pop(0)
            # one of its own for each, not an Event of all: whoever is killed within that locks out the others
            pipe, its_pipe = context.Pipe()
            process = context.Process(target=_live, args=(task, its_pipe), daemon=True)
            process.start()
            its_pipe.close()
            running.append(_Running(task, process, pipe))
        wait([each.pipe for each in running], timeout=TELL_SECONDS)
        for each in running:
            _listen(each, stopping)
        over = [each for each in running if each.ended]
        running = [each for each in running if not each.ended]
        for each in over:
            clock.end(each)
        watch.progress(*clock.left(running))
        for each in over:
            assert each.ended
            _leave(each)
            ends.append(End(each.task, *each.ended))
            watch.end(ends[-1])
    return ends


def _listen(running: _Running, stopping: bool) -> None:
    """Take what an experiment told; its end, where it is over or its process died."""
    try:
        while running.ended is None and running.pipe.poll():
            word = running.pipe.recv()
            if isinstance(word, float):
                running.share = word
                running.begun_at = word if running.begun_at is None else running.begun_at
            else:
                running.ended = word
    except (EOFError, OSError):
        _leave(running)
        died = f"its process ended with {running.process.exitcode}, short of memory perhaps"
        running.ended = STOPPED if stopping else ("failed", died)


def _leave(running: _Running) -> None:
    """See the process end, which has no more to say."""
    running.process.join(LINGER_SECONDS)
    if running.process.is_alive():
        running.process.kill()
        running.process.join()
    running.pipe.close()


def _outlive(parent: BaseProcess) -> None:
    """End with the parent, however that ends: it may be run again at once, and go on where this leaves off."""
    parent.join()
    os._exit(1)


class _Tell:
    """Tells the parent how far a training is."""

    def __init__(self, pipe: Connection, epochs: int):
        self.pipe, self.epochs, self.last = pipe, epochs, 0.0

    def taught(self, number: int, count: int) -> None:
        """Not told: no experiment has a teacher."""

    def begin(self, plan: Plan) -> None: ...

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        if time.monotonic() - self.last > TELL_SECONDS:
            self.last = time.monotonic()
            self.pipe.send((epoch + step / steps) / self.epochs)

    def epoch(self, row: Epoch, best: bool) -> None: ...

    def note(self, sentence: str) -> None: ...


def _live(task: Task, pipe: Connection) -> None:
    """What a process does: perform an experiment, and tell of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent, who gets it too, asks to stop
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent
    threading.Thread(target=_outlive, args=(parent,), daemon=True).start()
    ended: tuple[Outcome, str]
    try:
        result = perform(task, _Tell(pipe, task.experiment.train.epochs), pipe.poll)
        if result is None:
            ended = STOPPED
        elif result.psnr is None:
            ended = result.outcome, result.reason
        else:
            ended = result.outcome, f"{result.psnr:.2f} dB, bicubic {result.bicubic().psnr:.2f} dB"
    except DRRNError as error:
        ended = "failed", str(error)
    except Exception as error:
        traceback.print_exc()
        ended = "failed", f"{type(error).__name__}: {error}"
    pipe.send(ended)
