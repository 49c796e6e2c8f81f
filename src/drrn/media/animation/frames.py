"""Frames of an animation: placed on a canvas, blended, and disposed of after a time, as in GIF, APNG and animated WebP.

In all three formats a frame is nearly a file of its own, so libvips decodes and encodes each as a single image, with
the usual strictness. This module and `apng`, `gif` and `webp` parse files into frames, compose them, and reassemble
files.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drrn.errors import ImageError
from drrn.media.file_format import FileFormat
from drrn.media.metadata.metadata import Metadata

Samples = NDArray[Any]
"""(H, W, bands), uint8 or uint16; of 2 and 4 bands the last is alpha."""

MOST_FRAMES = 1 << 14
"""Most frames accepted, ten minutes at 25 frames per second: a small file can have hundreds of thousands."""


class Frame(NamedTuple):
    """A frame as stored."""

    left: int
    """Position on the canvas, in pixels; likewise `top`."""
    top: int
    width: int
    height: int
    seconds: Fraction
    """Duration."""
    alpha: bool
    """Whether some of its pixels may not be opaque."""
    blends: bool
    """Whether it is blended over the canvas instead of replacing it."""
    disposal: Literal["keep", "clear", "restore"]
    """What happens to its area afterwards: it is kept, cleared to transparent, or restored to its former content."""
    still: Callable[[], bytes]
    """Builds a file of this frame alone. Raises ImageError if it is damaged."""


@dataclass
class ParsedAnimation:
    """An animation parsed into its frames."""

    form: FileFormat
    name: str
    width: int
    height: int
    frames: list[Frame] = field(default_factory=list)
    plays: int = 1
    """Number of times it is played; 0 for ever."""
    metadata: Metadata = field(default_factory=Metadata)
    background: bytes = bytes(4)
    """Background color of a WebP as stored; viewers ignore it."""
    left_out: tuple[str, ...] = ()
    """Contents that are not frames, in the style of `Header.converted`."""

    def add(self, frame: Frame) -> None:
        """Append a frame. Raises ImageError if it exceeds the canvas or the limit on frames."""
        if len(self.frames) == MOST_FRAMES:
            raise ImageError(f"{self.name} has over {MOST_FRAMES:,} frames; a shorter animation was expected.")
        inside = frame.left + frame.width <= self.width and frame.top + frame.height <= self.height
        if not inside or not frame.width or not frame.height:
            raise self.damaged("a frame lies outside of it")
        self.frames.append(frame)

    def damaged(self, why: str) -> ImageError:
        """Return the error for a damaged file, to be raised by the caller."""
        kind = {"GIF": "a GIF", "PNG": "an animated PNG"}.get(self.form, f"an animated {self.form}")
        return ImageError(f"{self.name} is {kind} that is damaged or cut short ({why}).")

    @property
    def alpha(self) -> bool:
        """Whether any composed frame may be transparent somewhere."""
        opaque = False  # the empty canvas is transparent
        for frame in self.frames:
            covered = (frame.width, frame.height) == (self.width, self.height) and not frame.alpha
            shown = covered or (opaque and (frame.blends or not frame.alpha))
            if not shown:
                return True
            opaque = {"keep": True, "clear": False, "restore": opaque}[frame.disposal]
        return False


class Patch(NamedTuple):
    """The changed rectangle of a frame; everything else stays as in the previous frame."""

    left: int
    top: int
    samples: Samples


def composed(animation: ParsedAnimation, decode: Callable[[Frame], Samples]) -> Iterator[Samples]:
    """Yield the composed frames, (H, W, 2 or 4).

    Args:
        decode: decodes a single frame, with alpha.
    """
    canvas: Samples | None = None
    for frame in animation.frames:
        still = decode(frame)
        if canvas is None:
            canvas = np.zeros((animation.height, animation.width, still.shape[2]), still.dtype)
        place = canvas[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]
        before = place.copy() if frame.disposal == "restore" else np.zeros((1, 1, 1), canvas.dtype)
        place[...] = blended(place, still) if frame.blends else still
        yield canvas.copy()
        if frame.disposal != "keep":
            place[...] = before


def blended(below: Samples, above: Samples) -> Samples:
    """Blend `above` over `below`; both have unassociated alpha."""
    top = np.iinfo(above.dtype).max
    seen = above[..., -1] > 0
    result = np.where(seen[..., None], above, below)
    both = seen & (above[..., -1] < top) & (below[..., -1] > 0)
    if both.any():
        front, back = above[both].astype(np.float64), below[both].astype(np.float64)
        near = front[:, -1:]
        far = back[:, -1:] * (1 - near / top)
        front[:, :-1] = (front[:, :-1] * near + back[:, :-1] * far) / (near + far)
        front[:, -1:] = near + far
        result[both] = np.rint(front).astype(above.dtype)
    return result


def patches(frames: Iterable[Samples], *, step: int = 1, holes: bool = False) -> Iterator[Patch]:
    """Yield the first frame, then the rectangle in which each frame differs from the previous one, at least one pixel.

    Args:
        step: left and top are rounded down to multiples of this.
        holes: make unchanged pixels transparent, for formats that blend; not for frames with alpha.
    """
    before: Samples | None = None
    for frame in frames:
        if before is None:
            yield Patch(0, 0, frame)
        else:
            differs = (frame != before).any(axis=2)
            top, bottom = _ends(differs.any(axis=1), step)
            left, right = _ends(differs.any(axis=0), step)
            part, differs = frame[top:bottom, left:right], differs[top:bottom, left:right, None]
            if holes:
                part = np.dstack([part * differs, differs * np.iinfo(frame.dtype).max]).astype(frame.dtype)
            yield Patch(left, top, part)
        before = frame


def ticks(seconds: Sequence[Fraction], rate: int, most: int) -> list[int]:
    """Convert durations to units of 1/rate s, at most `most`, carrying rounding errors over so that frames stay in
    sync.

    Durations above 1/100 s stay above it: browsers take shorter ones for a mistake and use 1/10 s.
    """
    durations, late = [], Fraction(0)
    for each in seconds:
        least = rate // 100 + 1 if each > Fraction(1, 100) else 0
        durations.append(min(max(round(each * rate + late), least), most))
        late = min(max(late + each * rate - durations[-1], Fraction(-1, 2)), Fraction(1, 2))
    return durations


def _ends(differs: NDArray[np.bool], step: int) -> tuple[int, int]:
    where = np.flatnonzero(differs)
    return (int(where[0]) // step * step, int(where[-1]) + 1) if where.size else (0, 1)
