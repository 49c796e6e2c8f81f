"""What was measured of speed and memory: as JSON to keep, and as Markdown to read."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Literal

from drrn.core.metrics import EQUAL
from drrn.tables import Line, markdown, number, plural

Kind = Literal["peak", "runners", "networks", "threads"]


@dataclass(frozen=True)
class Row:
    """How one contender did. Seconds of each lap; the first, which warms up, is not among them."""

    race: Kind
    """Within a race of one network, or of networks, laps were run in turn."""
    network: str
    runner: str
    threads: int
    pixels: int
    """Of the result."""
    macs: int
    """Multiply-adds for each of them, by direct convolution; 0 where they are not counted."""
    parameters: int
    seconds: list[float]
    cpu_seconds: list[float]
    peak_mb: float
    agreement: float | None = None
    """PSNR in dB of its result against that of torch in float32, the peak being 1; EQUAL where every bit is."""
    psnr: float | None = None
    """dB on the pictures of the report, at x2."""

    @property
    def seconds_per_megapixel(self) -> float:
        return median(self.seconds) / self.pixels * 1e6

    @property
    def cpu_seconds_per_megapixel(self) -> float:
        return median(self.cpu_seconds) / self.pixels * 1e6

    @property
    def gflops(self) -> float:
        """10^9 operations a second that a direct convolution would have had to do in this time."""
        return 2 * self.macs * self.pixels / median(self.seconds) / 1e9


@dataclass(frozen=True)
class Growth:
    """How one picture of many sizes did."""

    network: str
    runner: str
    height: int
    width: int
    seconds: float
    peak_mb: float

    @property
    def megapixels(self) -> float:
        return self.height * self.width / 1e6


@dataclass(frozen=True)
class Report:
    """All that was measured, and on what."""

    machine: dict[str, str]
    versions: dict[str, str]
    commit: str
    command: str
    side: int
    threads: int
    data: str
    """The set that PSNR is of; empty where there is none."""
    rows: list[Row]
    growth: list[Growth]
    left_out: list[str]
    """A sentence for each that could not be raced."""

    def peak(self, threads: int) -> float:
        """The most GFLOP/s that wide products and convolutions reached in float32; 0 where none was run."""
        rows = [row for row in self.of("peak") if row.threads == threads]
        return max((2 * row.macs * row.pixels / min(row.seconds) / 1e9 for row in rows), default=0.0)

    @property
    def networks(self) -> list[str]:
        """Those that runners were raced on."""
        return list(dict.fromkeys(row.network for row in self.of("runners")))

    def of(self, race: Kind, network: str = "") -> list[Row]:
        """The rows of one race."""
        return [row for row in self.rows if row.race == race and network in ("", row.network)]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        values = json.loads(text)
        rows, growth = [Row(**row) for row in values["rows"]], [Growth(**row) for row in values["growth"]]
        return cls(**{**values, "rows": rows, "growth": growth})


def to_markdown(report: Report, plot: str = "") -> str:
    """A page that follows from the report alone.

    Args:
        plot: where the picture of `drrn.evaluation.plot` lies, seen from the page.
    """
    parts = [
        "# How fast it is",
        f"Written by `{report.command}`{f' at commit {report.commit}' if report.commit else ''} on {_machine(report)}. "
        "Seconds are medians; those who race in a table took turns, each in a process of its own. Machines differ and "
        "are shared: compare the ratios.",
        *([f"![Seconds a megapixel, and how time and memory grow]({plot})"] if plot else []),
        WORDS.format(side=report.side, peak=_peak(report)),
        "## One network, many ways to run it",
    ]
    for name in report.networks:
        rows = report.of("runners", name)
        work = f"{rows[0].macs:,} multiply-adds a pixel, {rows[0].parameters:,} parameters."
        parts += [f"### {name}", work, markdown(*_runners(report, rows), padded=True)]
    if report.of("networks"):
        parts += ["## Many networks, to the same size", PEERS, markdown(*_networks(report), padded=True)]
    if report.of("threads"):
        parts += [f"## Threads\n\n{report.of('threads')[0].network}:", markdown(*_threads(report), padded=True)]
    if report.growth:
        first = report.growth[0]
        about = GROWTH.format(network=first.network, width=first.width)
        parts += ["## Larger pictures", about, markdown(*_growth(report.growth), padded=True)]
    parts += ["\n".join(f"* {sentence}" for sentence in report.left_out)]
    return "\n\n".join(part for part in parts if part) + "\n"


WORDS = """\
* *s/MP*: seconds for each megapixel of the result, {side}x{side} pixels; *CPU s/MP*: of all threads together.
* *time*: how many times as long it took as the first of its table.
* *peak MB*: memory at its peak above that of the process with all its libraries and without a network.
* *GFLOP/s*: 2 operations for every multiply-add that a direct convolution needs, whatever was done in its place: \
Winograd's does with down to a quarter of them, and can be above the peak, as can 16 and 8 bits.
* *of peak*: of the most that NumPy's matrix product or a wide convolution of ONNX Runtime or OpenVINO reached in \
float32: {peak}.
* *agrees*: PSNR in dB between its result and that of torch eager, channels last, in float32."""

PEERS = """\
Peers have random weights: here is what they cost, not how good they are. Those that enlarge by themselves are given a \
smaller picture, and those of three channels make RGB, where the others make luma."""

GROWTH = """\
By {network}, pictures {width} pixels wide: in bands that are made, enlarged and forgotten where the engine streams, \
as a whole where it does not."""

Table = tuple[Line, Iterable[Line]]


def _runners(report: Report, rows: list[Row]) -> Table:
    scored = any(row.psnr is not None for row in rows)
    head = ["", "s/MP", "CPU s/MP", "time", "peak MB", "GFLOP/s", "of peak", "agrees"]
    lines = [
        [row.runner, *_cost(row, rows[0]), *_speed(report, row), _agreement(row), *([_psnr(row, rows[0])] * scored)]
        for row in rows
    ]
    return head + [f"{report.data} x2, dB"] * scored, lines


def _networks(report: Report) -> Table:
    rows = report.of("networks")
    head = ["", "run by", "kMAC a pixel", "parameters", "s/MP", "CPU s/MP", "time", "peak MB", "GFLOP/s", "of peak"]
    lines = [
        [
            row.network,
            row.runner,
            f"{row.macs / 1000:,.1f}" if row.macs else "",
            f"{row.parameters:,}" if row.parameters else "",
            *_cost(row, rows[0]),
            *_speed(report, row),
        ]
        for row in rows
    ]
    return head, lines


def _threads(report: Report) -> Table:
    found: dict[str, dict[int, float]] = {}
    for row in report.of("threads"):
        found.setdefault(row.runner, {})[row.threads] = row.seconds_per_megapixel
    counts = sorted({count for taken in found.values() for count in taken})
    head = ["s/MP", *(plural(count, "thread") for count in counts), "speed-up"]
    lines = [
        [runner, *(number(taken[count]) for count in counts), f"{taken[counts[0]] / taken[counts[-1]]:.2f}"]
        for runner, taken in found.items()
    ]
    return head, lines


def _growth(growth: list[Growth]) -> Table:
    runners = list(dict.fromkeys(each.runner for each in growth))
    heights = sorted({(each.height, each.width) for each in growth})
    found = {(each.runner, each.height): each for each in growth}

    def cells(each: Growth | None) -> list[str]:
        if each is None:
            return ["", "", ""]
        return [number(each.seconds), number(each.seconds / each.megapixels), f"{each.peak_mb:.0f}"]

    head = [f"{runner}, {what}" for runner in runners for what in ("s", "s/MP", "peak MB")]
    lines = [
        [f"{height * width / 1e6:g}", *(cell for runner in runners for cell in cells(found.get((runner, height))))]
        for height, width in heights
    ]
    return ["megapixels", *head], lines


def _cost(row: Row, first: Row) -> list[str]:
    ratio = row.seconds_per_megapixel / first.seconds_per_megapixel
    return [
        number(row.seconds_per_megapixel),
        number(row.cpu_seconds_per_megapixel),
        number(ratio),
        f"{row.peak_mb:.0f}",
    ]


def _speed(report: Report, row: Row) -> list[str]:
    if not row.macs:
        return ["", ""]
    peak = report.peak(row.threads)
    return [f"{row.gflops:.0f}", f"{row.gflops / peak:.0%}" if peak else ""]


def _agreement(row: Row) -> str:
    if row.agreement is None:
        return ""
    return "equal" if row.agreement == EQUAL else f"{row.agreement:.0f}"


def _psnr(row: Row, first: Row) -> str:
    if row.psnr is None:
        return ""
    lost = "" if row is first or first.psnr is None else f" ({row.psnr - first.psnr:+.3f})"
    return f"{row.psnr:.3f}{lost}"


def _machine(report: Report) -> str:
    about = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    threads = plural(report.threads, "thread")
    return f"{about['cpu']} with {about['cores']} cores, {about['system']}, {threads}; {versions}"


def _peak(report: Report) -> str:
    counts = sorted({row.threads for row in report.of("peak")})
    return ", ".join(f"{report.peak(count):.0f} on {plural(count, 'thread')}" for count in counts)
