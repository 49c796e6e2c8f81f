"""Parse and format numbers as metadata store them: integers, decimals or fractions."""

import re
from fractions import Fraction
from typing import Final

_WHOLE: Final = re.compile(r"[+-]?\d{1,18}")
_DECIMAL: Final = re.compile(r"[+-]?(\d{1,18}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?")
_FRACTION: Final = re.compile(r"([+-]?\d{1,18})\s*/\s*(\d{1,18})")
MAX_32_BITS: Final = 0xFFFFFFFF


def parse(text: str) -> Fraction | None:
    """Parse a number; None if it is not a finite one."""
    text = text.strip()
    if match := _FRACTION.fullmatch(text):
        return Fraction(int(match[1]), int(match[2])) if int(match[2]) else None
    return Fraction(text) if _DECIMAL.fullmatch(text) else None


def write(number: Fraction, like: str) -> str:
    """Format the number in the notation of `like`; integers are rounded."""
    if _WHOLE.fullmatch(like.strip()):
        return str(round_half_up(number))
    if "/" in like:
        above, below = rational(abs(number))
        return f"{'-' if number < 0 else ''}{above}/{below}"
    return f"{float(number):.10g}"


def round_half_up(number: Fraction) -> int:
    return (number + Fraction(1, 2)).__floor__()


def rational(number: Fraction) -> tuple[int, int]:
    """The closest fraction of two unsigned 32-bit integers to a number that is not negative."""
    most = max(1, min(MAX_32_BITS, int(MAX_32_BITS / max(number, Fraction(1)))))
    above, below = number.limit_denominator(most).as_integer_ratio()
    return min(above, MAX_32_BITS), below
