"""The formats to fuzz: valid files of each, and what the command line does with one.

A new format is fuzzed once it is in `FORMATS`.
"""

import json
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from safetensors.numpy import load as parse_tensors

from drrn.weights import store
from tests.hostile import layout, seeds, sequences
from tests.hostile.attempts import enlarge, start_training, use_weights

SMALL: Final = 1 << 16
"""Most bytes of a published file that is used as a seed."""


class Format(NamedTuple):
    """A format to fuzz."""

    seeds: Callable[[], list[bytes]]
    suffix: str
    fields: Callable[[bytes], Iterator[layout.Field]] = layout.none
    attempt: Callable[[Path, Path], None] = enlarge
    """Handle a file like the command line, and write into a folder. Raises DRRNError: the file is refused."""
    repair: Callable[[bytes], bytes] = lambda content: content
    """Correct the checksums of a file, so that the code after their check is reached."""
    is_text: bool = False
    """Whether it contains numbers as digits."""
    quick: int = 100
    """Inputs of the tests without `full`, fewer for slow formats."""
    published: str = ""
    """Pattern of the published files that are also seeds, relative to the folder of formats."""

    def all_seeds(self, published: Path | None) -> list[bytes]:
        """The generated seeds, and the published ones in the folder."""
        paths = sorted(published.glob(self.published)) if published and self.published else []
        return self.seeds() + [path.read_bytes() for path in paths if path.stat().st_size <= SMALL]


def with_checksums(content: bytes) -> bytes:
    """The PNG with the correct checksum in every chunk."""
    repaired, at = bytearray(content), 8
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4])
        if end + 4 > len(content):
            break
        repaired[end : end + 4] = zlib.crc32(content[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(repaired)


def with_digest(content: bytes) -> bytes:
    """The weights file with its correct SHA-256."""
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        metadata = json.loads(header["__metadata__"]["drrn"])
        tensors = parse_tensors(content)
        rest = {name: value for name, value in metadata.items() if name != "sha256"}
        metadata["sha256"] = store._digest(rest, tensors)
        header["__metadata__"]["drrn"] = json.dumps(metadata)
        printed = json.dumps(header).encode()
        printed += b" " * (-len(printed) % 8)
        return len(printed).to_bytes(8, "little") + printed + content[8 + length :]
    except Exception:  # beyond mending, and a mutation as good as others
        return content


FORMATS: Final[dict[str, Format]] = {
    "PNG": Format(seeds.png, ".png", layout.png, repair=with_checksums, published="*/*.png"),
    "JPEG": Format(seeds.jpeg, ".jpg", layout.jpeg, published="*/*.jpg"),
    "WebP": Format(seeds.webp, ".webp", layout.riff, published="*/*.webp"),
    "TIFF": Format(seeds.tiff, ".tif", layout.tiff, published="*/*.tif*"),
    "BMP": Format(seeds.bmp, ".bmp", layout.bmp, published="*/*.bmp"),
    "PNM": Format(seeds.pnm, ".pnm", is_text=True, published="*/*.p[gp]m"),
    "GIF": Format(seeds.gif, ".gif", layout.gif, published="*/*.gif"),
    "AVIF": Format(seeds.avif, ".avif", layout.boxes, published="*/*.avif"),
    "DICOM": Format(seeds.dicom, ".dcm", layout.dicom, published="*/*.dcm"),
    "weights": Format(seeds.weights, ".safetensors", layout.begins, use_weights, with_digest, is_text=True),
    "config": Format(seeds.config, ".json", attempt=start_training, is_text=True),
    "GIF animation": Format(sequences.gif, ".gif", layout.gif, published="*/*.gif", quick=50),
    "APNG": Format(sequences.apng, ".png", layout.png, repair=with_checksums, quick=50),
    "WebP animation": Format(sequences.webp, ".webp", layout.riff, quick=50),
    "GeoTIFF": Format(sequences.geotiff, ".tif", layout.tiff, published="geo/*.tif", quick=50),
    "MP4": Format(partial(sequences.film, ".mp4"), ".mp4", layout.boxes, quick=50),
    "Matroska": Format(partial(sequences.film, ".mkv"), ".mkv", layout.anywhere, quick=50),
    "AVI": Format(partial(sequences.film, ".avi"), ".avi", layout.riff, quick=50),
}
