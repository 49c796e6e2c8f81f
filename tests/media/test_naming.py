"""Names of results, which files of a folder are images, and messages about other kinds of files."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drrn.data.pairs import pictures_in
from drrn.errors import ImageError
from drrn.media.images.files import probe, read
from drrn.media.naming import image_suffix, is_image, is_system_folder, split
from drrn.media.signatures import describe, unreadable
from drrn.media.video import containers
from drrn.upscaling.batch.folders import find_sources


def encoded(form: str, mode: str = "RGB") -> bytes:
    """A small image as a file of one of Pillow's formats."""
    image = Image.fromarray((np.arange(12 * 16 * 3) % 251).astype(np.uint8).reshape(12, 16, 3)).convert(mode)
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("photo.JPG", ("photo", ".JPG")),
        ("a.b.c.png", ("a.b.c", ".png")),
        ("photo.jpg_large", ("photo", ".jpg_large")),
        ("photo.jpg:orig", ("photo", ".jpg:orig")),
        ("photo.png?size=large", ("photo", ".png?size=large")),
        ("v1.2 final", ("v1.2 final", "")),
        ("photo.final", ("photo.final", "")),
        ("1.2.840.10008", ("1.2.840.10008", "")),
        ("IMG_1.HEIC", ("IMG_1", ".HEIC")),
        (".png", (".png", "")),
        ("film.mkv", ("film", ".mkv")),
        ("plain", ("plain", "")),
    ],
)
def test_only_known_suffixes_are_split_off(name: str, parts: tuple[str, str]) -> None:
    assert split(name) == parts


@pytest.mark.parametrize(
    ("form", "mode", "current", "suffix"),
    [
        ("JPEG", "RGB", ".jpg", ".jpg"),
        ("JPEG", "RGB", ".JPEG", ".JPEG"),
        ("JPEG", "RGB", ".jfif", ".jpg"),
        ("JPEG", "RGB", ".png", ".jpg"),
        ("MPO", "RGB", ".mpo", ".jpg"),
        ("PNG", "RGBA", ".jpg", ".png"),
        ("PNG", "RGB", ".apng", ".png"),
        ("BMP", "RGB", ".dib", ".bmp"),
        ("DIB", "RGB", ".dib", ".bmp"),
        ("TIFF", "RGB", ".gtiff", ".tif"),
        ("GIF", "RGB", ".gif", ".png"),
        ("PPM", "1", ".pbm", ".pgm"),
        ("PPM", "L", "", ".pgm"),
        ("PPM", "RGB", ".pgm", ".ppm"),
        ("PPM", "RGB", ".pnm", ".pnm"),
    ],
)
def test_the_content_decides_the_suffix_of_the_result(
    form: str, mode: str, current: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"image{current}"
    path.write_bytes(encoded(form, mode))
    assert image_suffix(probe(path), current) == suffix
    assert is_image(path)


NAMES = ["a.jfif", "b.jpe", "c.jif", "d.jpg_large", "v1.2 final", "no suffix", "e.png"]
JUNK = ["._a.jfif", ".DS_Store", "Thumbs.db", "notes.txt", "P1 plan.md", "The free lunch"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of images under any names, with typical files of systems and people."""
    for name in NAMES:
        (tmp_path / name).write_bytes(encoded("JPEG"))
    for name in JUNK:
        (tmp_path / name).write_bytes(b"\0\5\x16\7" if name[0] == "." else name.encode() * 20)
    for name in [".git", "@eaDir", "__MACOSX", "kept"]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").write_bytes(encoded("JPEG"))
    return tmp_path


def test_a_folder_lists_images_by_content_without_system_files(folder: Path, tmp_path: Path) -> None:
    found = find_sources([folder], tmp_path / "out", recursive=True)
    assert sorted(str(source.path.relative_to(folder)) for source in found.sources) == sorted([*NAMES, "kept/x.jpg"])
    assert found.skipped == len(JUNK) + 3 and not found.failed and not found.unreadable


def test_training_takes_the_same_files(folder: Path) -> None:
    assert sorted(path.name for path in pictures_in([folder])) == sorted(NAMES)


def test_training_leaves_animations_out(folder: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    assert sorted(path.name for path in pictures_in([folder])) == sorted(NAMES)


def test_a_damaged_image_is_still_taken_by_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    assert is_image(tmp_path / "a.png")


def test_system_folders_are_recognized_in_any_case() -> None:
    assert all(map(is_system_folder, [".git", ".Trash-1000", "@eaDir", "__MACOSX", "$RECYCLE.BIN"]))
    assert not is_system_folder("photos")


def ftyp(*brands: bytes) -> bytes:
    return (8 + 4 + 4 * len(brands)).to_bytes(4) + b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])


FOREIGN = [
    ((b"G" + bytes(187)) * 3, "MPEG transport stream", "ffmpeg -i FILE -map 0 -c copy FILE.mkv"),
    ((b"\0\0\0\0G" + bytes(187)) * 3, "AVCHD", "ffmpeg"),
    (b"\0\0\1\xba\x44", "MPEG program stream", "genpts"),
    (b"FLV\1\5", "Flash video", "ffmpeg"),
    (b"0&\xb2u\x8ef\xcf\x11\xa6\xd9", "Windows Media", "ffmpeg"),
    (b"OggS\0\2", "Ogg", "ffmpeg"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000", "gdal_translate"),
    (b"\xff\x4f\xff\x51", "JPEG 2000", "gdal_translate"),
    (ftyp(b"heic", b"mif1", b"heic"), "HEIC", "heif-convert"),
    (b"\xff\x0a\xfa", "JPEG XL", "djxl"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", "djxl"),
    (ftyp(b"crx ", b"crx "), "Canon raw", "Develop"),
    (b"FUJIFILMCCD-RAW 0201", "camera raw", "Develop"),
    (b"8BPS\0\1", "Photoshop", "Export"),
    (b"\0\0\1\0\1\0\x10\x10", "Windows icon", "Convert"),
    (b"\0\0\2" + bytes(9) + b"\x40\0\x30\0\x18\0", "TGA", "Convert"),
    (b"\3\1\1\0\0\0\1\x18\0\0\0\0\x40\0\x30\0\x08\x20", "TGA", "Convert"),
    (b"v/1\1\2", "OpenEXR", "TIFF"),
    (b"%PDF-1.7", "PDF", "pdftoppm"),
    (b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="', "SVG", "Render"),
    (b"<!DOCTYPE html><html>", "web page", "image itself"),
    (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer", "git lfs pull"),
    (b"PK\3\4\x14", "archive", "Unpack"),
]


@pytest.mark.parametrize(
    ("head", "what", "advice"), FOREIGN, ids=[f"{number} {row[1]}" for number, row in enumerate(FOREIGN)]
)
def test_a_foreign_file_is_named_with_advice_whatever_its_suffix(
    head: bytes, what: str, advice: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(head + bytes(600))
    with pytest.raises(ImageError) as caught:
        read(path)
    assert what in str(caught.value) and advice in str(caught.value) and str(caught.value).endswith(".")


def test_files_that_can_be_read_are_not_foreign() -> None:
    for form in ("PNG", "JPEG", "WebP", "TIFF", "BMP", "PPM", "GIF"):
        assert describe(encoded(form)[:512]) is None, form


def test_unreadable_images_of_a_folder_are_listed(folder: Path, tmp_path: Path) -> None:
    (folder / "IMG_1.HEIC").write_bytes(ftyp(b"heic", b"mif1") + bytes(100))
    (folder / "backup.zip").write_bytes(b"PK\3\4")
    found = find_sources([folder], tmp_path / "out")
    assert [path.name for path in found.unreadable] == ["IMG_1.HEIC"]
    assert unreadable(folder / "IMG_1.HEIC") and not unreadable(folder / "backup.zip")


def test_a_folder_of_unreadable_images_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "IMG_1.HEIC").write_bytes(ftyp(b"heic", b"mif1") + bytes(100))
    ((_, error),) = find_sources([tmp_path / "in"], tmp_path / "out").failed
    assert str(error).endswith(
        "IMG_1.HEIC is a HEIC image, which drrn can't read. Convert it: heif-convert FILE FILE.png."
    )


def test_text_is_not_a_video(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("The free lunch is over")
    assert not containers.is_video(tmp_path / "notes")
