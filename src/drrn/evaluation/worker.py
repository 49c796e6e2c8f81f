"""A contender in a process of its own, which runs when it is asked to: its memory is then its own, and those that wait
take no time from the one that runs.

`Worker` is the side of who asks. The process reads lines of JSON from its standard input and answers each by one.
"""

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple, Self, TextIO, TypeVar

import numpy as np

from drrn.core.color import luma
from drrn.core.metrics import judge
from drrn.core.resize import degrade, imresize, modcrop
from drrn.data.pairs import pictures_in, read_levels, unit
from drrn.engines.engine import BAND, Planes
from drrn.errors import DRRNError, EngineError
from drrn.evaluation.contenders import RUNNERS, Runs, example, network
from drrn.evaluation.timing import measure

Result = TypeVar("Result")


@dataclass(frozen=True)
class Contender:
    """Which network is run, how, and on how many threads."""

    network: str
    runner: str
    threads: int
    height: int
    width: int
    pictures: str = ""
    """A folder to calibrate on."""


class Lap(NamedTuple):
    """What one run took."""

    seconds: float
    cpu_seconds: float
    """Of all threads together."""
    peak_mb: float
    """Memory above what the process took when all was imported and no network loaded."""


class Worker:
    """A process that has loaded a contender. Use it in a with statement."""

    def __init__(self, contender: Contender):
        """Start it, and wait until it is ready.

        Raises:
            EngineError: what it needs is not to be had here.
        """
        self.name = f"The process that runs {contender.network} by {contender.runner}"
        threads = str(contender.threads)
        limits = {f"{library}_NUM_THREADS": threads for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
        sleep = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}  # who waits must not spin
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, json.dumps(asdict(contender))],
            env={**os.environ, **limits, **sleep},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def lap(self) -> Lap:
        """Run once."""
        return Lap(*self._ask("lap"))

    def stream(self, width: int, height: int) -> Lap:
        """Run a picture of that size that exists nowhere in memory, band by band."""
        return Lap(*self._ask("stream", width, height))

    def made(self) -> Planes:
        """What the last run made."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "made.npy"
            self._ask("keep", str(path))
            planes: Planes = np.load(path)
        return planes

    def psnr(self, folder: Path) -> float:
        """Mean over pictures at x2, by the protocol of `drrn.core.metrics`."""
        return float(self._ask("psnr", str(folder)))

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.kill()  # it holds nothing that it would have to write
        self.process.wait()
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, what: str, *about: Any) -> Any:
        assert self.process.stdin
        with suppress(BrokenPipeError):  # who is dead does not answer either
            self.process.stdin.write(json.dumps([what, *about]) + "\n")
            self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise EngineError(
                f"{self.name} ended with {self.process.wait()} and without a word, maybe for want of memory."
            )
        answer = json.loads(line)
        if "refused" in answer:
            raise EngineError(answer["refused"])
        if "bug" in answer:
            raise RuntimeError(answer["bug"])
        return answer["done"]


def main() -> None:
    """Be the process."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print
    try:
        for done in _serve(Contender(**json.loads(sys.argv[1])), sys.stdin):
            _tell(answers, done=done)
    except (ImportError, DRRNError) as error:
        _tell(answers, refused=f"{str(error).removesuffix('.')}.")
    except Exception:
        _tell(answers, bug=traceback.format_exc())


def _serve(contender: Contender, questions: TextIO) -> Iterator[Any]:
    """None when ready, then what comes of each question."""
    runner = RUNNERS[contender.runner]
    for module in runner.needs:
        import_module(module)
    before = measure(lambda: None)[1].peak_mb
    raced = network(contender.network)
    engine = runner.start(raced, contender.threads, Path(contender.pictures) if contender.pictures else None)
    made = planes = example(raced, contender.height, contender.width)
    yield None
    for line in questions:
        match json.loads(line):
            case ["lap"]:
                made, lap = _lap(lambda: engine.run(planes), before)
                yield lap
            case ["stream", width, height]:
                rows, lap = _lap(lambda: _stream(engine, raced.channels, width, height), before)
                assert rows == height
                yield lap
            case ["keep", path]:
                np.save(path, made)
                yield None
            case ["psnr", folder]:
                yield _psnr(engine, raced.channels, Path(folder))


def _lap(work: Callable[[], Result], before: float) -> tuple[Result, Lap]:
    def timed() -> tuple[Result, float]:
        began = time.process_time()
        return work(), time.process_time() - began

    (made, cpu_seconds), cost = measure(timed)
    return made, Lap(cost.seconds, cpu_seconds, cost.peak_mb - before)


def _stream(engine: Any, channels: int, width: int, height: int) -> int:
    """Run it and forget what it makes; the rows that came out."""
    band = np.random.default_rng(0).random((channels, BAND, width), np.float32)
    bands = (band[:, : height - top] for top in range(0, height, BAND))
    return sum(made.shape[1] for made in engine.stream(bands))


def _psnr(engine: Runs, channels: Literal[1, 3], folder: Path) -> float:
    scores = []
    for path in pictures_in([folder]):
        hr = modcrop(unit(read_levels(path, channels)), 2)
        sr = engine.run(imresize(degrade(hr, 2), *hr.shape[1:])).clip(0, 1)
        ours, theirs = (planes[0] if channels == 1 else luma(planes) for planes in (sr, hr))
        scores.append(judge(ours, theirs, shave=2).psnr)
    return fmean(scores)


def _tell(answers: TextIO, **answer: Any) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
