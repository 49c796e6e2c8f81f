"""TIFFs: which page is the image, raw photos, YCbCr, and compressions that libvips can't decode."""

import io
import lzma
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from drrn.errors import ImageError
from drrn.media.images.files import decode_to_disk, probe, read
from drrn.media.images.formats import changes
from drrn.upscaling.batch.folders import find_sources
from drrn.upscaling.batch.planning import Request, plan
from drrn.upscaling.formats import image
from tests.media.tiff_files import COEFFICIENTS, RATIONAL, REFERENCES, Page, page, tiff

RGB = np.kron(
    np.array([[[220, 40, 40], [40, 200, 60]], [[50, 60, 210], [128, 128, 128]]], np.uint8), np.ones((8, 8, 1), np.uint8)
)
GRAY = np.arange(256, dtype=np.uint8).reshape(16, 16)
BT601, BT709 = (0.299, 0.587, 0.114), (0.2126, 0.7152, 0.0722)


def levels(path: Path) -> np.ndarray:
    """Read a file in memory and through strips, check that both agree, and return (H, W, C), uint8 or uint16."""
    whole = read(path).to_array()
    with decode_to_disk(path, path.with_name("beside")) as (samples, header, _):
        assert np.array_equal(samples[:], whole) and header == probe(path)
    return whole


def written(folder: Path, *pages: Page) -> Path:
    path = folder / "a.tif"
    path.write_bytes(tiff(*pages))
    return path


def ycbcr(weights: tuple[float, float, float] = BT601, *, studio: bool = False) -> np.ndarray:
    red, green, blue = (RGB[..., band].astype(float) for band in range(3))
    y = weights[0] * red + weights[1] * green + weights[2] * blue
    cb, cr = (blue - y) / (2 - 2 * weights[2]), (red - y) / (2 - 2 * weights[0])
    if studio:
        y, cb, cr = y * 219 / 255 + 16, cb * 224 / 254, cr * 224 / 254
    return np.dstack([y, cb + 128, cr + 128]).round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("weights", [BT601, BT709])
@pytest.mark.parametrize("studio", [False, True])
@pytest.mark.parametrize("packed", ["plain", "deflate", "planar"])
def test_ycbcr_without_subsampling_has_its_colors(
    weights: tuple[float, float, float], studio: bool, packed: str, tmp_path: Path
) -> None:
    samples = ycbcr(weights, studio=studio)
    references = (16, 235, 128, 240, 128, 240) if studio else (0, 255, 128, 255, 128, 255)
    data: bytes | list[bytes] = samples.tobytes()
    more: dict[str, Any] = {"t530": (1, 1)}
    compression = 1
    if packed == "deflate":
        data, compression = zlib.compress(samples.tobytes()), 8
    elif packed == "planar":
        data, more["t284"] = [samples[..., band].tobytes() for band in range(3)], (2,)
    one = page(16, 16, data, color=6, compression=compression, **more)
    one.tags[REFERENCES] = RATIONAL, tuple(number for value in references for number in (value, 1))
    one.tags[COEFFICIENTS] = RATIONAL, tuple(number for weight in weights for number in (round(weight * 10000), 10000))
    path = written(tmp_path, one)
    found = levels(path)
    assert found.shape == RGB.shape and np.abs(found.astype(int) - RGB).max() <= 3  # the precision of 8-bit YCbCr
    assert "YCbCr to RGB" in probe(path).converted


def test_subsampled_ycbcr_has_no_alpha(tmp_path: Path) -> None:
    samples = ycbcr()
    blocks = samples[..., 0].reshape(8, 2, 8, 2).transpose(0, 2, 1, 3).reshape(8, 8, 4)
    data = np.concatenate([blocks, samples[::2, ::2, 1:]], axis=2).tobytes()
    path = written(tmp_path, page(16, 16, data, color=6, t530=(2, 2)))
    found = levels(path)
    assert found.shape == RGB.shape and np.abs(found.astype(int) - RGB).max() <= 3


def test_ycbcr_whose_subsampling_is_not_what_its_data_have_is_refused(tmp_path: Path) -> None:
    """Old versions of Pillow left the tag out, which means 2 by 2; the colors would be those of other pixels."""
    whole = page(16, 16, ycbcr().tobytes(), color=6)
    with pytest.raises(ImageError, match="is YCbCr without subsampling that is not marked as such"):
        read(written(tmp_path, whole))
    with pytest.raises(ImageError, match="is YCbCr without subsampling that is not marked as such"):
        read(written(tmp_path, page(16, 16, ycbcr().tobytes(), color=6, t530=(2, 1))))


def test_other_kinds_of_ycbcr_are_refused_by_name(tmp_path: Path) -> None:
    deep = page(16, 16, (ycbcr().astype("<u2") * 257).tobytes(), color=6, bits=16, t530=(1, 1))
    with pytest.raises(ImageError, match="samples of 16 bit; in YCbCr 8"):
        read(written(tmp_path, deep))
    alpha = page(16, 16, np.dstack([ycbcr(), GRAY]).tobytes(), color=6, bands=4, t530=(1, 1), t338=(2,))
    with pytest.raises(ImageError, match="is YCbCr with alpha"):
        read(written(tmp_path, alpha))


THUMBNAIL = page(4, 4, bytes(48), t254=(1,))
MASK = page(16, 16, bytes(32), color=4, bands=1, bits=1, t254=(4,))
IMAGE = page(16, 16, RGB.tobytes())
RAW = page(16, 16, bytes(512), color=32803, bands=1, bits=16)


@pytest.mark.parametrize(
    ("pages", "printed"),
    [
        ((IMAGE, THUMBNAIL), "without its thumbnail"),
        ((THUMBNAIL, IMAGE), "without its thumbnail"),
        ((IMAGE, page(4, 4, bytes(48), t255=(2,))), "without its thumbnail"),
        ((IMAGE, THUMBNAIL, THUMBNAIL), "without its 2 smaller copies"),
        ((IMAGE, MASK), "without its mask"),
        ((page(16, 16, RGB.tobytes(), within=(THUMBNAIL,)),), "without its thumbnail"),
        ((page(16, 16, RGB.tobytes(), within=(THUMBNAIL, THUMBNAIL)),), "without its 2 smaller copies"),
        ((page(16, 16, RGB.tobytes(), within=(IMAGE,)),), "without 1 image in SubIFDs"),
        ((page(16, 16, RGB.tobytes(), t254=(1,)),), "a page marked as a smaller copy taken as the image"),
    ],
)
def test_the_main_image_is_read_among_smaller_copies(pages: tuple[Page, ...], printed: str, tmp_path: Path) -> None:
    path = written(tmp_path, *pages)
    assert np.array_equal(levels(path), RGB)
    assert probe(path).converted == ((printed,) if printed else ())


def test_tags_come_from_the_page_of_the_main_image(tmp_path: Path) -> None:
    turned = page(16, 16, RGB.tobytes(), t274=(3,))
    assert np.array_equal(levels(written(tmp_path, THUMBNAIL, turned)), RGB[::-1, ::-1])


def test_samples_of_unstated_type_are_unsigned_integers(tmp_path: Path) -> None:
    assert np.array_equal(levels(written(tmp_path, page(16, 16, RGB.tobytes(), t339=(4, 4, 4)))), RGB)


@pytest.mark.parametrize(
    ("unusual", "match"),
    [
        (page(16, 16, bytes(512), color=3, bands=1, bits=16), "has samples of 16 bit; with a palette 1, 2, 4 and 8"),
        (page(16, 16, bytes(512), color=2, t258=(5, 6, 5)), "has samples of 5, 6, 5 bit; 1 to 16, the same in all"),
        (
            Page(IMAGE.data, {k: v for k, v in IMAGE.tags.items() if k != 262}),
            "is without a photometric interpretation",
        ),
    ],
)
def test_unreadable_samples_are_refused_for_the_right_reason(unusual: Page, match: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=match):
        read(written(tmp_path, unusual))


@pytest.mark.parametrize(
    ("pages", "match"),
    [
        ((IMAGE, IMAGE), "has 2 pages"),
        ((IMAGE, THUMBNAIL, IMAGE), "has 2 pages"),
        ((THUMBNAIL, THUMBNAIL), "has 2 smaller copies of an image, and not the image itself"),
        ((page(4, 4, bytes(48), t254=(1,), within=(IMAGE,)),), "begins with a smaller copy of an image that is stored"),
        ((page(4, 4, bytes(48), within=(IMAGE,)),), "begins with a smaller copy of an image that is stored"),
        ((page(4, 4, bytes(48), within=(THUMBNAIL, IMAGE)),), "begins with a smaller copy of an image that is stored"),
        ((page(4, 4, bytes(48), t254=(1,), within=(page(16, 16, bytes(256), color=32803, bands=1),)),), "raw photo"),
        ((page(4, 4, bytes(48), within=(page(16, 16, bytes(256), color=34892, bands=1),)),), "raw photo"),
        ((page(4, 4, bytes(48), t254=(1,), t50706=(1, 4), within=(IMAGE,)),), r"raw photo of a camera \(DNG\)"),
        ((RAW,), "raw photo"),
        ((THUMBNAIL, RAW), "raw photo"),
    ],
)
def test_raw_photos_and_missing_images_are_refused_by_name(pages: tuple[Page, ...], match: str, tmp_path: Path) -> None:
    path = written(tmp_path, *pages)
    with pytest.raises(ImageError, match=match):
        plan(path, tmp_path / "b.tif", Request(2))


def test_raw_photos_in_a_folder_are_skipped_and_reported(tmp_path: Path) -> None:
    within = page(4, 4, bytes(48), t254=(1,), within=(IMAGE,))
    thumbnail, floats = page(4, 4, bytes(48), t254=(1,), within=(RAW,)), RAW._replace(tags=RAW.tags | {339: (3, (3,))})
    for name, one in {"a.nef": thumbnail, "b.pef": RAW, "c.dng": floats, "d.tif": IMAGE, "e.dng": within}.items():
        (tmp_path / name).write_bytes(tiff(one))
    found = find_sources([tmp_path], tmp_path.with_name("out"))
    assert [source.path.name for source in found.sources] == ["d.tif"]
    assert [path.name for path in found.unreadable] == ["a.nef", "b.pef", "c.dng", "e.dng"]


def test_canons_raw_photos_are_refused_by_name(tmp_path: Path) -> None:
    content = bytearray(tiff(IMAGE))
    content[8:12] = b"CR\2\0"
    (tmp_path / "a.cr2").write_bytes(content)
    with pytest.raises(ImageError, match=r"a raw photo of a camera \(CR2\)"):
        read(tmp_path / "a.cr2")


def test_an_unspecified_fourth_band_of_rgb_is_alpha(tmp_path: Path) -> None:
    path = written(tmp_path, page(16, 16, np.dstack([RGB, GRAY]).tobytes(), bands=4))
    assert np.array_equal(levels(path), np.dstack([RGB, GRAY]))
    job = plan(path, tmp_path / "b.tif", Request(2))
    assert job.format is image.IMAGE and "a fourth band of no stated kind to alpha" in changes(job.header, job.target)


def test_half_floats_become_single_precision_and_that_is_reported(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    tifffile.imwrite(tmp_path / "a.tif", (RGB / 255).astype(np.float16), photometric="rgb")
    job = plan(tmp_path / "a.tif", tmp_path / "b.tif", Request(2))
    assert "float16 to float32" in job.format.changes(job)


FOREIGN: dict[str, tuple[dict[str, Any], str]] = {  # options of rasterio to write it, and its name in messages
    "zstd": ({"compress": "ZSTD"}, "compressed by ZSTD"),
    "lzma": ({"compress": "LZMA"}, "compressed by LZMA"),
    "lerc": ({"compress": "LERC"}, "compressed by LERC"),
    "planar tiles": ({"interleave": "band", "tiled": True, "blockxsize": 16, "blockysize": 16}, "in tiles of single"),
}
SAMPLES: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "RGB": (RGB, {"photometric": "RGB"}),
    "RGB of 16 bit": (RGB.astype(np.uint16) * 251, {"photometric": "RGB"}),
    "RGBA": (np.dstack([RGB, GRAY]), {"photometric": "RGB", "alpha": "NON-PREMULTIPLIED"}),
    "gray": (GRAY[..., None], {}),
    "gray, white is 0": (GRAY[..., None], {"photometric": "MINISWHITE"}),
    "palette": (GRAY[..., None] % 7, {"photometric": "PALETTE"}),
    "4 bit": (GRAY[..., None] % 16, {"nbits": 4}),
}
TABLE = {index: (index * 30, 255 - index * 20, index, 255) for index in range(256)} | {
    index: (0, 0, 0, 255) for index in range(7, 256)
}


def foreign(path: Path, kind: str, samples: str) -> np.ndarray:
    """Write a file with another library, and return the levels that drrn reads."""
    rasterio = pytest.importorskip("rasterio")
    (how, _), (array, more) = FOREIGN[kind], SAMPLES[samples]
    size = {"width": 64, "height": 48, "count": array.shape[2], "dtype": array.dtype.name}
    array = np.tile(array, (3, 4, 1))
    with warnings.catch_warnings(action="ignore"), rasterio.open(path, "w", "GTiff", **size, **how, **more) as file:
        file.write(np.moveaxis(array, 2, 0))
        if samples == "palette":
            file.write_colormap(1, TABLE)
    match samples:
        case "palette":
            return np.array([TABLE[index][:3] for index in range(7)], np.uint8)[array[..., 0]]
        case "4 bit":
            return array * np.uint8(17)
        case "gray, white is 0":
            return 255 - array
    return array


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("samples", SAMPLES)
def test_rasterio_reads_compressions_that_libvips_lacks(kind: str, samples: str, tmp_path: Path) -> None:
    if (kind, samples) == ("lerc", "4 bit"):
        pytest.skip("LERC has no samples of 4 bit")
    path = tmp_path / "a.tif"
    truth = foreign(path, kind, samples)
    if kind != "lerc" and "white" not in samples:  # for these GDAL writes metadata, which would make the file a raster
        assert plan(path, None, Request(2)).format is image.IMAGE
    assert np.array_equal(levels(path), truth)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("bits", [3, 6, 10, 12, 14])
def test_samples_of_other_bits_are_scaled_to_the_full_range(bits: int, count: int, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    path, dtype = tmp_path / "a.tif", np.dtype("uint8" if bits < 8 else "uint16")
    array = np.random.default_rng(0).integers(0, 2**bits, (count, 16, 24)).astype(dtype)
    array[:, 0, :2] = 0, 2**bits - 1
    how: dict[str, Any] = {"nbits": bits, "photometric": "RGB" if count == 3 else "MINISBLACK"}
    how |= {"width": 24, "height": 16, "count": count, "dtype": dtype.name}
    with warnings.catch_warnings(action="ignore"), rasterio.open(path, "w", "GTiff", **how) as file:
        file.write(array)
    top = np.iinfo(dtype).max
    expected = np.floor(array * (top / (2**bits - 1)) + 0.5).transpose(1, 2, 0)
    assert np.array_equal(levels(path), expected.reshape(levels(path).shape))
    assert probe(path).converted == (f"{bits} bit to {8 if bits < 8 else 16}",)
    job = plan(path, tmp_path / "b.tif", Request(2))
    assert job.format is image.IMAGE and job.header.bits == (8 if bits < 8 else 16)


def test_rasterio_reads_the_main_image_upright(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    packed = page(16, 16, lzma.compress(RGB.tobytes()), compression=34925, t274=(6,))
    path = written(tmp_path, THUMBNAIL, packed)
    assert np.array_equal(levels(path), np.rot90(RGB, -1))
    assert probe(path).converted == ("without its thumbnail",)


@pytest.mark.parametrize("kind", FOREIGN)
def test_without_rasterio_the_compression_is_named(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    foreign(path, kind, "RGB")
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ImageError, match=FOREIGN[kind][1] + r".*: rasterio can read it\. Install it: pip install"):
        read(path)


def test_damage_found_by_rasterio_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    foreign(path, "zstd", "RGB")
    content = bytearray(path.read_bytes())
    at = content.index(b"\x28\xb5\x2f\xfd")
    content[at : at + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(ImageError, match="is a TIFF compressed by ZSTD that is damaged or cut short"):
        read(path)


def test_old_style_jpeg_is_read_or_named(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "JPEG", quality=95, subsampling=0)
    whole = file.getvalue()
    one = page(16, 16, whole, color=6, compression=6, t512=(1,), t530=(1, 1))
    one.tags[513], one.tags[514] = (4, (8,)), (4, (len(whole),))  # the strip comes first in the file
    path = written(tmp_path, one)
    try:
        assert np.abs(levels(path).astype(int) - RGB)[2:6, 2:6].max() <= 6
    except ImageError as error:
        assert "is a TIFF compressed by old-style JPEG" in str(error) and "damaged" not in str(error)


def test_an_unknown_compression_is_named(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    with pytest.raises(ImageError, match=r"compressed by method 34999, which can't be read"):
        read(written(tmp_path, page(16, 16, RGB.tobytes(), compression=34999)))


def test_a_raster_whose_first_page_is_a_smaller_copy_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    floats = RGB.astype("<f4").tobytes()
    small = page(16, 16, floats, bits=32, t254=(1,), t339=(3, 3, 3))
    with pytest.raises(ImageError, match="begins with a smaller copy of its raster"):
        plan(written(tmp_path, small, page(16, 16, floats, bits=32, t339=(3, 3, 3))), None, Request(2))
