"""Single images, from file to file, with the maps of the checks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from drrn.media.header import Header
from drrn.media.image import Image
from drrn.media.images import files
from drrn.media.images.formats import changes, wanted_format, writable
from drrn.media.images.quality import Loss
from drrn.media.naming import image_suffix, is_image, split
from drrn.upscaling.condition import ENOUGH, Condition, condition_of
from drrn.upscaling.consistency import CheckResult, Checks, enlarge
from drrn.upscaling.cost import Estimate
from drrn.upscaling.formats import strips
from drrn.upscaling.formats.job import Format, Hooks, Job
from drrn.upscaling.upscaler import Upscaler


def _suffix(source: Path, header: Header, name: str) -> str:
    return image_suffix(header, split(name)[1])


def _check_writable(job: Job, path: Path) -> None:
    channels = None
    if path == job.target:  # maps are gray PNG whatever the image is
        channels = job.header.channels
        job.loss(wanted_format(path))
    writable(path, job.width, job.height, alpha=job.header.alpha, channels=channels, overwrite=True)


def _changes(job: Job) -> tuple[str, ...]:
    return changes(job.header, job.target)


def _condition(job: Job) -> Condition:
    pixels = files.first_pixels(job.source, ENOUGH, max_pixels=job.header.decoded)
    return condition_of(pixels, job.header.jpeg_quality)


def _estimate(job: Job, upscaler: Upscaler) -> Estimate:
    if _uses_strips(job, upscaler):
        return strips.estimate(upscaler, job.header, job.width, job.height, wanted_format(job.target))
    return upscaler.estimate(
        job.header.width,
        job.header.height,
        size=(job.width, job.height),
        alpha=job.header.alpha,
        disagreement=job.options.checks.disagreement,
    )


def _enlarge(job: Job, upscaler: Upscaler, hooks: Hooks) -> CheckResult:
    if _uses_strips(job, upscaler):
        strips.enlarge_file(job, upscaler, hooks)
        return CheckResult()
    image = files.read(job.source, max_pixels=job.header.decoded)  # a damaged file ends here
    hooks.start()
    larger, result = enlarge(upscaler, image, (job.width, job.height), job.options.checks, hooks.progress)
    images = [larger, *result.maps(job.options.checks)]
    loss = job.loss(wanted_format(job.target))
    _write(list(zip(images, job.outputs, strict=True)), hooks.written, loss=loss, overwrite=job.overwrite)
    return result


def _uses_strips(job: Job, upscaler: Upscaler) -> bool:
    return job.options.checks == Checks() and strips.can_stream(upscaler, job.header)


def _write(
    images: Sequence[tuple[Image, Path]],
    written: Callable[[Path, Path], None],
    *,
    loss: Loss | None,
    overwrite: bool,
) -> None:
    """Write files that belong together: all are complete on the disk before the first is renamed to its path."""
    (image, path), *others = images

    def write_others(temporary: Path) -> None:
        written(path, temporary)
        if others:
            _write(others, written, loss=None, overwrite=overwrite)  # maps, which are PNG

    files.write(image, path, loss=loss, overwrite=overwrite, written=write_others)


def _recognize_any(path: Path) -> bool:
    """Accept any file: `probe` refuses what is no image."""
    return True


IMAGE: Final = Format(
    recognizes=_recognize_any,
    collects=is_image,
    probe=files.probe,
    suffix=_suffix,
    check_writable=_check_writable,
    changes=_changes,
    estimate=_estimate,
    enlarge=_enlarge,
    condition=_condition,
    has_checks=True,
)
