"""A report of speed and memory as a Markdown page."""

from collections.abc import Iterable

from benchmarks.report import Growth, Report, Row
from drrn.core.metrics import EQUAL
from drrn.tables import Line, markdown, number, plural


def to_markdown(report: Report, plot: str = "") -> str:
    """A page that follows from the report alone.

    Args:
        plot: the path of the picture from `benchmarks.plot`, relative to the page.
    """
    parts = [
        "# How fast it is",
        f"Measured by `{report.command}`{f' at commit {report.commit}' if report.commit else ''} on "
        f"{_machine(report)}. `make bench` measures it again. Seconds are medians. The rows of a table took turns, "
        "each in a process of its own. Machines differ and are shared: compare the ratios. Models are those of that "
        "commit, in their names, too: `drrn models list` shows those of today.",
        *([f"![Seconds per megapixel, and how time and memory grow]({plot})"] if plot else []),
        COLUMNS.format(side=report.side, peak=_peak(report)),
        "## One network, many ways to run it",
    ]
    for name in report.networks:
        rows = report.of("runners", name)
        work = f"{rows[0].macs:,} multiply-adds per pixel, {rows[0].parameters:,} parameters."
        parts += [f"### {name}", work, markdown(*_runners(report, rows), padded=True)]
    if report.of("networks"):
        parts += ["## Many networks, one size of result", BASELINES, markdown(*_networks(report), padded=True)]
    if report.of("threads"):
        parts += [f"## Threads\n\n{report.of('threads')[0].network}:", markdown(*_threads(report), padded=True)]
    if report.growth:
        first = report.growth[0]
        introduction = GROWTH.format(network=first.network, width=first.width)
        parts += ["## Larger pictures", introduction, markdown(*_growth(report.growth), padded=True)]
    parts += ["\n".join(f"* {sentence}" for sentence in report.left_out)]
    return "\n\n".join(part for part in parts if part) + "\n"


COLUMNS = """\
* *s/MP*: seconds per megapixel of the result, {side}x{side} pixels; *CPU s/MP*: of all threads together.
* *time*: relative to the first row of the table.
* *peak MB*: peak memory, less what the process takes with all its libraries and without a network.
* *GFLOP/s*: 2 operations for every multiply-add of a direct convolution, whatever is computed instead: Winograd's \
algorithm needs down to a quarter of them and can exceed the peak, as can 16 and 8 bits.
* *of peak*: of the highest rate of NumPy's matrix product or a wide convolution of ONNX Runtime or OpenVINO in \
float32: {peak}.
* *agrees*: PSNR in dB of the result against that by torch eager, channels last, in float32."""

BASELINES = """\
Other people's networks have random weights: the table shows their cost, not their quality. Networks that enlarge by \
themselves get a smaller image. Networks of three channels make RGB, the others luma."""

GROWTH = """\
{network}, images {width} pixels wide. An engine that streams enlarges them in bands, which are made and dropped one \
by one; the others hold the whole image."""

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
    head = ["", "run by", "kMAC per pixel", "parameters", "s/MP", "CPU s/MP", "time", "peak MB", "GFLOP/s", "of peak"]
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
    by_runner: dict[str, dict[int, float]] = {}
    for row in report.of("threads"):
        by_runner.setdefault(row.runner, {})[row.threads] = row.seconds_per_megapixel
    counts = sorted({count for seconds in by_runner.values() for count in seconds})
    head = ["s/MP", *(plural(count, "thread") for count in counts), "speed-up"]
    lines = [
        [runner, *(number(seconds[count]) for count in counts), f"{seconds[counts[0]] / seconds[counts[-1]]:.2f}"]
        for runner, seconds in by_runner.items()
    ]
    return head, lines


def _growth(growth: list[Growth]) -> Table:
    runners = list(dict.fromkeys(each.runner for each in growth))
    heights = sorted({(each.height, each.width) for each in growth})
    by_size = {(each.runner, each.height): each for each in growth}

    def cells(each: Growth | None) -> list[str]:
        if each is None:
            return ["", "", ""]
        return [number(each.seconds), number(each.seconds / each.megapixels), f"{each.peak_mb:.0f}"]

    head = [f"{runner}, {what}" for runner in runners for what in ("s", "s/MP", "peak MB")]
    lines = [
        [f"{height * width / 1e6:g}", *(cell for runner in runners for cell in cells(by_size.get((runner, height))))]
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
    hardware = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    threads = plural(report.threads, "thread")
    return f"{hardware['cpu']} with {hardware['cores']} cores, {hardware['system']}, {threads}; {versions}"


def _peak(report: Report) -> str:
    counts = sorted({row.threads for row in report.of("peak")})
    return ", ".join(f"{report.peak(count):.0f} on {plural(count, 'thread')}" for count in counts)
