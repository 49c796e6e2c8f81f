"""How much a lossy file has lost, and how much its enlargement may lose in turn.

The rule: a lossy file stays lossy, in its own format. A JPEG takes the quality of its source, between `LEAST` and
`MOST`, and its chroma subsampling; a WebP takes `WEBP`. All else is as good as the format can be: JPEG of `MOST`
without subsampling, and lossless WebP. The limits were measured on Set5 and Set14, twice as large, against the
originals: a JPEG of quality 90 loses 0.13 dB again, one of 75, written with 80, 0.11 dB, and one of 30 0.03 dB.
"""

from typing import Final, NamedTuple

from drrn.errors import UsageError
from drrn.media.animation.webp import chunks
from drrn.media.file_format import FileFormat
from drrn.media.images.jpeg import FRAMES
from drrn.media.metadata.jpeg_segments import segments
from drrn.media.metadata.metadata import Block

LEAST: Final = 80
"""Quality of a JPEG at least: its blocks are new ones, which the source's quality never spoiled."""
MOST: Final = 95
"""Quality of a JPEG at most, unless more is asked for: more adds bytes alone."""
WEBP: Final = 90
SUBSAMPLED_BELOW: Final = 90
"""Quality asked for, below which the chroma of a JPEG is subsampled, if it has no JPEG as source."""
LUMA_SUM: Final = 3691
"""Sum of the quantization table for luma that libjpeg has for a quality of 50."""
DQT: Final = 0xDB


class Loss(NamedTuple):
    """How a file of a lossy format is encoded, or was."""

    quality: int
    """1 to 100, as libjpeg and libwebp count; of a file that was met, an estimate."""
    subsampled: bool = False
    """Whether chroma of a JPEG has half the rows and columns (4:2:0). WebP always has."""


BEST_JPEG: Final = Loss(MOST)


def loss_of(form: FileFormat, file: Block) -> Loss | None:
    """What a file has lost by its format; None if that is nothing, or unknown."""
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
    """How the enlargement is to be encoded in `form`; None without loss.

    Args:
        source: the format of the source, and `loss` what `loss_of` says of it.
        quality: asked for, 1 to 100.
        lossless: asked for.

    Raises:
        UsageError: `lossless` is asked of a JPEG.
    """
    if form == "JPEG" and lossless:
        raise UsageError("A JPEG always loses something. With --lossless, give an --output of png, webp or tif.")
    same = loss if form == source else None
    if form == "JPEG":
        subsampled = same.subsampled if same else (quality or MOST) < SUBSAMPLED_BELOW
        return Loss(quality or (min(max(same.quality, LEAST), MOST) if same else MOST), subsampled)
    if form == "WebP" and not lossless:
        return Loss(quality) if quality else same
    return None


def webp_options(loss: Loss | None) -> dict[str, bool | int]:
    """What libvips is told to write a WebP so."""
    if loss:
        return {"Q": loss.quality, "alpha_q": 100, "smart_subsample": True}
    return {"lossless": True, "exact": True}  # exact: colors stay where nothing is seen of them


def _jpeg(file: Block) -> Loss | None:
    """By the tables and the sampling that stand before the first scan."""
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
    """The sum of each table of a DQT segment, by its number."""
    found, at = dict[int, int](), 0
    while at < len(body):
        width = 2 if body[at] >> 4 else 1
        values = body[at + 1 : at + 1 + 64 * width]
        found[body[at] & 15] = sum(values) if width == 1 else sum(values[1::2]) + 256 * sum(values[::2])
        at += 1 + 64 * width
    return found


def _is_lossy_webp(file: Block) -> bool:
    """Whether a frame of it is."""
    try:
        for name, at, end in chunks(file, 12, min(8 + int.from_bytes(file[4:8], "little"), len(file))):
            if name == b"VP8 " or (
                name == b"ANMF" and any(part == b"VP8 " for part, _, _ in chunks(file, at + 16, end))
            ):
                return True
    except ValueError:  # who decodes it says what is wrong
        pass
    return False
