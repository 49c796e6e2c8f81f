"""Repair JPEGs that violate the standard without affecting any pixel, and that all viewers display.

libjpeg warns about such files, and libvips reports only the first warning, which would hide real damage after it.
Therefore the faults are repaired before decoding, and any remaining warning is an error.
"""

import os
import re
from bisect import bisect
from collections.abc import Iterator
from itertools import islice
from mmap import mmap
from typing import Final, NamedTuple

from drrn.media.buffer import release_pages
from drrn.media.metadata.jpeg_segments import segments
from drrn.tables import plural

EOI, SOS, RESTARTS, APP0, APP14 = 0xD9, 0xDA, 0xDD, 0xE0, 0xEE
SEQUENTIAL: Final = (0xC0, 0xC1, 0xC9)
FRAMES: Final = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
HIERARCHICAL: Final = (*range(0xC5, 0xC8), *range(0xCD, 0xD0))
JPEG_LS: Final = 0xF7
LONE: Final = (0x01, *range(0xD0, 0xD9))
"""Markers without a segment: TEM, the restarts, and SOI."""
NEXT: Final = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
"""A marker between segments."""
AFTER_SCAN: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
"""A marker that ends entropy-coded data; restarts are part of the data."""
NONZERO: Final = re.compile(rb"[^\x00]")
END: Final = b"\xff\xd9"
WHOLE: Final = b"\x00\x3f\x00"
"""The scan parameters of a sequential JPEG: all coefficients, all bits."""
TRANSFORMS: Final = {3: b"\x01", 4: b"\x02"}
"""Number of components -> the color transform assumed if Adobe's is unknown: YCbCr, YCCK."""
PADDING: Final = re.compile(rb"(?:(?<=\xff\x00)|(?<![\x00\xff]))\x00{2,}+(?=\xff[^\x00\xff])")
"""Zeros before a restart or another marker. The first one after FF belongs to it, and a single zero is too often valid
data.

The pattern can only match at the first zero and is possessive, so its time is linear in the number of zeros.
"""
CHUNK = 1 << 20
"""Bytes searched before memory-mapped pages are released."""
MOST_SEGMENTS = 1 << 16
"""Most segments examined; a file with more is left as it is."""


class Edit(NamedTuple):
    """Replace the bytes of the file from `begin` to before `end` with `by`."""

    begin: int
    end: int
    by: bytes


class Mends(NamedTuple):
    """The faults of a JPEG, and their repairs."""

    edits: list[Edit]
    """In ascending order, not overlapping."""
    tolerated: tuple[str, ...]
    """The repairs in words, as `wrong scan parameters corrected`."""
    padding: tuple[Edit, ...] = ()
    """Zeros at the end of entropy-coded data; only a decoder can tell whether they belong to it."""
    rest: int = 0
    """Offset of what follows the image; 0 if there is nothing but zeros."""

    def without_padding(self, kept: int) -> "Mends":
        """Also remove the padding, except for the first `kept` zeros of each run."""
        cuts = [edit._replace(begin=edit.begin + kept) for edit in self.padding]
        count = sum(cut.end - cut.begin for cut in cuts)
        repair = f"{plural(count, 'stray byte')} after scans left out"
        return self._replace(edits=sorted([*self.edits, *cuts]), tolerated=(*self.tolerated, repair), padding=())


def find_mends(file: bytes | mmap) -> Mends:
    """Search the segments of a JPEG for faults that affect no pixel.

    These are stray bytes before a marker, wrong parameters of a scan that allow only one value, an unknown version of
    JFIF, an unknown color transform of Adobe, and no end marker after the only scan. Anything else is left to the
    decoder.
    """
    edits: list[Edit] = []
    padding: list[Edit] = []
    at, stray, components, rest, is_sequential, has_restarts, is_jfif = 2, 0, 0, 0, False, False, False
    transform: tuple[int, bytes] | None = None
    for _ in range(MOST_SEGMENTS):
        begin = _find(NEXT, file, at)
        if begin < 0:
            break
        extra = file[at:begin].strip(b"\xff")  # fill bytes are valid
        if extra:
            edits.append(Edit(at, begin, b""))
            stray += len(extra)
        marker, body = file[begin + 1], begin + 4
        if marker == EOI:
            rest = begin + 2 if _find(NONZERO, file, begin + 2) >= 0 else 0
            break
        if marker in LONE:
            at = begin + 2
            continue
        at = begin + 2 + max(int.from_bytes(file[begin + 2 : body]), 2)
        if marker in FRAMES and at > body + 5:
            components, is_sequential = int.from_bytes(file[body + 5 : body + 6]), marker in SEQUENTIAL
        elif marker == RESTARTS:
            has_restarts = True
        elif marker == APP0 and file[body : body + 5] == b"JFIF\0":
            is_jfif = True
            if file[body + 5 : body + 6] not in (b"\x01", b""):
                edits.append(Edit(body + 5, body + 6, b"\x01"))
        elif marker == APP14 and file[body : body + 5] == b"Adobe" and at >= body + 12:
            transform = body + 11, file[body + 11 : body + 12]
        elif marker == SOS:
            if is_sequential and at <= len(file) and file[at - 3 : at] != WHOLE:
                edits.append(Edit(at - 3, at, WHOLE))
            is_only = is_sequential and file[body : body + 1] == bytes([components])
            begin, at = at, _find(AFTER_SCAN, file, at)
            if at < 0:
                edits += [Edit(len(file), len(file), END)] if is_only else []
                break
            if has_restarts or file[at + 1] != EOI or not is_sequential:  # after a single scan libjpeg ignores them
                padding += islice(_zeros(file, begin, at + 2), MOST_SEGMENTS - len(padding))
    release_pages(file)
    repairs = [f"{plural(stray, 'stray byte')} before markers left out"] if stray else []
    if any(edit.by == WHOLE for edit in edits):
        repairs.append("wrong scan parameters corrected")
    if any(edit.by == END for edit in edits):  # the decoder warns if pixels are missing before it
        repairs.append("a missing end marker added")
    if any(edit.by == b"\x01" for edit in edits):
        repairs.append("an unknown version of JFIF read as 1")
    if transform and not is_jfif and (by := TRANSFORMS.get(components)) and transform[1] not in (b"\x00", by, b""):
        edits.append(Edit(transform[0], transform[0] + 1, by))
        repairs.append(
            f"the unknown color transform {transform[1][0]} read as {'YCbCr' if components == 3 else 'YCCK'}"
        )
    return Mends(sorted(edits), tuple(repairs), tuple(padding), rest)


def unreadable_kind(file: bytes | mmap) -> str | None:
    """Return what to call a kind of JPEG that no decoder here reads; None if it is an ordinary one."""
    for marker, body in segments(file):
        if marker == JPEG_LS:
            return "a JPEG-LS image"
        if marker in HIERARCHICAL:
            return "a hierarchical JPEG"
        if marker in FRAMES and len(body) > 5:
            if body[0] != 8:
                return f"a JPEG of {body[0]} bit"
            return None if any(body[1:3]) else "a JPEG that states its height only after its pixels"
    return None


class Mended:
    """A view of a file with `edits` applied; `read` and `seek` behave like those of `os`."""

    def __init__(self, handle: int, size: int, edits: list[Edit]):
        self.handle, self.at = handle, 0
        self.parts: list[tuple[int, int, bytes | None]] = []
        """Offset in the view, offset in the file, and the replacement if it is not read from the file."""
        self.begins: list[int] = []
        begin, length = 0, 0
        for edit in [*edits, Edit(size, size, b"")]:
            for where, count, by in ((begin, edit.begin - begin, None), (0, len(edit.by), edit.by)):
                if count:
                    self.parts.append((length, where, by))
                    length += count
            begin = edit.end
        self.begins = [part[0] for part in self.parts]
        self.size = length

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes; empty at the end."""
        if self.at >= self.size:
            return b""
        index = bisect(self.begins, self.at) - 1
        begin, where, by = self.parts[index]
        end = self.begins[index + 1] if index + 1 < len(self.begins) else self.size
        size, within = min(size, end - self.at), self.at - begin
        if by is None:
            os.lseek(self.handle, where + within, os.SEEK_SET)
            found = os.read(self.handle, size)
        else:
            found = by[within : within + size]
        self.at += len(found)
        return found

    def seek(self, offset: int, whence: int) -> int:
        """Set the position and return it."""
        self.at = max(offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.size}[whence], 0)
        return self.at


def _zeros(file: bytes | mmap, begin: int, end: int) -> Iterator[Edit]:
    for at in range(begin, end, CHUNK):
        for run in PADDING.finditer(file, at, min(at + CHUNK, end)):
            yield Edit(run.start(), run.end(), b"")
        release_pages(file)


def _find(pattern: re.Pattern[bytes], file: bytes | mmap, at: int) -> int:
    """Return the offset of the next match; -1 if there is none."""
    for begin in range(at, len(file), CHUNK):
        if found := pattern.search(file, begin, min(begin + CHUNK + 1, len(file))):
            return found.start()
        release_pages(file)
    return -1
