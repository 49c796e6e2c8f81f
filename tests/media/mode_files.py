"""Make files with every kind of samples and metadata in every format, without drrn."""

import io
import struct
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pyvips
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from drrn.media.metadata.png import png_chunk

SUFFIXES = {
    "PNG": "png", "JPEG": "jpg", "WebP": "webp", "TIFF": "tif", "BigTIFF": "tif", "BMP": "bmp", "PNM": "pnm",
    "GIF": "gif", "AVIF": "avif",
}  # fmt: skip
FORMATS = tuple(SUFFIXES)
X, Y = (plane.astype(np.uint16) for plane in np.meshgrid(np.arange(16), np.arange(12)))
DEEP = np.dstack([X * 4001, Y * 5003, 65535 - X * 2003, 65535 - Y * 5501]).astype(np.uint16)
"""16-bit RGBA, smooth for JPEG, with values that 8 bits can't represent."""
FLOATS = DEEP.astype(np.float32) / np.float32(65535)
FLAT = (DEEP >> 8).astype(np.uint8)
INDEX = ((X + Y) % 7).astype(np.uint8)
PALETTE = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 99, 200], [1, 2, 3], [250, 251, 20], [0, 0, 0]], np.uint8
)
OPACITY = np.array([0, 255, 255, 255, 255, 255, 255], np.uint8)

TRUTH: dict[str, tuple[str, np.ndarray]] = {
    "1 bit": ("gray of 1", (INDEX[..., None] % 2) * np.uint8(255)),
    "gray": ("gray of 8", FLAT[..., :1]),
    "gray with alpha": ("gray and alpha of 8", FLAT[..., [0, 3]]),
    "palette": ("palette", PALETTE[INDEX]),
    "palette with a transparent entry": ("palette", np.dstack([PALETTE[INDEX], OPACITY[INDEX]])),
    "RGB": ("RGB of 8", FLAT[..., :3]),
    "RGB with a transparent color": (
        "RGB of 8",
        np.dstack([PALETTE[INDEX], np.where(INDEX == 1, np.uint8(0), np.uint8(255))]),
    ),
    "RGBA": ("RGB and alpha of 8", FLAT),
    "RGBA, colors multiplied by alpha": ("multiplied", FLAT),
    "CMYK": ("CMYK", FLAT[..., :3]),
    "gray, 16 bit": ("gray of 16", DEEP[..., :1]),
    "gray with alpha, 16 bit": ("gray and alpha of 16", DEEP[..., [0, 3]]),
    "RGB, 10 bit": ("RGB of 10", np.round((DEEP[..., :3] >> 6) * (65535 / 1023)).astype(np.uint16)),
    "RGB, 12 bit": ("RGB of 12", np.round((DEEP[..., :3] >> 4) * (65535 / 4095)).astype(np.uint16)),
    "RGB, 16 bit": ("RGB of 16", DEEP[..., :3]),
    "RGBA, 16 bit": ("RGB and alpha of 16", DEEP),
    "gray, 16 bit signed": ("int16", (DEEP[..., :1] >> 1).astype(np.int16) - np.int16(9999)),
    "five bands, 16 bit": ("5 bands", np.dstack([DEEP, DEEP[..., :1]])),
    "gray, float32": ("float32", FLOATS[..., :1]),
    "RGB, float32": ("float32", FLOATS[..., :3]),
    "gray, float32 with NaN": (
        "float32",
        np.where(DEEP[..., :1] == DEEP[3, 4, 0], np.float32(np.nan), FLOATS[..., :1]),
    ),
    "several frames or pages": ("several", FLAT[..., :3]),
}
"""Mode -> kind of samples in its files, and the visible image."""
NOTES = ("ICC", "EXIF", "XMP", "dpi", "pixel aspect", "text chunks", "cICP")
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">a note</x:xmpmeta>'


def encode_mode(mode: str, form: str) -> bytes | None:
    """Write a file in this mode. None if the format does not have it, or nothing here can write it."""
    if TRUTH[mode][0] in ("int16", "5 bands") and "TIFF" not in form:
        return None
    return MAKERS[form](mode)


def pillow(form: str, **options: Any) -> Callable[..., bytes]:
    def save(image: Image.Image, **more: Any) -> bytes:
        file = io.BytesIO()
        image.save(file, form, **{**options, **more})
        return file.getvalue()

    return save


def image_of(mode: str) -> Image.Image:
    """An image in one of Pillow's modes."""
    truth = TRUTH[mode][1]
    if mode.startswith("palette"):
        image = Image.fromarray(INDEX)
        image.putpalette(PALETTE.tobytes())
        return image
    if mode == "1 bit":
        return Image.fromarray(truth[..., 0]).convert("1", dither=Image.Dither.NONE)
    if mode == "CMYK":
        return Image.fromarray(truth).convert("CMYK")
    return Image.fromarray(truth[..., 0] if truth.shape[2] == 1 else truth)


def frames() -> tuple[Image.Image, dict[str, Any]]:
    first = image_of("RGB")
    return first, {"save_all": True, "append_images": [first.transpose(Image.Transpose.ROTATE_180)]}


def vips(mode: str) -> Any:
    array = np.ascontiguousarray(DEEP[..., : TRUTH[mode][1].shape[2]] if "alpha" not in mode else TRUTH[mode][1])
    image = pyvips.Image.new_from_memory(array, array.shape[1], array.shape[0], array.shape[2], "ushort")
    return image.copy(interpretation="grey16" if array.shape[2] < 3 else "rgb16")


def png_of(mode: str) -> bytes | None:
    save = pillow("PNG")
    if mode == "palette with a transparent entry":
        return save(image_of(mode), transparency=OPACITY.tobytes())
    if mode == "RGB with a transparent color":
        return save(Image.fromarray(PALETTE[INDEX]), transparency=tuple(map(int, PALETTE[1])))
    if mode == "several frames or pages":
        image, more = frames()
        return save(image, **more)
    if mode in ("1 bit", "gray", "gray with alpha", "palette", "RGB", "RGBA"):
        return save(image_of(mode))
    return bytes(vips(mode).pngsave_buffer(keep="none")) if mode.endswith("16 bit") else None


def jpeg_of(mode: str) -> bytes | None:
    return pillow("JPEG", quality=100, subsampling=0)(image_of(mode)) if mode in ("gray", "RGB", "CMYK") else None


def webp_of(mode: str) -> bytes | None:
    if mode == "several frames or pages":
        image, more = frames()
        return pillow("WEBP", lossless=True)(image, **more)
    return pillow("WEBP", lossless=True, exact=True)(image_of(mode)) if mode in ("RGB", "RGBA") else None


def tiff_of(mode: str, *, big: bool = False, **metadata: Any) -> bytes | None:
    truth = TRUTH[mode][1]
    array: np.ndarray = truth[..., 0] if truth.shape[2] == 1 else truth
    options: dict[str, Any] = {"photometric": "rgb" if truth.shape[2] > 2 else "minisblack"}
    if mode == "palette":
        colors = np.zeros((3, 256), np.uint16)
        colors[:, : len(PALETTE)] = PALETTE.T.astype(np.uint16) * 257
        array, options = INDEX, {"photometric": "palette", "colormap": colors}
    elif mode == "CMYK":
        array, options = np.asarray(image_of(mode)), {"photometric": "separated"}
    elif mode == "1 bit":
        array = array > 0
    elif mode == "RGBA, colors multiplied by alpha":
        array = np.round(truth * np.dstack([truth[..., 3:] / 255] * 3 + [np.ones((12, 16))])).astype(np.uint8)
        options["extrasamples"] = ["assocalpha"]
    elif "alpha" in mode or "RGBA" in mode:
        options["extrasamples"] = ["unassalpha"]
    elif mode == "five bands, 16 bit":
        options = {"photometric": "minisblack"}
    elif "10 bit" in mode or "12 bit" in mode:
        return tiff_of_bits(int(mode.split()[1]), big=big)
    elif "transparent" in mode:
        return None
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=big) as tiff:
        for _ in range(2 if mode == "several frames or pages" else 1):
            tiff.write(array, planarconfig="contig", metadata=None, software=False, **options, **metadata)
    return file.getvalue()


def tiff_of_bits(bits: int, *, big: bool) -> bytes:
    """An RGB TIFF of 9 to 15 bits a sample, which tifffile can't write."""
    import rasterio

    array = np.moveaxis(DEEP[..., :3] >> (16 - bits), 2, 0)
    size = {"width": array.shape[2], "height": array.shape[1], "count": 3, "dtype": "uint16"}
    with warnings.catch_warnings(action="ignore"), rasterio.MemoryFile() as file:
        with file.open(driver="GTiff", photometric="RGB", nbits=bits, bigtiff=big, **size) as tiff:
            tiff.write(array)
        return bytes(file.read())


def gif_of(mode: str) -> bytes | None:
    if mode == "several frames or pages":
        image, more = frames()
        return pillow("GIF")(image, **more)
    more = {"transparency": 0} if "transparent" in mode else {}
    return pillow("GIF", optimize=False)(image_of(mode), **more) if mode.startswith("palette") else None


def bmp_of(mode: str, *, icc: bytes = b"") -> bytes | None:
    if mode == "RGBA" or icc:  # as Windows has it since 2000: with masks, and a place for a profile
        bands = 4 if mode == "RGBA" else 3
        pixels = FLAT[::-1, :, [2, 1, 0, 3][:bands]].tobytes()
        masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000) if bands == 4 else (0, 0, 0, 0)
        header = struct.pack("<LllHHLLllLL", 124, 16, 12, 1, 8 * bands, 3 * (bands == 4), len(pixels), 0, 0, 0, 0)
        header += struct.pack("<4L", *masks) + (b"DEBM" if icc else b"BGRs") + bytes(48)
        header += struct.pack("<4L", 4, 124 + len(pixels), len(icc), 0)
        return b"BM" + struct.pack("<LLL", 138 + len(pixels) + len(icc), 0, 138) + header + pixels + icc
    return pillow("BMP")(image_of(mode)) if mode in ("1 bit", "gray", "palette", "RGB") else None


def pnm_of(mode: str) -> bytes | None:
    kind, truth = TRUTH[mode]
    height, width, bands = truth.shape
    if mode == "1 bit":
        return b"P4\n# a remark\n16 12\n" + np.packbits(truth[..., 0] == 0, axis=1).tobytes()
    if kind == "float32":
        return (b"Pf" if bands == 1 else b"PF") + b"\n16 12\n-1.0\n" + truth[::-1].astype("<f4").tobytes()
    if mode in ("RGB, 10 bit", "RGB, 12 bit"):
        bits = int(mode.split()[1])
        return f"P6 16 12 {2**bits - 1}\n".encode() + (DEEP[..., :3] >> (16 - bits)).astype(">u2").tobytes()
    if "palette" in mode or "transparent" in mode or "multiplied" in mode or mode == "CMYK":
        return None
    most = 65535 if truth.dtype == np.uint16 else 255
    raw = truth.astype(truth.dtype.newbyteorder(">")).tobytes()
    if bands % 2 == 0:
        name = "GRAYSCALE_ALPHA" if bands == 2 else "RGB_ALPHA"
        head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {bands}\nMAXVAL {most}\nTUPLTYPE {name}\nENDHDR\n"
    else:
        head = f"P{5 if bands == 1 else 6}\n{width} {height}\n{most}\n"
    return (head.encode() + raw) * (2 if mode == "several frames or pages" else 1)


def avif_of(mode: str) -> bytes | None:
    if mode in ("RGB, 10 bit", "RGB, 12 bit"):
        options = {"compression": "av1", "lossless": True, "effort": 0}
        return bytes(vips("RGB, 16 bit").heifsave_buffer(bitdepth=int(mode.split()[1]), **options))
    save = pillow("AVIF", quality=100, subsampling="4:4:4", speed=10)
    if mode == "several frames or pages":
        image, more = frames()
        return save(image, **more)
    if mode == "gray":
        return pillow("AVIF", quality=100, subsampling="4:0:0", speed=10)(image_of(mode))
    return save(image_of(mode)) if mode in ("RGB", "RGBA") else None


def encode_metadata(note: str, form: str) -> bytes | None:
    """An RGB file with this metadata."""
    image, tags = image_of("RGB"), Image.Exif()
    tags[0x10F] = "Maker"
    if note == "dpi":
        tags[0x11A], tags[0x11B], tags[0x128] = 300.0, 300.0, 2
    match form, note:
        case "TIFF" | "BigTIFF", _:
            options: dict[str, dict[str, Any]] = {
                "ICC": {"iccprofile": ICC},
                "EXIF": {"extratags": [(0x10F, 2, 0, "Maker", True)]},
                "XMP": {"extratags": [(700, 1, len(XMP), XMP, True)]},
                "dpi": {"resolution": (300, 300), "resolutionunit": 2},
                "pixel aspect": {"resolution": (1, 2), "resolutionunit": 1},
            }
            return tiff_of("RGB", big=form == "BigTIFF", **options[note]) if note in options else None
        case "PNG", "pixel aspect" | "text chunks" | "cICP":
            chunk = {
                "pixel aspect": png_chunk(b"pHYs", struct.pack(">LLB", 1, 2, 0)),
                "text chunks": png_chunk(b"tEXt", b"Comment\0a text"),
                "cICP": png_chunk(b"cICP", bytes([9, 16, 0, 1])),
            }
            whole = pillow("PNG")(image)
            return whole[:33] + chunk[note] + whole[33:]
        case "JPEG", "pixel aspect":
            whole = pillow("JPEG")(image)
            return whole[:13] + struct.pack(">BHH", 0, 1, 2) + whole[18:]
        case "GIF", "pixel aspect":
            still = gif_of("palette")
            assert still
            return still[:12] + bytes([113]) + still[13:]
        case "AVIF", "cICP":
            whole = pillow("AVIF")(image)
            at = whole.index(b"colrnclx") + 8
            return whole[:at] + struct.pack(">HHH", 9, 16, 9) + whole[at + 6 :]
        case _, "pixel aspect" | "text chunks" | "cICP":
            pass
        case "PNG", "XMP":
            text = PngImagePlugin.PngInfo()
            text.add_itxt("XML:com.adobe.xmp", XMP.decode())
            return pillow("PNG", pnginfo=text)(image)
        case (("PNG" | "JPEG" | "BMP"), "dpi"):
            return pillow(form)(image, dpi=(300, 300))
        case (("PNG" | "JPEG" | "WebP" | "AVIF"), _):
            named = {"ICC": {"icc_profile": ICC}, "XMP": {"xmp": XMP}}.get(note, {"exif": tags.tobytes()})
            return pillow(form.upper())(image, **named)
        case "BMP", "ICC":
            return bmp_of("RGB", icc=ICC)
        case "GIF", "ICC" | "XMP":
            still = gif_of("palette")
            assert still
            whole = still
            name, at = (b"ICCRGBG1012", len(whole) - 1) if note == "ICC" else (b"XMP DataXMP", len(whole) - 1)
            body = ICC if note == "ICC" else XMP
            blocks = b"".join(bytes([len(body[i : i + 255])]) + body[i : i + 255] for i in range(0, len(body), 255))
            return whole[:at] + b"\x21\xff\x0b" + name + blocks + b"\0" + whole[at:]
    return None


MAKERS: dict[str, Callable[[str], bytes | None]] = {
    "PNG": png_of,
    "JPEG": jpeg_of,
    "WebP": webp_of,
    "TIFF": tiff_of,
    "BigTIFF": lambda mode: tiff_of(mode, big=True),
    "GIF": gif_of,
    "BMP": bmp_of,
    "PNM": pnm_of,
    "AVIF": avif_of,
}
