"""How libvips is called: quietly, with a reason for each failure, in threads and in forked processes.

libvips keeps one list of messages for the whole process. One call at a time adds to it here, so that a file never gets
the message of another. Its worker threads do not survive `fork`, and whoever waits for them waits forever: a forked
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
"""What pyvips raises; the second where libvips quotes bytes that are not text."""
ALL_LEVELS: Final = 0xFF
"""Of GLib's log."""

_LOCKS: Final[dict[int, Lock]] = {}
"""By process: one that another thread holds while a process forks would never be free in the child."""
_WORKED_IN: Final[set[int]] = set()
"""Processes, this one and its ancestors, in which libvips has started worker threads."""


@contextmanager
def exclusive() -> Iterator[None]:
    """One thread at a time; the messages in an error are those of this block."""
    with _LOCKS.setdefault(os.getpid(), Lock()):
        pyvips.cache_set_max(0)  # or libvips keeps what it computed, and the files of it open
        _silence()
        pyvips.vips_lib.vips_error_clear()
        try:
            yield
        finally:
            pyvips.vips_lib.vips_error_clear()  # or pyvips would decode what is left, text or not, in its next lookup


def claim_workers(name: str, what: str) -> None:
    """Call this before libvips does something in worker threads.

    Raises:
        ImageError: this process was forked from one in which they were running.
    """
    if not has_workers():
        raise ImageError(
            f"{name} can't be {what} in a process that was forked after its parent had read or written pictures: "
            "libvips' threads are gone there. Start processes by 'spawn' or 'forkserver'."
        )
    _WORKED_IN.add(os.getpid())


def has_workers() -> bool:
    """Whether worker threads can be used: not in a process forked from one that used them."""
    return not _WORKED_IN - {os.getpid()}


def bands(image: Any, form: FileFormat, name: str, *, step: int = BAND) -> Iterator[NDArray[Any]]:
    """Bands of rows (h, W, bands), uint8 or uint16, from the top down.

    Raises:
        pyvips.Error: the file is damaged.
        ImageError: as `claim_workers`, of a WebP.
    """
    kind = np.uint16 if image.format == "ushort" else np.uint8
    # One evaluation after the other drops what libvips keeps of the rows before, which is most of what decoding takes;
    # of a TIFF it drops strips, too, that are not at their end.
    cropped = form in ("PNG", "JPEG") and has_workers()
    region = None if cropped else pyvips.Region.new(image)
    for top in range(0, image.height, step):
        place = 0, top, image.width, min(step, image.height - top)
        with exclusive():
            if cropped or form == "WebP":
                claim_workers(name, "read")
            samples = region.fetch(*place) if region else image.crop(*place).write_to_memory()
        yield np.frombuffer(samples, kind).reshape(-1, image.width, image.bands)


def reason(error: Exception) -> str:
    """What libvips says, in brackets and on one line; often it says nothing."""
    if isinstance(error, UnicodeDecodeError):
        return ""
    said = [line.split(": ", 1)[-1].strip() for line in str(getattr(error, "detail", error)).splitlines()]
    return next((f" ({printable(line.rstrip('.'))})" for line in said if line), "")


@cache
def _silence() -> Any:
    """Let libvips log nothing: it quotes files, in bytes that need not be text, and pyvips would fail on them, aloud.

    The callback runs no Python code, in which the exception of a signal would be lost. Cached, for it must live as
    long as the process.
    """
    ignore = pyvips.ffi.callback("GLogFunc", partial(sys.audit, "drrn.libvips.log"))
    pyvips.glib_lib.g_log_set_handler(b"VIPS", ALL_LEVELS, ignore, pyvips.ffi.NULL)
    return ignore
