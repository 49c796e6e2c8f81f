"""Name results if the user names no file, and choose sizes that keep the proportions of each image."""

import re
from dataclasses import dataclass
from typing import Final

from drrn.errors import UsageError
from drrn.upscaling.size import Size

PLACES: Final = ("stem", "scale", "width", "height")
"""The placeholders that a pattern may contain."""


@dataclass(frozen=True)
class Naming:
    """How results are named.

    Raises:
        UsageError: the pattern or the suffix can't be part of a file name.
    """

    pattern: str | None = None
    """Such as `{stem}_x{scale}`, without a suffix. None stands for that or, if a size was requested,
    `{stem}_{width}x{height}`.
    """
    suffix: str | None = None
    """Such as `webp`; None for that of the source, or the usual substitute if that format can't be written."""

    def __post_init__(self) -> None:
        if self.pattern is not None:
            left = re.sub(rf"\{{({'|'.join(PLACES)})\}}", "", self.pattern)
            if not self.pattern or re.search(r"[{}/\\]", left):
                places = ", ".join(f"{{{place}}}" for place in PLACES)
                raise UsageError(f"A --name is text with {places}, without a folder, got {self.pattern!r}.")
        if self.suffix is not None and not re.fullmatch(r"\.?[A-Za-z0-9]+", self.suffix):
            raise UsageError(f"A --format is a suffix such as webp, got {self.suffix!r}.")

    def name(self, stem: str, suffix: str, scale: str, size: tuple[int, int], *, exact: bool) -> str:
        """Return the name of a result.

        Args:
            stem: of the source.
            suffix: of the result, with its dot.
            scale: as text.
            size: (width, height) in pixels.
            exact: whether a size rather than a scale was requested.
        """
        pattern = self.pattern or ("{stem}_{width}x{height}" if exact else "{stem}_x{scale}")
        values = {"stem": stem, "scale": scale, "width": str(size[0]), "height": str(size[1])}
        named = re.sub(r"\{(\w+)\}", lambda place: values[place[1]], pattern)
        return named + (f".{self.suffix.lstrip('.')}" if self.suffix else suffix)


@dataclass(frozen=True)
class Fit:
    """A size that keeps the proportions of each image."""

    width: int
    """The longer side in pixels or, if there is a height, the smallest width."""
    height: int | None = None
    """The smallest height in pixels."""

    def __str__(self) -> str:
        return f"{self.width}" if self.height is None else f"{self.width}x{self.height}+"

    def size(self, width: int, height: int) -> Size:
        """Return the size for an image of this width and height in pixels."""
        if self.height is None:
            return (self.width, None) if width >= height else (None, self.width)
        wide = self.width * height >= self.height * width
        return (self.width, None) if wide else (None, self.height)


def parse_size(text: str) -> Size | Fit:
    """Parse 4000 (the longer side), 2000x, x1000, 1920x1080, or 1920x1080+ (at least that).

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
