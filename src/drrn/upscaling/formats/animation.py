"""Animations, from file to file: frame by frame, each as a single picture, and those that are alike once.

No frame knows of the others. What moves a little may so be restored a little differently from one to the next, which is
seen as a flicker of its finest detail; what stands still stands still.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from drrn.errors import ImageError, printable
from drrn.media.animation.files import (
    ANIMATED,
    Animation,
    changes,
    format_of,
    is_animated,
    probe,
    read,
    writable,
    write,
)
from drrn.media.animation.frames import Samples
from drrn.media.header import Header
from drrn.media.image import Image
from drrn.media.images.memory import encoding
from drrn.media.metadata.notes import FileFormat
from drrn.media.naming import split
from drrn.upscaling.consistency import CheckResult
from drrn.upscaling.formats.job import Job, Made
from drrn.upscaling.upscaler import Estimate, Upscaler

MOST_KEPT = 128 << 20
"""Bytes of results that are kept for frames that come again."""
AT_ONCE = 4
"""Results that lie in memory, when one is written: itself, the one before, and what differs, twice."""


class Animations:
    """See `drrn.upscaling.formats.job.Format`."""

    checks: Final = False
    counts_frames: Final = True
    warning: Final = ""

    def knows(self, path: Path) -> bool:
        return is_animated(path)

    def gathers(self, path: Path) -> bool:
        """As `Pictures.gathers` does."""
        return False

    def probe(self, source: Path, *, max_pixels: int) -> Header:
        return probe(source, max_pixels=max_pixels)

    def name(self, source: Path, header: Header) -> tuple[str, str]:
        (stem, suffix), suffixes = split(source.name), ANIMATED[header.format]
        return stem, suffix if suffix.lower() in suffixes else suffixes[0]

    def writable(self, job: Job, path: Path, *, overwrite: bool) -> None:
        writable(path, job.width, job.height, overwrite=overwrite)

    def changes(self, job: Job) -> tuple[str, ...]:
        return changes(job.header, job.target)

    def estimate(self, job: Job, upscaler: Upscaler) -> Estimate:
        """Of frames that are alike nothing is known yet."""
        header, held = job.header, _held(job, upscaler)
        one = upscaler.with_reserved_memory(held).estimate(
            header.width, header.height, size=(job.width, job.height), alpha=header.alpha
        )
        return replace(one, seconds=one.seconds * header.frames, memory=one.memory + held)

    def enlarge(
        self,
        job: Job,
        upscaler: Upscaler,
        *,
        start: Callable[[], None],
        progress: Callable[[float], None],
        made: Made,
    ) -> CheckResult:
        animation = read(job.source, max_pixels=job.header.pixels)
        start()
        write(
            _enlarged(animation, job, upscaler, progress),
            job.target,
            animation,
            (job.width, job.height),
            loss=job.loss(_form(job)),
            overwrite=job.overwrite,
            made=partial(made, job.target),
        )
        return CheckResult()


ANIMATIONS: Final = Animations()


def _enlarged(
    animation: Animation, job: Job, upscaler: Upscaler, progress: Callable[[float], None]
) -> Iterator[Samples]:
    """The frames, larger, as they are asked for."""
    last = {first: number for number, first in enumerate(animation.alike)}
    kept: dict[int, Samples] = {}
    frames = len(animation.alike)
    beside, room = upscaler.with_reserved_memory(_held(job, upscaler)), _kept(job, upscaler) // _result(job)
    for number, (first, frame) in enumerate(zip(animation.alike, animation.frames(), strict=True)):
        larger = kept.pop(first, None)
        if larger is None:

            def told(share: float, number: int = number) -> None:
                progress((number + share) / frames)

            picture = Image.from_array(frame)
            larger = beside.upscale(picture, size=(job.width, job.height), progress=told).to_array()
        progress((number + 1) / frames)
        if last[first] > number and len(kept) < room:
            kept[first] = larger
        yield larger


def _held(job: Job, upscaler: Upscaler) -> int:
    """Bytes that lie there while a frame is enlarged: the file, its canvas, results, and what the encoder is given.

    Raises:
        ImageError: the file has vanished.
    """
    try:
        file = job.source.stat().st_size
    except OSError as error:
        raise ImageError(f"{printable(job.source)} can't be read: {error.strerror or error}.") from error
    bands, form = job.header.channels + job.header.alpha, _form(job)
    encoder = encoding(form, job.width, job.height, bands, job.header.bits)
    canvas = job.header.width * job.header.height * (job.header.channels + 1) * job.header.bits // 8
    return file + encoder + 3 * canvas + AT_ONCE * _result(job) + _kept(job, upscaler)


def _form(job: Job) -> FileFormat:
    form = format_of(job.target)
    assert form, "found to be writable before"
    return form


def _kept(job: Job, upscaler: Upscaler) -> int:
    return min(MOST_KEPT, upscaler.max_memory // 4, (job.header.frames - 1) * _result(job))


def _result(job: Job) -> int:
    """Bytes of a frame that is enlarged."""
    return job.width * job.height * (job.header.channels + job.header.alpha) * job.header.bits // 8
