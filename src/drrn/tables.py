"""Tables, numbers and plurals as text."""

import math
from collections.abc import Iterable, Sequence

Line = Sequence[str]


def markdown(head: Line, lines: Iterable[Line], *, texts: int = 1, padded: bool = False) -> str:
    """A Markdown table, without a line break at its end.

    Args:
        texts: how many of the first columns hold text, aligned left; the others hold numbers, aligned right.
        padded: pad the cells, so that the columns line up in the source, too.
    """
    body = [head, *lines]
    widths = [max(map(len, column)) if padded else 0 for column in zip(*body, strict=True)]
    rule = ["-" * (width or 3) if at < texts else "-" * ((width or 4) - 1) + ":" for at, width in enumerate(widths)]
    aligned = [_aligned(line, widths, texts) for line in body]
    return "\n".join("| " + " | ".join(line) + " |" for line in [aligned[0], rule, *aligned[1:]])


def columns(head: Line, lines: Iterable[Line], *, texts: int = 1) -> str:
    """The same table for a terminal: padded columns with two spaces between them."""
    body = [head, *lines]
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    return "\n".join("  ".join(_aligned(line, widths, texts)) for line in body)


def number(value: float) -> str:
    """A number of at least 0, to three significant digits."""
    rounded = float(f"{value:.3g}")  # first: 9.999 has one digit before the point, and 10.0 two
    return f"{rounded:.{max(0, 2 - math.floor(math.log10(rounded)))}f}" if rounded > 0 else "0"


def plural(count: int, noun: str) -> str:
    """`1 thread`, `2 threads`, `1,024 threads`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _aligned(line: Line, widths: Sequence[int], texts: int) -> list[str]:
    return [
        cell.ljust(width) if at < texts else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
