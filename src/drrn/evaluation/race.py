"""Race ways to run a network, and networks, in turn and in one run, so that what else the machine does hits them alike.

A `Report` is all that was measured; `drrn.evaluation.performance` shows it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

from drrn.core.metrics import EQUAL, psnr
from drrn.data.pairs import pictures_in
from drrn.engines.engine import BAND, cores
from drrn.errors import EngineError, UsageError
from drrn.evaluation.contenders import (
    BICUBIC,
    CONVOLUTION,
    EXACT,
    PRODUCT,
    PRODUCT_SIDE,
    RUNNERS,
    UNTRAINED,
    Network,
    network,
    peers,
)
from drrn.evaluation.naming import distinct_names
from drrn.evaluation.performance import Growth, Kind, Report, Row
from drrn.evaluation.worker import Contender, Lap, Worker
from drrn.provenance import machine, versions
from drrn.tables import plural
from drrn.weights import DEFAULT
from drrn.weights.store import names

Note = Callable[[str], None]

PACKAGES = ("drrn", "numpy", "torch", "onnxruntime", "openvino")

REST = 0.1
"""Seconds before a lap. The threads of ONNX Runtime spin for some 40 ms after theirs, on the CPU of who comes next."""
CONVOLUTION_SIDE = 128
THREADED = ("native", "torch", "onnxruntime", "openvino")
"""Runners whose scaling with threads is measured."""
GROWN = {"native": (125, 500, 2000, 12_500, 50_000), "torch": (125, 500, 2000)}
"""Heights of pictures GROWN_WIDTH wide: 0.25 to 100 megapixels in bands, and what one piece of memory holds."""
GROWN_WIDTH = 2000
GROWING_SECONDS = 10
"""A picture is enlarged again until this is spent."""


def race(
    models: Sequence[str] = (),
    *,
    runners: Sequence[str] = (),
    with_peers: bool = True,
    with_growth: bool = False,
    side: int = 512,
    rounds: int = 5,
    seconds: float = 300,
    threads: int = 0,
    data: Path | None = None,
    calibration: Path | None = None,
    commit: str = "",
    command: str = "",
    note: Note = lambda sentence: None,
) -> Report:
    """Race `runners` on each of `models`, then these against other networks, then numbers of threads.

    Args:
        models: names for `drrn.evaluation.contenders.network`; UNTRAINED and the packaged model where none is given.
        runners: names of RUNNERS; all that run a DRRN where none is given.
        with_growth: whether to enlarge up to 100 megapixels, too.
        side: of the square result, in pixels.
        rounds: laps of each contender, after one to warm up.
        seconds: no further round is begun when a race has taken so long; one is always run.
        threads: 0 for all cores.
        data: pictures to measure PSNR on, where a trained network is computed in fewer bits.
        calibration: pictures to calibrate int8 on, none of a benchmark.
        note: told what is going on.

    Raises:
        UsageError: a runner is not known, there are no rounds, or `side` is too small or not a multiple of 4.
        EngineError: a process ended in the middle of a race.
        WeightsError: there is no such model.
        DataError: a folder is missing or empty.
    """
    known = [name for name, runner in RUNNERS.items() if runner.runs != "itself"]
    for name in runners:
        if name not in known:
            raise UsageError(f"Nothing called {name!r} can run a network. Known: {', '.join(known)}.")
    if side < 16 or side % 4:
        raise UsageError(f"A side must be a multiple of 4 and at least 16, got {side}.")
    if rounds < 1:
        raise UsageError(f"There must be at least 1 round, got {rounds}.")
    runners = [name for name in known if not runners or name in runners]
    models = list(models) or [*UNTRAINED, *names()]
    threads = threads or cores()
    course = Course(side=side, rounds=rounds, seconds=seconds, data=data, calibration=calibration, note=note)
    course.load(models)  # what is not there ends it here, and not after an hour
    pictures_in([folder for folder in (data, calibration) if folder])
    ours = DEFAULT if DEFAULT in models else models[0]

    counts = sorted({1, threads})
    rows = course.peak(counts)
    for name in models:
        rows += course.race("runners", [(name, runner, threads) for runner in runners])
    if with_peers:
        graphs = [runner for runner in runners if RUNNERS[runner].runs == "graph"]
        contenders = [(ours, runner, threads) for runner in runners if runner == "native" or runner in graphs]
        others = [name for name in models if name != ours and name not in UNTRAINED]
        contenders += [(name, "native", threads) for name in others if "native" in runners]
        contenders += [(BICUBIC, "bicubic", 1), *((peer, runner, threads) for peer in peers() for runner in graphs)]
        rows += course.race("networks", contenders)
    if threads > 1:
        doubled = [*(2**power for power in range(10) if 2**power < threads), threads]
        rows += course.race(
            "threads", [(ours, runner, count) for runner in THREADED if runner in runners for count in doubled]
        )
    rows += course.peak(counts)  # again: one short while, in which something else ran, would make it too low
    growth = list(course.grow(ours, runners, threads)) if with_growth else []
    return Report(
        machine=machine(),
        versions=versions(*PACKAGES),
        commit=commit,
        command=command,
        side=side,
        threads=threads,
        data=data.name if data else "",
        rows=rows,
        growth=growth,
        left_out=list(dict.fromkeys(course.left_out)),
    )


@dataclass(kw_only=True)
class Course:
    """Where races are run, all by the same rules: those of `race`."""

    side: int
    rounds: int
    seconds: float
    data: Path | None
    calibration: Path | None
    note: Note
    left_out: list[str] = field(default_factory=list)
    known: dict[str, Network] = field(default_factory=dict)

    def load(self, models: Sequence[str]) -> None:
        """Load the networks and give each a distinct name.

        Raises:
            WeightsError: there is no such model.
            UsageError: one is named twice.
        """
        found = [network(name) for name in models]
        taken = {*UNTRAINED, *peers(), BICUBIC, PRODUCT, CONVOLUTION} - {*models}
        names = distinct_names(models, [each.name for each in found], taken)
        self.known |= {given: replace(each, name=name) for given, each, name in zip(models, found, names, strict=True)}

    def network(self, name: str) -> Network:
        if name not in self.known:
            self.known[name] = network(name)
        return self.known[name]

    def peak(self, counts: Sequence[int]) -> list[Row]:
        """Of each number of threads, what NumPy, ONNX Runtime and OpenVINO get out of the machine."""
        ways = [(PRODUCT, "product"), (CONVOLUTION, "onnxruntime"), (CONVOLUTION, "openvino")]
        return self.race("peak", [(name, runner, count) for count in counts for name, runner in ways])

    def race(self, kind: Kind, contenders: Sequence[tuple[str, str, int]]) -> list[Row]:
        """Network, runner and threads of each, in turn."""
        with ExitStack() as stack:
            ready = []
            for contender in map(self._contender, contenders):
                if worker := self._ready(contender, stack):
                    ready.append((contender, worker))
            laps: list[list[Lap]] = [[] for _ in ready]
            began = perf_counter()
            for turn in range(self.rounds):
                if turn and perf_counter() - began > self.seconds:
                    break
                for (contender, worker), mine in zip(ready, laps, strict=True):
                    self._tell(contender, f"lap {turn + 1} of {self.rounds}")
                    sleep(REST)
                    mine.append(worker.lap())
            rows = [self._row(kind, contender, mine) for (contender, _), mine in zip(ready, laps, strict=True)]
            if kind == "runners":
                rows = self._compared(rows, ready)
        return rows

    def grow(self, name: str, runners: Sequence[str], threads: int) -> Iterator[Growth]:
        """Each picture in a process of its own, so that none finds memory that another has left."""
        for runner, heights in GROWN.items():
            for height in heights if runner in runners else ():
                streams = runner == "native"
                contender = Contender(name, runner, threads, BAND if streams else height, GROWN_WIDTH)
                with ExitStack() as stack:
                    worker = self._ready(contender, stack)
                    if worker is None:
                        break
                    self._tell(contender, f"{height * GROWN_WIDTH / 1e6:g} megapixels")
                    laps: list[Lap] = []
                    while len(laps) < self.rounds and sum(lap.seconds for lap in laps) < GROWING_SECONDS:
                        laps.append(worker.stream(GROWN_WIDTH, height) if streams else worker.lap())
                taken, peak = median(lap.seconds for lap in laps), max(lap.peak_mb for lap in laps)
                yield Growth(self.network(name).name, RUNNERS[runner].title, height, GROWN_WIDTH, taken, peak)

    def _contender(self, named: tuple[str, str, int]) -> Contender:
        name, runner, threads = named
        side = {PRODUCT: PRODUCT_SIDE, CONVOLUTION: CONVOLUTION_SIDE}.get(name, self.side)
        pictures = str(self.calibration) if RUNNERS[runner].calibrates and self.calibration else ""
        return Contender(name, runner, threads, side, side, pictures)

    def _ready(self, contender: Contender, stack: ExitStack) -> Worker | None:
        """It has run once; None where it can't be had, which is noted."""
        runner = RUNNERS[contender.runner]
        self._tell(contender, "gets ready")
        try:
            if runner.calibrates and not contender.pictures:
                raise EngineError("it needs a folder of pictures for its calibration.")
            self.network(contender.network)
            worker = stack.enter_context(Worker(contender))
            worker.lap()
        except EngineError as error:
            self.left_out.append(f"{runner.title} was left out: {error}")
            return None
        return worker

    def _row(self, kind: Kind, contender: Contender, laps: list[Lap]) -> Row:
        found = self.network(contender.network)
        return Row(
            race=kind,
            network=found.name,
            runner=RUNNERS[contender.runner].title,
            threads=contender.threads,
            pixels=contender.height * contender.width,
            macs=found.macs,
            parameters=found.parameters,
            seconds=[lap.seconds for lap in laps],
            cpu_seconds=[lap.cpu_seconds for lap in laps],
            peak_mb=max(lap.peak_mb for lap in laps),
        )

    def _compared(self, rows: list[Row], ready: list[tuple[Contender, Worker]]) -> list[Row]:
        """The rows with what their results are worth."""
        made = {contender.runner: worker.made() for contender, worker in ready}
        compared = []
        for index, (row, (contender, worker)) in enumerate(zip(rows, ready, strict=True)):
            if contender.runner != EXACT and EXACT in made:
                row = replace(row, agreement=min(psnr(made[contender.runner], made[EXACT], peak=1), EQUAL))
            trained = contender.network not in UNTRAINED
            if self.data and trained and (index == 0 or RUNNERS[contender.runner].rounds):
                self._tell(contender, f"enlarges {self.data.name}")
                row = replace(row, psnr=worker.psnr(self.data))
            compared.append(row)
        return compared

    def _tell(self, contender: Contender, what: str) -> None:
        who = f"{RUNNERS[contender.runner].title}, {plural(contender.threads, 'thread')}"
        self.note(f"{contender.network}, {who}: {what}")
