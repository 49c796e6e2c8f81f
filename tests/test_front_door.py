"""What `import drrn` gives: one call for paths, arrays, PIL images and `Image`s."""

import multiprocessing
import os
import re
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

import drrn
from drrn.errors import ImageError, UsageError
from drrn.media.images.files import probe
from tests.small_weights import small_weights, stepped_weights

WEIGHTS = small_weights()
RGB = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def enlarge(image: Any, **options: Any) -> Any:
    return drrn.upscale(image, weights=WEIGHTS, **options)


EXPECTED = drrn.Upscaler(WEIGHTS).upscale(drrn.Image.from_array(RGB), 2).to_array()


def test_the_line_in_the_readme_doubles_the_size_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    drrn.Image.from_array(RGB).save("photo.jpg")
    drrn.upscale("photo.jpg", scale=2).save("large.jpg")
    header = probe(Path("large.jpg"))
    assert (header.format, header.width, header.height) == ("JPEG", 28, 20)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_gives_an_image(kind: Any, tmp_path: Path) -> None:
    drrn.Image.from_array(RGB).save(tmp_path / "a.png")
    result = enlarge(kind(tmp_path / "a.png"))
    assert isinstance(result, drrn.Image) and np.array_equal(result.to_array(), EXPECTED)


def test_an_image_gives_an_image_with_its_metadata() -> None:
    result = enlarge(drrn.Image(pixels=drrn.Image.from_array(RGB).pixels, icc=SRGB, dpi=(300, 300)), scale=2)
    assert np.array_equal(result.to_array(), EXPECTED)
    assert result.icc == SRGB and result.dpi == (600, 600)


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (8, 9, 2), (8, 9, 3), (8, 9, 4)])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "f2", "f4", "f8"])
def test_an_array_gives_an_array_of_its_dtype_and_axes(shape: tuple[int, ...], dtype: str) -> None:
    values = np.random.default_rng(1).random(shape)
    array = (values * np.iinfo(dtype).max).astype(dtype) if dtype[-2] == "u" else values.astype(dtype)
    result = enlarge(array, size=(18, 16))
    assert type(result) is np.ndarray
    assert (result.dtype, result.shape) == (array.dtype, (16, 18, *shape[2:]))
    if array.dtype.kind == "u":
        assert np.array_equal(result, enlarge(drrn.Image.from_array(array)).to_array().reshape(result.shape))
    else:
        assert 0 <= result.min() < result.max() <= 1


def test_floats_are_not_rounded_to_levels() -> None:
    result = enlarge(RGB / np.float32(255))
    assert np.abs(result * 255 - EXPECTED).max() < 0.51 and np.abs(result * 255 - np.round(result * 255)).max() > 0.4


def test_a_view_or_read_only_array_is_not_modified() -> None:
    array = RGB.copy()
    array.flags.writeable = False
    assert np.array_equal(enlarge(array[::-1])[::-1].shape, EXPECTED.shape)
    assert np.array_equal(enlarge(np.asfortranarray(array)), EXPECTED)
    assert np.array_equal(array, RGB)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("1", "L"), ("L", "L"), ("LA", "LA"), ("P", "RGB"), ("PA", "RGBA"), ("RGB", "RGB"), ("RGBA", "RGBA"),
        ("I;16", "I;16"),
    ],
)  # fmt: skip
def test_a_pil_image_gives_a_pil_image(mode: str, expected: str) -> None:
    if mode == "I;16":
        image = PIL.Image.fromarray(np.linspace(0, 65535, 140).reshape(10, 14).astype(np.uint16))
    else:
        image = PIL.Image.fromarray(RGB).convert("P" if mode == "PA" else "RGB").convert(mode)
    result = enlarge(image)
    assert isinstance(result, PIL.Image.Image)
    assert (result.mode, result.size) == (expected, (28, 20))
    if mode == "RGB":
        assert np.array_equal(np.asarray(result), EXPECTED)
    if mode == "I;16":
        assert np.asarray(result).max() > 60000


def test_a_transparent_color_of_a_pil_image_becomes_alpha() -> None:
    image = PIL.Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 0)
    image.info["transparency"] = 0
    alpha = drrn.Image.from_pil(image).alpha
    assert alpha is not None and alpha[0, 0] == 0 and alpha.sum() == 15


def test_a_pil_image_keeps_profile_exif_and_dpi_and_becomes_upright() -> None:
    image = PIL.Image.fromarray(RGB)
    exif = image.getexif()
    exif[0x0112], exif[0x010F] = 6, "a maker"
    image.info.update(exif=exif.tobytes(), icc_profile=SRGB, dpi=(72.0, 144.0))
    result = enlarge(image)
    upright = np.rot90(RGB, -1)
    assert np.array_equal(np.asarray(result), enlarge(np.ascontiguousarray(upright)))
    assert result.info["icc_profile"] == SRGB and result.info["dpi"] == (288.0, 144.0)
    exif = PIL.Image.Exif()
    exif.load(result.info["exif"])
    assert exif[0x010F] == "a maker" and exif.get(0x0112, 1) == 1


def test_an_image_survives_conversion_to_pillow_and_back(tmp_path: Path) -> None:
    image = drrn.Image.from_array(RGB)
    back = drrn.Image.from_pil(drrn.Image(pixels=image.pixels, icc=SRGB, dpi=(100, 100)).to_pil())
    assert np.array_equal(back.to_array(), RGB) and back.icc == SRGB and back.dpi == (100, 100)


def test_converting_16_bit_color_for_pillow_warns_of_8_bits() -> None:
    image = drrn.Image.from_array(np.full((3, 4, 3), 0x8180, np.uint16))
    with pytest.warns(UserWarning, match="16 bit to 8"):
        assert np.asarray(image.to_pil()).dtype == np.uint8


@pytest.mark.parametrize("mode", ["CMYK", "F", "I", "LAB", "YCbCr", "HSV"])
def test_a_mode_that_is_neither_gray_nor_rgb_is_refused_by_name(mode: str) -> None:
    with pytest.raises(ValueError, match=rf"got {mode}\. Convert it first"):
        enlarge(PIL.Image.new(mode, (4, 4)))


@pytest.mark.parametrize("value", [None, 3, b"photo.jpg", [[1, 2]], {"a": 1}, drrn])
def test_a_wrong_type_is_refused_with_the_accepted_ones(value: Any) -> None:
    printed = r"a path \(str or Path\), a drrn.Image, a NumPy array or a PIL image, got " + type(value).__qualname__
    with pytest.raises(TypeError, match=printed):
        drrn.upscale(value)
    with pytest.raises(TypeError, match=printed):
        drrn.Upscaler(WEIGHTS).upscale(value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "2"}, "A scale is a number, got str"),
        ({"scale": (2, 2)}, "A scale is a number, got tuple"),
        ({"size": 100}, r"A size is \(width, height\) .* got 100"),
        ({"size": (20.5, None)}, r"A size is \(width, height\)"),
        ({"size": (20, 30, 3)}, r"A size is \(width, height\)"),
    ],
)
def test_a_scale_or_size_of_a_wrong_type_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        enlarge(RGB, **options)


@pytest.mark.parametrize("wrong", [3, RGB])
def test_weights_of_a_wrong_type_are_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"Weights are a packaged name, .* got {type(wrong).__name__}"):
        drrn.upscale(RGB, weights=wrong)


def test_conversions_name_the_wrong_type() -> None:
    with pytest.raises(TypeError, match=r"Image.open takes a path .* got _io.BytesIO"):
        drrn.Image.open(BytesIO())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Image.save takes a path .* got int"):
        drrn.Image.from_array(RGB).save(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"takes a PIL image, got numpy.ndarray"):
        drrn.Image.from_pil(RGB)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"without a mask, got numpy\.ma\..*MaskedArray"):
        drrn.upscale(np.ma.masked_equal(RGB, 0))
    with pytest.raises(TypeError, match=r"takes a NumPy array without a mask, got list"):
        drrn.Image.from_array([1, 2])  # type: ignore[arg-type]


def test_save_does_not_overwrite_unless_asked(tmp_path: Path) -> None:
    image, path = drrn.Image.from_array(RGB), tmp_path / "a.png"
    image.save(str(path))
    before = path.read_bytes()
    with pytest.raises(ImageError, match=r"a.png exists. Give another name, or overwrite=True"):
        drrn.Image.from_array(RGB[:4]).save(path)
    assert path.read_bytes() == before
    drrn.Image.from_array(RGB[:4]).save(path, overwrite=True)
    assert drrn.Image.open(path).height == 4


def test_save_takes_quality_and_lossless(tmp_path: Path) -> None:
    image = drrn.Image.from_array(RGB)
    sizes = []
    for name, quality in {"a.jpg": 20, "b.jpg": None, "c.webp": 20, "d.webp": None}.items():
        image.save(tmp_path / name, quality=quality)
        sizes.append((tmp_path / name).stat().st_size)
    assert sizes[0] < sizes[1] and sizes[2] < sizes[3]
    image.save(tmp_path / "e.webp", lossless=True)
    assert np.array_equal(drrn.Image.open(tmp_path / "e.webp").to_array(), RGB)
    with pytest.raises(UsageError, match="a JPEG is never lossless; use png"):
        image.save(tmp_path / "e.jpg", lossless=True)
    for quality, lossless in ((0, False), (101, False), (80, True)):
        with pytest.raises(UsageError, match="`quality` must be 1 to 100"):
            image.save(tmp_path / "f.webp", quality=quality, lossless=lossless)
    assert {path.name for path in tmp_path.iterdir()} == {"a.jpg", "b.jpg", "c.webp", "d.webp", "e.webp"}


def test_save_warns_of_what_the_format_cannot_hold(tmp_path: Path) -> None:
    deep = drrn.Image(pixels=drrn.Image.from_array(RGB).pixels, bits=16, icc=SRGB)
    with pytest.warns(UserWarning, match=r"a.jpg: 16 bit to 8\."):
        deep.save(tmp_path / "a.jpg")
    with pytest.warns(UserWarning, match=r"a.ppm: without ICC\."):
        deep.save(tmp_path / "a.ppm")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        deep.save(tmp_path / "a.png")


def test_representations_are_one_short_line() -> None:
    image = drrn.Image(pixels=drrn.Image.from_array(RGB).pixels, icc=SRGB, dpi=(300, 300))
    assert repr(image) == "Image(14x10, RGB, 8 bit, ICC, dpi)"
    assert repr(drrn.Image.from_array(RGB[..., :2].astype(np.uint16))) == "Image(14x10, gray with alpha, 16 bit)"
    assert repr(drrn.Image(pixels=image.pixels, exif=b"no EXIF")) == "Image(14x10, RGB, 8 bit, EXIF)"
    for name, scales in (("small", "up to x4"), ("tiny", "up to x4")):
        assert re.fullmatch(
            rf"Weights\({name}: B\dU\d, width \d+, {scales}, [\d,]+ parameters\)", repr(drrn.load(name))
        )


def test_a_notebook_gets_the_image_as_png(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(drrn.Image(pixels=drrn.Image.from_array(RGB).pixels, icc=SRGB)._repr_png_())
    image = drrn.Image.open(tmp_path / "a.png")
    assert np.array_equal(image.to_array(), RGB) and image.icc == SRGB
    with pytest.raises(ImageError, match="NaN or infinite"):
        drrn.Image(pixels=np.full((2, 2, 1), np.nan, np.float32))._repr_png_()


def test_dir_lists_the_public_names_and_each_exists() -> None:
    assert dir(drrn) == sorted(drrn.__all__)
    assert all(not name.startswith("_") and getattr(drrn, name) for name in dir(drrn))
    assert {"upscale", "Image", "Upscaler", "Weights", "load", "DRRNConfig", "DRRNError"} == set(dir(drrn))


def test_the_import_is_lazy_and_arrays_need_no_pillow() -> None:
    script = (
        "import sys, drrn; print({'numpy', 'pyvips', 'PIL', 'torch'} & {*sys.modules}); import numpy; "
        "drrn.upscale(numpy.zeros((4, 5), 'uint8'), weights='tiny'); print({'PIL', 'torch'} & {*sys.modules})"
    )
    imported = subprocess.check_output([sys.executable, "-c", script], text=True, timeout=120)
    assert imported.splitlines() == ["set()", "set()"]


@pytest.mark.slow
def test_threads_share_an_upscaler_and_each_gets_its_own_result(tmp_path: Path) -> None:
    """Also with networks for several scales, which are prepared when they are first needed."""
    weights = stepped_weights(2, 3, 4)
    arrays = [np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8) for seed in range(6)]
    work = [(array, scale) for array in arrays for scale in (2, 3, 3.5)] * 2
    expected = [drrn.Upscaler(weights).upscale(*each) for each in work]
    for _ in range(3):
        shared = drrn.Upscaler(weights, threads=2)
        with ThreadPoolExecutor(6) as threads:
            found: list[Any] = [*threads.map(shared.upscale, *zip(*work, strict=True))]
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda pair: drrn.Image.from_array(pair[1]).save(pair[0]), zip(paths, arrays, strict=True)))
        read = list(threads.map(drrn.Image.open, paths))
    assert all(np.array_equal(image.to_array(), array) for image, array in zip(read, arrays, strict=True))


def test_a_network_being_prepared_by_another_thread_is_not_used_early() -> None:
    weights = stepped_weights(2, 3)
    shared = drrn.Upscaler(weights)
    choose, networks = shared._choose, list[Any]()

    def choose_while_another_thread_asks(network: drrn.Weights) -> Any:
        if not networks:
            networks.append(None)
            networks[0] = shared.for_size((5, 5), (15, 15)).network  # as a thread does that comes just now
        return choose(network)

    shared._choose = choose_while_another_thread_asks  # type: ignore[assignment]
    assert shared.for_size((5, 5), (15, 15)).network is weights.larger[3] and networks == [weights.larger[3]]


FORKED = """
import gc, os, signal, sys, warnings
import numpy as np
import drrn
array = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
upscaler = drrn.Upscaler("tiny", threads=2)
expected = upscaler.upscale(array, 2)
drrn.Image.from_array(array).save("a.png")
child = os.fork()
if not child:
    signal.alarm(60)  # instead of waiting forever
    assert np.array_equal(upscaler.upscale("a.png", 2).to_array(), expected), "inherited"
    del upscaler
    gc.collect()
    assert np.array_equal(drrn.upscale(array, 2, weights="tiny"), expected), "made in the child"
    try:
        drrn.Image.from_array(array).save("b.png")
    except drrn.DRRNError as error:
        assert "'spawn' or 'forkserver'" in str(error)
        os._exit(0)
    os._exit(1)
sys.exit(os.waitpid(child, 0)[1] != 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_enlarges_but_may_not_write(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert not done.returncode, done.stderr or "the child was killed or did not end with 0"
    assert not (tmp_path / "b.png").exists()


def enlarge_file(path: Path) -> tuple[int, ...]:
    drrn.upscale(path, weights="tiny").save(path.with_suffix(".webp"))
    return drrn.Image.open(path.with_suffix(".webp")).pixels.shape


def test_spawned_processes_read_enlarge_and_write(tmp_path: Path) -> None:
    drrn.Image.from_array(RGB).save(tmp_path / "a.png")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(enlarge_file, [tmp_path / "a.png"]) == [(20, 28, 3)]
