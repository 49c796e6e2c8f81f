"""The file that a video lies in: what it is, whether it is whole, and how it is opened so that nothing else is.

A local file is read and nothing beside it: the format is what the first bytes say, never the suffix, and FFmpeg, inside
PyAV, is told it, so that no playlist is ever taken for a video; and no protocol but that of files can be reached.

This needs PyAV, which is imported only when there is a video.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Final, NamedTuple

from drrn.errors import ImageError, UsageError, printable, translate_errors

if TYPE_CHECKING:
    from av.container import InputContainer

    from drrn.media.file_format import FileFormat


DEMUXERS: Final[dict["FileFormat", str]] = {"MP4": "mov", "Matroska": "matroska", "AVI": "avi"}
BOXES: Final = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
"""With which an MP4 or a QuickTime video begins."""
STILLS: Final = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"crx ")
"""Brands of pictures that begin as MP4 does."""
MOST_STREAMS = 100
CHUNK = 1 << 20
"""Bytes that are looked at at once."""
BOXES_OF_BOXES: Final = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf")
COUNTED: Final = {b"stsz": 8, b"stz2": 8, b"trun": 4}
"""MP4's boxes of which a few bytes can stand for any number of samples, and where that number is."""
CHUNKS: Final = (b"RIFF", b"LIST", b"JUNK", b"idx1", b"avih", b"strh", b"strf", b"strd", b"strn", b"indx", b"vprp")
"""AVI's names of its parts that are no packets."""
LISTS: Final = (b"AVI ", b"AVIX", b"hdrl", b"strl", b"movi", b"rec ")
"""And of lists of which the parts are looked at."""
HOLDERS: Final = (0x18538067, 0x1F43B675)
"""Matroska's names of the whole and of clusters of packets."""
TRACKS, TRACK, TRACK_NUMBER, BLOCK, BLOCKS = 0x1654AE6B, 0xAE, 0xD7, 0xA3, 0xA0
PARTS: Final = (
    *(0x1A45DFA3, 0x114D9B74, 0x1549A966, TRACKS, 0x1043A770, 0x1C53BB6B, 0x1941A469, 0x1254C367, 0xEC, 0xBF),
    *(0xE7, BLOCK, BLOCKS, 0xAB, 0xA7, 0x5854, 0xAF),
)
"""Of what else may lie in the first, tables for the most part, and in the second."""


def is_video(path: Path) -> bool:
    """Whether the file says that it is one, whatever its name."""
    try:
        if not S_ISREG(path.stat().st_mode):  # to open a pipe would wait for who writes into it
            return False
        with path.open("rb") as file:
            return _format(file.read(64)) is not None
    except OSError:
        return False


def suffixes(path: Path) -> tuple[str, ...]:
    """The suffixes that fit a video in the container of this file, the usual one first."""
    head = b""
    with suppress(OSError), path.open("rb") as file:  # who reads it says what is wrong
        head = file.read(64)
    if _format(head) == "Matroska":
        return (".mkv", ".webm")
    if _format(head) == "AVI" or head[8:10] == b"3g":  # which are only read
        return (".mkv",)
    return (".mov", ".mp4", ".m4v") if head[4:8] != b"ftyp" or head[8:12] == b"qt  " else (".mp4", ".m4v", ".mov")


class Opened(NamedTuple):
    """A video's file."""

    container: "InputContainer"
    form: "FileFormat"
    packets: int
    """There are so many at least, as its parts tell: in all streams, or 0 where that is not known."""


@contextmanager
def open_container(path: Path, max_pixels: int, *, edits: bool = True) -> Iterator[Opened]:
    """The video, for as long as the block lasts; what FFmpeg meets in the block becomes a ImageError.

    Args:
        edits: off ignores the list of MP4 that says which frames are shown.

    Raises:
        ImageError: it is missing, no video, or cut short, as far as its outermost parts tell.
        UsageError: PyAV is not installed.
    """
    name = printable(path)
    with ffmpeg_errors(name, "is a video that is damaged or of a kind that can't be read"):
        import av

        real = path.resolve(strict=True)  # no address, and nothing that FFmpeg takes for options
        with real.open("rb") as handle, mmap(handle.fileno(), 0, access=ACCESS_READ) as file:
            form = _format(file[:64])
            if form is None:
                raise ImageError(f"{name} is not an MP4, Matroska or AVI video.")
            packets = _packets(file, form)
            if packets is None:
                raise ImageError(f"{name} is a video that is damaged or cut short: its parts don't fit together.")
        container = av.open(
            f"file:{real}",
            format=DEMUXERS[form],
            options=_strict(max_pixels),
            container_options={
                "protocol_whitelist": "file",
                "max_streams": str(MOST_STREAMS),
                **({"fflags": "ignidx"} if form == "AVI" else {}),  # it is often wrong, and hides what it doesn't name
                **({"ignore_editlist": "1"} if form == "MP4" and not edits else {}),
            },
            metadata_errors="surrogateescape",
        )
        with container:
            yield Opened(container, form, packets)


@contextmanager
def ffmpeg_errors(name: str, what: str) -> Iterator[None]:
    """What PyAV raises becomes one sentence."""
    try:
        import av.error
    except ModuleNotFoundError as error:
        raise UsageError(f"{name} is a video, which needs PyAV. Install it: pip install 'drrn[video]'.") from error

    def describe(error: Exception) -> str | None:
        if isinstance(error, av.error.FFmpegError):  # some are OSErrors or ValueErrors too
            return f"{name} {what} ({error.strerror or type(error).__name__})."
        if isinstance(error, FileNotFoundError):
            return f"There is no file {name}."
        return f"{name} can't be read or written: {error.strerror or error}." if isinstance(error, OSError) else None

    with translate_errors(describe):
        yield


def _strict(max_pixels: int) -> dict[str, str]:
    """For decoders: damage is an error, and so is a frame much larger than its video; they count edges that are cut."""
    return {"max_pixels": str(2 * max_pixels + (1 << 16)), "err_detect": "explode"}


def _format(head: bytes) -> "FileFormat | None":
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), int.from_bytes(head[:4])), 4))}
    if head[4:8] in (b"free", b"skip", b"wide") and head[0]:  # words of a text: no such box has 16 MB
        return None
    if head[4:8] in BOXES and not (head[4:8] == b"ftyp" and brands.intersection(STILLS)):
        return "MP4"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "Matroska"
    return "AVI" if head.startswith(b"RIFF") and head[8:12] == b"AVI " else None


def _packets(file: mmap, form: "FileFormat") -> int | None:
    """How many there are, or None where the parts of the file don't lie one after another and end where it ends.

    FFmpeg passes over what it doesn't understand between packets, and the video would be shorter.
    """
    try:
        return {"MP4": _in_mp4, "Matroska": _in_matroska, "AVI": _in_avi}[form](file)
    except IndexError:  # the file ends before a part does
        return None


def _in_mp4(file: mmap) -> int | None:
    at, size = 0, len(file)
    while at + 8 <= size:
        at = _checked_box(file, at, size)
        if at < 0:
            return None
    return 0 if at <= size else None


def _checked_box(file: mmap, at: int, end: int) -> int:
    """Where the box ends, or -1 where it, or one in it, says that there are more samples than the file has bytes."""
    length, name, start = int.from_bytes(file[at : at + 4]), file[at + 4 : at + 8], at + 8
    if length == 1:
        length, start = int.from_bytes(file[start : start + 8]), at + 16
    stop = at + max(length, 8) if length else end  # 0 is all the rest
    if name in COUNTED and int.from_bytes(file[start + COUNTED[name] : start + COUNTED[name] + 4]) > len(file):
        return -1
    while name in BOXES_OF_BOXES and start + 8 <= min(stop, end):
        start = _checked_box(file, start, min(stop, end))
        if start < 0:
            return -1
    return stop if name != b"cmov" else -1  # tables that are packed: how large they are nobody knows


def _in_avi(file: mmap) -> int | None:
    at, end, streams, used, count = 0, 0, 0, 0, 0
    while at + 8 <= len(file):
        name, length = file[at : at + 4], int.from_bytes(file[at + 4 : at + 8], "little")
        if at >= end:  # the first, and those that follow in a long video
            if name != b"RIFF":  # junk behind the end
                break
            end = at + 8 + length
        if at + 8 + length > len(file):  # FFmpeg would make room for it
            return None
        packet = re.fullmatch(rb"(\d\d)(?:d[bc]|wb|tx|pc)", name)
        if packet:
            used, count = max(used, int(packet[1]) + 1), count + (length > 0)
        elif name not in CHUNKS and not name.startswith(b"ix"):
            return None
        streams += name == b"strh"
        holds = name in (b"RIFF", b"LIST") and file[at + 8 : at + 12] in LISTS
        at += 12 if holds else 8 + length + length % 2
    return count if used <= streams else None


def _in_matroska(file: mmap) -> int | None:
    at, count, end = 0, 0, 0
    known: set[int] = set()
    used: set[int] = set()
    while at < len(file):
        if not file[at] and at >= end and _is_zero(file, at):  # padding behind the video
            break
        name, start, at = _element(file, at)
        if name in HOLDERS:  # their lengths may be unknown, where a video was written live
            end = max(end, at) if at <= len(file) else end
            at = start
        elif name not in PARTS or at > len(file):
            return None
        if name == TRACKS:
            known = set(_tracks(file, start, at))
        elif name == BLOCK:
            used.add(_number(file, start)[0])
        count += name in (BLOCK, BLOCKS)
    return count if used <= known else None


def _is_zero(file: mmap, at: int) -> bool:
    """Whether the rest of the file is zeros."""
    return not any(any(file[begin : begin + CHUNK]) for begin in range(at, len(file), CHUNK))


def _tracks(file: mmap, at: int, end: int) -> Iterator[int]:
    """The numbers of the tracks that are described there."""
    while at < end:
        name, start, at = _element(file, at)
        if name == TRACK:
            at = start
        elif name == TRACK_NUMBER:
            yield int.from_bytes(file[start:at])


def _element(file: mmap, at: int) -> tuple[int, int, int]:
    """The name of an element of Matroska, where what is in it begins, and where it ends."""
    width = 9 - file[at].bit_length()
    length, start = _number(file, at + width)
    return int.from_bytes(file[at : at + width]), start, start + length


def _number(file: mmap, at: int) -> tuple[int, int]:
    """A number of as many bytes as its first one says, and where it ends."""
    width = 9 - file[at].bit_length()
    return int.from_bytes(file[at : at + width]) & ((1 << 7 * width) - 1), at + width
