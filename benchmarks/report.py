"""What a benchmark measured, and its JSON."""

import json
from dataclasses import asdict, dataclass
from statistics import median
from typing import Literal

Group = Literal["peak", "runners", "networks", "threads"]


@dataclass(frozen=True)
class Row:
    """The cost of one case. Seconds are of each repeat; the first run, which warms up, is not among them."""

    group: Group
    """The cases of one group took turns; of `runners`, those of one network."""
    network: str
    runner: str
    threads: int
    pixels: int
    """Of the result."""
    macs: int
    """Multiply-adds per pixel, by direct convolution; 0 if they are not counted."""
    parameters: int
    seconds: list[float]
    cpu_seconds: list[float]
    peak_mb: float
    agreement: float | None = None
    """PSNR in dB of the result against that of torch in float32, at a peak of 1; EQUAL if all bits are equal."""
    psnr: float | None = None
    """dB on the pictures of `Report.data`, at x2."""

    @property
    def seconds_per_megapixel(self) -> float:
        return median(self.seconds) / self.pixels * 1e6

    @property
    def cpu_seconds_per_megapixel(self) -> float:
        return median(self.cpu_seconds) / self.pixels * 1e6

    @property
    def gflops(self) -> float:
        """10^9 operations of a direct convolution per second, whatever was computed instead."""
        return 2 * self.macs * self.pixels / median(self.seconds) / 1e9


@dataclass(frozen=True)
class Growth:
    """The cost of one image size."""

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
    """All measurements, and where and how they were made."""

    machine: dict[str, str]
    versions: dict[str, str]
    commit: str
    command: str
    side: int
    threads: int
    data: str
    """The name of the set that PSNR was measured on; empty if there is none."""
    rows: list[Row]
    growth: list[Growth]
    left_out: list[str]
    """A sentence for each case that could not be run."""

    def peak(self, threads: int) -> float:
        """The highest GFLOP/s of wide products and convolutions in float32; 0 if none was run."""
        rows = [row for row in self.of("peak") if row.threads == threads]
        return max((2 * row.macs * row.pixels / min(row.seconds) / 1e9 for row in rows), default=0.0)

    @property
    def networks(self) -> list[str]:
        """The networks whose runners were compared."""
        return list(dict.fromkeys(row.network for row in self.of("runners")))

    def of(self, group: Group, network: str = "") -> list[Row]:
        """The rows of one group, and of one network if it is named."""
        return [row for row in self.rows if row.group == group and network in ("", row.network)]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Read what `to_json` wrote; older reports have `race` for `group`."""
        values = json.loads(text)
        rows = [Row(group=row.pop("race", None) or row.pop("group"), **row) for row in values["rows"]]
        return cls(**{**values, "rows": rows, "growth": [Growth(**row) for row in values["growth"]]})
