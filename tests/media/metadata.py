"""Make files with metadata byte by byte, and enlarge them by repeating pixels."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from drrn.media.image import Image
from drrn.media.images.files import read, write
from drrn.media.metadata.adapting import resize_metadata
from drrn.media.metadata.jpeg_segments import segments

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


def packet(namespaces: Mapping[str, str], attributes: str, elements: str, outer: str = "") -> bytes:
    """An XMP packet with one description, without its wrapper."""
    declared = " ".join(f'xmlns:{prefix}="{namespace}"' for prefix, namespace in namespaces.items() if (
        f"{prefix}:" in attributes + elements
    ))  # fmt: skip
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/" {outer}><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description {declared} '
        f"{attributes}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def photo(width: int = 48, height: int = 32) -> Pillow.Image:
    y, x = np.mgrid[:height, :width]
    return Pillow.fromarray(np.dstack([x * 255 // width, y * 255 // height, 255 - x * 2]).astype(np.uint8))


def with_xmp(content: bytes, path: Path, onto: Path | None = None) -> Path:
    """Write a photo with this XMP, in the format of the suffix."""
    if onto:
        return with_chunks([(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + content)], path, onto=onto)
    match path.suffix:
        case ".png":
            return with_chunks([(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + content)], path)
        case ".tif":
            photo().save(path, tiffinfo={700: content})
        case _:
            photo().save(path, xmp=content)
    return path


def with_chunks(chunks: Sequence[tuple[bytes, bytes]], path: Path, onto: Path | None = None) -> Path:
    """A PNG with these chunks before its pixels."""
    if onto is None:
        photo().save(path)
    whole = (onto or path).read_bytes()
    added = b"".join(
        struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body)) for name, body in chunks
    )
    path.write_bytes(whole[:33] + added + whole[33:])
    return path


def png_chunks(path: Path) -> dict[bytes, list[bytes]]:
    """The bodies of each kind of chunk."""
    whole, at = path.read_bytes(), 8
    found: dict[bytes, list[bytes]] = {}
    while at < len(whole):
        length, name = int.from_bytes(whole[at : at + 4]), whole[at + 4 : at + 8]
        found.setdefault(name, []).append(whole[at + 8 : at + 8 + length])
        at += 12 + length
    return found


def with_segments(added: Sequence[tuple[int, bytes]], path: Path, behind: bytes = b"") -> Path:
    """A JPEG with these segments after its first marker, and these bytes after its end."""
    photo().save(path, quality=95)
    whole = path.read_bytes()
    content = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in added)
    path.write_bytes(whole[:2] + content + whole[2:] + behind)
    return path


def jpeg_segments(path: Path) -> list[tuple[int, bytes]]:
    return [*segments(path.read_bytes())]


def doubled(path: Path, target: Path) -> Path:
    """Enlarge a file like `drrn upscale`, but by repeating pixels."""
    write(twice(read(path)), target, overwrite=True)
    return target


def twice(small: Image) -> Image:
    pixels = small.pixels.repeat(2, 0).repeat(2, 1)
    alpha = None if small.alpha is None else small.alpha.repeat(2, 0).repeat(2, 1)
    metadata = resize_metadata(small.metadata, (small.width, small.height), (2 * small.width, 2 * small.height))
    return replace(small, pixels=pixels, alpha=alpha, **metadata._asdict())
