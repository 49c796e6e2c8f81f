"""Numbers as metadata write them: whole, decimal, or as a fraction."""

import re
from fractions import Fraction
from typing import Final

_WHOLE: Final = re.compile(r"[+-]?\d{1,18}")
_DECIMAL: Final = re.compile(r"[+-]?(\d{1,18}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?")
_FRACTION: Final = re.compile(r"([+-]?\d{1,18})\s*/\s*(\d{1,18})")
MAX_32_BITS: Final = 0xFFFFFFFF


def parse(text: str) -> Fraction | None:
    """The number, or None where it is no finite one."""
    text = text.strip()
    if match := _FRACTION.fullmatch(text):
        return Fraction(int(match[1]), int(match[2])) if int(match[2]) else None
    return Fraction(text) if _DECIMAL.fullmatch(text) else None


def write(number: Fraction, like: str) -> str:
    """The number in the way `like` is written: a whole one is rounded."""
    if _WHOLE.fullmatch(like.strip()):
        return str(round_half_up(number))
    if "/" in like:
        above, below = rational(abs(number))
        return f"{'-' if number < 0 else ''}{above}/{below}"
    return f"{float(number):.10g}"


def round_half_up(number: Fraction) -> int:
    return (number + Fraction(1, 2)).__floor__()


def rational(number: Fraction) -> tuple[int, int]:
    """A fraction of two numbers of 32 bit, as near to a number from 0 on as they allow."""
    most = max(1, min(MAX_32_BITS, int(MAX_32_BITS / max(number, Fraction(1)))))
    above, below = number.limit_denominator(most).as_integer_ratio()
    return min(above, MAX_32_BITS), below
