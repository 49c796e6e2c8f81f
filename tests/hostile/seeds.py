"""Make small valid files of every format, to start mutations from."""

import io
import json
import struct
import zlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from PIL import Image as Pillow

from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.media.metadata import tiff_tags
from drrn.weights import store
from tests.small_weights import small_weights

MODES: Final = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16")


def photo(width: int = 24, height: int = 16) -> Pillow.Image:
    y, x = np.mgrid[:height, :width]
    return Pillow.fromarray(np.dstack([x * 10, y * 15, 255 - x * 7 - y]).astype(np.uint8))


def tags(orientation: int = 6) -> Pillow.Exif:
    exif = Pillow.Exif()
    exif[0x10F], exif[0x132], exif[tiff_tags.ORIENTATION] = "Maker", "2026:10:01 12:00:00", orientation
    exif[tiff_tags.ACROSS], exif[tiff_tags.DOWN], exif[tiff_tags.UNIT] = 300.0, 150.0, 2
    exif.get_ifd(tiff_tags.EXIF).update({0xA002: 24, 0xA003: 16, 0x829A: 0.01, 0x927C: b"a maker's note"})
    exif.get_ifd(tiff_tags.GPS).update({1: "N", 2: (52.0, 31.0, 12.5)})
    return exif


def saved(image: Pillow.Image, form: str, **options: Any) -> bytes:
    whole = io.BytesIO()
    image.save(whole, form, **options)
    return whole.getvalue()


def in_modes(form: str, *options: dict[str, Any]) -> list[bytes]:
    """Images in every mode and with every option of the format."""
    files = []
    for mode in MODES:
        image = photo().convert("L" if mode == "I;16" else mode)
        for each in options:
            try:
                files.append(saved(image.convert("I;16") if mode == "I;16" else image, form, **each))
            except (OSError, ValueError):
                continue
    return files


def with_metadata(suffix: str) -> bytes:
    """An image written by drrn with ICC, EXIF, XMP and dpi."""
    picture = Image.from_array(np.asarray(photo()))
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        icc = Pillow.open(io.BytesIO(saved(photo(), "PNG"))).info.get("icc_profile") or bytes(range(132))
        image = Image(pixels=picture.pixels, icc=icc, exif=tags().tobytes(), xmp=xmp, dpi=(300.0, 150.0))
        write(image, path)
        return path.read_bytes()


@cache
def png() -> list[bytes]:
    files = in_modes("PNG", {}, {"exif": tags()}, {"dpi": (72, 72)})
    gray = Pillow.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    files += [saved(photo().quantize(8), "PNG", bits=4), saved(photo().quantize(2), "PNG", bits=1)]
    files += [saved(photo(), "PNG", transparency=(0, 0, 255)), saved(gray, "PNG", transparency=9)]
    files += [with_metadata(".png"), chunks((24, 16), interlaced=True)]
    return files


def chunks(size: tuple[int, int], *, interlaced: bool = False) -> bytes:
    """An uncompressed 16-bit gray PNG."""
    width, height = size
    raw = bytes(2 * width * height + 7 * (height + 8)) if interlaced else bytes((1 + 2 * width) * height)
    header = struct.pack(">LLBBBBB", width, height, 16, 0, 0, 0, interlaced)
    pieces = [(b"IHDR", header), (b"tEXt", b"Title\0a"), (b"IDAT", zlib.compress(raw, 0)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, body) for name, body in pieces)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


@cache
def jpeg() -> list[bytes]:
    files = in_modes(
        "JPEG", {}, {"exif": tags()}, {"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}
    )
    return [*files, saved(photo(), "JPEG", subsampling=0), with_metadata(".jpg")]


@cache
def webp() -> list[bytes]:
    lossy, lossless = in_modes("WEBP", {}, {"exif": tags()}), in_modes("WEBP", {"lossless": True})
    return [*lossy, *lossless, with_metadata(".webp")]


@cache
def tiff() -> list[bytes]:
    packed = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group3", "group4")
    files = in_modes("TIFF", *({"compression": name} for name in packed), {"exif": tags()}, {"big_tiff": True})
    return [*files, with_metadata(".tif")]


@cache
def bmp() -> list[bytes]:
    return [*in_modes("BMP", {}, {"dpi": (300, 300)}), with_metadata(".bmp")]


@cache
def pnm() -> list[bytes]:
    pam = b"P7\nWIDTH 3\nHEIGHT 2\nDEPTH %d\nMAXVAL %d\nTUPLTYPE %s\nENDHDR\n"
    kinds = [(1, b"GRAYSCALE"), (2, b"GRAYSCALE_ALPHA"), (3, b"RGB"), (4, b"RGB_ALPHA")]
    files = [pam % (bands, 255, kind) + bytes(6 * bands) for bands, kind in kinds]
    files += [pam % (bands, 4095, kind) + bytes(12 * bands) for bands, kind in kinds]
    files += [
        b"P4\n# bits\n10 2\n\x55\x40\xaa\x80",
        b"P5 4 2 200\n" + bytes(range(8)),
        b"P2 2 1 255\n1 2",
        b"Pf\n1 1\n-1.0\n" + bytes(4),
    ]
    return files + in_modes("PPM", {})


@cache
def gif() -> list[bytes]:
    few = photo().quantize(8)
    clear = photo().quantize(4)
    files = [saved(image, "GIF") for image in (few, clear, photo().convert("1"), photo().convert("L"))]
    files += [saved(few, "GIF", interlace=True), saved(few, "GIF", transparency=1, comment=b"a comment")]
    return [*files, saved(few, "GIF", save_all=True, append_images=[clear], duration=[20, 0], loop=3)]


@cache
def avif() -> list[bytes]:
    modes = [photo(), photo().convert("RGBA"), photo(17, 13).convert("L")]
    files = [saved(image, "AVIF", speed=10) for image in modes]
    return [*files, saved(photo(), "AVIF", speed=10, exif=tags(), quality=100, subsampling="4:4:4")]


@cache
def dicom() -> list[bytes]:
    from tests.dicom_files import DEFLATED, IMPLICIT, put, smooth

    deep, flat = smooth(16, 12).astype(np.uint16), smooth(9, 8, 0, 255).astype(np.uint8)
    colors = np.dstack([flat, flat, 255 - flat])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.dcm"
        files = [
            put(path, deep).read_bytes(),
            put(path, deep, syntax=IMPLICIT).read_bytes(),
            put(path, deep, syntax=DEFLATED).read_bytes(),
            put(path, deep, rle=True).read_bytes(),
            put(path, colors).read_bytes(),
            put(path, colors, rle=True).read_bytes(),
            put(path, colors, PhotometricInterpretation="YBR_FULL").read_bytes(),
            put(path, np.stack([flat, flat, flat]), PhotometricInterpretation="MONOCHROME1").read_bytes(),
            put(path, (deep - 500).astype(np.int16), BitsStored=12, PixelPaddingValue=-500).read_bytes(),
            put(path, deep, PixelSpacing=[0.5, 0.5], WindowCenter=[40, 400], PixelPaddingValue=0).read_bytes(),
        ]
    return files


@cache
def weights() -> list[bytes]:
    variants: list[dict[str, Any]] = [{"batch_norm": True}, {"units": 0}, {"channels": 3}, {"unshuffle": 2}, {}]
    small: dict[str, Any] = {"width": 2, "units": 1}
    files = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        for number, fields in enumerate(variants):
            store.save(small_weights(number, **(small | fields)), path)
            files.append(path.read_bytes())
    return files


@cache
def config() -> list[bytes]:
    from dataclasses import asdict

    from drrn.core.config import DRRNConfig
    from drrn.training.config import RECIPES

    configs = [{"model": DRRNConfig().to_dict(), "train": asdict(recipe)} for recipe in RECIPES.values()]
    return [json.dumps(settings, indent=number or None).encode() for number, settings in enumerate(configs)]
