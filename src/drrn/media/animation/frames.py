"""Frames that lie on a canvas, one upon the other, and stay for a while, as in GIF, APNG and animated WebP.

In all three a frame is nearly a file of its own. So libvips decodes and encodes each as a single picture, as strictly
as any, and what is done here and in `apng`, `gif` and `webp` is the rest: to take such a file apart, to compose, and to
put it together again.
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
"""A little file can have hundreds of thousands; this is ten minutes of 25 a second."""


class Frame(NamedTuple):
    """What a file has for one moment."""

    left: int
    """Its place on the canvas, in pixels, as the next."""
    top: int
    width: int
    height: int
    seconds: Fraction
    """How long it is shown."""
    alpha: bool
    """Whether some of its pixels may not be opaque."""
    over: bool
    """Whether it is blended with what is there, or put in its place."""
    after: Literal["keep", "clear", "restore"]
    """What becomes of its place afterwards: it stays, is transparent, or is what it was."""
    still: Callable[[], bytes]
    """A file of it alone. Raises ImageError: it is damaged."""


@dataclass
class ParsedAnimation:
    """A file of frames, taken apart."""

    form: FileFormat
    name: str
    width: int
    height: int
    frames: list[Frame] = field(default_factory=list)
    plays: int = 1
    """How often they are shown; 0 for ever."""
    metadata: Metadata = field(default_factory=Metadata)
    background: bytes = bytes(4)
    """Of a WebP, as it stands there; nobody shows it."""
    left_out: tuple[str, ...] = ()
    """What is there and is no frame, as in `Header.converted`."""

    def add(self, frame: Frame) -> None:
        """Raises ImageError: it does not lie on the canvas, or is one too many."""
        if len(self.frames) == MOST_FRAMES:
            raise ImageError(f"{self.name} has over {MOST_FRAMES:,} frames; a shorter animation was expected.")
        inside = frame.left + frame.width <= self.width and frame.top + frame.height <= self.height
        if not inside or not frame.width or not frame.height:
            raise self.damaged("a frame lies outside of it")
        self.frames.append(frame)

    def damaged(self, why: str) -> ImageError:
        """To be raised."""
        kind = {"GIF": "a GIF", "PNG": "an animated PNG"}.get(self.form, f"an animated {self.form}")
        return ImageError(f"{self.name} is {kind} that is damaged or cut short ({why}).")

    @property
    def alpha(self) -> bool:
        """Whether something may be seen through it at some time."""
        opaque = False  # the canvas, before a frame
        for frame in self.frames:
            covered = (frame.width, frame.height) == (self.width, self.height) and not frame.alpha
            shown = covered or (opaque and (frame.over or not frame.alpha))
            if not shown:
                return True
            opaque = {"keep": True, "clear": False, "restore": opaque}[frame.after]
        return False


class Patch(NamedTuple):
    """What is written of a frame, where the one before it stays."""

    left: int
    top: int
    samples: Samples


def composed(animation: ParsedAnimation, decode: Callable[[Frame], Samples]) -> Iterator[Samples]:
    """What is seen at each time, (H, W, 2 or 4).

    Args:
        decode: gives a frame alone, with alpha.
    """
    canvas: Samples | None = None
    for frame in animation.frames:
        still = decode(frame)
        if canvas is None:
            canvas = np.zeros((animation.height, animation.width, still.shape[2]), still.dtype)
        place = canvas[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]
        before = place.copy() if frame.after == "restore" else np.zeros((1, 1, 1), canvas.dtype)
        place[...] = blended(place, still) if frame.over else still
        yield canvas.copy()
        if frame.after != "keep":
            place[...] = before


def blended(below: Samples, above: Samples) -> Samples:
    """One upon the other, both of any alpha; colors are not multiplied by it."""
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
    """The first frame, and of the others the rectangle in which they differ from the one before; one pixel, if nowhere.

    Args:
        step: of which the left and the top end are multiples.
        holes: whether pixels that stay become transparent, for who can blend; not for frames with alpha.
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
    """The durations in 1/rate of a second, rounded so that frames stay in time, none longer than `most`.

    What is longer than a hundredth of a second stays so: browsers take less for a mistake, and show it for a tenth.
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
