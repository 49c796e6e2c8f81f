"""Single pictures, from file to file, with the maps that were asked for."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from drrn.media.header import Header
from drrn.media.image import Image
from drrn.media.images.files import changes, probe, read, wanted_format, writable, write
from drrn.media.images.quality import Loss
from drrn.media.naming import image_suffix, is_image, split
from drrn.upscaling.consistency import CheckResult, Checks, enlarge
from drrn.upscaling.formats import strips
from drrn.upscaling.formats.job import Job, Made
from drrn.upscaling.upscaler import Estimate, Upscaler


class Pictures:
    """See `drrn.upscaling.formats.job.Format`."""

    checks: Final = True
    counts_frames: Final = True
    warning: Final = ""

    def knows(self, path: Path) -> bool:
        """Whatever is no picture either, `probe` refuses."""
        return True

    def gathers(self, path: Path) -> bool:
        return is_image(path)

    def probe(self, source: Path, *, max_pixels: int) -> Header:
        return probe(source, max_pixels=max_pixels)

    def name(self, source: Path, header: Header) -> tuple[str, str]:
        stem, suffix = split(source.name)
        return stem, image_suffix(header, suffix)

    def writable(self, job: Job, path: Path, *, overwrite: bool) -> None:
        channels = job.header.channels if path == job.target else None
        if path == job.target:
            job.loss(wanted_format(path))
        writable(path, job.width, job.height, alpha=job.header.alpha, channels=channels, overwrite=overwrite)

    def changes(self, job: Job) -> tuple[str, ...]:
        return changes(job.header, job.target)

    def estimate(self, job: Job, upscaler: Upscaler) -> Estimate:
        if _goes_by_strips(job, upscaler):
            return strips.estimate(upscaler, job.header, job.width, job.height, wanted_format(job.target))
        return upscaler.estimate(
            job.header.width,
            job.header.height,
            size=(job.width, job.height),
            alpha=job.header.alpha,
            disagreement=job.options.asked.disagreement,
        )

    def enlarge(
        self,
        job: Job,
        upscaler: Upscaler,
        *,
        start: Callable[[], None],
        progress: Callable[[float], None],
        made: Made,
    ) -> CheckResult:
        if _goes_by_strips(job, upscaler):
            strips.enlarge_file(job, upscaler, start=start, progress=progress, made=partial(made, job.target))
            return CheckResult()
        picture = read(job.source, max_pixels=job.header.decoded)  # a damaged file ends here
        start()
        result, found = enlarge(upscaler, picture, (job.width, job.height), job.options.asked, progress)
        results = [result, *found.maps(job.options.asked)]
        loss = job.loss(wanted_format(job.target))
        _write(list(zip(results, job.files, strict=True)), made, loss=loss, overwrite=job.overwrite)
        return found


PICTURES: Final = Pictures()


def _goes_by_strips(job: Job, upscaler: Upscaler) -> bool:
    return job.options.asked == Checks() and strips.can_stream(upscaler, job.header)


def _write(pictures: Sequence[tuple[Image, Path]], made: Made, *, loss: Loss | None, overwrite: bool) -> None:
    """Write what belongs together: all have been encoded and lie on the disk before the first gets its name."""
    (picture, path), *others = pictures

    def go_on(temporary: Path) -> None:
        made(path, temporary)
        if others:
            _write(others, made, loss=None, overwrite=overwrite)  # maps, which are PNG

    write(picture, path, loss=loss, overwrite=overwrite, made=go_on)
