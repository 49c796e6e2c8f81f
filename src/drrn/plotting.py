"""Shared by all figures: the palette, the style of axes, and files with the same bytes for the same figure."""

from collections.abc import Iterable, Sequence
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, StrMethodFormatter

from drrn.atomic import atomic
from drrn.errors import UsageError

OURS, OTHERS, INK, GRID = "#c1440e", "#9aa9b5", "#333333", "#e6e9ec"
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
"""Writes 0.01 where matplotlib's logarithmic axis would write a power of ten."""
METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}
"""Metadata left out of a file, by suffix: they would differ between days or versions of matplotlib."""
DOTTED: dict[str, Any] = {"color": INK, "linestyle": ":", "linewidth": 1.0}
"""The style of lines drawn for comparison."""
LOOK: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.markersize": 4,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}
STEPS = [1, 2, 5, 10]
"""Of ticks."""


def save(figure: Figure, path: Path, *, dpi: int = 110, overwrite: bool = True) -> None:
    """Write a figure as .png, .svg or .pdf; the same figure gives the same bytes.

    Args:
        dpi: pixels per inch, of a PNG.

    Raises:
        DRRNError: the suffix is another, or the file can't be written.
    """
    if path.suffix not in METADATA:
        raise UsageError(f"A figure must end in {', '.join(METADATA)}, got {path.name}.")
    with rc_context({"svg.hashsalt": "drrn"}), atomic(path, overwrite=overwrite) as temporary:
        figure.savefig(temporary, dpi=dpi, metadata=METADATA[path.suffix])


def style(axes: Axes, title: str) -> None:
    """Put the title on the left, use small ticks, and remove the frame except for the two axes."""
    axes.set_title(title, fontsize=10, loc="left", color=INK)
    axes.tick_params(labelsize=8, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)


def grid(axes: Axes) -> None:
    """Draw thin lines behind the data."""
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def line(
    axes: Axes, runs: Iterable[Sequence[float]], label: str, end: str = "", *, band: bool = True, **style: Any
) -> None:
    """Draw the mean of `runs` at 1, 2, ..., in a band from minimum to maximum; nothing if `runs` are all empty."""
    kept = [run for run in runs if run]
    longest = max(map(len, kept), default=0)
    columns = [*zip(*([*run, *[run[-1]] * (longest - len(run))] for run in kept), strict=True)]
    x, means = range(1, len(columns) + 1), [*map(fmean, columns)]
    axes.plot(x, means, label=label, linewidth=1.4, **style)
    axes.plot(x[-1:], means[-1:], end, color=style["color"])
    if band:
        axes.fill_between(x, [*map(min, columns)], [*map(max, columns)], color=style["color"], alpha=0.15, linewidth=0)
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=STEPS))


def level(axes: Axes, value: float, text: str) -> None:
    """Draw a dotted horizontal line with a label."""
    axes.axhline(value, **DOTTED)
    below: dict[str, Any] = {"xytext": (0, -3), "textcoords": "offset points", "ha": "right", "va": "top"}
    axes.annotate(text, (1, value), xycoords=axes.get_yaxis_transform(), **below, fontsize=8)


def logarithmic(axes: Axes, which: Literal["x", "y"] = "y", most: float = inf) -> None:
    """Make an axis logarithmic with readable ticks, whether the values span decades or less, up to `most`."""
    axes.set(**{f"{which}scale": "log"})
    axes.minorticks_off()
    axis = axes.yaxis if which == "y" else axes.xaxis
    low, high = axis.get_view_interval()
    if high > most:
        axes.set(**{f"{which}lim": (low, high := most)})
    if high < 1000 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 5 * low else MaxNLocator(5, steps=STEPS))
        axis.set_major_formatter(StrMethodFormatter("{x:,.9g}"))
