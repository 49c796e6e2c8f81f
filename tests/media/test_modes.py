"""What becomes of every kind of picture: the table in docs/formats.md, found out anew.

A file of each mode in each format is made, without drrn, goes the way of `drrn upscale`, with pixels that are merely
doubled, and what comes out is read, without drrn again. The cell is what is met there: no list of expectations stands
here. `DRRN_WRITE=1` writes the document.
"""

import io
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from drrn.errors import DRRNError
from drrn.media.geotiff import files as geotiff
from drrn.media.images.files import changes, read, write
from drrn.media.metadata.png import png_chunk
from drrn.tables import markdown
from drrn.upscaling.batch.jobs import plan
from drrn.upscaling.formats.animation import ANIMATIONS
from drrn.upscaling.formats.job import Job
from drrn.upscaling.formats.raster import SCENES
from tests.conftest import ROOT
from tests.media import animated_modes
from tests.media.moving import as_pillow_has_them
from tests.media.png_by_the_book import decode

DOCUMENT = ROOT / "docs/formats.md"
SUFFIXES = {
    "PNG": "png", "JPEG": "jpg", "WebP": "webp", "TIFF": "tif", "BigTIFF": "tif", "BMP": "bmp", "PNM": "pnm",
    "GIF": "gif", "AVIF": "avif",
}  # fmt: skip
FORMATS = tuple(SUFFIXES)
WRITTEN = ("JPEG", "WebP", "TIFF", "BMP", "PNM")
LOSSY = {"JPEG": 8, "AVIF": 3}
"""Levels of 255 by which a sample may be off."""

X, Y = (plane.astype(np.uint16) for plane in np.meshgrid(np.arange(16), np.arange(12)))
DEEP = np.dstack([X * 4001, Y * 5003, 65535 - X * 2003, 65535 - Y * 5501]).astype(np.uint16)
"""RGBA of 16 bit, smooth for the sake of JPEG, and not what 8 bit can hold."""
FLOATS = DEEP.astype(np.float32) / np.float32(65535)
FLAT = (DEEP >> 8).astype(np.uint8)
INDEX = ((X + Y) % 7).astype(np.uint8)
PALETTE = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 99, 200], [1, 2, 3], [250, 251, 20], [0, 0, 0]], np.uint8
)
OPACITY = np.array([0, 255, 255, 255, 255, 255, 255], np.uint8)

TRUTH: dict[str, tuple[str, np.ndarray]] = {
    "1 bit": ("grey of 1", (INDEX[..., None] % 2) * np.uint8(255)),
    "grey": ("grey of 8", FLAT[..., :1]),
    "grey with alpha": ("grey and alpha of 8", FLAT[..., [0, 3]]),
    "palette": ("palette", PALETTE[INDEX]),
    "palette with a transparent entry": ("palette", np.dstack([PALETTE[INDEX], OPACITY[INDEX]])),
    "RGB": ("RGB of 8", FLAT[..., :3]),
    "RGB with a transparent colour": (
        "RGB of 8",
        np.dstack([PALETTE[INDEX], np.where(INDEX == 1, np.uint8(0), np.uint8(255))]),
    ),
    "RGBA": ("RGB and alpha of 8", FLAT),
    "RGBA, colours multiplied by alpha": ("multiplied", FLAT),
    "CMYK": ("CMYK", FLAT[..., :3]),
    "grey, 16 bit": ("grey of 16", DEEP[..., :1]),
    "grey with alpha, 16 bit": ("grey and alpha of 16", DEEP[..., [0, 3]]),
    "RGB, 10 bit": ("RGB of 10", np.round((DEEP[..., :3] >> 6) * (65535 / 1023)).astype(np.uint16)),
    "RGB, 12 bit": ("RGB of 12", np.round((DEEP[..., :3] >> 4) * (65535 / 4095)).astype(np.uint16)),
    "RGB, 16 bit": ("RGB of 16", DEEP[..., :3]),
    "RGBA, 16 bit": ("RGB and alpha of 16", DEEP),
    "grey, 16 bit signed": ("int16", (DEEP[..., :1] >> 1).astype(np.int16) - np.int16(9999)),
    "five bands, 16 bit": ("5 bands", np.dstack([DEEP, DEEP[..., :1]])),
    "grey, float32": ("float32", FLOATS[..., :1]),
    "RGB, float32": ("float32", FLOATS[..., :3]),
    "grey, float32 with NaN": (
        "float32",
        np.where(DEEP[..., :1] == DEEP[3, 4, 0], np.float32(np.nan), FLOATS[..., :1]),
    ),
    "several frames or pages": ("several", FLAT[..., :3]),
}
"""Mode -> what kind of samples its files have, and what is seen in them."""
KEPT = [mode for mode, (kind, _) in TRUTH.items() if " of 8" in kind or " of 16" in kind]
KEPT.remove("RGB with a transparent colour")
NOTHING = "-"
NOTES = ("ICC", "EXIF", "XMP", "dpi", "pixel aspect", "text chunks", "cICP")
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">a note</x:xmpmeta>'


def test_the_table_of_modes_is_what_is_met(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)  # for speed: hundreds of files are written
    met = document(tmp_path)
    if os.environ.get("DRRN_WRITE"):
        DOCUMENT.write_text(met, encoding="utf-8")
    written, found = cells(DOCUMENT.read_text(encoding="utf-8")), cells(met)
    assert not [f"{cell}: {value}" for cell, value in found.items() if "!" in value]
    moving = len(animated_modes.ROWS) * len(animated_modes.COLUMNS)
    assert len(found) == (len(TRUTH) + len(NOTES)) * len(FORMATS) + (len(KEPT) + len(NOTES)) * len(WRITTEN) + moving
    differences = [
        f"{cell} is {found.get(cell)}, and {DOCUMENT.name} says {written.get(cell)}"
        for cell in sorted(found.keys() | written.keys())
        if found.get(cell) != written.get(cell)
    ]
    assert not differences, "\n".join(differences)


def document(folder: Path) -> str:
    modes = [[mode, *(mode_cell(mode, form, folder) for form in FORMATS)] for mode in TRUTH]
    notes = [[note, *(note_cell(note, form, folder) for form in FORMATS)] for note in NOTES]
    others = [[mode, *(mode_cell(mode, "PNG", folder, to=form) for form in WRITTEN)] for mode in KEPT]
    others += [[note, *(note_cell(note, "PNG", folder, to=form) for form in WRITTEN)] for note in NOTES]
    return f"""# What becomes of every kind of picture

`drrn upscale` reads these formats and writes the same one, with three exceptions: AVIF and single GIF become PNG, and
BigTIFF becomes TIFF. *Kept* means the same kind of samples and, without enlarging, the same values. *Converted* is
reported in the line of each picture, and in its JSON under `converted`. *Refused* ends in one line, and nothing is
written. A - means that the format does not have it, or that no library here can write it for the test.

{table(modes, "Samples", FORMATS)}

{table(notes, "Beside the pixels", FORMATS)}

And where `--output` asks for another format:

{table(others, "From PNG to", WRITTEN)}

Animations, of more than one frame, go from any to any:

{table(animated_modes.rows(folder), "Animation", animated_modes.COLUMNS)}

* The colours of a JPEG and of an AVIF are compared within a few levels, the others to the bit.
* What counts pixels is scaled: sizes, regions and panoramas of XMP, the subject and the focal plane of EXIF, the scale
  of ImageJ, OME-XML and Aperio. What tells of parts that are left behind is taken out, and said: gain maps, motion
  photos, further images, depth maps, content credentials. XMP and EXIF that can't be read are left out, and said.
* From PNG to PNG go texts and color tags (cICP, mDCV, cLLI, cHRM, gAMA, sRGB), and from JPEG to JPEG comments and IPTC.
  Elsewhere they are said to be missing; color tags only where they change what is seen. The color tags of an AVIF
  (nclx, mdcv, clli) become those of a PNG.
* An orientation of EXIF, TIFF or AVIF is applied. One that only XMP states is left as it is: most viewers ignore it.
* Neither kept nor said: thumbnails, PNG's tIME and sBIT, and tags of a TIFF that do not tell of the
  photograph.
* CMYK becomes sRGB by the file's profile, or by libvips' own where it has none. Colours multiplied by alpha are divided
  by it, which for nearly transparent pixels leaves few levels.
* TIFFs that are placed on the Earth, and those of floating point, signed or 32 bit samples or of further bands, need
  drrn[geo], and are enlarged as [measurements](geotiff.md).
* Of BMP, 1, 4, 8, 24 and 32 bit a pixel are read, not run lengths. Of PNM, the binary kinds, P4 to P7, of any maximum;
  `.pgm` takes grey, `.ppm` RGB, `.pnm` either, and a picture with alpha becomes a PAM, in `.pam` or `.pnm`.
* A JPEG with wrong scan parameters, stray bytes before a marker, zeros behind a scan, or an unknown JFIF version or
  color transform is read as viewers read it, which is said; `--strict` refuses it. One that lacks pixels is refused.
* Of a TIFF's pages, the one that is neither a smaller copy nor a mask is the image, and what is left out is said; raw
  photos, which are TIFFs, are refused. ZSTD, LZMA, LERC, old-style JPEG, and tiles or YCbCr in single bands need
  drrn[geo]. RGB with a fourth band that nothing is said of has alpha.
* An AVIF is read as it is shown, cropped and turned; made of tiles, it is one image. Several images in one are refused,
  but for gain maps, which are left out and said, and thumbnails.
* HEIC is refused: the libvips that comes with drrn decodes AV1 and not HEVC.
* What a viewer shows of an animation is what is enlarged, frame by frame: no frame knows of the others, so that fine
  detail of what moves may flicker a little. What a GIF or WebP leaves behind is transparent, as browsers have it. A GIF
  has 256 colours a frame, so a still one becomes a PNG, where nothing is lost. The bits of a GIF have no checksum: what
  is damaged there may go unseen.
* A lossy file stays lossy, in its own format. A JPEG from a JPEG takes its quality, as its tables tell it, but at least
  80 and at most 95, and stays 4:2:0 if it was; the new loss is then some 0.15 dB of PSNR at most, on average over Set5
  and Set14. A WebP from a lossy WebP has quality 90, also when animated. All else is as good as the format can be: JPEG
  of quality 95 and 4:4:4, and lossless WebP. `--quality 85` decides for JPEG and WebP, `--lossless` for WebP; in
  Python, `write(image, path, loss=Loss(85, subsampled=True))`, with `Loss` from `drrn.media.images.quality`.
* A file is taken for what it is, whatever its name, and the result has a suffix that fits: `photo.jfif` becomes
  `photo_x2.jpg`, `scan.pbm` becomes `scan_x2.pgm`, and a JPEG called `v1.2 final` becomes `v1.2 final_x2.jpg`.
* In folders, files are images by their content or by a known suffix. What systems put there is skipped: `._*`,
  `.DS_Store`, `Thumbs.db` and the like, and folders such as `.git`, `@eaDir` and `__MACOSX`. Images and videos of
  kinds that can't be read, like HEIC, are skipped too, and counted in a line of their own.

This page is written, and held to what the program does, by `tests/media/test_modes.py`, which makes a file for each
cell, doubles it and reads the result with other programs: `DRRN_WRITE=1 python -m pytest tests/media/test_modes.py`.
"""


def table(rows: list[list[str]], title: str, columns: tuple[str, ...]) -> str:
    head = [title, *columns]
    return markdown(head, rows, texts=len(head))


def cells(text: str) -> dict[str, str]:
    """`Samples, RGB, PNG` -> what the document has there."""
    found: dict[str, str] = {}
    head: list[str] = []
    for line in text.splitlines():
        row = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("| "):
            head = []
        elif not head:
            head = row
        elif "---" not in row:
            found |= {f"{head[0]}, {row[0]}, {form}": value for form, value in zip(head[1:], row[1:], strict=True)}
    return found


def mode_cell(mode: str, form: str, folder: Path, to: str | None = None) -> str:
    content = made(mode, form)
    if content is None:
        return NOTHING
    kind, truth = TRUTH[mode]
    outcome = journey(content, form, folder, to)
    if isinstance(outcome, str):
        return outcome
    target, said = outcome
    found_kind, found = seen(target) if kind != "several" else (kind, as_pillow_has_them(target)[0][1][::-1, ::-1, :3])
    small = found[::2, ::2]
    if kind == "CMYK":  # Pillow made the inks without a profile
        right = small.shape == truth.shape and np.corrcoef(small.ravel(), truth.ravel())[0, 1] > 0.85
    else:
        lossy = LOSSY.get(to or form, 0) if found.dtype == np.uint8 else 0  # the deep ones are made without loss
        most = 5 if kind == "multiplied" else lossy
        right = is_the_same(truth, small, most)
    said = tuple(word for word in said if not word.startswith("without"))  # of the notes, see below
    same = found_kind == kind and not (kind == "several" and form == "GIF")  # whose palettes are others
    return told(to or form, target, said, same=same, right=right)


def note_cell(note: str, form: str, folder: Path, to: str | None = None) -> str:
    content = noted(note, form)
    if content is None:
        return NOTHING
    outcome = journey(content, form, folder, to)
    if isinstance(outcome, str):
        return outcome
    target, said = outcome
    return told(to or form, target, [word for word in said if note in word], same=note_of(note, target), right=True)


def told(form: str, target: Path, said: Any, *, same: bool, right: bool) -> str:
    """The cell; an exclamation mark where it is not as it must be."""
    if not right:
        return "wrong values!"
    if same == bool(said):
        return f"{'kept' if same else 'changed'}, and said to be {', '.join(said) or 'kept'}!"
    result = {b"\x89PNG": "PNG", b"II*\0": "TIFF"}.get(target.read_bytes()[:4], form)
    return (f"converted ({', '.join(said)})" if said else "kept") + (f", as {result}" if result != form else "")


def journey(content: bytes, form: str, folder: Path, to: str | None) -> tuple[Path, tuple[str, ...]] | str:
    """The file that `drrn upscale` makes, and what it says is converted; or the cell of what it refuses."""
    path = folder / f"a.{SUFFIXES[form]}"
    path.write_bytes(content)
    try:
        output = folder / f"b.{SUFFIXES[to]}" if to else None
        job = plan(path, output, 2, None, many=False, overwrite=True)
        if job.format is SCENES:
            return double(job), SCENES.changes(job)
        if job.format is ANIMATIONS:
            animated_modes.double(job)
            return job.target, ANIMATIONS.changes(job)
        small = read(path)
        alpha = None if small.alpha is None else small.alpha.repeat(2, 0).repeat(2, 1)
        write(replace(small, pixels=small.pixels.repeat(2, 0).repeat(2, 1), alpha=alpha), job.target, overwrite=True)
    except DRRNError as error:
        line = str(error).removeprefix(str(output)).removeprefix(str(path)).rstrip(".")
        return f"refused ({line.partition(';')[0].strip()})"
    header = job.header
    assert (header.width, header.height, header.channels, header.alpha) == (
        small.width, small.height, small.pixels.shape[2], small.alpha is not None,
    )  # fmt: skip
    assert header.bits == small.bits
    return job.target, changes(header, job.target)


def double(job: Job) -> Path:
    """A raster of measurements, with pixels that are merely doubled."""
    with geotiff.open_raster(job.source, max_pixels=job.header.pixels) as scene:
        values = scene.read((slice(0, scene.height), slice(0, scene.width)))
        with geotiff.create_raster(scene, job.target, job.width, job.height, "a test", target=job.target) as larger:
            larger.write((slice(0, job.height), slice(0, job.width)), values.repeat(2, 1).repeat(2, 2), None)
    return job.target


def is_the_same(truth: np.ndarray, found: np.ndarray, most: int) -> bool:
    if found.shape[:2] != truth.shape[:2]:
        return False
    if truth.dtype.kind == "f":
        return found.dtype == truth.dtype and np.array_equal(found, truth, equal_nan=True)
    if found.shape[2] == truth.shape[2] + 2:  # grey became RGB
        truth = truth[..., [0, 0, 0, 1] if truth.shape[2] == 2 else [0, 0, 0]]
    if truth.dtype == np.uint16 and found.dtype == np.uint8:
        truth = np.round(truth / 257).astype(np.uint8)
    if truth.shape != found.shape or truth.dtype != found.dtype:
        return False
    apart = np.abs(truth.astype(int) - found)
    if truth.shape[2] in (2, 4):
        apart = apart[truth[..., -1] > truth.max() // 4]  # a colour that is hardly seen may be rounded away
    return bool(apart.max() <= most)


def seen(path: Path) -> tuple[str, np.ndarray]:
    """The kind of samples in a file that drrn wrote, and the samples, as others read it."""
    content = path.read_bytes()
    if content.startswith(b"\x89PNG"):
        array = decode(content)
        return kind_of(array, content[24]), array
    if content.startswith((b"II", b"MM")):
        array = pyvips.Image.new_from_file(str(path)).numpy()
    elif content[:1] == b"P":
        array = netpbm(content)
    else:
        array = np.asarray(Image.open(path))
    array = array.reshape(*array.shape[:2], -1)
    return kind_of(array, 8 * array.itemsize), array


def kind_of(array: np.ndarray, bits: int) -> str:
    bands = array.shape[2]
    if array.dtype.kind in "if" or bands > 4:
        return f"{bands} bands" if bands > 4 else array.dtype.name
    return f"{'grey' if bands < 3 else 'RGB'}{'' if bands % 2 else ' and alpha'} of {bits}"


def netpbm(content: bytes) -> np.ndarray:
    if content.startswith(b"P7"):
        header, _, raw = content.partition(b"ENDHDR\n")
        said = dict(line.split() for line in header.splitlines()[1:])
        width, height, bands, most = (int(said[key]) for key in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    else:
        size, _, raw = content[3:].partition(b"\n")
        top, _, raw = raw.partition(b"\n")
        (width, height), most, bands = map(int, size.split()), int(top), {b"5": 1, b"6": 3}[content[1:2]]
    array = np.frombuffer(raw, ">u2" if most > 255 else np.uint8).reshape(height, width, bands)
    return array.astype(np.uint16 if most > 255 else np.uint8)


def note_of(note: str, path: Path) -> bool:
    """Whether the note is in a file that drrn wrote, as Pillow reads it."""
    content = path.read_bytes()
    if content.startswith(b"BM"):
        (at,) = struct.unpack_from("<L", content, 126)
        with Image.open(path) as image:
            dpi = image.info.get("dpi")
        return bool(dpi and round(dpi[0]) == 300) if note == "dpi" else note == "ICC" and content[14 + at :] == ICC
    if content[:1] == b"P":
        return False
    with Image.open(path) as image:
        image.load()
        match note:
            case "ICC":
                return image.info.get("icc_profile") == ICC
            case "EXIF":
                return image.getexif().get(0x10F) == "Maker"
            case "pixel aspect":
                if "jfif_density" in image.info:
                    return bool((image.info["jfif_unit"], image.info["jfif_density"]) == (0, (1, 2)))
                if path.suffix == ".tif":
                    across, down, unit = (image.getexif().get(tag, 1) for tag in (282, 283, 296))
                    return bool((2 * float(across), unit) == (float(down), 1))
                return bool(image.info.get("aspect") == (1, 2))
            case "text chunks":
                return image.info.get("Comment") == "a text"
            case "cICP":
                return png_chunk(b"cICP", bytes([9, 16, 0, 1])) in content
            case "XMP":
                found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp", "").encode()
                return bool(found == XMP)
        dpi = image.getexif().get(0x11A, 0) if path.suffix == ".webp" else image.info.get("dpi", (0, 0))[0]
        return round(float(dpi)) == 300


# Files, made without drrn


def made(mode: str, form: str) -> bytes | None:
    """A file of the mode; None where the format has no such, or nothing here can write it."""
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
    """Of one of the modes that Pillow knows."""
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
    if mode == "RGB with a transparent colour":
        return save(Image.fromarray(PALETTE[INDEX]), transparency=tuple(map(int, PALETTE[1])))
    if mode == "several frames or pages":
        image, more = frames()
        return save(image, **more)
    if mode in ("1 bit", "grey", "grey with alpha", "palette", "RGB", "RGBA"):
        return save(image_of(mode))
    return bytes(vips(mode).pngsave_buffer(keep="none")) if mode.endswith("16 bit") else None


def jpeg_of(mode: str) -> bytes | None:
    return pillow("JPEG", quality=100, subsampling=0)(image_of(mode)) if mode in ("grey", "RGB", "CMYK") else None


def webp_of(mode: str) -> bytes | None:
    if mode == "several frames or pages":
        image, more = frames()
        return pillow("WEBP", lossless=True)(image, **more)
    return pillow("WEBP", lossless=True, exact=True)(image_of(mode)) if mode in ("RGB", "RGBA") else None


def tiff_of(mode: str, *, big: bool = False, **notes: Any) -> bytes | None:
    truth = TRUTH[mode][1]
    array: np.ndarray = truth[..., 0] if truth.shape[2] == 1 else truth
    options: dict[str, Any] = {"photometric": "rgb" if truth.shape[2] > 2 else "minisblack"}
    if mode == "palette":
        colours = np.zeros((3, 256), np.uint16)
        colours[:, : len(PALETTE)] = PALETTE.T.astype(np.uint16) * 257
        array, options = INDEX, {"photometric": "palette", "colormap": colours}
    elif mode == "CMYK":
        array, options = np.asarray(image_of(mode)), {"photometric": "separated"}
    elif mode == "1 bit":
        array = array > 0
    elif mode == "RGBA, colours multiplied by alpha":
        array = np.round(truth * np.dstack([truth[..., 3:] / 255] * 3 + [np.ones((12, 16))])).astype(np.uint8)
        options["extrasamples"] = ["assocalpha"]
    elif "alpha" in mode or "RGBA" in mode:
        options["extrasamples"] = ["unassalpha"]
    elif mode == "five bands, 16 bit":
        options = {"photometric": "minisblack"}
    elif "transparent" in mode or "10 bit" in mode or "12 bit" in mode:
        return None
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=big) as tiff:
        for _ in range(2 if mode == "several frames or pages" else 1):
            tiff.write(array, planarconfig="contig", metadata=None, software=False, **options, **notes)
    return file.getvalue()


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
    return pillow("BMP")(image_of(mode)) if mode in ("1 bit", "grey", "palette", "RGB") else None


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
    if mode == "grey":
        return pillow("AVIF", quality=100, subsampling="4:0:0", speed=10)(image_of(mode))
    return save(image_of(mode)) if mode in ("RGB", "RGBA") else None


def noted(note: str, form: str) -> bytes | None:
    """A file of RGB with that beside its pixels."""
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
