"""Make animations without drrn, and compose their frames as the specification says, slowly and without a library."""

import io
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

KEEP, CLEAR, RESTORE = range(3)
Samples = np.ndarray[Any, Any]


class Step(NamedTuple):
    """A frame: RGBA (h, w, 4), uint8 or uint16, with its position, duration, blending and disposal."""

    samples: Samples
    left: int = 0
    top: int = 0
    after: int = KEEP
    over: bool = True
    delay: tuple[int, int] = (7, 100)


def composed_frames(steps: Sequence[Step], width: int, height: int) -> list[Samples]:
    """The composed frames: (height, width, 4) in [0, 1], with colors multiplied by alpha."""
    canvas, composed = np.zeros((height, width, 4)), []
    for samples, left, top, after, over, _ in steps:
        front = samples / np.iinfo(samples.dtype).max
        front[..., :3] *= front[..., 3:]
        before = canvas.copy()
        for y in range(front.shape[0]):
            for x in range(front.shape[1]):
                below = before[top + y, left + x] if over else np.zeros(4)
                canvas[top + y, left + x] = front[y, x] + below * (1 - front[y, x, 3])
        composed.append(canvas.copy())
        if after == CLEAR:
            canvas[top : top + front.shape[0], left : left + front.shape[1]] = 0
        elif after == RESTORE:
            canvas = before
    return composed


def multiplied(samples: Samples) -> Samples:
    """Convert (H, W, 1 to 4) to the form of `composed_frames`."""
    values = samples / np.iinfo(samples.dtype).max
    if values.shape[2] % 2:
        values = np.dstack([values, np.ones(values.shape[:2])])
    if values.shape[2] == 2:
        values = values[..., [0, 0, 0, 1]]
    return np.dstack([values[..., :3] * values[..., 3:], values[..., 3]])


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


def png(
    steps: Sequence[Step],
    size: tuple[int, int],
    *,
    plays: int = 0,
    hidden: Samples | None = None,
    palette: Samples | None = None,
    bands: Sequence[int] = (0, 1, 2, 3),
    extra: bytes = b"",
    claimed: int | None = None,
) -> bytes:
    """Args:
    hidden: a default image that is not a frame.
    palette: RGBA colors; the first band of the samples is the index.
    bands: the bands of RGBA to write: (0,) for gray, (0, 3) for gray with alpha.
    extra: chunks before the pixels.
    claimed: the number of frames to claim.
    """
    deep = steps[0].samples.dtype == np.uint16
    color = 3 if palette is not None else {1: 0, 2: 4, 3: 2, 4: 6}[len(bands)]

    def data(samples: Samples) -> bytes:
        rows = samples[..., [0] if palette is not None else list(bands)].astype(">u2" if deep else np.uint8)
        return zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))

    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">LLBBBBB", *size, 16 if deep else 8, color, 0, 0, 0))
    out += extra
    if palette is not None:
        out += chunk(b"PLTE", palette[:, :3].tobytes()) + chunk(b"tRNS", palette[:, 3].tobytes())
    out += chunk(b"acTL", struct.pack(">LL", len(steps) if claimed is None else claimed, plays))
    number = 0
    if hidden is not None:
        out += chunk(b"IDAT", data(hidden))
    for index, (samples, left, top, after, over, delay) in enumerate(steps):
        height, width = samples.shape[:2]
        out += chunk(b"fcTL", struct.pack(">LLLLLHHBB", number, width, height, left, top, *delay, after, over))
        packed, number = data(samples), number + 1
        if not index and hidden is None:
            out += chunk(b"IDAT", packed)
            continue
        for part in (packed[: len(packed) // 2], packed[len(packed) // 2 :]):
            out += chunk(b"fdAT", struct.pack(">L", number) + part)
            number += 1
    return out + chunk(b"IEND", b"")


def gif(steps: Sequence[Step], size: tuple[int, int], *, loop: int | None = 0, own: bool = True) -> bytes:
    """A GIF. An alpha of 0 is transparent. With `own`, each frame has its own palette; otherwise all share one."""
    tables = [palette_of(step.samples) for step in (steps if own else steps[:1])]
    out = b"GIF89a" + struct.pack("<HHBBB", *size, 0 if own else 0xF7, 0, 0)
    out += b"" if own else tables[0].tobytes()
    if loop is not None:
        out += b"\x21\xff\x0bNETSCAPE2.0" + struct.pack("<BBHB", 3, 1, loop, 0)
    for number, (samples, left, top, after, _, delay) in enumerate(steps):
        table = tables[number if own else 0]
        clear = bool((samples[..., 3] == 0).any())
        ticks = delay[0] * 100 // delay[1]
        out += struct.pack("<BBBBHBB", 0x21, 0xF9, 4, (after + 1) << 2 | clear, ticks, 255, 0)
        height, width = samples.shape[:2]
        out += struct.pack("<BHHHHB", 0x2C, left, top, width, height, 0x87 if own else 0)
        out += (table.tobytes() if own else b"") + lzw(indices(samples, table))
    return out + b";"


def palette_of(samples: Samples) -> Samples:
    """A palette (256, 3) of the visible colors; the last entry is for transparent pixels."""
    colors = np.unique(samples[samples[..., 3] > 0][:, :3], axis=0)
    assert len(colors) < 256
    return np.concatenate([colors, np.zeros((256 - len(colors), 3), np.uint8)]).astype(np.uint8)


def indices(samples: Samples, table: Samples) -> Samples:
    near = (samples[..., None, :3] == table[:255]).all(axis=3).argmax(axis=2)
    return np.where(samples[..., 3] > 0, near, 255)


def lzw(values: Samples) -> bytes:
    """LZW data without compression: codes of 9 bits, and a new table before they would need 10."""
    codes: list[int] = []
    for number, value in enumerate(values.ravel()):
        codes += [256, int(value)] if number % 250 == 0 else [int(value)]
    bits = sum(code << (9 * place) for place, code in enumerate([*codes, 257]))
    data = bits.to_bytes((9 * (len(codes) + 1) + 7) // 8, "little")
    blocks = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"\x08" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def webp(
    steps: Sequence[Step], size: tuple[int, int], *, plays: int = 0, lossless: bool = True, back: bytes = bytes(4)
) -> bytes:
    """Write a WebP. Left and top of frames must be even."""

    def part(name: bytes, body: bytes) -> bytes:
        return name + struct.pack("<L", len(body)) + body + bytes(len(body) % 2)

    def number(value: int) -> bytes:
        return value.to_bytes(3, "little")

    out = part(b"VP8X", b"\x12\0\0\0" + number(size[0] - 1) + number(size[1] - 1))
    out += part(b"ANIM", back + struct.pack("<H", plays))
    for samples, left, top, after, over, delay in steps:
        height, width = samples.shape[:2]
        file = io.BytesIO()
        image = Image.fromarray(samples if (samples[..., 3] < 255).any() else samples[..., :3].copy())
        image.save(file, "WebP", lossless=lossless, exact=True, quality=90)
        still = file.getvalue()[12:]
        if still.startswith(b"VP8X"):
            still = still[18:]
        milliseconds = round(Fraction(*delay) * 1000)
        head = b"".join(map(number, (left // 2, top // 2, width - 1, height - 1, milliseconds)))
        out += part(b"ANMF", head + bytes([(not over) << 1 | (after == CLEAR)]) + still)
    return b"RIFF" + struct.pack("<L", 4 + len(out)) + b"WEBP" + out


def as_pillow_has_them(path: Path) -> tuple[list[Samples], list[float], int | None]:
    """The frames in RGBA, their durations in milliseconds, and the loop count in the file, read by Pillow."""
    frames, durations = [], []
    with Image.open(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            frames.append(np.asarray(image.convert("RGBA")))
            durations.append(float(image.info.get("duration", 0)))
        return frames, durations, image.info.get("loop")
