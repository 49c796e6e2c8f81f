"""A process that runs parts: it reads their numbers as lines, and answers each with a line of JSON.

Run by `drrn.bulk.run`. A process of its own is killed in place of the run, where memory is short.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from types import FrameType
from typing import Any, NoReturn, TextIO

import numpy as np

from drrn.bulk.part import engine_kind, load_weights, run_part
from drrn.bulk.plan import FOLDER, Recipe, load_plan
from drrn.bulk.storage import Store, open_store
from drrn.core.color import levels
from drrn.engines import EngineName, Precision
from drrn.errors import DRRNError, EngineError, StorageError, UsageError
from drrn.media.image import Image
from drrn.upscaling.upscaler import Upscaler

ENGINE = f"{FOLDER}/engine.json"
"""The engine of the machine that began, and a digest of its results."""
PATIENCE = 60
"""Seconds for a worker to stop in."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What of a machine is used: none of it decides the results, but for the last digits."""

    device: str = "auto"
    engine: EngineName = "auto"
    threads: int = 0
    """Of each worker, 0 for all cores."""
    precision: Precision = "float32"
    compiled: bool = False
    max_memory: int = 2048
    """MB for each worker."""
    same_bytes: bool = False
    """Refuse to run if the results have other bytes than those of the machine that began."""


@dataclass(frozen=True)
class Outcome:
    """What a worker says of a part."""

    part: int
    failed: int
    """Files without a result."""


class WorkerKilledError(Exception):
    """The process of a worker ended without an answer, most likely for want of memory."""


class Worker:
    """The client of a worker. Use it in one thread, and end it with `close`."""

    def __init__(self, url: str, machine: Machine, *, retry: bool):
        """Start the process, and wait until it is ready.

        Raises:
            DRRNError: the plan or its weights can't be read, or the engine can't run here.
        """
        asked = json.dumps({"url": url, "retry": retry, "machine": asdict(machine)})
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, asked],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # a Ctrl-C ends the run, which then stops this process
        )
        try:
            self._answer()
        except BaseException as error:
            self.close()
            if isinstance(error, WorkerKilledError):
                code = self.process.returncode
                raise EngineError(f"The process that enlarges ended at its start: {code}.") from error
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
        """Stop the process, within a band of the image at work."""
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
    """Be the process."""
    signal.signal(signal.SIGTERM, _stop)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries may print
    asked = json.loads(sys.argv[1])
    try:
        target = open_store(asked["url"])
        plan = load_plan(target)
        source = open_store(plan.recipe.source)
        upscaler = make_upscaler(target, plan.recipe, Machine(**asked["machine"]))
        parts = {part.number: part for part in plan.parts}
        _answer(answers)
        for line in sys.stdin:
            part = parts[int(line)]
            rows = run_part(plan.recipe, part, source, target, upscaler, retry=asked["retry"])
            _answer(answers, part=part.number, failed=sum(bool(row.error) for row in rows))
    except DRRNError as error:
        _answer(answers, refused=str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def make_upscaler(target: Store, recipe: Recipe, machine: Machine) -> Upscaler:
    """The upscaler of the plan on this machine. The first machine leaves a digest of what it makes.

    Raises:
        StorageError: the weights can't be read.
        EngineError: the engine can't run here.
        UsageError: the same bytes are asked for, and this machine makes others.
    """
    upscaler = Upscaler(
        load_weights(target, recipe),
        engine=machine.engine,
        device=machine.device,
        units=recipe.units,
        threads=machine.threads,
        precision=machine.precision,
        compiled=machine.compiled,
        max_memory=machine.max_memory << 20,
        ensemble=recipe.ensemble,
    )
    noise = Image(pixels=np.random.default_rng(0).random((40, 48, 3), np.float32))
    result = levels(upscaler.upscale(noise, 2).pixels, 65535).astype(np.uint16)
    here = {"engine": engine_kind(upscaler), "sha256": sha256(result.tobytes()).hexdigest()}
    first = target.read(ENGINE)
    if first is None:
        target.write(ENGINE, json.dumps(here).encode())
    elif machine.same_bytes and (known := json.loads(first))["sha256"] != here["sha256"]:
        raise UsageError(
            f"{here['engine']}, the engine here, rounds otherwise than {known['engine']}, which began. Use that, or "
            "leave out --same-bytes."
        )
    return upscaler


def _answer(answers: TextIO, **answer: Any) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)  # a second one ends at once
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
