"""Video containers: recognize them, check that the file is complete, and open it safely.

Only the local file is read. Its format is determined by its first bytes, never by the suffix, and passed to FFmpeg
(within PyAV), so that no playlist can be opened as a video; and no protocol other than `file` is allowed.

This needs PyAV, which is imported only when a video is met.
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
"""Boxes that an MP4 or QuickTime video can begin with."""
STILLS: Final = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"crx ")
"""Brands of still images, which have the same structure as MP4."""
MOST_STREAMS = 100
CHUNK = 1 << 20
"""Bytes examined at once."""
PARTS_OF_MP4: Final = (
    *(*BOXES, b"moof", b"mfra", b"sidx", b"ssix", b"styp"),
    *(b"uuid", b"meta", b"udta", b"emsg", b"prft", b"pdin"),
)
"""Boxes of an MP4 that are in no other box."""
BOXES_OF_BOXES: Final = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf")
COUNTED: Final = {b"stsz": 8, b"stz2": 8, b"trun": 4}
"""MP4 boxes that state a number of samples without storing each, and the offset of that number."""
CHUNKS: Final = (b"RIFF", b"LIST", b"JUNK", b"idx1", b"avih", b"strh", b"strf", b"strd", b"strn", b"indx", b"vprp")
"""AVI chunks that are not packets."""
LISTS: Final = (b"AVI ", b"AVIX", b"hdrl", b"strl", b"movi", b"rec ")
"""AVI lists whose chunks are examined."""
HOLDERS: Final = (0x18538067, 0x1F43B675)
"""Matroska elements Segment and Cluster."""
TRACKS, TRACK, TRACK_NUMBER, BLOCK, BLOCKS = 0x1654AE6B, 0xAE, 0xD7, 0xA3, 0xA0
PARTS: Final = (
    *(0x1A45DFA3, 0x114D9B74, 0x1549A966, TRACKS, 0x1043A770, 0x1C53BB6B, 0x1941A469, 0x1254C367, 0xEC, 0xBF),
    *(0xE7, BLOCK, BLOCKS, 0xAB, 0xA7, 0x5854, 0xAF),
)
"""Other Matroska elements: first those of a Segment, mostly tables, then those of a Cluster."""


def is_video(path: Path) -> bool:
    """Whether the content of the file is a video."""
    try:
        if not S_ISREG(path.stat().st_mode):  # opening a pipe would wait for a writer
            return False
        with path.open("rb") as file:
            return _format(file.read(64)) is not None
    except OSError:
        return False


def suffixes(path: Path) -> tuple[str, ...]:
    """Return the suffixes for a video in the same container as this file, the usual one first."""
    head = b""
    with suppress(OSError), path.open("rb") as file:  # the reader reports what is wrong
        head = file.read(64)
    if _format(head) == "Matroska":
        return (".mkv", ".webm")
    if _format(head) == "AVI" or head[8:10] == b"3g":  # AVI and 3GP are only read
        return (".mkv",)
    return (".mov", ".mp4", ".m4v") if head[4:8] != b"ftyp" or head[8:12] == b"qt  " else (".mp4", ".m4v", ".mov")


class OpenVideo(NamedTuple):
    """An open video file."""

    container: "InputContainer"
    form: "FileFormat"
    packets: int
    """At least this many packets in all streams, counted from the structure of the file; 0 if unknown."""


@contextmanager
def open_container(path: Path, max_pixels: int, *, edits: bool = True) -> Iterator[OpenVideo]:
    """Open the video for the duration of the block. FFmpeg's errors inside the block become an ImageError.

    Args:
        edits: off ignores the edit list of an MP4, which states the frames to show.

    Raises:
        ImageError: it is missing, not a video, or cut short according to its outermost structure.
        UsageError: PyAV is not installed.
    """
    name = printable(path)
    with ffmpeg_errors(name, "is a video that is damaged or of a kind that can't be read"):
        import av

        real = path.resolve(strict=True)  # neither a URL nor what FFmpeg would take for options
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
                **(
                    {"fflags": "ignidx"} if form == "AVI" else {}
                ),  # the index is often wrong, and hides frames that it doesn't list
                **({"ignore_editlist": "1"} if form == "MP4" and not edits else {}),
            },
            metadata_errors="surrogateescape",
        )
        with container:
            yield OpenVideo(container, form, packets)


@contextmanager
def ffmpeg_errors(name: str, what: str) -> Iterator[None]:
    """Translate what PyAV raises into one sentence."""
    try:
        import av.error
    except ModuleNotFoundError as error:
        raise UsageError(f"{name} is a video, which needs PyAV. Install it: pip install 'drrn[video]'.") from error

    def describe(error: Exception) -> str | None:
        if isinstance(error, av.error.FFmpegError):  # some of them are also OSErrors or ValueErrors
            return f"{name} {what} ({error.strerror or type(error).__name__})."
        if isinstance(error, FileNotFoundError):
            return f"There is no file {name}."
        return f"{name} can't be read or written: {error.strerror or error}." if isinstance(error, OSError) else None

    with translate_errors(describe):
        yield


def _strict(max_pixels: int) -> dict[str, str]:
    """Return decoder options: damage is an error, and so is a frame much larger than stated (decoders count cropped
    edges).
    """
    return {"max_pixels": str(2 * max_pixels + (1 << 16)), "err_detect": "explode"}


def _format(head: bytes) -> "FileFormat | None":
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), int.from_bytes(head[:4])), 4))}
    if head[4:8] in (b"free", b"skip", b"wide") and head[0]:  # probably text: no such box is 16 MB long
        return None
    if head[4:8] in BOXES and not (head[4:8] == b"ftyp" and brands.intersection(STILLS)):
        return "MP4"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "Matroska"
    return "AVI" if head.startswith(b"RIFF") and head[8:12] == b"AVI " else None


def _packets(file: mmap, form: "FileFormat") -> int | None:
    """Count the packets; None unless the parts of the file follow each other without gaps and end where the file ends.

    FFmpeg skips what it doesn't understand between packets, which would shorten the video.
    """
    try:
        return {"MP4": _in_mp4, "Matroska": _in_matroska, "AVI": _in_avi}[form](file)
    except IndexError:  # the file ends before a part does
        return None


def _in_mp4(file: mmap) -> int | None:
    at, size = 0, len(file)
    found: set[bytes] = set()
    while at + 8 <= size:
        name = file[at + 4 : at + 8]
        if name not in PARTS_OF_MP4 and found >= {b"moov", b"mdat"}:  # what cameras append to a complete video
            break
        at = _checked_box(file, at, size)
        if at < 0:
            return None
        found.add(name)
    return 0 if at <= size else None


def _checked_box(file: mmap, at: int, end: int) -> int:
    """Return where the box ends; -1 if it, or one inside it, states more samples than the file has bytes."""
    length, name, start = int.from_bytes(file[at : at + 4]), file[at + 4 : at + 8], at + 8
    if length == 1:
        length, start = int.from_bytes(file[start : start + 8]), at + 16
    stop = at + max(length, 8) if length else end  # 0 means up to the end
    if name in COUNTED and int.from_bytes(file[start + COUNTED[name] : start + COUNTED[name] + 4]) > len(file):
        return -1
    while name in BOXES_OF_BOXES and start + 8 <= min(stop, end):
        start = _checked_box(file, start, min(stop, end))
        if start < 0:
            return -1
    return stop if name != b"cmov" else -1  # compressed tables: their size can't be checked


def _in_avi(file: mmap) -> int | None:
    at, end, streams, used, count = 0, 0, 0, 0, 0
    while at + 8 <= len(file):
        name, length = file[at : at + 4], int.from_bytes(file[at + 4 : at + 8], "little")
        if at >= end:  # the first RIFF chunk, and further ones in a long video
            if name != b"RIFF":  # junk after the end
                break
            end = at + 8 + length
        if at + 8 + length > len(file):  # FFmpeg would allocate that much
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
        if not file[at] and at >= end and _is_zero(file, at):  # padding after the video
            break
        name, start, at = _element(file, at)
        if name in HOLDERS:  # a live recording may not state their lengths
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
    """Yield the numbers of the tracks described there."""
    while at < end:
        name, start, at = _element(file, at)
        if name == TRACK:
            at = start
        elif name == TRACK_NUMBER:
            yield int.from_bytes(file[start:at])


def _element(file: mmap, at: int) -> tuple[int, int, int]:
    """Return the ID of a Matroska element, and where its content begins and ends."""
    width = 9 - file[at].bit_length()
    length, start = _number(file, at + width)
    return int.from_bytes(file[at : at + width]), start, start + length


def _number(file: mmap, at: int) -> tuple[int, int]:
    """Parse a variable-length integer; return it and where it ends."""
    width = 9 - file[at].bit_length()
    return int.from_bytes(file[at : at + width]) & ((1 << 7 * width) - 1), at + width
