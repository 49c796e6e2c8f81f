"""Decode and encode single frames of animations with libvips, as files of their own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any, Final

import numpy as np
import pyvips

from drrn.errors import ImageError
from drrn.media import libvips
from drrn.media.animation.frames import Frame, ParsedAnimation, Samples
from drrn.media.file_format import FileFormat
from drrn.media.images.quality import Loss, webp_options
from drrn.media.libvips import FAULTS, reason

POLL_SECONDS: Final = 0.1
"""Poll interval for signals: they do not interrupt a wait everywhere."""
LOADERS: Final[dict[FileFormat, str]] = {"GIF": "gifload_buffer", "PNG": "pngload_buffer", "WebP": "webpload_buffer"}
"""libvips' decoders for frames."""
SMALL: Final = 1 << 16
"""Images up to this many pixels are decoded or encoded faster than a thread starts."""


def open_still(animation: ParsedAnimation, frame: Frame) -> Any:
    """Open a frame as a libvips image without decoding it.

    Raises:
        ImageError: it is damaged.
    """
    try:
        load = getattr(pyvips.Image, LOADERS[animation.form])
        with libvips.exclusive():
            image = load(frame.still(), access="sequential", fail_on="warning")  # copied: it is decoded lazily
    except FAULTS as error:
        raise _damaged(animation, frame, error) from error
    if (image.width, image.height) != (frame.width, frame.height):
        raise animation.damaged("a frame has another size than it states")
    return image


def decode_still(animation: ParsedAnimation, bands: int, frame: Frame) -> Samples:
    """Decode a frame to samples (H, W, bands); the last band is alpha.

    Raises:
        ImageError: it is damaged.
    """
    image = open_still(animation, frame)
    try:
        samples = _in_thread(
            partial(next, libvips.read_rows(image, animation.form, animation.name, step=image.height)), image
        )
    except FAULTS as error:
        raise _damaged(animation, frame, error) from error
    if image.bands % 2:
        opaque = np.full_like(samples[..., :1], np.iinfo(samples.dtype).max)
        samples = np.concatenate([samples, opaque], axis=2)
    return samples[..., [0, 0, 0, 1]] if samples.shape[2] < bands else samples  # a palette of grays


def _damaged(animation: ParsedAnimation, frame: Frame, error: Exception) -> ImageError:
    return animation.damaged(
        f"frame {animation.frames.index(frame) + 1}{reason(error).replace(' (', ': ').rstrip(')')}"
    )


def to_eight_bits(samples: Samples) -> Samples:
    """Convert to RGB of 8 bits, which GIF and WebP need, with alpha if there is any."""
    if samples.dtype == np.uint16:
        samples = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
    gray = {1: [0, 0, 0], 2: [0, 0, 0, 1]}.get(samples.shape[2])
    return samples[..., gray] if gray else samples


def encode_still(samples: Samples, form: FileFormat, name: str, loss: Loss | None) -> bytes:
    """Encode a file of this frame alone."""
    libvips.claim_workers(name, "written")
    height, width, bands = samples.shape
    deep = samples.dtype == np.uint16
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(samples), width, height, bands, "ushort" if deep else "uchar"
    )
    gray, color = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    image = image.copy(interpretation=gray if bands < 3 else color)
    match form:
        case "GIF":
            save = partial(image.gifsave_buffer, keep="none")
        case "WebP":
            save = partial(image.webpsave_buffer, keep="none", effort=4 if loss else 2, **webp_options(loss))
        case _:
            save = partial(image.pngsave_buffer, keep="none", filter="all")
    return bytes(_in_thread(save, image))


def _in_thread(work: Callable[[], Any], image: Any) -> Any:
    """Run the work in a thread so that signals are handled meanwhile; small images are processed at once."""
    if image.width * image.height <= SMALL:
        return work()
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(work)
        try:
            while not wait([future], POLL_SECONDS).done:
                pass
            return future.result()
        finally:
            image.set_kill(True)  # otherwise the thread would run to its end
