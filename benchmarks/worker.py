"""A process per case, which runs when asked to: its memory is then its own, and idle cases take no time from others.

`Worker` is the client. The process reads lines of JSON from its standard input and answers each with one line.
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

from benchmarks.networks import example_input, load_network
from benchmarks.runners import RUNNERS, Runnable
from drrn.core.color import luma
from drrn.core.metrics import measure_quality
from drrn.core.resize import degrade, imresize, modcrop
from drrn.data.pairs import pictures_in, read_levels, unit
from drrn.engines.engine import BAND, Planes
from drrn.errors import DRRNError, EngineError
from drrn.evaluation.timing import measure_cost

ROOT = Path(__file__).parents[1]

Result = TypeVar("Result")


@dataclass(frozen=True)
class Case:
    """A network, a way to run it, a number of threads and the size of the result."""

    network: str
    runner: str
    threads: int
    height: int
    width: int
    pictures: str = ""
    """A folder to calibrate on."""


class Repeat(NamedTuple):
    """The cost of one run."""

    seconds: float
    cpu_seconds: float
    """Of all threads together."""
    peak_mb: float
    """Memory above that of the process with all its imports and without a network."""


class Worker:
    """A process that has loaded a case. Use it in a with statement."""

    def __init__(self, case: Case):
        """Start the process and wait until it is ready.

        Raises:
            EngineError: something that the case needs is not available here.
        """
        self.name = f"The process that runs {case.network} by {case.runner}"
        threads = str(case.threads)
        limits = {f"{library}_NUM_THREADS": threads for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
        no_spinning = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, json.dumps(asdict(case))],
            env={**os.environ, **limits, **no_spinning, "PYTHONPATH": path},
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

    def run(self) -> Repeat:
        """Run the case once."""
        return Repeat(*self._ask("run"))

    def stream(self, width: int, height: int) -> Repeat:
        """Run an image of that size band by band; neither it nor its result is ever in memory as a whole."""
        return Repeat(*self._ask("stream", width, height))

    def result(self) -> Planes:
        """The result of the last run."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "result.npy"
            self._ask("save", str(path))
            planes: Planes = np.load(path)
        return planes

    def psnr(self, folder: Path) -> float:
        """Mean PSNR at x2 over the pictures of a folder, by the protocol of `drrn.core.metrics`."""
        return float(self._ask("psnr", str(folder)))

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.kill()  # it has nothing to save
        self.process.wait()
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, *request: Any) -> Any:
        assert self.process.stdin
        with suppress(BrokenPipeError):  # `_answer` reports a dead process
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise EngineError(f"{self.name} ended with {code} and no message; it may have run out of memory.")
        answer = json.loads(line)
        if "refused" in answer:
            raise EngineError(answer["refused"])
        if "bug" in answer:
            raise RuntimeError(answer["bug"])
        return answer["done"]


def main() -> None:
    """The process: serve the case in the first argument."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # some libraries print
    try:
        for done in _serve(Case(**json.loads(sys.argv[1])), sys.stdin):
            _send(answers, done=done)
    except (ImportError, DRRNError) as error:
        _send(answers, refused=f"{str(error).removesuffix('.')}.")
    except Exception:
        _send(answers, bug=traceback.format_exc())


def _serve(case: Case, requests: TextIO) -> Iterator[Any]:
    """Yield None when ready, then the answer to each request."""
    runner = RUNNERS[case.runner]
    for module in runner.imports:
        import_module(module)
    before = measure_cost(lambda: None)[1].peak_mb
    network = load_network(case.network)
    engine = runner.start(network, case.threads, Path(case.pictures) if case.pictures else None)
    result = planes = example_input(network, case.height, case.width)
    yield None
    for line in requests:
        match json.loads(line):
            case ["run"]:
                result, repeat = _repeat(lambda: engine.run(planes), before)
                yield repeat
            case ["stream", width, height]:
                rows, repeat = _repeat(lambda: _stream(engine, network.channels, width, height), before)
                assert rows == height
                yield repeat
            case ["save", path]:
                np.save(path, result)
                yield None
            case ["psnr", folder]:
                yield _psnr(engine, network.channels, Path(folder))


def _repeat(work: Callable[[], Result], before: float) -> tuple[Result, Repeat]:
    def timed() -> tuple[Result, float]:
        began = time.process_time()
        return work(), time.process_time() - began

    (result, cpu_seconds), cost = measure_cost(timed)
    return result, Repeat(cost.seconds, cpu_seconds, cost.peak_mb - before)


def _stream(engine: Any, channels: int, width: int, height: int) -> int:
    """Run it, drop the results and return the number of rows."""
    band = np.random.default_rng(0).random((channels, BAND, width), np.float32)
    bands = (band[:, : height - top] for top in range(0, height, BAND))
    return sum(result.shape[1] for result in engine.stream(bands))


def _psnr(engine: Runnable, channels: Literal[1, 3], folder: Path) -> float:
    scores = []
    for path in pictures_in([folder]):
        hr = modcrop(unit(read_levels(path, channels)), 2)
        sr = engine.run(imresize(degrade(hr, 2), *hr.shape[1:])).clip(0, 1)
        result, original = (planes[0] if channels == 1 else luma(planes) for planes in (sr, hr))
        scores.append(measure_quality(result, original, shave=2).psnr)
    return fmean(scores)


def _send(answers: TextIO, **answer: Any) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
