"""Animations, from file to file: each frame is enlarged as a single image, and identical frames only once.

Frames are enlarged independently, so the finest detail of something that moves a little may flicker. What stands still
does not.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from drrn.errors import ImageError, printable
from drrn.media.animation import files
from drrn.media.animation.frames import Samples
from drrn.media.file_format import FileFormat
from drrn.media.header import Header
from drrn.media.image import Image
from drrn.media.images.memory import encoding
from drrn.upscaling.consistency import CheckResult
from drrn.upscaling.cost import Estimate
from drrn.upscaling.formats.job import Format, Hooks, Job, keep_suffix
from drrn.upscaling.upscaler import Upscaler

MAX_CACHE = 128 << 20
"""Bytes of results that are cached for frames that repeat."""
RESULTS_HELD = 4
"""Results in memory while one is written: itself, the one before, and their difference, twice."""


def _suffix(source: Path, header: Header, name: str) -> str:
    return keep_suffix(name, files.ANIMATED[header.format])


def _check_writable(job: Job, path: Path) -> None:
    files.writable(path, job.width, job.height, overwrite=True)


def _changes(job: Job) -> tuple[str, ...]:
    return files.changes(job.header, job.target)


def _estimate(job: Job, upscaler: Upscaler) -> Estimate:
    """The cost if no two frames are alike, which is not known yet."""
    header, reserved = job.header, _reserved_memory(job, upscaler)
    one = upscaler.with_reserved_memory(reserved).estimate(
        header.width, header.height, size=(job.width, job.height), alpha=header.alpha
    )
    return replace(one, seconds=one.seconds * header.frames, memory=one.memory + reserved)


def _enlarge(job: Job, upscaler: Upscaler, hooks: Hooks) -> CheckResult:
    animation = files.read(job.source, max_pixels=job.header.pixels)
    hooks.start()
    files.write(
        _enlarged_frames(animation, job, upscaler, hooks),
        job.target,
        animation,
        (job.width, job.height),
        loss=job.loss(_target_format(job)),
        overwrite=job.overwrite,
        written=partial(hooks.written, job.target),
    )
    return CheckResult()


def _enlarged_frames(animation: files.Animation, job: Job, upscaler: Upscaler, hooks: Hooks) -> Iterator[Samples]:
    """The larger frames, one at a time as they are requested."""
    last = {first: number for number, first in enumerate(animation.alike)}
    cached: dict[int, Samples] = {}
    count = len(animation.alike)
    limited = upscaler.with_reserved_memory(_reserved_memory(job, upscaler))
    room = _cache_memory(job, upscaler) // _result_bytes(job)
    for number, (first, frame) in enumerate(zip(animation.alike, animation.frames(), strict=True)):
        progress = hooks.progress_of(number, count)
        larger = cached.pop(first, None)
        if larger is None:
            image = Image.from_array(frame)
            larger = limited.upscale(image, size=(job.width, job.height), progress=progress).to_array()
        progress(1)
        if last[first] > number and len(cached) < room:
            cached[first] = larger
        yield larger


def _reserved_memory(job: Job, upscaler: Upscaler) -> int:
    """Bytes in use while a frame is enlarged: the file, its canvas, results, and the encoder's input.

    Raises:
        ImageError: the file is gone.
    """
    try:
        file = job.source.stat().st_size
    except OSError as error:
        raise ImageError(f"{printable(job.source)} can't be read: {error.strerror or error}.") from error
    bands, form = job.header.channels + job.header.alpha, _target_format(job)
    encoder = encoding(form, job.width, job.height, bands, job.header.bits)
    canvas = job.header.width * job.header.height * (job.header.channels + 1) * job.header.bits // 8
    return file + encoder + 3 * canvas + RESULTS_HELD * _result_bytes(job) + _cache_memory(job, upscaler)


def _target_format(job: Job) -> FileFormat:
    form = files.format_of(job.target)
    assert form, "checked by `_check_writable`"
    return form


def _cache_memory(job: Job, upscaler: Upscaler) -> int:
    return min(MAX_CACHE, upscaler.max_memory // 4, (job.header.frames - 1) * _result_bytes(job))


def _result_bytes(job: Job) -> int:
    """Bytes of one enlarged frame."""
    return job.width * job.height * (job.header.channels + job.header.alpha) * job.header.bits // 8


def _collect_none(path: Path) -> bool:
    """Leave animations in folders to the format of single images, which collects them by name."""
    return False


ANIMATION: Final = Format(
    recognizes=files.is_animated,
    collects=_collect_none,
    probe=files.probe,
    suffix=_suffix,
    check_writable=_check_writable,
    changes=_changes,
    estimate=_estimate,
    enlarge=_enlarge,
)
