"""Small files that expand to huge ones: each must be refused at once, or read within its true size."""

import struct
import zlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Final

from drrn.media.images.files import MAX_PIXELS
from tests.hostile import sequences
from tests.hostile.attempts import enlarge
from tests.hostile.formats import Format, with_checksums
from tests.hostile.seeds import chunk, photo, png, saved, tags

SHORT, LONG, WIDE = 3, 4, 16
"""Numbers of TIFF types."""


def gray_png(
    width: int, height: int, *, bits: int = 8, color: int = 0, idat: bytes = b"", before: bytes = b""
) -> bytes:
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


@cache
def zeros(count: int) -> bytes:
    """This many zeros, compressed piece by piece."""
    deflate = zlib.compressobj(9)
    pieces = [deflate.compress(bytes(1 << 20)) for _ in range(count >> 20)]
    return b"".join(pieces) + deflate.compress(bytes(count % (1 << 20))) + deflate.flush()


def text_bomb(name: bytes, start: bytes) -> bytes:
    body = start + zeros(100 << 20)
    return gray_png(1, 1, idat=zlib.compress(bytes(2)), before=chunk(name, body))


def large_jpeg() -> bytes:
    content = bytearray(saved(photo(), "JPEG"))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = b"\xff\xff\xff\xff"
    return bytes(content)


def scans(times: int = 1000) -> bytes:
    """A progressive JPEG of 9 megapixels that repeats its last scan."""
    content = saved(photo().resize((3000, 3000)), "JPEG", progressive=True, quality=1)
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * times + content[-2:]


def exif_loop() -> bytes:
    """EXIF whose subdirectories and next directory are all the first directory again."""
    entries = b"".join(struct.pack("<HHLL", tag, LONG, 1, 8) for tag in (0x8769, 0x8825, 0xA005))
    block = b"Exif\0\0II*\0" + struct.pack("<LH", 8, 3) + entries + struct.pack("<L", 8)
    return saved(photo(), "JPEG", exif=block)


def thumbnail() -> bytes:
    """EXIF that claims a thumbnail of 4 GB."""
    exif = tags().tobytes().removeprefix(b"Exif\0\0")
    at = len(exif)
    first = struct.unpack_from("<L" if exif[:2] == b"II" else ">L", exif, 4)[0]
    order = "<" if exif[:2] == b"II" else ">"
    end = first + 2 + 12 * struct.unpack_from(f"{order}H", exif, first)[0]
    second = struct.pack(f"{order}HHHLLHHLLL", 2, 0x201, LONG, 1, 8, 0x202, LONG, 1, 0xFFFFFFFF, 0)
    block = exif[:end] + struct.pack(f"{order}L", at) + exif[end + 4 :] + second
    return saved(photo(), "JPEG", exif=b"Exif\0\0" + block)


def gif(width: int, height: int, frames: int = 1, frame: tuple[int, int] | None = None) -> bytes:
    """A GIF with data for one pixel per frame, whatever its headers claim."""
    across, down = frame or (width, height)
    one = b"," + struct.pack("<HHHHB", 0, 0, across, down, 0) + b"\2\2\x4c\1\0"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + one * frames + b";"


def webp() -> bytes:
    """A lossless WebP of 16383 pixels a side, without data."""
    body = b"\x2f" + struct.pack("<L", 16382 | 16382 << 14) + bytes(5)
    return b"RIFF" + struct.pack("<L4s4sL", len(body) + 12, b"WEBP", b"VP8L", len(body)) + body


def apng(frames: int) -> bytes:
    """An APNG with three frames, whatever it claims."""
    content = sequences.apng()[0]
    at = content.index(b"acTL") + 4
    return with_checksums(content[:at] + struct.pack(">L", frames) + content[at + 4 :])


def webp_frames(times: int = 100_000) -> bytes:
    content = sequences.webp()[0]
    at = content.index(b"ANMF")
    end = at + 8 + int.from_bytes(content[at + 4 : at + 8], "little")
    content = content[:at] + content[at:end] * times + content[end:]
    return content[:4] + struct.pack("<L", len(content) - 8) + content[8:]


def webp_canvas() -> bytes:
    content = sequences.webp()[0]
    at = content.index(b"VP8X") + 12
    return content[:at] + b"\xff" * 6 + content[at + 6 :]


def tiff(changed: Mapping[int, tuple[int, int, int]], body: bytes = bytes(8), *, following: bool = False) -> bytes:
    """A gray TIFF of 8 x 1 with some tags (type, count, value) changed. Its next page may be itself."""
    defaults = {256: 8, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(body)}
    values = {tag: (LONG if tag > 270 else SHORT, 1, value) for tag, value in defaults.items()} | dict(changed)
    at = 8 + len(body) + len(body) % 2
    entries = b"".join(
        struct.pack("<HHL", tag, kind, count) + struct.pack("<H" if kind == SHORT else "<L", value).ljust(4, b"\0")
        for tag, (kind, count, value) in sorted(values.items())
        if count
    )
    number = sum(count > 0 for _, count, _ in values.values())
    head = b"II*\0" + struct.pack("<L", at) + body + bytes(len(body) % 2)
    return head + struct.pack("<H", number) + entries + struct.pack("<L", at * following)


def strips(side: int, compression: int) -> bytes:
    """A TIFF with this side, all of it in missing strips."""
    return tiff(
        {
            256: (LONG, 1, side),
            257: (LONG, 1, side),
            259: (SHORT, 1, compression),
            278: (LONG, 1, side),
            273: (LONG, 1, 0),
            279: (LONG, 1, 0),
        }
    )


def tiles(side: int) -> bytes:
    """A TIFF of one pixel, with tiles of this side."""
    return tiff(
        {
            256: (SHORT, 1, 1),
            322: (LONG, 1, side),
            323: (LONG, 1, side),
            324: (LONG, 1, 8),
            325: (LONG, 1, 8),
            273: (LONG, 0, 0),
            278: (LONG, 0, 0),
            279: (LONG, 0, 0),
        }
    )


BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    "png of 2^31 a side": partial(gray_png, 2**31 - 1, 2**31 - 1),
    "png of 20000 a side in one bit": lambda: gray_png(20_000, 20_000, bits=1, idat=zeros(1 << 20)),
    "png of 13000 a side": lambda: gray_png(13_000, 13_000, color=2, idat=zeros(1 << 20)),
    "png of no width": partial(gray_png, 0, 5),
    "png with a text of 100 MB": partial(text_bomb, b"zTXt", b"Comment\0\0"),
    "png with a text of 100 MB in UTF-8": partial(text_bomb, b"iTXt", b"a\0\1\0\0\0"),
    "png with a profile of 100 MB": partial(text_bomb, b"iCCP", b"icc\0\0"),
    "jpeg of 65535 a side": large_jpeg,
    "jpeg of a thousand scans": scans,
    "gif of 65535 a side": partial(gif, 65535, 65535),
    "gif of 200,000 frames": partial(gif, 1, 1, 200_000),
    "gif of 9,000 frames of 100 a side": partial(gif, 100, 100, 9_000),
    "gif whose frame lies outside of it": partial(gif, 10, 10, 1, (65535, 65535)),
    "apng that says 2^31 frames": partial(apng, 2**31 - 1),
    "apng that says 2 frames of 3": partial(apng, 2),
    "webp of 16383 a side": webp,
    "webp of 100,000 frames": webp_frames,
    "webp of 2^24 a side with frames of 8": webp_canvas,
    "tiff of 100000 a side": lambda: tiff({256: (LONG, 1, 100_000), 257: (LONG, 1, 100_000)}),
    "tiff of 4294967295 a side": lambda: tiff({256: (LONG, 1, 2**32 - 1), 257: (LONG, 1, 2**32 - 1)}),
    "tiff of strips that are not there": partial(strips, 3000, 1),
    "tiff of deflated strips that are not there": partial(strips, 3000, 8),
    "tiff of strips beyond its end": lambda: tiff({273: (LONG, 1, 2**32 - 9)}),
    "tiff of 65535 samples a pixel": lambda: tiff({277: (SHORT, 1, 65535)}),
    "tiff of tiles without a side": partial(tiles, 0),
    "tiff of tiles of 2^31 a side": partial(tiles, 2**31),
    "tiff of tiles of 32768 a side": partial(tiles, 32768),
    "tiff of a hundred million strips": lambda: tiff({273: (LONG, 100_000_000, 8), 279: (LONG, 100_000_000, 8)}),
    "tiff whose directory lies beyond all": lambda: b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63 - 1),
    "tiff of 2^62 entries": lambda: b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**62) + bytes(64),
    "bmp of 2^31 a side": lambda: (
        b"BM" + struct.pack("<LLLLllHHLLLLLL", 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, *[0] * 6)
    ),
    "bmp of 2^31 colors": lambda: (
        b"BM" + struct.pack("<LLLLllHHLLLLLL", 0, 0, 54, 40, 1, 1, 1, 8, 0, 0, 0, 0, 2**31, 0) + bytes(4)
    ),
    "pnm of a thousand million a side": lambda: b"P6 999999999 999999999 255\n\0",
    "pnm without an end of its header": lambda: b"P6 #" + bytes(b"#" * 3_000_000),
}
"""Bombs that must be refused."""
HARMLESS: Final[dict[str, Callable[[], bytes]]] = {
    "png with 100,000 empty chunks": lambda: gray_png(1, 1, idat=zeros(2), before=chunk(b"prIv", b"") * 100_000),
    "png with 100 MB behind its pixels": lambda: gray_png(1, 1, idat=zeros(100 << 20)),
    "tiff with 100 MB behind its pixels": lambda: tiff({259: (SHORT, 1, 8)}, zeros(100 << 20)),
    "tiff whose directories are a loop": lambda: tiff({}, following=True),
    "jpeg whose exif is a loop": exif_loop,
    "jpeg with a thumbnail of 4 GB": thumbnail,
    "jpeg with a second picture behind it": lambda: saved(photo(), "JPEG") + large_jpeg(),
}
"""Files that must be read, without loading what they claim to contain besides their pixels."""

FORMATS: Final = {"bomb": Format(png, ".png", attempt=partial(enlarge, max_pixels=MAX_PIXELS))}
"""The bombs as formats of the harness, with the limits of the command line."""
