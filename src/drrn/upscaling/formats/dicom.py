"""DICOM files: frames of stored values become larger frames of stored values.

The network sees gray values as [0, 1] over the range of the series if the file states it, otherwise over the file's
own; colors over their whole range. Its output is rounded and clipped to what the file's bits can hold, and no further.
Padding, which stands for no measurement, is kept out of it.
"""

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
from drrn.upscaling.consistency import CheckResult
from drrn.upscaling.cost import Estimate
from drrn.upscaling.formats.job import Format, Hooks, Job, keep_suffix
from drrn.upscaling.transparency import fill_transparent
from drrn.upscaling.upscaler import Upscaler


def _collects(path: Path) -> bool:
    return path.name != "DICOMDIR" and (dicom.is_named(path) or transfer.is_dicom(path))  # a DICOMDIR lists other files


def _suffix(source: Path, header: Header, name: str) -> str:
    return keep_suffix(name, dicom.SUFFIXES)


def _check_writable(job: Job, path: Path) -> None:
    dicom.check_writable(path, job.width, job.height)


def _changes(job: Job) -> tuple[str, ...]:
    return job.header.converted


def _estimate(job: Job, upscaler: Upscaler) -> Estimate:
    return estimate(upscaler, job.header, job.width, job.height)


def _enlarge(job: Job, upscaler: Upscaler, hooks: Hooks) -> CheckResult:
    frames = dicom.read(job.source, max_pixels=job.header.pixels)
    hooks.start()
    values = enlarge_frames(upscaler, frames, job.header, job.width, job.height, hooks)
    derive(frames.dataset, values, job.derivation(upscaler))
    dicom.write(frames.dataset, job.target, overwrite=job.overwrite, written=partial(hooks.written, job.target))
    return CheckResult()


def estimate(upscaler: Upscaler, header: Header, width: int, height: int) -> Estimate:
    """Predict the cost of enlarging all frames to width x height.

    Raises:
        UsageError: it does not fit into the upscaler's memory, or into a DICOM file.
    """
    result = width * height * _bytes_per_pixel(header) * header.frames
    if result > dicom.MOST_BYTES:
        raise UsageError(
            f"{width}x{height} pixels in {header.frames} frames are {result:,} bytes, and DICOM holds "
            f"{dicom.MOST_BYTES:,}. Give a smaller scale."
        )
    one = _limited(upscaler, header, width, height).estimate(header.width, header.height, size=(width, height))
    reserved = _reserved_memory(header, width, height)
    return replace(one, seconds=one.seconds * header.frames, memory=one.memory + reserved)


def enlarge_frames(
    upscaler: Upscaler, frames: dicom.Frames, header: Header, width: int, height: int, hooks: Hooks
) -> NDArray[np.integer]:
    """(frames, height, width, channels), to be stored in place of `frames.values`.

    Raises:
        DRRNError: as `Upscaler.upscale`.
    """
    limited = _limited(upscaler, header, width, height)
    black, white = _range(frames)
    ends = sorted((end - black) / (white - black) for end in (frames.low, frames.high))
    larger = np.empty((len(frames.values), height, width, header.channels), frames.values.dtype)
    for number, frame in enumerate(frames.values):
        hidden = _hidden(frames, frame)
        if hidden.all():
            larger[number] = frames.filler
            continue
        pixels = ((frame - np.float32(black)) / np.float32(white - black)).astype(np.float32)
        if hidden.any():
            pixels = fill_transparent(pixels, (~hidden).astype(np.float32))
        progress = hooks.progress_of(number, len(frames.values))
        image = Image(pixels=pixels)
        result = limited.upscale(image, size=(width, height), bounds=(ends[0], ends[1]), progress=progress).pixels
        stored = np.rint(result * np.float32(white - black) + np.float32(black)).clip(frames.low, frames.high)
        if frames.padding:
            first, last = frames.padding
            padded = (stored >= first) & (stored <= last)  # a measurement must not become padding
            stored[padded] = last + 1 if last < frames.high else first - 1
            if hidden.any():
                stored[imresize(hidden.astype(np.float32), height, width) >= 0.5] = frames.filler
        larger[number] = stored
    return larger


def _range(frames: dicom.Frames) -> tuple[int, int]:
    """Return the stored values that the network sees as 0 and 1."""
    if frames.values.shape[3] == 3:
        return frames.low, frames.high
    least, most = frames.series or _measured_range(frames)
    return (most, least) if frames.inverted else (least, most)


def _measured_range(frames: dicom.Frames) -> tuple[int, int]:
    """The smallest and the largest measurement."""
    values = frames.values
    if frames.padding:
        values = values[(values < frames.padding[0]) | (values > frames.padding[1])]
    least, most = (int(values.min()), int(values.max())) if values.size else (frames.low, frames.high)
    return least, max(most, least + 1)


def _hidden(frames: dicom.Frames, frame: NDArray[np.integer]) -> NDArray[np.bool]:
    """(H, W): where there is no measurement."""
    if not frames.padding:
        return np.zeros(frame.shape[:2], bool)
    return ((frame >= frames.padding[0]) & (frame <= frames.padding[1]))[..., 0]


def _limited(upscaler: Upscaler, header: Header, width: int, height: int) -> Upscaler:
    return upscaler.with_reserved_memory(_reserved_memory(header, width, height))


def _reserved_memory(header: Header, width: int, height: int) -> int:
    """Bytes in use while a frame is enlarged: the file, its values, the result and its encoding."""
    pixels = 3 * header.width * header.height + 3 * width * height
    return pixels * header.frames * _bytes_per_pixel(header)


def _bytes_per_pixel(header: Header) -> int:
    return header.channels * header.bits // 8


DICOM: Final = Format(
    recognizes=transfer.is_dicom,
    collects=_collects,
    probe=dicom.probe,
    suffix=_suffix,
    check_writable=_check_writable,
    changes=_changes,
    estimate=_estimate,
    enlarge=_enlarge,
    warning="Enlarged DICOM files are not for diagnosis.",
)
