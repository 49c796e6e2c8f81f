"""The size of a result: from a scale, or from a size with one or both sides."""

from numbers import Integral, Real

from drrn.errors import UsageError
from drrn.media.image import type_name

MAX_SCALE = 8.0
"""Twice what the packaged models were trained for."""

Size = tuple[int | None, int | None]
"""(width, height) in pixels; a side that is None follows from the other."""


def target_size(width: int, height: int, scale: float | None, size: Size | None) -> tuple[int, int]:
    """(width, height) of the result.

    Raises:
        TypeError: scale is not a number, or size is not a pair of them.
        UsageError: scale or size is out of range.
    """
    if size is None:
        scale = 2.0 if scale is None else scale
        if not isinstance(scale, Real):
            raise TypeError(f"A scale is a number, got {type_name(scale)}.")
        if not 1 < scale <= MAX_SCALE:  # NaN is refused here too
            raise UsageError(f"A scale must be above 1 and at most {MAX_SCALE:g}, got {scale:g}.")
        return int(width * scale + 0.5), int(height * scale + 0.5)
    if scale is not None:
        raise UsageError("Give a scale or a size, not both.")
    if not (isinstance(size, tuple | list) and len(size) == 2 and all(isinstance(s, Integral | None) for s in size)):
        raise TypeError(f"A size is (width, height) in whole pixels, one of which may be None, got {size!r}.")
    wide, high = size
    if wide is None:
        wide = None if high is None else int(width * high / height + 0.5)
    if high is None and wide is not None:
        high = int(height * wide / width + 0.5)
    if wide is None or high is None:
        raise UsageError("A size needs a width or a height.")
    inside = all(1 <= new / old <= MAX_SCALE for new, old in ((wide, width), (high, height)))
    if not inside or (wide, high) == (width, height):
        raise UsageError(
            f"{wide}x{high} is not an enlargement of {width}x{height} by 1 to {MAX_SCALE:g} a side. Give a size "
            f"between that and {int(width * MAX_SCALE)}x{int(height * MAX_SCALE)}."
        )
    return wide, high
