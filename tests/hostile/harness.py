"""Feed thousands of mutated files to a process that may crash, hang or exhaust memory, and record what happens."""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import IO, Any, Final, NamedTuple, Self

from tests.conftest import ROOT
from tests.hostile.formats import Format
from tests.hostile.mutations import mutated
from tests.hostile.worker import Outcome

MEMORY: Final = Path("/dev/shm")
"""A folder in memory, if there is one."""
START: Final = 120.0
"""Most seconds until a process is ready."""
BATCH: Final = 5000
"""Inputs after which a process is replaced."""
ENOUGH: Final = 20
"""Findings after which the other inputs of a format are skipped."""


class Limits(NamedTuple):
    """The limits for one input."""

    megabytes: float = 300
    """Memory on top of what the process used before. More counts as greedy."""
    seconds: float = 2
    """CPU time. More counts as a hang, even if it ends."""
    patience: float = 30
    """Seconds without an answer after which a process is killed: many, as the machine may be busy."""


USUAL: Final = Limits()


@dataclass(frozen=True)
class Finding:
    """An input that was neither read nor properly refused."""

    number: int
    what: str
    why: str
    sha256: str


@dataclass
class Tally:
    """The outcomes of a format, counted."""

    format: str
    inputs: int = 0
    read: int = 0
    refused: int = 0
    crashed: int = 0
    hung: int = 0
    greedy: int = 0
    """Read or refused, but with too much memory."""
    other: int = 0
    """Ended by another exception, or refused with extra output, in several lines, or with files left behind."""
    peak_mb: float = 0
    slowest: float = 0
    """Most CPU seconds for one input."""
    seconds: float = 0
    """Elapsed seconds for all inputs."""
    findings: list[Finding] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        return cls(**{**values, "findings": [Finding(**each) for each in values["findings"]]})


class Worker:
    """A process that tries inputs until it dies."""

    def __init__(self, module: str, folder: Path, published: Path | None):
        self.noise: IO[bytes] = (folder / "stderr").open("w+b", buffering=0)
        arguments = [sys.executable, "-m", "tests.hostile.worker", module, str(folder), str(published or "")]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "VIPS_CONCURRENCY": "1",
            "PROJ_DEBUG": "0",  # as drrn sets it, before the seeds are made by rasterio
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        self.process = subprocess.Popen(
            arguments, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.noise
        )
        self.hangs = False

    def ask(self, patience: float, **request: Any) -> Iterator[Outcome | None]:
        """The outcomes, one per input; the last is None if the process hung or died.

        Raises:
            RuntimeError: the process did not start.
        """
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        left, rest = request.get("end", 1) - request.get("begin", 0) + 1, b""
        with selectors.DefaultSelector() as ready:
            ready.register(self.process.stdout, selectors.EVENT_READ)
            wait, is_ready = START, False
            while left:
                self.hangs = not ready.select(wait)
                printed = b"" if self.hangs else os.read(self.process.stdout.fileno(), 1 << 16)
                if not printed and not is_ready:
                    raise RuntimeError(f"A worker did not start: {self.end()}")
                if not printed:
                    yield None
                    return
                *lines, rest = (rest + printed).split(b"\n")
                for line in lines:
                    outcome = Outcome(*json.loads(line))
                    wait, left, is_ready = patience, left - 1, True
                    if outcome.what != "ready":
                        yield outcome

    def end(self) -> str:
        """End the process, and return how it ended. Call it only once."""
        if self.noise.closed:
            return ""
        if self.hangs:
            self.process.kill()
        self.process.communicate()  # closes stdin, which ends the process
        self.noise.seek(0)
        printed = self.noise.read()[-2000:].decode(errors="replace")
        self.noise.close()
        return "no answer" if self.hangs else f"code {self.process.returncode}: {printed}"


class Campaign:
    """Fuzzing of many formats, in one process at a time."""

    def __init__(self, module: str, published: Path | None, output: Path | None, limits: Limits):
        self.module, self.published, self.output, self.limits = module, published, output, limits
        self.formats: dict[str, Format] = import_module(module).FORMATS
        self.worker: Worker | None = None
        place = MEMORY if MEMORY.is_dir() else None
        self.folder = TemporaryDirectory(prefix="drrn-hostile-", dir=place)

    def run(self, name: str, each: int) -> Tally:
        """Try the first `each` inputs of a format."""
        tally, began = Tally(name), monotonic()
        while tally.inputs < each and len(tally.findings) < ENOUGH:
            end = min(tally.inputs + BATCH, each)
            for outcome in self._ask(format=name, begin=tally.inputs, end=end):
                self._count(tally, outcome)
                if outcome is None or len(tally.findings) >= ENOUGH:
                    break
            if end % BATCH == 0:
                self.close()
        tally.seconds = round(monotonic() - began, 1)
        return tally

    def retry(self, name: str, path: Path) -> Tally:
        """Try one file."""
        tally = Tally(name)
        for outcome in self._ask(format=name, file=str(path)):
            self._count(tally, outcome, path.read_bytes())
        return tally

    def close(self) -> None:
        if self.worker:
            self.worker.hangs = True  # so that nobody waits for its answer
            self.worker.end()
        self.worker = None

    def _ask(self, **request: Any) -> Iterator[Outcome | None]:
        self.worker = self.worker or Worker(self.module, Path(self.folder.name), self.published)
        return self.worker.ask(self.limits.patience, **request)

    def _count(self, tally: Tally, outcome: Outcome | None, content: bytes | None = None) -> None:
        number = tally.inputs
        tally.inputs += 1
        if outcome is None:
            assert self.worker
            what, why = "hung" if self.worker.hangs else "crashed", self.worker.end()
            self.worker = None
        else:
            what, why = outcome.what, outcome.why
            tally.peak_mb = max(tally.peak_mb, round(outcome.kilobytes / 1024, 1))
            tally.slowest = max(tally.slowest, outcome.seconds)
            if outcome.seconds > self.limits.seconds:
                what, why = "hung", f"{outcome.seconds} s. {why}"
            elif outcome.kilobytes > self.limits.megabytes * 1024:
                what, why = "greedy", f"{outcome.kilobytes >> 10} MB. {why}"
        setattr(tally, what, getattr(tally, what) + 1)
        if what in ("read", "refused"):
            return
        form = self.formats[tally.format]
        content = content or mutated(form, form.all_seeds(self.published), number)
        digest = sha256(content).hexdigest()
        tally.findings.append(Finding(number, what, why[-2000:], digest))
        if self.output:
            self.output.mkdir(parents=True, exist_ok=True)
            (self.output / f"{tally.format}-{digest[:12]}{form.suffix}").write_bytes(content)


@contextmanager
def campaign(
    module: str = "tests.hostile.formats",
    *,
    published: Path | None = None,
    output: Path | None = None,
    limits: Limits = USUAL,
) -> Iterator[Campaign]:
    """A campaign that ends with the block.

    Args:
        module: name of the module with `FORMATS`.
        published: folder of published files that are also seeds.
        output: folder for inputs that were neither read nor refused.
    """
    running = Campaign(module, published, output, limits)
    try:
        yield running
    finally:
        running.close()
        running.folder.cleanup()
