"""BMP and PNM, which drrn reads and writes itself, and GIF and AVIF, which it only reads."""

import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image as Pillow

from drrn.errors import ImageError
from drrn.media.image import Image
from drrn.media.images.files import probe, read, write
from drrn.media.images.formats import changes, writable
from tests.media.test_files import assert_refused, noise, photo, saved

SHAPES = array_shapes(min_dims=3, max_dims=3, max_side=9)


def bmp(pixels: bytes, width: int, height: int, depth: int, palette: bytes = b"", *, packed: int = 0) -> bytes:
    """A BMP with the most common header."""
    header = struct.pack("<LllHHLLllLL", 40, width, height, 1, depth, packed, 0, 0, 0, len(palette) // 4, 0)
    return b"BM" + struct.pack("<LLL", 0, 0, 54 + len(palette)) + header + palette + pixels


def put(content: bytes, path: Path) -> Path:
    path.write_bytes(content)
    return path


# BMP


@settings(max_examples=30)
@given(array=arrays(np.uint8, SHAPES.filter(lambda shape: shape[2] in (1, 3, 4))))
def test_a_written_bmp_has_the_same_samples_for_drrn_and_pillow(array: Any, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "law.bmp"
    write(Image.from_array(array), path, overwrite=True)
    assert np.array_equal(read(path).to_array(), array)
    with Pillow.open(path) as opened:
        assert np.array_equal(np.asarray(opened).reshape(array.shape), array)


@pytest.mark.parametrize("upward", [True, False])
@pytest.mark.parametrize(("depth", "row"), [(1, b"\xa0\0\0\0"), (4, b"\x10\x10\0\0"), (8, b"\1\0\1\0")])
def test_a_bmp_with_few_bits_is_decoded_by_its_palette(depth: int, row: bytes, upward: bool, tmp_path: Path) -> None:
    palette, empty = bytes([1, 2, 3, 0, 40, 50, 60, 0]), bytes(4)
    rows = empty + row if upward else row + empty
    path = put(bmp(rows, 3, 2 if upward else -2, depth, palette), tmp_path / "a.bmp")
    assert read(path).to_array().tolist() == [[[60, 50, 40], [3, 2, 1], [60, 50, 40]], [[3, 2, 1]] * 3]
    assert probe(path).converted == ("palette to RGB",)


def test_an_os2_bitmap_is_read(tmp_path: Path) -> None:
    header = struct.pack("<LHHHH", 12, 1, 1, 1, 8)
    content = b"BM" + struct.pack("<LLL", 0, 0, 32) + header + bytes([9, 8, 7, 3, 2, 1]) + bytes([1, 0, 0, 0])
    assert read(put(content, tmp_path / "a.bmp")).to_array().tolist() == [[[1, 2, 3]]]


def test_bits_without_an_alpha_mask_are_not_alpha(tmp_path: Path) -> None:
    path = put(bmp(bytes([1, 2, 3, 0]), 1, 1, 32), tmp_path / "a.bmp")
    assert read(path).to_array().tolist() == [[[3, 2, 1]]] and probe(path).converted


def test_an_unsupported_bmp_is_refused(tmp_path: Path) -> None:
    gray, path = b"".join(bytes([value, value, value, 0]) for value in range(4)), tmp_path / "a.bmp"
    assert_refused(put(bmp(b"\4\0\0\0", 1, 1, 8, gray), path), "damaged")  # a color that the palette lacks
    assert_refused(put(bmp(b"\1\0\0\0", 1, 2, 8, gray), path), "damaged")  # half its rows
    assert_refused(put(bmp(b"\1\0\0\0", 1, 1, 8, gray, packed=1), path), "BMP of run lengths")
    assert_refused(put(bmp(bytes(4), 1, 1, 16), path), "16 bit a pixel")
    assert_refused(
        put(bmp(struct.pack("<LLLL", 255, 0xFF00, 0xFF0000, 0), 1, 1, 32, packed=3), path), "unknown order of channels"
    )
    assert_refused(put(bmp(bytes(40_000 * 125), 40_000, 1000, 1, gray[:8])[:62], path), "damaged")
    assert_refused(put(bmp(b"", 0, 5, 24), path), "has no pixels")
    with pytest.raises(ImageError, match=r"the limit is 5 \(--max-pixels\)"):
        read(put(bmp(bytes(24), 2, 3, 24), path), max_pixels=5)


# PNM


@settings(max_examples=30)
@given(
    array=st.sampled_from([np.uint8, np.uint16]).flatmap(
        lambda dtype: arrays(dtype, SHAPES.filter(lambda shape: shape[2] <= 4))
    ),
    suffix=st.sampled_from([".pnm", ".pam"]),
)
def test_a_written_pnm_has_the_same_samples(array: Any, suffix: str, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / f"law{suffix}"
    write(Image.from_array(array), path, overwrite=True)
    again = read(path).to_array()
    assert again.dtype == array.dtype and np.array_equal(again, array)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pillow_reads_the_same_from_a_written_pgm_and_ppm(dtype: Any, tmp_path: Path) -> None:
    for suffix, bands in (("pgm", 1), ("ppm", 3)):
        array = noise(5, 6, bands, dtype=dtype)
        write(Image.from_array(array), tmp_path / f"a.{suffix}")
        with Pillow.open(tmp_path / f"a.{suffix}") as opened:
            theirs = np.asarray(opened).reshape(array.shape)
        assert np.array_equal(
            theirs, array if theirs.dtype != np.uint8 else np.round(array / (np.iinfo(dtype).max / 255))
        )


@pytest.mark.parametrize("most", [1, 7, 100, 255, 256, 4095, 65535])
def test_samples_with_any_maximum_are_scaled_to_the_full_range(most: int, tmp_path: Path) -> None:
    values = np.array([0, most // 3, most])
    wide, top = most > 255, 65535 if most > 255 else 255
    raw = values.astype(">u2" if wide else np.uint8).tobytes()
    path = put(f"P5 # three\n3\t1\r\n{most}\n".encode() + raw, tmp_path / "a.pgm")
    assert read(path).to_array().ravel().tolist() == [0, int(most // 3 * top / most + 0.5), top]
    assert bool(probe(path).converted) == (most not in (255, 65535))


def test_an_unsupported_pnm_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pnm"
    assert_refused(put(b"P5 2 1 9\n\1\12", path), "damaged")  # above its maximum
    assert_refused(put(b"P5 2 1 255\n\1", path), "damaged")
    assert_refused(put(b"P5 2 1 65536\n\1\1\1\1", path), "damaged")
    assert_refused(put(b"P5 2 1", path), "damaged")
    assert_refused(put(b"P2 2 1 255\n1 2", path), "in plain text")
    assert_refused(put(b"P5 2 1 255\n\1\1P5 2 1 255\n\1\1", path), "has data after its pixels")
    assert_refused(put(b"P5 0 1 255\n", path), "has no pixels")
    pam = b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 2\nMAXVAL 255\nTUPLTYPE %s\nENDHDR\n\1\2"
    assert read(put(pam % b"GRAYSCALE_ALPHA", path)).to_array().tolist() == [[[1, 2]]]
    assert r"\x1b[2J" in assert_refused(put(pam % b"\x1b[2J", path))  # a terminal would obey
    assert_refused(put(pam % b"FLOW", path), "2 samples a pixel, 'FLOW'")
    assert_refused(put(pam[:40], path), "damaged")
    with pytest.raises(ImageError, match=r"the limit is 1 \(--max-pixels\)"):
        read(put(b"P5 2 1 255\n\1\1", path), max_pixels=1)


def test_pgm_and_ppm_refuse_other_colors_before_any_work(tmp_path: Path) -> None:
    for suffix, channels, alpha in ((".pgm", 3, False), (".ppm", 1, False), (".pgm", 1, True), (".ppm", 3, True)):
        with pytest.raises(ImageError, match=f"{suffix} holds only (gray|RGB); use pam, png or tiff"):
            writable(tmp_path / f"a{suffix}", 4, 4, alpha=alpha, channels=channels)


# GIF and AVIF


def test_published_files_match_pillow_or_are_refused(data: Path, tmp_path: Path) -> None:
    folder = data / "formats"
    for name in ("pillow/scribble_P_RGB.bmp", "pillow/hopper_16bit.pgm"):
        with Pillow.open(folder / name) as opened:
            theirs = np.asarray(opened if name.endswith("pgm") else opened.convert("RGB"))
        ours = read(folder / name).to_array()
        assert np.array_equal(ours.reshape(theirs.shape), theirs), name
    assert_refused(folder / "skimage/no_time_for_that_tiny.gif", "is animated; a single picture was expected")
    assert_refused(folder / "pillow/dispose_bgnd_transparency.gif", "is animated")
    assert_refused(folder / "pillow/decompression_bomb.gif", "--max-pixels|damaged")


def test_animations_and_heic_are_refused_by_their_headers(tmp_path: Path) -> None:
    for brand, match in ((b"avis", "is an animated AVIF"), (b"heic", "is a HEIC"), (b"mp42", "is not an image")):
        head = struct.pack(">L4s4sL", 24, b"ftyp", brand, 0) + b"miafmif1"
        assert_refused(
            put((head if brand != b"mp42" else head[:16] + b"isommp41") + bytes(99), tmp_path / "a.avif"), match
        )


@pytest.mark.parametrize("sides", [(2**29, 16), (16, 2**31 - 1), (0, 16)])
def test_impossible_sides_of_an_avif_are_refused_without_noise(
    sides: tuple[int, int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = saved(photo(24, 16), tmp_path / "a.avif")
    content = path.read_bytes()
    at = content.index(b"ispe") + 8
    path.write_bytes(content[:at] + struct.pack(">LL", *sides) + content[at + 8 :])
    assert_refused(path, "the limit is|has no pixels")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("orientation", [1, 6])
def test_an_avif_is_rotated_only_once(orientation: int, tmp_path: Path) -> None:
    tags = Pillow.Exif()
    tags[0x112] = orientation
    path = saved(photo(), tmp_path / "a.avif", exif=tags.tobytes(), quality=95)
    picture, header = read(path), probe(path)
    with Pillow.open(path) as opened:
        assert opened.size == (48, 32)
    expected = np.asarray(photo().rotate(-90, expand=True) if orientation == 6 else photo()).astype(int)
    assert (header.height, header.width) == expected.shape[:2]
    assert np.abs(picture.to_array() - expected).mean() < 5


@pytest.mark.parametrize("suffix", ["gif", "avif", "bmp", "ppm"])
def test_a_truncated_or_damaged_file_is_refused_or_read(suffix: str, tmp_path: Path) -> None:
    path = saved(photo(24, 16), tmp_path / f"a.{suffix}")
    whole, rng = path.read_bytes(), random.Random(1)
    for length in range(0, len(whole) - 2, max(len(whole) // 25, 1)):
        assert_refused(put(whole[:length], path))
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(min(len(content), 400))] = rng.randrange(256)
        try:
            picture = read(put(bytes(content), path), max_pixels=100_000)
            assert np.isfinite(picture.pixels).all() and changes(probe(path), tmp_path / "a.png") is not None
        except ImageError as error:
            assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_a_bitmap_without_file_header_is_read(mode: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 4), dtype=np.uint8)
    image = Pillow.fromarray(pixels, "RGBA").convert("RGB" if mode == "P" else "RGBA").convert(mode)
    image.save(tmp_path / "a.bmp")
    image.save(tmp_path / "a.dib")
    assert (tmp_path / "a.dib").read_bytes() == (tmp_path / "a.bmp").read_bytes()[14:]
    assert (read(tmp_path / "a.dib").to_array() == read(tmp_path / "a.bmp").to_array()).all()
