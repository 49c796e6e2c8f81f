"""Call libvips silently, with a reason for each failure, from several threads and in forked processes.

libvips keeps one list of messages for the whole process. Only one call at a time may add to it, so that a file never
gets the message of another. Its worker threads do not survive `fork`, and waiting for them would never end: a forked
process decodes in its own thread, and what needs the workers is refused.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from threading import Lock
from typing import Any, Final

import numpy as np
import pyvips
from numpy.typing import NDArray

from drrn.errors import ImageError, printable
from drrn.media.file_format import FileFormat
from drrn.media.images.scratch import BAND

FAULTS: Final = (pyvips.Error, UnicodeDecodeError)
"""What pyvips raises; the second one if libvips quotes bytes that are not valid text."""
ALL_LEVELS: Final = 0xFF
"""All levels of GLib's log."""

_LOCKS: Final[dict[int, Lock]] = {}
"""A lock for each process: one that another thread holds during a fork would never be released in the child."""
_WORKED_IN: Final[set[int]] = set()
"""Processes (this one and its ancestors) in which libvips has started worker threads."""


@contextmanager
def exclusive() -> Iterator[None]:
    """Let one thread at a time call libvips, so that the messages in an error belong to this block."""
    with _LOCKS.setdefault(os.getpid(), Lock()):
        pyvips.cache_set_max(0)  # otherwise libvips caches results and keeps their files open
        _silence()
        pyvips.vips_lib.vips_error_clear()
        try:
            yield
        finally:
            pyvips.vips_lib.vips_error_clear()  # so that pyvips never decodes left-overs, which may not be text


def claim_workers(name: str, what: str) -> None:
    """Must be called before libvips does something in worker threads.

    Raises:
        ImageError: this process was forked from one in which they were running.
    """
    if not has_workers():
        raise ImageError(
            f"{name} can't be {what} in a process that was forked after its parent had read or written images: "
            "libvips' threads are gone there. Start processes by 'spawn' or 'forkserver'."
        )
    _WORKED_IN.add(os.getpid())


def has_workers() -> bool:
    """Whether worker threads can be used: not in a process forked from one that used them."""
    return not _WORKED_IN - {os.getpid()}


def read_rows(image: Any, form: FileFormat, name: str, *, step: int = BAND) -> Iterator[NDArray[Any]]:
    """Yield bands of rows (h, W, bands), uint8 or uint16, from top to bottom.

    Raises:
        pyvips.Error: the file is damaged.
        ImageError: as `claim_workers`, for a WebP.
    """
    kind = np.uint16 if image.format == "ushort" else np.uint8
    # Evaluating band after band drops libvips' cache of the previous rows, which is most of the memory that decoding
    # takes; for a TIFF it also drops strips that have not been used up.
    cropped = form in ("PNG", "JPEG") and has_workers()
    region = None if cropped else pyvips.Region.new(image)
    for top in range(0, image.height, step):
        place = 0, top, image.width, min(step, image.height - top)
        with exclusive():
            if cropped or form == "WebP":
                claim_workers(name, "read")
            samples = region.fetch(*place) if region else image.crop(*place).write_to_memory()
            if form == "JPEG" and pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer()):
                raise pyvips.Error("A warning about the last rows, which libvips heeds only before it reads more.")
        yield np.frombuffer(samples, kind).reshape(-1, image.width, image.bands)


def reason(error: Exception) -> str:
    """Return the last message of libvips in parentheses, on one line; empty if there is none."""
    if isinstance(error, UnicodeDecodeError):
        return ""
    said = [line.split(": ", 1)[-1].strip() for line in str(getattr(error, "detail", error)).splitlines()]
    return next((f" ({printable(line.rstrip('.'))})" for line in said if line), "")


@cache
def _silence() -> Any:
    """Disable the logging of libvips: it quotes bytes from files that may not be valid text, on which pyvips would fail
    loudly.

    The callback runs no Python code, since an exception raised there by a signal handler would be lost. It is cached
    because it must live as long as the process.
    """
    ignore = pyvips.ffi.callback("GLogFunc", partial(sys.audit, "drrn.libvips.log"))
    pyvips.glib_lib.g_log_set_handler(b"VIPS", ALL_LEVELS, ignore, pyvips.ffi.NULL)
    return ignore
