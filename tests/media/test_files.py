"""Reading and writing images: what is kept, converted and refused."""

import gc
import io
import os
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps

from drrn.errors import DRRNError, ImageError
from drrn.media.image import Image
from drrn.media.images.files import probe, read, write
from drrn.media.images.formats import writable
from drrn.media.metadata import exif, tiff_tags
from tests.media.png_by_the_book import decode

LOSSLESS = ["png", "tif", "webp"]
ALL = [*LOSSLESS, "jpg"]


def noise(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(7).integers(0, top, shape, dtype, endpoint=True)


def photo(width: int = 48, height: int = 32) -> Pillow.Image:
    """A smooth image, which JPEG changes little."""
    y, x = np.mgrid[:height, :width]
    return Pillow.fromarray(np.dstack([x * 255 // width, y * 255 // height, 255 - x * 2]).astype(np.uint8))


def saved(image: Pillow.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def tiff(array: np.ndarray, path: Path, *, color: int, order: Literal["<", ">"] = "<", **tags: tuple[int, ...]) -> Path:
    """A baseline TIFF of one strip, (H, W, bands), with tags in the form t258=(8,)."""
    height, width, bands = array.shape
    content = array.astype(array.dtype.newbyteorder(order)).tobytes()
    values = {
        256: (width,), 257: (height,), 258: (array.dtype.itemsize * 8,) * bands, 259: (1,), 262: (color,),
        273: (8,), 277: (bands,), 278: (height,), 279: (len(content),),
    } | {int(tag[1:]): value for tag, value in tags.items()}  # fmt: skip
    at = 8 + len(content)
    entries, tail = b"", b""
    begin = at + 2 + 12 * len(values) + 4
    for tag, value in sorted(values.items()):
        packed = struct.pack(f"{order}{len(value)}H", *value)
        if len(packed) > 4:
            tail, packed = tail + packed, struct.pack(f"{order}L", begin + len(tail))
        entries += struct.pack(f"{order}HHL", tag, 3, len(value)) + packed.ljust(4, b"\0")
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}L", at)
    path.write_bytes(header + content + struct.pack(f"{order}H", len(values)) + entries + bytes(4) + tail)
    return path


def png(width: int, height: int, path: Path, *, bits: int = 8, idat: bytes = b"", before: bytes = b"") -> Path:
    """A gray PNG with the chunks `before` its pixels."""
    header = png_chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, 0, 0, 0, 0))
    rest = png_chunk(b"IDAT", idat) + png_chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + before + rest)
    return path


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


def assert_refused(path: Path, match: str = ".") -> str:
    """Check that the file is refused in one line that names it, and return the line."""
    with pytest.raises(ImageError, match=match) as met:
        read(path)
    line = str(met.value)
    assert len(line.splitlines()) == 1 and "VipsForeign" not in line
    assert "source" not in line.removesuffix("(Unexpected end of GIF source data).")
    assert path.name in line and line.endswith(".")
    return line


# What can be read


@pytest.mark.slow
def test_valid_png_files_decode_as_the_specification_says(data: Path) -> None:
    paths = sorted((data / "formats/PngSuite").glob("[!x]*.png"))
    assert len(paths) == 161
    for path in paths:
        ours, book = read(path).to_array(), decode(path.read_bytes())
        assert ours.dtype == book.dtype and ours.shape == book.shape, path.name
        assert np.array_equal(ours, book), path.name
        header = probe(path)
        bands = header.channels + header.alpha
        assert (header.height, header.width, bands, header.bits) == (*book.shape, 8 * book.itemsize), path.name


def test_damaged_png_files_are_refused_in_one_line(data: Path) -> None:
    paths = sorted((data / "formats/PngSuite").glob("x*.png"))
    assert len(paths) == 14
    for path in paths:
        assert_refused(path, "damaged or cut short|damaged in transfer|not an image|has no pixels")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_every_pillow_mode_is_read_as_by_pillow(mode: str, suffix: str, tmp_path: Path) -> None:
    if mode == "I;16":
        image = Pillow.fromarray(noise(9, 7, dtype=np.uint16))
    else:
        image = Pillow.fromarray(noise(9, 7, 4)).convert("RGB" if mode == "P" else "RGBA").convert(mode)
    ours = read(saved(image, tmp_path / f"a.{suffix}")).to_array()
    theirs = np.asarray(image.convert({"1": "L", "P": "RGB"}.get(mode, mode)))
    assert ours.dtype == theirs.dtype
    assert np.array_equal(ours, theirs.reshape(ours.shape))


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("color", [0, 1])
def test_tiffs_with_few_bits_span_the_full_range(bits: int, color: int, tmp_path: Path) -> None:
    values = np.arange(8, dtype=np.uint8) % 2**bits
    packed = np.packbits(np.unpackbits(values[:, None], axis=1)[:, 8 - bits :].ravel())[None, :, None]
    path = tiff(packed, tmp_path / "a.tif", color=color, t256=(8,), t258=(bits,))
    expected = values * (255 // (2**bits - 1))
    assert read(path).to_array().ravel().tolist() == (expected if color else 255 - expected).tolist()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_a_tiff_keeps_depth_and_alpha(order: Any, dtype: Any, bands: int, tmp_path: Path) -> None:
    array = noise(5, 6, bands, dtype=dtype)
    extra = {} if bands % 2 else {"t338": (2,)}
    path = tiff(array, tmp_path / "a.tif", color=1 if bands < 3 else 2, order=order, **extra)
    picture = read(path)
    assert picture.bits == 8 * array.itemsize and (picture.alpha is not None) == (bands % 2 == 0)
    assert np.array_equal(picture.to_array(), array)


def test_a_tiff_with_long_offsets_is_read(tmp_path: Path) -> None:
    array = noise(5, 6, 3)
    image = pyvips.Image.new_from_memory(array, 6, 5, 3, "uchar").copy(interpretation="srgb")
    image.tiffsave(str(tmp_path / "a.tif"), bigtiff=True)
    assert (tmp_path / "a.tif").read_bytes()[2] == 43
    assert np.array_equal(read(tmp_path / "a.tif").to_array(), array)


def test_a_dark_16_bit_image_stays_16_bit(tmp_path: Path) -> None:
    array = noise(5, 6, 1) // np.uint8(2) + np.zeros((5, 6, 1), np.uint16)
    assert read(tiff(array, tmp_path / "a.tif", color=1)).bits == 16


def test_premultiplied_colors_are_divided_by_alpha(tmp_path: Path) -> None:
    array = np.array([[[100, 50, 0, 128], [0, 0, 0, 0], [7, 8, 9, 255]]], np.uint8)
    picture = read(tiff(array, tmp_path / "a.tif", color=2, t338=(1,)))
    assert picture.to_array().tolist() == [[[199, 99, 0, 128], [0, 0, 0, 0], [7, 8, 9, 255]]]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_is_read_as_by_pillow(mode: str, tmp_path: Path) -> None:
    path = saved(photo().convert(mode), tmp_path / "a.jpg", quality=90)
    ours, theirs = read(path).to_array(), np.asarray(Pillow.open(path))
    assert np.abs(ours.reshape(theirs.shape).astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_webp_is_read_as_by_pillow(mode: str, tmp_path: Path) -> None:
    path = saved(Pillow.fromarray(noise(9, 7, 4)).convert(mode), tmp_path / "a.webp", lossless=True)
    assert np.array_equal(read(path).to_array(), np.asarray(Pillow.open(path)))


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_becomes_rgb_and_loses_its_profile(suffix: str, tmp_path: Path) -> None:
    inks = np.zeros((16, 48, 4), np.uint8)
    inks[:, 16:32] = 255, 255, 255, 255
    inks[:, 32:] = 0, 255, 255, 0  # magenta and yellow are red
    picture = read(saved(Pillow.fromarray(inks, "CMYK"), tmp_path / f"a.{suffix}"))
    white, black, red = (picture.to_array()[8, x].astype(int) for x in (8, 24, 40))
    assert white.min() >= 250 and black.max() <= 60
    assert red[0] > 180 and red[1:].max() < 80
    assert picture.icc is None and picture.alpha is None


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_a_cmyk_profile_is_applied_and_not_kept_for_rgb(suffix: str, tmp_path: Path) -> None:
    profile = pyvips.Operation.call("profile_load", "cmyk")
    path = saved(photo().convert("CMYK"), tmp_path / f"a.{suffix}", icc_profile=profile)
    picture = read(path)
    assert picture.icc is None
    without = read(saved(photo().convert("CMYK"), tmp_path / f"b.{suffix}"))
    assert np.array_equal(picture.to_array(), without.to_array())  # it is also the default without a profile


def test_a_cmyk_photo_is_close_to_that_of_pillow(data: Path) -> None:
    path = data / "formats/pillow/pil_sample_cmyk.jpg"
    ours, theirs = read(path).to_array(), np.asarray(Pillow.open(path).convert("RGB"))
    assert np.abs(ours.astype(float) - theirs).mean() < 40  # Pillow has no profile, only 1 - ink
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9


def test_the_content_decides_the_format_and_not_the_suffix(tmp_path: Path) -> None:
    path = saved(photo(), tmp_path / "a.png", format="JPEG")
    assert probe(path).format == "JPEG" and read(path).width == 48


@pytest.mark.parametrize("name", ["a b.png", "ä é 文.png", "🙂.png", "-a.png", "photo[1].png", "a\nb.png", "%s'\".png"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_any_file_name_works(name: str, suffix: str, tmp_path: Path) -> None:
    path = (tmp_path / name).with_suffix(f".{suffix}")
    write(Image.from_array(noise(4, 5, 3)), path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert read(path).width == 5


def test_a_file_name_that_is_not_text_is_reported_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\n.png")
    with pytest.raises(ImageError, match=r"There is no file .*\\udcff\\n\.png\.$") as met:
        read(path)
    str(met.value).encode()
    write(Image.from_array(noise(4, 5, 3)), path)
    assert read(path).width == 5


# What is refused


def test_files_that_are_not_images_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("This is no picture, whatever its name says.\n" * 9)
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    assert_refused(tmp_path / "text.png", "is not an image that drrn can read")
    assert_refused(tmp_path / "empty.png", "is empty")
    assert_refused(tmp_path / "folder.png", "is a folder")
    assert_refused(tmp_path / "pipe.png", "is not a regular file")
    assert_refused(tmp_path / "missing.png", "There is no file")
    assert_refused(tmp_path / "text.png/a.png", "can't be read")
    assert_refused(tmp_path / ("a" * 300), "can't be read")


def test_a_png_optimized_for_iphones_is_named(tmp_path: Path) -> None:
    """Its pixels are not those of a PNG, and its first chunk was taken for its size."""
    path = tmp_path / "a.png"
    Pillow.new("RGB", (4, 4)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[:8] + png_chunk(b"CgBI", b"\x50\0\x20\2") + content[8:])
    assert_refused(path, r"is a PNG optimized for iPhones \(CgBI\)")


def test_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    path = saved(photo(), tmp_path / "a.png")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root reads every file")
    assert_refused(path, "can't be read: Permission denied")


@pytest.mark.parametrize("suffix", ALL)
def test_a_file_truncated_at_any_length_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    write(Image.from_array(noise(16, 16, 3)), path)
    whole = path.read_bytes()
    end = {"png": 12 + 4, "jpg": 2, "tif": 4}.get(suffix, 1)  # bytes after the last pixel
    for length in range(0, len(whole) - end, 29):
        path.write_bytes(whole[:length])
        assert_refused(path)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4"])
def test_a_tiff_with_truncated_pixels_is_refused(compression: str, tmp_path: Path) -> None:
    """The directory comes before the pixels, as some programs write it."""
    path = tmp_path / "a.tif"
    image = Pillow.fromarray(noise(64, 64, 3)).convert("1" if compression == "group4" else "RGB")
    image.save(path, compression=compression)
    whole = path.read_bytes()
    first = tiff_tags.Directory.first(whole)
    read(path)
    at, length = first.integers(whole, 0x111)[-1], first.integers(whole, 0x117)[-1]
    if at + length < len(whole) // 2:
        pytest.skip("Pillow wrote the directory last")
    for cut in (at + 1, at + length // 2, at + length - 8):
        path.write_bytes(whole[:cut])
        assert_refused(path, "damaged or cut short")


def test_names_in_a_file_need_not_be_text(tmp_path: Path, capfd: Any) -> None:
    """Such names appear in logs and field lists of libvips, which are not decoded."""
    text = png_chunk(b"tEXt", "Größe".encode("latin-1") + b"\0a")
    profile = png_chunk(b"iCCP", "Größe".encode("latin-1") + b"\0\0" + zlib.compress(bytes(range(200))))
    path = png(1, 1, tmp_path / "a.png", idat=zlib.compress(bytes(2)), before=profile + text)
    assert read(path).icc == bytes(range(200))
    assert capfd.readouterr() == ("", "")


def test_a_text_without_terminator_is_no_damage(tmp_path: Path) -> None:
    path = saved(photo(), tmp_path / "a.tif", software="soft ware")
    for text in (b"soft\0ware\0", b"soft warex"):
        path.write_bytes(path.read_bytes().replace(b"soft ware\0", text))
        assert np.array_equal(read(path).to_array(), np.asarray(photo()))


def test_other_formats_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"8BPS\0\1" + bytes(100))
    assert_refused(path, "is a Photoshop file")


def test_several_pages_or_frames_are_refused(tmp_path: Path) -> None:
    frames = [photo(), photo().transpose(Pillow.Transpose.ROTATE_180)]
    for suffix in ("tif", "webp", "png"):
        path = saved(frames[0], tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
        assert_refused(path, "has 2 pages or frames|is animated")
        with pytest.raises(ImageError):
            probe(path)


@pytest.mark.parametrize(
    ("array", "tags", "match"),
    [
        (noise(4, 4, 1).astype(np.float32), {"t339": (3,)}, "floating point"),
        (noise(4, 4, 1).astype(np.float32), {}, "32 bit"),
        (noise(4, 4, 1).astype(np.int16), {"t339": (2,)}, "signed"),
        (noise(4, 4, 1).astype(np.uint32), {}, "32 bit"),
        (noise(4, 4, 3), {"t262": (6,), "t258": (12, 12, 12)}, "12 bit"),
        (noise(4, 4, 3), {"t262": (8,)}, "CIE Lab"),
        (noise(4, 4, 1), {"t262": (32803,)}, "raw"),
        (noise(4, 4, 1), {"t262": (99,)}, "interpretation 99"),
        (noise(4, 4, 5), {"t262": (2,), "t338": (2, 0)}, "5 bands"),
        (noise(4, 4, 4), {"t262": (2,), "t338": (0,)}, "4 bands"),
        (noise(4, 4, 5), {"t262": (5,), "t338": (2,)}, "5 bands"),
        (noise(4, 4, 3), {"t262": (2,), "t258": (5, 6, 5)}, "samples of 5, 6, 5 bit"),
        (noise(4, 4, 1), {"t256": (0,)}, "has no pixels"),
    ],
)
def test_unsupported_samples_are_refused(array: Any, tags: dict[str, Any], match: str, tmp_path: Path) -> None:
    assert_refused(tiff(array, tmp_path / "a.tif", color=1, **tags), match)


def test_pillows_unusual_test_files_are_read_correctly_or_refused(data: Path) -> None:
    folder = data / "formats/pillow"
    assert_refused(folder / "rgba.psd", "is a Photoshop file")
    assert_refused(folder / "multipage.tiff", "has 3 pages")
    assert_refused(folder / "iss634.apng", "is animated")
    assert_refused(folder / "10ct_32bit_128.tiff", "floating point")
    assert read(folder / "12bit.cropped.tif").bits == 16
    assert_refused(folder / "hopper.Lab.tif", "Lab")
    assert_refused(folder / "hopper_unknown_pixel_mode.tif", "32 bit")
    assert_refused(folder / "seek_too_large.tif", "damaged")
    assert_refused(folder / "truncated_image.png", "damaged or cut short")
    assert read(folder / "16bit.MM.deflate.tif").bits == read(folder / "tiff_16bit_RGB.tiff").bits == 16


# Bombs


def test_a_size_beyond_the_limit_is_refused_with_both_numbers(tmp_path: Path) -> None:
    path = saved(photo(), tmp_path / "a.png")
    assert read(path, max_pixels=48 * 32).width == 48
    for look in (read, probe):
        with pytest.raises(ImageError, match=r"48 x 32, 1,536 pixels; the limit is 1,535 \(--max-pixels\)"):
            look(path, max_pixels=48 * 32 - 1)


def test_sizes_beyond_any_memory_are_refused(tmp_path: Path) -> None:
    assert_refused(png(2**31 - 1, 2**31 - 1, tmp_path / "a.png"), "2147483647 x 2147483647")
    assert_refused(png(0, 5, tmp_path / "b.png"), "has no pixels")
    one = noise(1, 1, 1)
    assert_refused(tiff(one, tmp_path / "c.tif", color=1, t256=(65535,), t257=(65535,)), "the limit is")
    jpeg = bytearray(saved(photo(), tmp_path / "d.jpg").read_bytes())
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\x00\xff\x00"
    (tmp_path / "d.jpg").write_bytes(jpeg)
    assert_refused(tmp_path / "d.jpg", "the limit is")


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """20,000 x 20,000 pixels of one bit in 49 KB would decode to 400 MB."""
    deflate = zlib.compressobj(9)
    lines = b"".join(deflate.compress(bytes(2501)) for _ in range(20_000)) + deflate.flush()
    bomb = png(20_000, 20_000, tmp_path / "bomb.png", bits=1, idat=lines)
    assert bomb.stat().st_size < 60_000
    script = f"""
import resource
from pathlib import Path
from drrn.errors import ImageError
from drrn.media.images.files import read
read(Path({str(saved(photo(), tmp_path / "a.png"))!r}))
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read(Path({str(bomb)!r}))
except ImageError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    line, kilobytes = run.stdout.splitlines()
    assert "400,000,000 pixels; the limit is 100,000,000" in line
    assert int(kilobytes) < 64 * 1024 and run.stderr == ""


def test_compressed_text_bombs_are_refused(tmp_path: Path) -> None:
    for name, start in ((b"zTXt", b"Comment\0\0"), (b"iCCP", b"icc\0\0"), (b"iTXt", b"a\0\1\0\0\0")):
        body = start + zlib.compress(bytes(12_000_000), 9)
        path = png(1, 1, tmp_path / "a.png", idat=zlib.compress(bytes(2)), before=png_chunk(name, body) * 3)
        assert_refused(path, "bytes of text and profiles")


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ALL)
def test_the_orientation_is_applied_only_once(orientation: int, suffix: str, tmp_path: Path) -> None:
    image, tags = photo(48, 32), Pillow.Exif()
    tags[tiff_tags.ORIENTATION] = orientation
    options = {"lossless": True} if suffix == "webp" else {"quality": 100} if suffix == "jpg" else {}
    if suffix == "tif":
        path = saved(image, tmp_path / "a.tif", tiffinfo={tiff_tags.ORIENTATION: orientation})
    else:
        path = saved(image, tmp_path / f"a.{suffix}", exif=tags, **options)
    with Pillow.open(path) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened)).astype(int)
    picture, header = read(path), probe(path)
    assert (header.height, header.width) == (picture.height, picture.width) == expected.shape[:2]
    assert np.abs(picture.to_array() - expected).max() <= (1 if suffix == "jpg" else 0)
    again = tmp_path / f"again.{suffix}"
    write(picture, again)
    with Pillow.open(again) as opened:
        assert opened.getexif().get(tiff_tags.ORIENTATION, 1) == 1
    assert np.abs(read(again).to_array() - expected).max() <= (8 if suffix == "jpg" else 0)


def test_the_orientation_of_published_files_is_applied(data: Path) -> None:
    folder = data / "formats"
    for path in sorted([*folder.glob("pillow/hopper_orientation_*.jpg"), *folder.glob("exif/*.jpg")]):
        with Pillow.open(path) as opened:
            upright = np.asarray(ImageOps.exif_transpose(opened)).astype(int)
        ours = read(path).to_array()
        assert ours.shape == upright.shape and np.abs(ours - upright).max() <= 4, path.name
    path = folder / "pillow/exif_imagemagick_orientation.png"
    with Pillow.open(path) as opened:
        assert opened.getexif()[tiff_tags.ORIENTATION] == 3
        assert np.array_equal(read(path).to_array(), np.asarray(opened.convert("RGB"))[::-1, ::-1])


# Metadata


def described(size: tuple[int, int]) -> Pillow.Exif:
    tags = Pillow.Exif()
    tags[0x10F], tags[0x110], tags[0x132] = "Maker", "Model 7", "2026:10:01 12:00:00"
    tags[tiff_tags.WIDTH], tags[tiff_tags.HEIGHT] = size
    tags.get_ifd(tiff_tags.EXIF).update({0xA002: size[0], 0xA003: size[1], 0x829A: 0.01, 0x9003: "2026:10:01 12:00:00"})
    tags.get_ifd(tiff_tags.GPS).update({1: "N", 2: (52.0, 31.0, 12.5)})
    return tags


@pytest.mark.parametrize("target", ALL)
@pytest.mark.parametrize("origin", ALL)
@pytest.mark.parametrize("order", ["II", "MM"])
def test_exif_is_kept_between_any_two_formats(origin: str, target: str, order: str, tmp_path: Path) -> None:
    tags = described((48, 32))
    tags.endian = "<" if order == "II" else ">"
    first, second = tmp_path / f"a.{origin}", tmp_path / f"b.{target}"
    source = Image.from_array(np.asarray(photo()))
    block = tags.tobytes()
    assert block.removeprefix(b"Exif\0\0")[:2] == order.encode()
    write(Image(pixels=source.pixels, exif=block, dpi=(300, 150)), first)
    small = read(first)
    large = Image(pixels=small.pixels.repeat(2, 0).repeat(2, 1), exif=small.exif, dpi=(600, 300))
    write(large, second)
    with Pillow.open(second) as opened:
        found = opened.getexif()
        assert (found[0x10F], found[0x110], found[0x132]) == ("Maker", "Model 7", "2026:10:01 12:00:00")
        assert found.get(tiff_tags.ORIENTATION, 1) == 1
        assert (found.get(tiff_tags.WIDTH, 96), found.get(tiff_tags.HEIGHT, 64)) == (96, 64)
        photograph, place = found.get_ifd(tiff_tags.EXIF), found.get_ifd(tiff_tags.GPS)
        assert (photograph[0xA002], photograph[0xA003]) == (96, 64)
        assert float(photograph[0x829A]) == pytest.approx(0.01)
        assert place[1] == "N" and [float(value) for value in place[2]] == [52.0, 31.0, 12.5]
    assert read(second).dpi == pytest.approx((600, 300), rel=1e-4)


def test_other_exif_tags_keep_their_bytes_and_position(tmp_path: Path) -> None:
    tags = described((48, 32))
    tags.get_ifd(tiff_tags.EXIF)[tiff_tags.MAKER_NOTE] = bytes(range(200))
    block = tags.tobytes().removeprefix(b"Exif\0\0")
    write(Image(pixels=np.zeros((50, 70_000 // 1_000, 3), np.float32), exif=block), tmp_path / "a.jpg")
    found = read(tmp_path / "a.jpg").exif
    assert found is not None and len(found) == len(block)
    assert found.index(bytes(range(200))) == block.index(bytes(range(200)))
    changed = [at for at in range(len(block)) if found[at] != block[at]]
    assert 0 < len(changed) <= 8  # two sizes, twice


def test_a_maker_note_is_dropped_if_its_offsets_would_be_wrong(tmp_path: Path) -> None:
    tags = described((5, 4))
    tags.get_ifd(tiff_tags.EXIF)[tiff_tags.MAKER_NOTE] = b"a maker's note"
    write(Image(pixels=np.zeros((4, 5, 3), np.float32), exif=tags.tobytes()), tmp_path / "a.tif")
    with Pillow.open(tmp_path / "a.tif") as opened:
        found = opened.getexif().get_ifd(tiff_tags.EXIF)
    assert tiff_tags.MAKER_NOTE not in found and found[0xA002] == 5


@pytest.mark.parametrize("at", range(8))
def test_a_directory_inside_the_header_is_ignored(at: int) -> None:
    """Editing it would overwrite the header."""
    assert exif.plain(b"II*\0" + struct.pack("<L", at) + bytes(300_000)) is None


def test_a_size_beyond_65535_fits_into_exif() -> None:
    tags = Pillow.Exif()
    tags.get_ifd(tiff_tags.EXIF).update({0xA002: 7, 0xA003: 8})
    block = exif.plain(tags.tobytes())
    assert block
    found = Pillow.Exif()
    found.load(exif.adapt_exif(block, 70_000, 5, None))
    assert found.get_ifd(tiff_tags.EXIF)[0xA002] == 70_000 and found.get_ifd(tiff_tags.EXIF)[0xA003] == 5


def test_a_thumbnail_of_the_old_picture_is_dropped(tmp_path: Path) -> None:
    tags = bytearray(described((48, 32)).tobytes())
    at, end = len(tags) - 6, 16 + 12 * int.from_bytes(tags[14:16], "big")
    tags[end : end + 4] = at.to_bytes(4, "big")  # of a second directory, with a JPEG's place and length
    tags += struct.pack(">HHHLLHHLLL", 2, 0x201, 4, 1, at + 30, 0x202, 4, 1, 4, 0) + b"\xff\xd8\xff\xd9"
    source = saved(photo(), tmp_path / "given.jpg", exif=bytes(tags))
    write(read(source), tmp_path / "a.png")
    for path, thumbnail in ((source, True), (tmp_path / "a.png", False)):
        block = read(path).exif
        assert block and b"Model 7" in block
        end = tiff_tags.Directory.first(block).end
        assert any(block[end : end + 4]) == thumbnail


@pytest.mark.parametrize("suffix", ALL)
@pytest.mark.parametrize("length", [0, 70_000, 200_001])
def test_an_icc_profile_keeps_every_byte(suffix: str, length: int, tmp_path: Path) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    icc = struct.pack(">L", len(icc) + length) + icc[4:] + bytes(random.Random(1).randbytes(length))
    write(Image(pixels=np.zeros((32, 48, 3), np.float32), icc=icc), tmp_path / f"a.{suffix}")
    assert read(tmp_path / f"a.{suffix}").icc == icc
    with Pillow.open(tmp_path / f"a.{suffix}") as opened:
        assert opened.info["icc_profile"] == icc


@pytest.mark.parametrize("suffix", ALL)
@pytest.mark.parametrize("described_too", [False, True])
@pytest.mark.parametrize("dpi", [None, (300.0, 150.0), (25.0, 25.0), (72.0, 72.0)])
def test_dpi_is_kept_and_never_invented(
    suffix: str, described_too: bool, dpi: tuple[float, float] | None, tmp_path: Path
) -> None:
    block = described((5, 4)).tobytes() if described_too else None
    write(Image(pixels=np.zeros((4, 5, 3), np.float32), dpi=dpi, exif=block), tmp_path / f"a.{suffix}")
    found = read(tmp_path / f"a.{suffix}").dpi
    assert found is None if dpi is None else found == pytest.approx(dpi, rel=1e-3)
    with Pillow.open(tmp_path / f"a.{suffix}") as opened:
        theirs = opened.info.get("dpi")
        if dpi and suffix != "webp":  # Pillow reads no dpi from WebP
            assert theirs == pytest.approx(dpi, rel=1e-3)


def test_dpi_stated_only_in_exif_is_found(tmp_path: Path) -> None:
    tags = Pillow.Exif()
    tags[tiff_tags.ACROSS], tags[tiff_tags.DOWN], tags[tiff_tags.UNIT] = 40.0, 20.0, 3  # a centimetre
    for suffix in ("png", "jpg", "webp"):
        assert read(saved(photo(), tmp_path / f"a.{suffix}", exif=tags)).dpi == pytest.approx((101.6, 50.8))


def test_metadata_too_long_for_a_jpeg_is_refused_without_a_file(tmp_path: Path) -> None:
    pixels = np.zeros((4, 5, 3), np.float32)
    with pytest.raises(ImageError, match="JPEG can't hold 70,029 bytes of XMP"):
        write(Image(pixels=pixels, xmp=bytes(70_000)), tmp_path / "a.jpg")
    with pytest.raises(ImageError, match="JPEG can't hold an ICC profile"):
        write(Image(pixels=pixels, icc=bytes(2**24)), tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_malformed_exif_is_dropped_and_the_image_read(suffix: str, tmp_path: Path) -> None:
    plain = tmp_path / f"a.{suffix}"
    whole = described((48, 32)).tobytes()
    for block in (b"Exif\0\0", b"Exif\0\0II", b"Exif\0\0II*\0\xff\xff\xff\x7f", whole[:40], b"Exif\0\0" + bytes(90)):
        photo().save(plain, exif=block)
        picture = read(plain)
        assert picture.exif is None and picture.height == 32
        write(picture, tmp_path / f"b.{suffix}", overwrite=True)


@pytest.mark.slow
def test_hostile_exif_breaks_neither_reading_nor_writing(tmp_path: Path) -> None:
    whole, rng = described((48, 32)).tobytes(), random.Random(5)
    targets = [tmp_path / f"b.{suffix}" for suffix in ALL]
    for number in range(100):
        block = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            block[rng.randrange(6, len(block))] = rng.choice([0, 1, 8, 255, rng.randrange(256)])
        picture = Image(pixels=np.zeros((4, 4, 3), np.float32), exif=bytes(block), dpi=(200, 200))
        target = targets[number % len(targets)]
        write(picture, target, overwrite=True)
        assert read(target).width == 4


# Writing


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    array=st.sampled_from([np.uint8, np.uint16]).flatmap(
        lambda dtype: arrays(dtype, array_shapes(min_dims=3, max_dims=3, max_side=9).filter(lambda s: s[2] <= 4))
    ),
    suffix=st.sampled_from([".png", ".tif", ".tiff", ".PNG"]),
)
def test_lossless_formats_keep_the_samples(array: Any, suffix: str, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / f"law{suffix}"
    write(Image.from_array(array), path, overwrite=True)
    again = read(path).to_array()
    assert again.dtype == array.dtype and np.array_equal(again, array)
    if array.dtype == np.uint8 and array.shape[2] != 2:
        with Pillow.open(path) as opened:
            assert np.array_equal(np.asarray(opened).reshape(array.shape), array)


@settings(max_examples=30, deadline=None)
@given(array=arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=9).filter(lambda s: s[2] <= 4)))
def test_lossless_webp_keeps_the_samples_as_rgb(array: Any, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "law.webp"
    write(Image.from_array(array), path, overwrite=True)
    again, bands = read(path), array.shape[2]
    assert np.array_equal(
        again.to_array()[..., :3], np.broadcast_to(array[..., : bands - 1 + bands % 2], again.pixels.shape)
    )
    if bands % 2 == 0 and array[..., -1].min() < 255:
        assert np.array_equal(again.to_array()[..., 3], array[..., -1])


def test_colors_under_transparent_pixels_are_kept(tmp_path: Path) -> None:
    array = noise(16, 16, 4)
    array[..., 3] = 0
    for suffix in LOSSLESS:
        write(Image.from_array(array), tmp_path / f"a.{suffix}")
        assert np.array_equal(read(tmp_path / f"a.{suffix}").to_array(), array)


def test_a_written_jpeg_is_close_to_the_image_in_every_channel(tmp_path: Path) -> None:
    write(Image.from_array(np.asarray(photo())), tmp_path / "a.jpg")
    assert np.abs(read(tmp_path / "a.jpg").to_array().astype(int) - np.asarray(photo())).max() <= 4
    with Pillow.open(tmp_path / "a.jpg") as opened:
        assert {layer[1:3] for layer in opened.layer} == {(1, 1)}  # type: ignore[attr-defined]


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_16_bit_is_rounded_for_8_bit_formats(suffix: str, tmp_path: Path) -> None:
    array = np.full((16, 16, 3), 0x80C0, np.uint16)  # 128.25 of 255 in 8 bit, and 129 if it were cut to bytes upward
    write(Image.from_array(array), tmp_path / f"a.{suffix}")
    picture = read(tmp_path / f"a.{suffix}")
    assert picture.bits == 8 and set(picture.to_array().ravel().tolist()) == {round(0x80C0 / 257)}


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    for name in ("a.gif", "a", "a.png.exe", ".png"):
        with pytest.raises(ImageError, match=r"one of \.png, .*\.tif, \.tiff, \.bmp, \.pnm, \.pgm, \.ppm, \.pam\.$"):
            write(Image.from_array(noise(4, 4, 3)), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_alpha_in_a_jpeg_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="JPEG holds no alpha; use png, webp or tiff"):
        write(Image.from_array(noise(4, 4, 4)), tmp_path / "a.jpg")


def test_a_gray_profile_is_never_attached_to_rgb(tmp_path: Path) -> None:
    icc = bytes(16) + b"GRAY" + bytes(200)
    with pytest.raises(ImageError, match="WebP holds no gray ICC profile"):
        write(Image(pixels=np.zeros((4, 5, 1), np.float32), icc=icc), tmp_path / "a.webp")


def test_sides_that_a_format_cannot_hold_are_refused(tmp_path: Path) -> None:
    for width, name in ((16384, "a.webp"), (65501, "a.jpg")):
        with pytest.raises(ImageError, match=f"holds at most {width - 1} pixels a side; the image is {width} x 1"):
            write(Image(pixels=np.zeros((1, width, 1), np.float32)), tmp_path / name)
        write(Image(pixels=np.zeros((1, width - 1, 1), np.float32)), tmp_path / name)
        assert read(tmp_path / name).width == width - 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["pixels", "alpha"])
def test_a_non_finite_image_is_never_written(value: float, where: str, tmp_path: Path) -> None:
    planes: dict[str, Any] = {"pixels": np.zeros((4, 5, 3), np.float32), "alpha": np.ones((4, 5), np.float32)}
    planes[where][2, 3] = value
    with pytest.raises(ImageError, match="NaN or infinite"):
        write(Image(**planes), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept_without_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("old")
    with pytest.raises(ImageError, match=r"exists\. Give another name, or --overwrite"):
        write(Image.from_array(noise(4, 4, 3)), path)
    with pytest.raises(ImageError, match="exists"):
        writable(path, 4, 4, alpha=False)
    assert path.read_text() == "old"
    write(Image.from_array(noise(4, 4, 3)), path, overwrite=True)
    assert read(path).width == 4 and len(list(tmp_path.iterdir())) == 1


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("missing/a.png", "file/a.png"):
        with pytest.raises(DRRNError, match="can't be written"):
            write(Image.from_array(noise(4, 4, 3)), tmp_path / name)


@pytest.mark.parametrize("suffix", ALL)
def test_a_full_disk_leaves_only_the_old_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_text("old")
    script = f"""
import resource, signal
from pathlib import Path
import numpy as np
from drrn.errors import DRRNError
from drrn.media.images.files import write
from drrn.media.image import Image
from tests.media.png_by_the_book import decode
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    write(Image.from_array(np.random.default_rng(1).random((64, 64, 3))), Path({str(path)!r}), overwrite=True)
except DRRNError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == f"{path} can't be written: File too large.\n" and run.stderr == ""
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


# Hostile files


@pytest.mark.slow
@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.full)])
def test_randomly_damaged_files_are_refused_or_read(count: int, tmp_path: Path, capfd: Any) -> None:
    """Changing bytes of a valid file only leads to an ImageError or a valid image, without output."""
    tags, seeds = described((24, 16)).tobytes(), []
    for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"):
        for form in ("PNG", "JPEG", "WEBP", "TIFF"):
            image = photo(24, 16).convert("L" if mode == "I;16" else mode)
            image = image.convert("I;16") if mode == "I;16" else image
            options: list[dict[str, Any]] = [{}, {"exif": tags}, {"compression": "tiff_lzw"}, {"progressive": True}]
            for extra in options:
                whole = io.BytesIO()
                try:
                    image.save(whole, form, **extra)
                except (OSError, ValueError):
                    continue  # a mode that the format doesn't hold
                seeds.append(whole.getvalue())
    rng, path = random.Random(3), tmp_path / "a.bin"
    file = path.open("wb")
    outcomes = {"read": 0, "refused": 0}
    for number in range(count):
        content = bytearray(seeds[number % len(seeds)])
        for _ in range(rng.randint(1, 4)):
            at = min(rng.randrange(len(content)), rng.randrange(len(content)) if number % 2 else 10**9)
            match rng.randrange(4):
                case 0:
                    content[at] = rng.randrange(256)
                case 1:
                    content[at] ^= 1 << rng.randrange(8)
                case 2:
                    content[at : at + 4] = rng.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
                case 3:
                    del content[max(at, 1) :: rng.choice([1, 97])]
        file.seek(0)
        file.truncate()
        file.write(content)
        file.flush()
        try:
            picture = read(path, max_pixels=1_000_000)
            assert np.isfinite(picture.pixels).all() and 0 <= picture.pixels.min() <= picture.pixels.max() <= 1
            outcomes["read"] += 1
            if number % 20 == 0:
                write(picture, tmp_path / f"b.{LOSSLESS[number % 3]}", overwrite=True)
        except ImageError as error:
            assert len(str(error).splitlines()) == 1
            outcomes["refused"] += 1
    file.close()
    assert min(outcomes.values()) > count // 10, outcomes
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_no_file_stays_open(tmp_path: Path) -> None:
    good, inks = saved(photo(), tmp_path / "a.png"), saved(photo().convert("CMYK"), tmp_path / "b.tif")
    bad = saved(photo(), tmp_path / "c.jpg")
    bad.write_bytes(bad.read_bytes()[:400])
    for _ in range(10):
        read(good)
        read(inks)
        assert_refused(bad)
    gc.collect()
    links = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
    assert not [link for link in links if link.startswith(str(tmp_path))]
