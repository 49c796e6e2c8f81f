"""Run the parts of a plan on this machine, in several processes; and what is done of a plan by all machines."""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
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
"""Seconds before the newest record over which the pace is taken."""


@dataclass(frozen=True)
class Status:
    """What is done of a plan."""

    parts: int
    parts_done: int
    files: int
    done: int
    """Files with a result."""
    failed: int
    pace: float | None
    """Files a second, of late and of all machines together; None while too few parts are done."""

    @property
    def left(self) -> int:
        return self.files - self.done - self.failed

    @property
    def seconds_left(self) -> float | None:
        """At this pace."""
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
    """Run these parts, `jobs` at a time, each in a process; return how many files failed.

    Whatever ends this, a signal's exception too, stops the processes; parts that are not done are left for another run.

    Args:
        url: of the target.
        retry: in parts that are done, try the failed files again.
        report: called after each part, from several threads but one at a time.

    Raises:
        DRRNError: the plan can't be read, a store fails, or the engine can't run here.
    """
    waiting, lock, stopped = iter(parts), Lock(), Event()
    workers: list[Worker] = []
    failed = [0]

    def next_part() -> Part | None:
        with lock:
            return None if stopped.is_set() else next(waiting, None)

    def start() -> Worker:
        """Raises WorkerKilledError: the run is stopped."""
        worker = Worker(url, machine, retry=retry)
        with lock:
            if not stopped.is_set():
                workers.append(worker)
                return worker
        worker.close()
        raise WorkerKilledError

    def work() -> None:
        try:
            work_through()
        except WorkerKilledError:
            assert stopped.is_set()

    def work_through() -> None:
        worker = start()
        while part := next_part():
            for _ in range(MAX_KILLS * part.count + 2):  # each kill but the first is put down to a file
                try:
                    outcome = worker.run(part.number)
                    break
                except WorkerKilledError:
                    worker.close()
                    worker = start()
            else:
                raise EngineError(f"The process of part {part.number} is killed again and again. Look at its memory.")
            with lock:
                failed[0] += outcome.failed
                report(part, outcome)

    with ThreadPoolExecutor(max(min(jobs, len(parts)), 1)) as threads:
        try:
            running = [threads.submit(work) for _ in range(min(jobs, len(parts)))]
            while wait(running, timeout=WAIT_SECONDS, return_when=FIRST_EXCEPTION).not_done:
                for future in running:
                    if future.done():
                        future.result()
            for future in running:
                future.result()
        finally:
            with lock:
                stopped.set()
            for worker in workers:
                worker.close()
    return failed[0]


def read_status(plan: Plan, target: Store) -> Status:
    """What is done by now, from names alone but for the records of failed files."""
    counts = {part.number: part.count for part in plan.parts}
    records = sorted(list_numbers(target, DONE), key=lambda record: record[1])
    failed = sum(1 for _ in failed_rows(plan, target, {number for number, _ in records}))
    done = sum(counts[number] for number, _ in records)
    recent = [record for record in records if record[1] >= records[-1][1] - RECENT]
    seconds = recent[-1][1] - recent[0][1] if recent else 0.0
    pace = sum(counts[number] for number, _ in recent[1:]) / seconds if seconds else None
    return Status(len(plan.parts), len(records), plan.files, done - failed, failed, pace)


def failed_rows(plan: Plan, target: Store, done: Collection[int] | None = None) -> Iterator[Row]:
    """The rows of files without a result, in the order of parts.

    Args:
        done: only in these parts.
    """
    by_number = {part.number: part for part in plan.parts}
    for number, _ in list_numbers(target, FAILED):
        if done is None or number in done:
            yield from read_rows(target, by_number[number], FAILED) or ()
