"""What results are called where no file is named, and sizes that follow from the proportions of each picture."""

import re
from dataclasses import dataclass
from typing import Final

from drrn.errors import UsageError
from drrn.upscaling.size import Size

PLACES: Final = ("stem", "scale", "width", "height")
"""What a pattern may hold in braces."""


@dataclass(frozen=True)
class Naming:
    """A name of its own for each result.

    Raises:
        UsageError: the pattern or the suffix is no part of a file's name.
    """

    pattern: str | None = None
    """Such as `{stem}_x{scale}`, without a suffix; None is that, or `{stem}_{width}x{height}` for a size."""
    suffix: str | None = None
    """Such as `webp`; that of the source if None, or what is usual in place of a format that can't be written."""

    def __post_init__(self) -> None:
        if self.pattern is not None:
            left = re.sub(rf"\{{({'|'.join(PLACES)})\}}", "", self.pattern)
            if not self.pattern or re.search(r"[{}/\\]", left):
                places = ", ".join(f"{{{place}}}" for place in PLACES)
                raise UsageError(f"A --name is text with {places}, without a folder, got {self.pattern!r}.")
        if self.suffix is not None and not re.fullmatch(r"\.?[A-Za-z0-9]+", self.suffix):
            raise UsageError(f"A --format is a suffix such as webp, got {self.suffix!r}.")

    def name(self, stem: str, suffix: str, scale: str, size: tuple[int, int], *, exact: bool) -> str:
        """The name of a result of that stem, suffix, scale and size in pixels; `exact`: a size was asked for."""
        pattern = self.pattern or ("{stem}_{width}x{height}" if exact else "{stem}_x{scale}")
        values = {"stem": stem, "scale": scale, "width": str(size[0]), "height": str(size[1])}
        named = re.sub(r"\{(\w+)\}", lambda place: values[place[1]], pattern)
        return named + (f".{self.suffix.lstrip('.')}" if self.suffix else suffix)


@dataclass(frozen=True)
class Fit:
    """A size that keeps the proportions of a picture."""

    width: int
    """Pixels of the longer side, or with a height, of the width at least."""
    height: int | None = None
    """Pixels of the height at least."""

    def __str__(self) -> str:
        return f"{self.width}" if self.height is None else f"{self.width}x{self.height}+"

    def size(self, width: int, height: int) -> Size:
        """For a picture of that size in pixels."""
        if self.height is None:
            return (self.width, None) if width >= height else (None, self.width)
        wide = self.width * height >= self.height * width
        return (self.width, None) if wide else (None, self.height)


def parse_size(text: str) -> Size | Fit:
    """4000 (the longer side), 2000x, x1000, 1920x1080, or 1920x1080+ (at least that).

    Raises:
        UsageError: it is none of these.
    """
    found = re.fullmatch(r"(\d+)|(\d+)x(\d+)\+|(?=\d*x\d)(\d*)x(\d*)|(\d+)x", text.lower(), re.ASCII)
    if not found or not all(int(digits) for digits in re.findall(r"\d+", text)):
        raise UsageError(f"A size is written 4000, 2000x, x1000, 1920x1080 or 1920x1080+, got {text!r}.")
    longer, width, height = found[1], *(int(digits) if digits else None for digits in (found[2], found[3]))
    if longer:
        return Fit(int(longer))
    if width:
        return Fit(width, height)
    across, _, down = text.lower().partition("x")
    return int(across) if across else None, int(down) if down else None
