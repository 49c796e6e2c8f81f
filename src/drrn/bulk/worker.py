"""A worker process: it reads the numbers of parts, one per line, and answers each with a line of JSON.

Started by `drrn.bulk.run`. When memory is short, the system kills this process and not the whole run.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from types import FrameType
from typing import Any, NoReturn, TextIO

from drrn.bulk.task import Machine, Outcome, open_session
from drrn.errors import DRRNError, EngineError, StorageError

PATIENCE = 60
"""Seconds that a worker has to stop."""


class WorkerKilledError(Exception):
    """A worker process ended without an answer, most likely because memory was short."""


class Worker:
    """A worker process, seen from the run. Use it in one thread only, and `close` it at the end."""

    def __init__(self, url: str, machine: Machine, *, retry: bool):
        """Start the process, and wait until it is ready.

        Args:
            url, machine, retry: as in `run_part` of drrn.bulk.task.

        Raises:
            DRRNError: the plan or its weights can't be read, or the engine can't run here.
        """
        settings = json.dumps({"url": url, "retry": retry, "machine": asdict(machine)})
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                __name__,
                settings,
            ],  # -P: import nothing from the current folder, which may hold anything
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C must only reach the run, which then stops this process
        )
        try:
            self._answer()
        except BaseException as error:
            self.close()
            if isinstance(error, WorkerKilledError):
                code = self.process.returncode
                raise EngineError(f"The worker process ended at startup, with exit code {code}.") from error
            raise

    def run(self, part: int) -> Outcome:
        """Run a part, and wait for it.

        Raises:
            DRRNError: the part can't be run.
            WorkerKilledError: the process has ended.
        """
        assert self.process.stdin
        with suppress(BrokenPipeError):
            self.process.stdin.write(f"{part}\n")
            self.process.stdin.flush()
        return Outcome(**self._answer())

    def close(self) -> None:
        """Stop the process. It finishes the band of the image that it is working on."""
        assert self.process.stdin and self.process.stdout
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise WorkerKilledError
        answer: dict[str, Any] = json.loads(line)
        if "refused" in answer:
            raise StorageError(answer["refused"])
        return answer


def main() -> None:
    """Run as the worker process."""
    signal.signal(signal.SIGTERM, _stop)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # so that what libraries print is not taken for an answer
    settings = json.loads(sys.argv[1])
    try:
        session = open_session(settings["url"], Machine(**settings["machine"]))
        _answer(answers)
        for line in sys.stdin:
            _answer(answers, **asdict(session.run(int(line), retry=settings["retry"])))
    except DRRNError as error:
        _answer(answers, refused=str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _answer(answers: TextIO, **answer: Any) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
