"""How lossy files are, and how lossy their enlargements may be."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drrn.errors import UsageError
from drrn.media.file_format import FileFormat
from drrn.media.images.files import read, write
from drrn.media.images.quality import Loss, choose_loss, loss_of
from drrn.upscaling.formats import strips
from drrn.upscaling.upscaler import Upscaler
from tests import command_line
from tests.small_weights import small_weights


def photo(height: int = 48, width: int = 64, mode: str = "RGB") -> Image.Image:
    """Smooth waves of color with a little noise, like a camera image."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 9 + k) * np.cos(y / 7 - k) for k in range(4)], axis=2) * 90 + 128
    noisy = waves + np.random.default_rng(0).normal(0, 4, waves.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8), "RGBA").convert(mode)


def encoded(form: str, image: Image.Image | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    (image or photo()).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("quality", [30, 50, 75, 80, 90, 95, 98])
def test_the_quality_of_a_jpeg_is_read_from_its_tables(quality: int, progressive: bool) -> None:
    loss = loss_of("JPEG", encoded("JPEG", quality=quality, progressive=progressive))
    assert loss and abs(loss.quality - quality) <= 1 and loss.subsampled


@pytest.mark.parametrize(("sampling", "subsampled"), [("4:4:4", False), ("4:2:2", False), ("4:2:0", True)])
def test_the_sampling_of_a_jpeg_is_read_from_its_frame(sampling: str, subsampled: bool) -> None:
    assert loss_of("JPEG", encoded("JPEG", subsampling=sampling)) == Loss(75, subsampled)


def test_a_gray_jpeg_has_no_chroma_to_subsample() -> None:
    assert loss_of("JPEG", encoded("JPEG", photo(mode="L"), quality=60)) == Loss(60, subsampled=False)


def test_stray_and_fill_bytes_do_not_hide_the_tables() -> None:
    content = encoded("JPEG", quality=85)
    at = content.index(b"\xff\xdb")
    assert loss_of("JPEG", content[:at] + b"\0\0\0\0" + content[at:]) == Loss(85, True)
    assert loss_of("JPEG", content[:at] + b"\xff" * 9 + content[at:]) == Loss(85, True)


def test_a_jpeg_without_tables_has_an_unknown_loss() -> None:
    content = encoded("JPEG")
    for end in (2, 3, 20, content.index(b"\xff\xdb"), content.index(b"\xff\xc0") + 6):
        assert loss_of("JPEG", content[:end]) is None


def test_a_webp_is_recognized_as_lossy_or_lossless(tmp_path: Path) -> None:
    for mode in ("RGB", "RGBA"):
        assert loss_of("WebP", encoded("WEBP", photo(mode=mode)))
        assert loss_of("WebP", encoded("WEBP", photo(mode=mode), lossless=True)) is None
    frames: dict[str, Any] = {"save_all": True, "append_images": [photo().transpose(Image.Transpose.ROTATE_180)]}
    assert loss_of("WebP", encoded("WEBP", **frames))
    assert loss_of("WebP", encoded("WEBP", lossless=True, **frames)) is None
    assert loss_of("WebP", encoded("WEBP")[:20]) is None


RULE: list[tuple[FileFormat, FileFormat, Loss | None, dict[str, Any], Loss | None]] = [
    ("JPEG", "JPEG", Loss(90, True), {}, Loss(90, True)),
    ("JPEG", "JPEG", Loss(30, True), {}, Loss(80, True)),
    ("JPEG", "JPEG", Loss(99, False), {}, Loss(95, False)),
    ("JPEG", "JPEG", None, {}, Loss(95, False)),
    ("JPEG", "PNG", None, {}, Loss(95, False)),
    ("JPEG", "WebP", Loss(90), {}, Loss(95, False)),
    ("JPEG", "JPEG", Loss(90, True), {"quality": 98}, Loss(98, True)),
    ("JPEG", "PNG", None, {"quality": 98}, Loss(98, False)),
    ("JPEG", "PNG", None, {"quality": 60}, Loss(60, True)),
    ("WebP", "WebP", Loss(90), {}, Loss(90)),
    ("WebP", "WebP", None, {}, None),
    ("WebP", "JPEG", Loss(90, True), {}, None),
    ("WebP", "PNG", None, {"quality": 70}, Loss(70)),
    ("WebP", "WebP", Loss(90), {"lossless": True}, None),
    ("PNG", "JPEG", Loss(90, True), {"lossless": True}, None),
]


@pytest.mark.parametrize(("form", "source", "loss", "options", "right"), RULE)
def test_the_quality_of_results_follows_the_documented_rule(
    form: FileFormat, source: FileFormat, loss: Loss | None, options: dict[str, Any], right: Loss | None
) -> None:
    assert choose_loss(form, source, loss, **options) == right


def test_a_lossless_jpeg_is_refused() -> None:
    with pytest.raises(UsageError, match=r"JPEG is never lossless.*png, webp or tif"):
        choose_loss("JPEG", "PNG", None, lossless=True)


def run(*args: str) -> int:
    return command_line.run("upscale", *args, "--model", "tiny.safetensors", "--device", "cpu", "--threads", "1")


def of(path: Path) -> Loss | None:
    return loss_of("JPEG" if path.suffix == ".jpg" else "WebP", path.read_bytes())


@pytest.mark.parametrize(
    ("quality", "sampling", "right"), [(85, "4:2:0", Loss(85, True)), (40, "4:4:4", Loss(80, False))]
)
def test_a_jpeg_keeps_its_quality_and_sampling(here: Path, quality: int, sampling: str, right: Loss) -> None:
    (here / "photo.jpg").write_bytes(encoded("JPEG", quality=quality, subsampling=sampling))
    assert run("photo.jpg") == 0
    assert of(here / "photo_x2.jpg") == right


def test_a_jpeg_grows_no_more_than_its_pixels_do(here: Path) -> None:
    (here / "photo.jpg").write_bytes(encoded("JPEG", photo(240, 320), quality=90))
    assert run("photo.jpg") == 0
    assert (here / "photo_x2.jpg").stat().st_size < 4 * (here / "photo.jpg").stat().st_size


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_lossy_webp_stays_lossy_and_a_lossless_one_lossless(here: Path, mode: str) -> None:
    (here / "a.webp").write_bytes(encoded("WEBP", photo(mode=mode)))
    (here / "b.webp").write_bytes(encoded("WEBP", photo(mode=mode), lossless=True, exact=True))
    assert run("a.webp", "b.webp", "-o", ".") == 0
    assert of(here / "a_x2.webp") and of(here / "b_x2.webp") is None
    assert read(here / "a_x2.webp").alpha is None if mode == "RGB" else read(here / "a_x2.webp").alpha is not None
    assert run("a.webp", "--lossless", "--overwrite") == 0
    assert of(here / "a_x2.webp") is None
    assert run("b.webp", "--quality", "50", "--overwrite") == 0
    assert of(here / "b_x2.webp")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_animated_webp_stays_lossy(here: Path, mode: str) -> None:
    frames = [Image.fromarray(np.roll(np.asarray(photo(mode=mode)), 4 * number, axis=1)) for number in range(4)]
    rest: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "duration": 70}
    (here / "a.webp").write_bytes(encoded("WEBP", frames[0], **rest))
    assert run("a.webp") == 0
    assert run("a.webp", "--lossless", "-o", "b.webp") == 0
    assert of(here / "a_x2.webp") and of(here / "b.webp") is None
    assert (here / "a_x2.webp").stat().st_size < (here / "b.webp").stat().st_size / 2
    with Image.open(here / "a_x2.webp") as lossy, Image.open(here / "b.webp") as whole:
        assert (lossy.n_frames, lossy.size) == (4, (128, 96))  # type: ignore[attr-defined]
        for number in range(4):
            lossy.seek(number)
            whole.seek(number)
            pair = [np.asarray(each.convert("RGBA"), float) for each in (lossy, whole)]
            assert np.abs(pair[0] - pair[1])[pair[1][..., 3] > 0].mean() < 4
            assert lossy.info["duration"] == 70


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["a.jpg", "--lossless"], "A JPEG is never lossless"),
        (["a.jpg", "--quality", "0"], "--quality must be 1 to 100"),
        (["a.jpg", "--quality", "101"], "got 101"),
        (["a.webp", "--quality", "50", "--lossless"], "without --lossless"),
        (["a.jpg", "--quality", "50", "-o", "a.png"], "--quality is for JPEG and WebP, and a.png will be neither"),
    ],
)
def test_impossible_combinations_of_quality_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str], args: list[str], sentence: str
) -> None:
    (here / "a.jpg").write_bytes(encoded("JPEG"))
    (here / "a.webp").write_bytes(encoded("WEBP"))
    before = sorted(here.iterdir())
    assert run(*args) == 2
    assert sentence in capsys.readouterr().err
    assert sorted(here.iterdir()) == before


def test_in_a_folder_quality_only_affects_jpeg_and_webp(here: Path) -> None:
    (here / "in").mkdir()
    (here / "in" / "a.jpg").write_bytes(encoded("JPEG"))
    (here / "in" / "b.png").write_bytes(encoded("PNG"))
    assert run("in", "-o", "out", "--quality", "60") == 0
    assert of(here / "out" / "a_x2.jpg") == Loss(60, True)
    assert (here / "out" / "b_x2.png").exists()


@pytest.mark.parametrize(("form", "suffix"), [("JPEG", ".jpg"), ("WEBP", ".webp")])
def test_strips_and_memory_give_the_same_bytes(
    here: Path, form: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / f"a{suffix}").write_bytes(encoded(form, quality=88))
    assert run(f"a{suffix}", "-o", f"strips{suffix}") == 0
    monkeypatch.setattr(strips, "can_stream", lambda upscaler, header: False)
    assert run(f"a{suffix}", "-o", f"memory{suffix}") == 0
    assert (here / f"strips{suffix}").read_bytes() == (here / f"memory{suffix}").read_bytes()


def test_the_python_api_takes_quality_and_lossless(here: Path) -> None:
    (here / "a.png").write_bytes(encoded("PNG"))
    larger = Upscaler(small_weights()).upscale(read(here / "a.png"), scale=2)
    write(larger, here / "best.jpg")
    write(larger, here / "small.jpg", loss=Loss(70, subsampled=True))
    write(larger, here / "small.webp", loss=Loss(70))
    write(larger, here / "whole.webp")
    assert of(here / "best.jpg") == Loss(95) and of(here / "small.jpg") == Loss(70, True)
    assert of(here / "small.webp") and of(here / "whole.webp") is None
