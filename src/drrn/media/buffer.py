"""The content of a file, in memory or memory-mapped, and the memory that it takes."""

import ctypes
import mmap
import sys
from contextlib import suppress

Buffer = bytes | mmap.mmap


def release_pages(file: Buffer) -> None:
    """Release the pages of a mapped file, which would otherwise count as memory of this process."""
    if isinstance(file, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
        file.madvise(mmap.MADV_DONTNEED)


def trim() -> None:
    """Return freed memory to the system: glibc keeps it, which would add it to the peak of the next step."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # not glibc
            ctypes.CDLL(None).malloc_trim(0)
