"""Run parts of a plan in worker processes on this machine, and report how much of a plan all machines have done."""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event, Lock

from drrn.bulk.part import DONE, FAILED, MAX_KILLS, Row, list_numbers, read_rows
from drrn.bulk.plan import Part, Plan
from drrn.bulk.storage import Store
from drrn.bulk.task import Machine, Outcome
from drrn.bulk.worker import Worker, WorkerKilledError
from drrn.errors import EngineError

WAIT_SECONDS = 0.5
"""Poll interval for signals."""
RECENT = 3600.0
"""Seconds before the newest record that the pace is measured over."""


@dataclass(frozen=True)
class Status:
    """How much of a plan is done."""

    parts: int
    parts_done: int
    files: int
    done: int
    """Files with a result."""
    failed: int
    """Files without a result, in parts that are done."""
    pace: float | None
    """Recent files per second of all machines together; None until enough parts are done."""

    @property
    def left(self) -> int:
        return self.files - self.done - self.failed

    @property
    def seconds_left(self) -> float | None:
        """Expected seconds at the recent pace, None if there is none."""
        return self.left / self.pace if self.pace else None


def parts_left(plan: Plan, target: Store, *, retry: bool = False) -> list[Part]:
    """The parts without a record; with `retry` also those with failed files."""
    done = {number for number, _ in list_numbers(target)}
    if retry:
        done -= {number for number, _ in list_numbers(target, FAILED)}
    return [part for part in plan.parts if part.number not in done]


def run_parts(
    parts: Sequence[Part],
    url: str,
    *,
    machine: Machine,
    jobs: int = 1,
    retry: bool = False,
    report: Callable[[Part, Outcome], None] = lambda part, outcome: None,
) -> int:
    """Run parts in `jobs` worker processes.

    Any exception, also one raised by a signal, stops the processes. The parts that are not done are left for later.

    Args:
        parts: the parts to run.
        url: the target.
        machine: how each process runs its parts.
        jobs: number of processes, at least 1.
        retry: in parts that are done, try the failed files again.
        report: called after each part, from several threads but never twice at the same time.

    Returns:
        How many files failed.

    Raises:
        DRRNError: the plan can't be read, a store fails, or the engine can't run here.
    """
    count = min(jobs, len(parts))
    pool = _Pool(iter(parts), url, machine, retry, report)
    with ThreadPoolExecutor(max(count, 1)) as threads:
        try:
            running = [threads.submit(pool.work) for _ in range(count)]
            while wait(running, timeout=WAIT_SECONDS, return_when=FIRST_EXCEPTION).not_done:
                for future in running:
                    if future.done():
                        future.result()
            for future in running:
                future.result()
        finally:
            pool.stop()
    return pool.failed


def read_status(plan: Plan, target: Store) -> Status:
    """How much of a plan is done by now. Reads only file names and the records of failed files."""
    counts = {part.number: part.count for part in plan.parts}
    records = sorted(list_numbers(target, DONE), key=lambda record: record[1])
    failed = sum(1 for _ in failed_rows(plan, target, {number for number, _ in records}))
    done = sum(counts[number] for number, _ in records)
    recent = [record for record in records if record[1] >= records[-1][1] - RECENT]
    seconds = recent[-1][1] - recent[0][1] if recent else 0.0
    pace = sum(counts[number] for number, _ in recent[1:]) / seconds if seconds else None
    return Status(len(plan.parts), len(records), plan.files, done - failed, failed, pace)


def failed_rows(plan: Plan, target: Store, done: Collection[int] | None = None) -> Iterator[Row]:
    """The rows of failed files, in the order of their parts.

    Args:
        done: numbers of the parts to look at; None for all.
    """
    by_number = {part.number: part for part in plan.parts}
    for number, _ in list_numbers(target, FAILED):
        if done is None or number in done:
            yield from read_rows(target, by_number[number], FAILED) or ()


@dataclass
class _Pool:
    """Worker processes that share the parts of a run: `work` runs in one thread for each."""

    waiting: Iterator[Part]
    url: str
    machine: Machine
    retry: bool
    report: Callable[[Part, Outcome], None]
    failed: int = 0
    """Files that failed so far."""
    workers: list[Worker] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)
    stopped: Event = field(default_factory=Event)

    def work(self) -> None:
        """Start a worker, and give it parts until there are no more or the pool is stopped."""
        try:
            worker = self._start_worker()
            while part := self._next_part():
                worker, outcome = self._run(worker, part)
                with self.lock:
                    self.failed += outcome.failed
                    self.report(part, outcome)
        except WorkerKilledError:
            assert self.stopped.is_set()

    def stop(self) -> None:
        """Stop all workers, and start no more."""
        with self.lock:
            self.stopped.set()
        for worker in self.workers:
            worker.close()

    def _run(self, worker: Worker, part: Part) -> tuple[Worker, Outcome]:
        """Run a part. When its worker is killed, another one continues, and is returned.

        Raises:
            EngineError: the workers keep being killed.
            WorkerKilledError: the pool is stopped.
        """
        for _ in range(MAX_KILLS * part.count + 2):  # every kill but the first is counted against a file
            try:
                return worker, worker.run(part.number)
            except WorkerKilledError:
                worker.close()
                worker = self._start_worker()
        raise EngineError(f"The process of part {part.number} keeps being killed. Check whether it has enough memory.")

    def _start_worker(self) -> Worker:
        """Raises WorkerKilledError: the pool is stopped."""
        worker = Worker(self.url, self.machine, retry=self.retry)
        with self.lock:
            if not self.stopped.is_set():
                self.workers.append(worker)
                return worker
        worker.close()
        raise WorkerKilledError

    def _next_part(self) -> Part | None:
        with self.lock:
            return None if self.stopped.is_set() else next(self.waiting, None)
