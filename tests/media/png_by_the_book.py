"""A PNG decoder written from the specification, slow and without a library, to check the reader against."""

import struct
import zlib

import numpy as np

BANDS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
"""First row, first column, row step and column step of each pass."""


def decode(content: bytes) -> np.ndarray:
    """Decode to (H, W, 1 to 4), uint8 or uint16. Fewer bits become 8, palettes RGB, and tRNS alpha."""
    chunks: dict[bytes, bytes] = {}
    at = 8
    while at < len(content):
        (length,), name = struct.unpack_from(">L", content, at), content[at + 4 : at + 8]
        chunks[name] = chunks.get(name, b"") + content[at + 8 : at + 8 + length]
        at += 12 + length
    width, height, bits, color, _, _, interlaced = struct.unpack(">LLBBBBB", chunks[b"IHDR"])
    raw, bands = zlib.decompress(chunks[b"IDAT"]), BANDS[color]
    samples = np.zeros((height, width, bands), np.uint16)
    for row, column, rows, columns in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        part = samples[row::rows, column::columns]
        if part.size:
            part[...], raw = unfiltered(raw, part.shape[0], part.shape[1], bands, bits)
    clear = chunks.get(b"tRNS")
    if color == 3:
        palette = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)
        picture = palette[samples[..., 0]]
        if clear is not None:
            opacity = np.full(256, 255, np.uint8)
            opacity[: len(clear)] = np.frombuffer(clear, np.uint8)
            picture = np.dstack([picture, opacity[samples[..., 0]]])
        return picture
    top = 65535 if bits == 16 else 255
    picture = samples.astype(np.uint32) * top // (2**bits - 1)
    if clear is not None:
        key = np.frombuffer(clear, ">u2")
        picture = np.dstack([picture, np.where((samples == key).all(axis=2), 0, top)])
    return picture.astype(np.uint16 if bits == 16 else np.uint8)


def unfiltered(raw: bytes, height: int, width: int, bands: int, bits: int) -> tuple[np.ndarray, bytes]:
    """Decode one pass: (height, width, bands) samples, and the bytes after it."""
    length, step = (width * bands * bits + 7) // 8, max(1, bands * bits // 8)
    above, lines = bytearray(length), []
    for row in range(height):
        kind, line = raw[row * (length + 1)], bytearray(raw[row * (length + 1) + 1 : (row + 1) * (length + 1)])
        for x in range(length):
            a, b, c = (line[x - step], above[x], above[x - step]) if x >= step else (0, above[x], 0)
            line[x] = (line[x] + (0, a, b, (a + b) // 2, paeth(a, b, c))[kind]) & 255
        above = line
        lines.append(bytes(line))
    rows = np.frombuffer(b"".join(lines), np.uint8).reshape(height, length)
    if bits == 16:
        samples = rows.reshape(height, -1).view(">u2")
    elif bits == 8:
        samples = rows
    else:
        each = np.unpackbits(rows, axis=1).reshape(height, -1, bits)
        samples = (each << np.arange(bits)[::-1].astype(np.uint8)).sum(axis=2)
    return samples[:, : width * bands].reshape(height, width, bands), raw[height * (length + 1) :]


def paeth(a: int, b: int, c: int) -> int:
    return min((a, b, c), key=lambda value: abs(a + b - c - value))
