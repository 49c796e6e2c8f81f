"""Estimate the quality of a lossy file, and choose the quality of its enlargement.

The rule: a lossy file stays lossy, in its own format. A JPEG keeps the quality of its source, within `LEAST` and
`MOST`, and its chroma subsampling; a WebP is written with quality `WEBP`. Everything else is written as well as the
format allows: JPEG with `MOST` and no subsampling, WebP lossless. The limits were measured on Set5 and Set14 at x2
against the originals: a JPEG of quality 90 loses another 0.13 dB; one of 75, written with 80, 0.11 dB; one of 30,
0.03 dB.
"""

from typing import Final, NamedTuple

from drrn.errors import UsageError
from drrn.media.animation.webp import chunks
from drrn.media.buffer import Buffer
from drrn.media.file_format import FileFormat
from drrn.media.images.jpeg import FRAMES
from drrn.media.metadata.jpeg_segments import segments

LEAST: Final = 80
"""Lowest quality for a JPEG: its blocks are new ones that the source's compression has not degraded."""
MOST: Final = 95
"""Highest quality for a JPEG unless more is requested: beyond it, files only get larger."""
WEBP: Final = 90
SUBSAMPLED_BELOW: Final = 90
"""Requested qualities below this one subsample the chroma of a JPEG, unless the source is a JPEG."""
LUMA_SUM: Final = 3691
"""Sum of libjpeg's quantization table for luma at quality 50."""
DQT: Final = 0xDB


class Loss(NamedTuple):
    """The encoding quality of a lossy file."""

    quality: int
    """1 to 100, on the scale of libjpeg or libwebp; an estimate if read from a file."""
    subsampled: bool = False
    """Whether a JPEG stores chroma at half the resolution (4:2:0). WebP always does."""


BEST_JPEG: Final = Loss(MOST)


def loss_of(form: FileFormat, file: Buffer) -> Loss | None:
    """Estimate the quality of a file; None if the format is lossless or the quality is unknown."""
    match form:
        case "JPEG":
            return _jpeg(file)
        case "WebP":
            return Loss(WEBP) if _is_lossy_webp(file) else None
        case _:
            return None


def choose_loss(
    form: FileFormat, source: FileFormat, loss: Loss | None, *, quality: int | None = None, lossless: bool = False
) -> Loss | None:
    """Choose the quality for writing the enlargement in `form`; None for lossless.

    Args:
        source: the format of the source.
        loss: the quality of the source, from `loss_of`.
        quality: the requested quality, 1 to 100.
        lossless: whether lossless was requested.

    Raises:
        UsageError: `lossless` is requested for a JPEG.
    """
    if form == "JPEG" and lossless:
        raise UsageError("A JPEG is never lossless. With --lossless, give an --output of png, webp or tif.")
    same = loss if form == source else None
    if form == "JPEG":
        subsampled = same.subsampled if same else (quality or MOST) < SUBSAMPLED_BELOW
        return Loss(quality or (min(max(same.quality, LEAST), MOST) if same else MOST), subsampled)
    if form == "WebP" and not lossless:
        return Loss(quality) if quality else same
    return None


def webp_options(loss: Loss | None) -> dict[str, bool | int]:
    """Return libvips' options for writing a WebP of this quality."""
    if loss:
        return {"Q": loss.quality, "alpha_q": 100, "smart_subsample": True}
    return {"lossless": True, "exact": True}  # exact: keep colors under transparent pixels


def _jpeg(file: Buffer) -> Loss | None:
    """Estimate the quality from the tables and the sampling factors before the first scan."""
    tables, first, subsampled = dict[int, int](), -1, False
    for marker, body in segments(file):
        if marker == DQT:
            tables |= _tables(body)
        elif marker in FRAMES and len(body) >= 9:
            factors = [body[index] for index in range(7, len(body), 3)]
            across, down = max(each >> 4 for each in factors), max(each & 15 for each in factors)
            subsampled = len(factors) == 3 and all(each >> 4 < across and each & 15 < down for each in factors[1:])
            first = body[8]
    if first not in tables:
        return None
    scale = 100 * tables[first] / LUMA_SUM
    quality = (200 - scale) / 2 if scale <= 100 else 5000 / scale
    return Loss(min(max(round(quality), 1), 100), subsampled)


def _tables(body: bytes) -> dict[int, int]:
    """Return the sum of each table in a DQT segment, by table number."""
    found, at = dict[int, int](), 0
    while at < len(body):
        width = 2 if body[at] >> 4 else 1
        values = body[at + 1 : at + 1 + 64 * width]
        found[body[at] & 15] = sum(values) if width == 1 else sum(values[1::2]) + 256 * sum(values[::2])
        at += 1 + 64 * width
    return found


def _is_lossy_webp(file: Buffer) -> bool:
    """Whether at least one frame is lossy."""
    try:
        for name, at, end in chunks(file, 12, min(8 + int.from_bytes(file[4:8], "little"), len(file))):
            if name == b"VP8 " or (
                name == b"ANMF" and any(part == b"VP8 " for part, _, _ in chunks(file, at + 16, end))
            ):
                return True
    except ValueError:  # the decoder will report what is wrong
        pass
    return False
