"""Measure runners and networks in turn, in one session, so that other load on the machine affects all of them alike.

The result is a `Report`: `benchmarks.page` and `benchmarks.plot` show it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

from benchmarks.networks import BICUBIC, CONVOLUTION, PRODUCT, PRODUCT_SIDE, UNTRAINED, Network, baselines, load_network
from benchmarks.report import Group, Growth, Report, Row
from benchmarks.runners import EXACT, RUNNERS
from benchmarks.worker import Case, Repeat, Worker
from drrn.core.metrics import EQUAL, psnr
from drrn.data.pairs import pictures_in
from drrn.engines.engine import BAND, cores
from drrn.errors import EngineError, UsageError
from drrn.evaluation.naming import distinct_names
from drrn.provenance import machine, versions
from drrn.tables import plural
from drrn.weights import DEFAULT
from drrn.weights.store import names

PACKAGES = ("drrn", "numpy", "torch", "onnxruntime", "openvino")

REST = 0.1
"""Seconds before a repeat: ONNX Runtime's threads spin for about 40 ms after their work, on the next case's CPU."""
CONVOLUTION_SIDE = 128
THREADED = ("native", "torch", "onnxruntime", "openvino")
"""Runners whose scaling with threads is measured."""
GROWTH_HEIGHTS = {"native": (125, 500, 2000, 12_500, 50_000), "torch": (125, 500, 2000)}
"""Heights of images: 0.25 to 100 megapixels for a runner that streams, up to 4 for one that holds the whole image."""
GROWTH_WIDTH = 2000
GROWTH_SECONDS = 10
"""An image is enlarged repeatedly until this time is used up."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured, and how often."""

    models: Sequence[str] = ()
    """Names for `load_network`; all of UNTRAINED and the packaged models by default."""
    runners: Sequence[str] = ()
    """Names of RUNNERS; all that run a DRRN by default."""
    with_baselines: bool = True
    with_growth: bool = False
    """Whether to enlarge images of up to 100 megapixels, too."""
    side: int = 512
    """Of the square result, in pixels: a multiple of 4."""
    repeats: int = 5
    """Measured runs of each case, after one to warm up."""
    seconds: float = 300
    """No further repeat begins after this time; there is always one."""
    threads: int = 0
    """0 for all cores."""
    data: Path | None = None
    """Pictures for the PSNR of trained networks in fewer bits."""
    calibration: Path | None = None
    """Pictures to calibrate int8 on, none of them from a benchmark."""

    def resolved(self) -> "Settings":
        """The same with the defaults filled in.

        Raises:
            UsageError: a runner is unknown, there are no repeats, or `side` is too small or not a multiple of 4.
            DataError: a folder is missing or empty.
        """
        available = [name for name, runner in RUNNERS.items() if runner.runs != "itself"]
        for name in self.runners:
            if name not in available:
                raise UsageError(f"No runner is called {name!r}. Available: {', '.join(available)}.")
        if self.side < 16 or self.side % 4:
            raise UsageError(f"--side must be a multiple of 4 and at least 16, got {self.side}.")
        if self.repeats < 1:
            raise UsageError(f"--repeats must be at least 1, got {self.repeats}.")
        pictures_in([folder for folder in (self.data, self.calibration) if folder])
        return replace(
            self,
            models=list(self.models) or [*UNTRAINED, *names()],
            runners=[name for name in available if not self.runners or name in self.runners],
            threads=self.threads or cores(),
        )


def benchmark(
    settings: Settings, *, commit: str = "", command: str = "", progress: Callable[[str], None] = lambda sentence: None
) -> Report:
    """Measure the runners of each model, then these models against baselines, then numbers of threads.

    Args:
        progress: is told in a sentence what is being measured.

    Raises:
        UsageError, DataError: see `Settings.resolved`.
        EngineError: a process ended while its case was measured.
        WeightsError: there is no such model.
    """
    settings = settings.resolved()
    session = Session(settings, progress)
    session.load(settings.models)  # a wrong name ends it here, not after an hour
    main_model = DEFAULT if DEFAULT in settings.models else settings.models[0]

    counts = sorted({1, settings.threads})
    rows = session.peak(counts)
    for name in settings.models:
        rows += session.measure("runners", [(name, runner, settings.threads) for runner in settings.runners])
    if settings.with_baselines:
        rows += session.measure("networks", _networks(settings, main_model))
    if settings.threads > 1:
        rows += session.measure("threads", _thread_counts(settings, main_model))
    rows += session.peak(counts)  # again: other load during the first short measurement would make the peak too low
    growth = list(session.grow(main_model)) if settings.with_growth else []
    return Report(
        machine=machine(),
        versions=versions(*PACKAGES),
        commit=commit,
        command=command,
        side=settings.side,
        threads=settings.threads,
        data=settings.data.name if settings.data else "",
        rows=rows,
        growth=growth,
        left_out=list(dict.fromkeys(session.left_out)),
    )


CaseName = tuple[str, str, int]
"""Network, runner, threads."""


def _networks(settings: Settings, main_model: str) -> list[CaseName]:
    """Our networks and the baselines, each by the runners that can run it."""
    graphs = [runner for runner in settings.runners if RUNNERS[runner].runs == "graph"]
    cases = [(main_model, name, settings.threads) for name in settings.runners if name == "native" or name in graphs]
    if "native" in settings.runners:
        other_models = [name for name in settings.models if name != main_model and name not in UNTRAINED]
        cases += [(name, "native", settings.threads) for name in other_models]
    cases.append((BICUBIC, "bicubic", 1))
    return cases + [(name, runner, settings.threads) for name in baselines() for runner in graphs]


def _thread_counts(settings: Settings, main_model: str) -> list[CaseName]:
    """One network on 1, 2, 4, ... and on all threads."""
    counts = [*(2**power for power in range(10) if 2**power < settings.threads), settings.threads]
    return [(main_model, runner, count) for runner in THREADED if runner in settings.runners for count in counts]


@dataclass
class Session:
    """Measures groups of cases, all by the same settings, and notes which cases could not be run."""

    settings: Settings
    progress: Callable[[str], None]
    left_out: list[str] = field(default_factory=list)
    networks: dict[str, Network] = field(default_factory=dict)

    def load(self, models: Sequence[str]) -> None:
        """Load the networks and give each a distinct name.

        Raises:
            WeightsError: there is no such model.
            UsageError: a model is named twice.
        """
        loaded = [load_network(name) for name in models]
        reserved = {*UNTRAINED, *baselines(), BICUBIC, PRODUCT, CONVOLUTION} - {*models}
        distinct = distinct_names(models, [each.name for each in loaded], reserved)
        for model, network, name in zip(models, loaded, distinct, strict=True):
            self.networks[model] = replace(network, name=name)

    def network(self, name: str) -> Network:
        if name not in self.networks:
            self.networks[name] = load_network(name)
        return self.networks[name]

    def peak(self, counts: Sequence[int]) -> list[Row]:
        """The peak of the machine for each number of threads, by NumPy, ONNX Runtime and OpenVINO."""
        ways = [(PRODUCT, "product"), (CONVOLUTION, "onnxruntime"), (CONVOLUTION, "openvino")]
        return self.measure("peak", [(name, runner, count) for count in counts for name, runner in ways])

    def measure(self, group: Group, names: Sequence[CaseName]) -> list[Row]:
        """Run all cases of a group in turn, once per repeat."""
        with ExitStack() as stack:
            ready = []
            for case in map(self._case, names):
                if worker := self._start(case, stack):
                    ready.append((case, worker))
            repeats: list[list[Repeat]] = [[] for _ in ready]
            began = perf_counter()
            for number in range(self.settings.repeats):
                if number and perf_counter() - began > self.settings.seconds:
                    break
                for (case, worker), done in zip(ready, repeats, strict=True):
                    self._report_progress(case, f"repeat {number + 1} of {self.settings.repeats}")
                    sleep(REST)
                    done.append(worker.run())
            rows = [self._row(group, case, done) for (case, _), done in zip(ready, repeats, strict=True)]
            if group == "runners":
                rows = self._with_agreement(rows, ready)
        return rows

    def grow(self, name: str) -> Iterator[Growth]:
        """Time and memory by image size. Each size runs in a process of its own: no memory is left from another."""
        for runner, heights in GROWTH_HEIGHTS.items():
            for height in heights if runner in self.settings.runners else ():
                streams = runner == "native"
                case = Case(name, runner, self.settings.threads, BAND if streams else height, GROWTH_WIDTH)
                with ExitStack() as stack:
                    worker = self._start(case, stack)
                    if worker is None:
                        break
                    self._report_progress(case, f"{height * GROWTH_WIDTH / 1e6:g} megapixels")
                    done: list[Repeat] = []
                    while len(done) < self.settings.repeats and sum(each.seconds for each in done) < GROWTH_SECONDS:
                        done.append(worker.stream(GROWTH_WIDTH, height) if streams else worker.run())
                seconds, peak = median(each.seconds for each in done), max(each.peak_mb for each in done)
                yield Growth(self.network(name).name, RUNNERS[runner].title, height, GROWTH_WIDTH, seconds, peak)

    def _case(self, named: CaseName) -> Case:
        name, runner, threads = named
        side = {PRODUCT: PRODUCT_SIDE, CONVOLUTION: CONVOLUTION_SIDE}.get(name, self.settings.side)
        calibration = self.settings.calibration
        pictures = str(calibration) if RUNNERS[runner].calibrates and calibration else ""
        return Case(name, runner, threads, side, side, pictures)

    def _start(self, case: Case, stack: ExitStack) -> Worker | None:
        """A worker that has run once; None, with a sentence in `left_out`, if something is missing here."""
        runner = RUNNERS[case.runner]
        self._report_progress(case, "starts")
        try:
            if runner.calibrates and not case.pictures:
                raise EngineError("it needs a folder of pictures for its calibration.")
            self.network(case.network)
            worker = stack.enter_context(Worker(case))
            worker.run()
        except EngineError as error:
            self.left_out.append(f"{runner.title} was left out: {error}")
            return None
        return worker

    def _row(self, group: Group, case: Case, repeats: list[Repeat]) -> Row:
        network = self.network(case.network)
        return Row(
            group=group,
            network=network.name,
            runner=RUNNERS[case.runner].title,
            threads=case.threads,
            pixels=case.height * case.width,
            macs=network.macs,
            parameters=network.parameters,
            seconds=[each.seconds for each in repeats],
            cpu_seconds=[each.cpu_seconds for each in repeats],
            peak_mb=max(each.peak_mb for each in repeats),
        )

    def _with_agreement(self, rows: list[Row], ready: list[tuple[Case, Worker]]) -> list[Row]:
        """The rows with how near each result is to that of EXACT, and its PSNR if it is computed in fewer bits."""
        results = {case.runner: worker.result() for case, worker in ready}
        compared = []
        for index, (row, (case, worker)) in enumerate(zip(rows, ready, strict=True)):
            if case.runner != EXACT and EXACT in results:
                row = replace(row, agreement=min(psnr(results[case.runner], results[EXACT], peak=1), EQUAL))
            is_trained = case.network not in UNTRAINED
            data = self.settings.data
            if data and is_trained and (index == 0 or RUNNERS[case.runner].is_inexact):
                self._report_progress(case, f"enlarges {data.name}")
                row = replace(row, psnr=worker.psnr(data))
            compared.append(row)
        return compared

    def _report_progress(self, case: Case, action: str) -> None:
        self.progress(f"{case.network}, {RUNNERS[case.runner].title}, {plural(case.threads, 'thread')}: {action}")
