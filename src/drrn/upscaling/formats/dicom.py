"""Frames of stored values become larger frames of stored values, as a DICOM file has them.

The network sees grey values as a photograph's, in [0, 1] over those of the series, where a file tells, else over its
own; colours over their whole range.
What comes back is rounded, and clipped to what the file's bits can hold, to nothing narrower. Values that stand for no
measurement are kept out of it.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drrn.core.resize import imresize
from drrn.errors import UsageError
from drrn.media.dicom import files as dicom
from drrn.media.dicom import transfer
from drrn.media.dicom.derivation import derive
from drrn.media.header import Header
from drrn.media.image import Image
from drrn.media.naming import split
from drrn.upscaling.consistency import CheckResult
from drrn.upscaling.formats.job import Job, Made
from drrn.upscaling.upscaler import Estimate, Upscaler, fill_transparent


class Slices:
    """See `drrn.upscaling.formats.job.Format`."""

    checks: Final = False
    counts_frames: Final = True
    warning: Final = "Enlarged DICOM files are not for diagnosis."

    def knows(self, path: Path) -> bool:
        return transfer.is_dicom(path)

    def gathers(self, path: Path) -> bool:
        return path.name != "DICOMDIR" and (dicom.is_named(path) or transfer.is_dicom(path))  # that is a list of others

    def probe(self, source: Path, *, max_pixels: int) -> Header:
        return dicom.probe(source, max_pixels=max_pixels)

    def name(self, source: Path, header: Header) -> tuple[str, str]:
        stem, suffix = split(source.name)
        return stem, suffix if suffix.lower() in dicom.SUFFIXES else dicom.SUFFIXES[0]

    def writable(self, job: Job, path: Path, *, overwrite: bool) -> None:
        dicom.writable(path, job.width, job.height, overwrite=overwrite)

    def changes(self, job: Job) -> tuple[str, ...]:
        return job.header.converted

    def estimate(self, job: Job, upscaler: Upscaler) -> Estimate:
        return estimate(upscaler, job.header, job.width, job.height)

    def enlarge(
        self,
        job: Job,
        upscaler: Upscaler,
        *,
        start: Callable[[], None],
        progress: Callable[[float], None],
        made: Made,
    ) -> CheckResult:
        slices = dicom.read(job.source, max_pixels=job.header.pixels)
        start()
        values = enlarge_slices(upscaler, slices, job.header, job.width, job.height, progress)
        derive(slices.dataset, values, job.derived(upscaler))
        dicom.write(slices.dataset, job.target, overwrite=job.overwrite, made=partial(made, job.target))
        return CheckResult()


SLICES: Final = Slices()


def estimate(upscaler: Upscaler, header: Header, width: int, height: int) -> Estimate:
    """What it will cost to enlarge all frames to width x height.

    Raises:
        UsageError: it does not fit into the upscaler's memory, or into a file.
    """
    result = width * height * _bytes_per_pixel(header) * header.frames
    if result > dicom.MOST_BYTES:
        raise UsageError(
            f"{width}x{height} pixels in {header.frames} frames are {result:,} bytes, and DICOM holds "
            f"{dicom.MOST_BYTES:,}. Give a smaller scale."
        )
    one = _beside(upscaler, header, width, height).estimate(header.width, header.height, size=(width, height))
    held = _held(header, width, height)
    return replace(one, seconds=one.seconds * header.frames, memory=one.memory + held)


def enlarge_slices(
    upscaler: Upscaler, slices: dicom.Frames, header: Header, width: int, height: int, progress: Callable[[float], None]
) -> NDArray[np.integer]:
    """(frames, height, width, channels), to be stored in place of `slices.values`.

    Raises:
        DRRNError: as `Upscaler.upscale`.
    """
    beside = _beside(upscaler, header, width, height)
    black, white = _range(slices)
    ends = sorted((end - black) / (white - black) for end in (slices.low, slices.high))
    frames = len(slices.values)
    larger = np.empty((frames, height, width, header.channels), slices.values.dtype)
    for number, frame in enumerate(slices.values):
        hidden = _hidden(slices, frame)
        if hidden.all():
            larger[number] = slices.filler
            continue
        pixels = ((frame - np.float32(black)) / np.float32(white - black)).astype(np.float32)
        if hidden.any():
            pixels = fill_transparent(pixels, (~hidden).astype(np.float32))

        def told(share: float, number: int = number) -> None:
            progress((number + share) / frames)

        picture = Image(pixels=pixels)
        result = beside.upscale(picture, size=(width, height), bounds=(ends[0], ends[1]), progress=told).pixels
        stored = np.rint(result * np.float32(white - black) + np.float32(black)).clip(slices.low, slices.high)
        if slices.padding:
            first, last = slices.padding
            padded = (stored >= first) & (stored <= last)  # a measurement must not be taken for none
            stored[padded] = last + 1 if last < slices.high else first - 1
            if hidden.any():
                stored[imresize(hidden.astype(np.float32), height, width) >= 0.5] = slices.filler
        larger[number] = stored
    return larger


def _range(slices: dicom.Frames) -> tuple[int, int]:
    """The stored values that are 0 and 1 to the network."""
    if slices.values.shape[3] == 3:
        return slices.low, slices.high
    least, most = slices.series or _seen(slices)
    return (most, least) if slices.inverted else (least, most)


def _seen(slices: dicom.Frames) -> tuple[int, int]:
    """The least and the largest measurement."""
    seen = slices.values
    if slices.padding:
        seen = seen[(seen < slices.padding[0]) | (seen > slices.padding[1])]
    least, most = (int(seen.min()), int(seen.max())) if seen.size else (slices.low, slices.high)
    return least, max(most, least + 1)


def _hidden(slices: dicom.Frames, frame: NDArray[np.integer]) -> NDArray[np.bool]:
    """(H, W): where there is no measurement."""
    if not slices.padding:
        return np.zeros(frame.shape[:2], bool)
    return ((frame >= slices.padding[0]) & (frame <= slices.padding[1]))[..., 0]


def _beside(upscaler: Upscaler, header: Header, width: int, height: int) -> Upscaler:
    return upscaler.with_reserved_memory(_held(header, width, height))


def _held(header: Header, width: int, height: int) -> int:
    """Bytes that lie there while a frame is enlarged: the file, its values, the result and what becomes a file."""
    pixels = 3 * header.width * header.height + 3 * width * height
    return pixels * header.frames * _bytes_per_pixel(header)


def _bytes_per_pixel(header: Header) -> int:
    return header.channels * header.bits // 8
