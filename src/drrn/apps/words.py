"""How the commands say things, and read them."""

import re

from drrn.errors import DRRNError, UsageError, printable

UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def duration(seconds: float) -> str:
    """4.2 s, 75 s, 12 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def parse_duration(text: str) -> float:
    """90, 30s, 2m or 1.5h as seconds.

    Raises:
        UsageError: it is none of these, or 0.
    """
    written = re.fullmatch(r"(\d+(?:\.\d+)?) ?(s|m|min|h|)", text, re.ASCII)
    if not written or not float(written[1]):
        raise UsageError(f"A time is written 90, 30s, 2m or 1.5h, got {text!r}.")
    return float(written[1]) * UNITS[written[2]]


def sentence(error: DRRNError) -> str:
    """The message on one line, without control characters."""
    return printable(" ".join(str(error).split()))
