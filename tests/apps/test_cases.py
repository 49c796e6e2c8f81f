"""Small files that other programs handle wrongly, on the command line. One row per case.

The files are in `cases`, whose README states how each was made. The tests of a kind of file cover more than its
case here.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from drrn.apps import cli
from tests.media.metadata import jpeg_segments, png_chunks

FILES = Path(__file__).with_name("cases")
Line = dict[str, Any]
"""What `--json` prints for a file."""
Check = Callable[[Path, Line], None]
"""Asserts something about the result and its line."""


def becomes(name: str, size: tuple[int, int], *converted: str) -> Check:
    """The result has this name, size and these conversions, and Pillow reads it."""

    def check(result: Path, line: Line) -> None:
        assert (result.name, tuple(line["converted"])) == (name, converted)
        with Image.open(result) as image:
            image.load()
            assert image.size == size

    return check


def bilevel_scan(result: Path, line: Line) -> None:
    becomes("scan_x2.pgm", (128, 96), "1 bit to 8")(result, line)
    with Image.open(result) as image:
        assert image.mode == "L" and np.ptp(np.asarray(image)) > 200


def spatial_sound(result: Path, line: Line) -> None:
    assert line["converted"] == [
        "without the audio stream 2, of an unknown codec, which no supported container can hold"
    ]
    with av.open(str(result)) as film:
        assert [stream.type for stream in film.streams] == ["video", "audio", "data"]
        assert (film.streams.video[0].width, film.streams.video[0].height) == (128, 96)


def without_stereo(result: Path, line: Line) -> None:
    assert line["converted"][0] == "without the audio stream 1"
    with av.open(str(result)) as film:
        assert [stream.type for stream in film.streams] == ["video", "data"]


def webp(kind: str) -> Check:
    """The result is a WebP with this kind of chunk."""

    def check(result: Path, line: Line) -> None:
        becomes("lossy_x2.webp", (128, 96))(result, line)
        assert kind.encode() in result.read_bytes()[12:60]

    return check


def slices(name: str, *converted: str) -> Check:
    """The result has the values of the ramp in the DICOM cases."""

    def check(result: Path, line: Line) -> None:
        pydicom = pytest.importorskip("pydicom")
        assert (result.name, tuple(line["converted"])) == (name, converted)
        values = pydicom.dcmread(result).pixel_array.astype(float)
        y, x = np.mgrid[:32, :32]
        means = values.reshape(32, 2, 32, 2).mean(axis=(1, 3))
        assert np.abs(means - 60 * (x + y)).max() < 40

    return check


def hdr(name: str, *tags: bytes) -> Check:
    """The result has PQ and BT.2020 in its chunk cICP, and these further chunks."""

    def check(result: Path, line: Line) -> None:
        becomes(name, (128, 96))(result, line)
        found = png_chunks(result)
        assert found[b"cICP"] == [bytes([9, 16, 0, 1])] and all(tag in found for tag in tags)

    return check


def photo_without_gain_map(result: Path, line: Line) -> None:
    becomes("ultra_hdr_x2.jpg", (128, 96), "without gain map")(result, line)
    for claim in (b"hdrgm", b"GainMap", b"Container", b"MPF\0"):
        assert claim not in result.read_bytes()


def xmp_in_two_parts(result: Path, line: Line) -> None:
    becomes("extended_xmp_x2.jpg", (128, 96))(result, line)
    first, second = (body for marker, body in jpeg_segments(result) if marker == 0xE1)
    assert b"lies in the extended part" in second[75:] and md5(second[75:]).hexdigest().upper().encode() in first


def panorama(result: Path, line: Line) -> None:
    becomes("photo_sphere_x2.jpg", (128, 64))(result, line)
    content = result.read_bytes()
    for name in ("FullPano", "CroppedAreaImage"):
        assert f'GPano:{name}WidthPixels="128" GPano:{name}HeightPixels="64"'.encode() in content


def micrograph(result: Path, line: Line) -> None:
    becomes("imagej_um_x2.tif", (128, 96))(result, line)
    with Image.open(result) as image:
        tags = image.getexif()
        assert (tags[282], tags[283], tags[296]) == (4, 4, 1) and "unit=um" in tags[270]


def the_same_mean(result: Path, line: Line) -> None:
    becomes("saturated_x2.png", (128, 96))(result, line)
    with Image.open(result.with_name("saturated.png")) as before, Image.open(result) as after:
        drift = np.asarray(after).mean(axis=(0, 1)) - np.asarray(before).mean(axis=(0, 1))
    assert np.abs(drift).max() <= 0.5


def white_around(result: Path, line: Line) -> None:
    """The result is white up to the border, except within 72 pixels of the square, the reach of the networks."""
    becomes("white_page_x2.png", (480, 360))(result, line)
    with Image.open(result.with_name("white_page.png")) as before, Image.open(result) as after:
        rows, columns = np.nonzero(np.asarray(before.convert("L")) < 255)
        page = np.array(after.convert("L"))
    near = [slice(2 * place.min() - 80, 2 * place.max() + 82) for place in (rows, columns)]
    assert page[near[0], near[1]].min() == 0
    page[near[0], near[1]] = 255
    assert (page == 255).all()


def turned_by_xmp(result: Path, line: Line) -> None:
    becomes("xmp_turned_x2.png", (128, 96))(result, line)
    assert b'tiff:Orientation="6"' in result.read_bytes()


def half_as_high(result: Path, line: Line) -> None:
    becomes("aspect_1_2_x2.png", (128, 96))(result, line)
    assert png_chunks(result)[b"pHYs"] == [bytes([0, 0, 0, 1, 0, 0, 0, 2, 0])]


def four_colors(result: Path, line: Line) -> None:
    becomes("ycbcr_444_x2.tif", (64, 64), "YCbCr to RGB")(result, line)
    with Image.open(result) as image:
        middles = np.asarray(image)[16::32, 16::32]
    right = [[[220, 40, 40], [40, 200, 60]], [[50, 60, 210], [200, 200, 200]]]
    assert np.abs(middles.astype(int) - right).max() <= 3


def half_floats(result: Path, line: Line) -> None:
    rasterio = pytest.importorskip("rasterio")
    assert "float16 to float32" in line["converted"]
    with rasterio.open(result) as raster:
        assert (raster.width, raster.height, set(raster.dtypes)) == (128, 96, {"float32"})


CASES: list[tuple[str, list[str], Check | str]] = [
    ("photo.jfif", [], becomes("photo_x2.jpg", (128, 96))),
    ("scan.pbm", [], bilevel_scan),
    ("base.ts", [], "is an MPEG transport stream (.ts), which drrn can't read. Copy it into Matroska"),
    ("lossy.webp", [], webp("VP8 ")),
    ("lossy.webp", ["--lossless"], webp("VP8L")),
    ("photo.jfif", ["--quality", "85"], becomes("photo_x2.jpg", (128, 96))),
    ("padded.dcm", [], slices("padded_x2.dcm", "without 128 bytes after the pixels")),
    ("big_endian.dcm", [], slices("big_endian_x2.dcm")),
    ("alpha.webm", [], "has transparency, which enlarged videos can't keep. Convert it to an animated PNG"),
    ("apac.mov", [], spatial_sound),
    ("apac.mov", ["--drop-track", "1"], without_stereo),
    ("ultra_hdr.jpg", [], photo_without_gain_map),
    ("extended_xmp.jpg", [], xmp_in_two_parts),
    ("photo_sphere.jpg", [], panorama),
    ("imagej_um.tif", [], micrograph),
    ("xmp_turned.png", [], turned_by_xmp),
    ("saturated.png", [], the_same_mean),
    ("white_page.png", [], white_around),
    ("white_page.png", ["-m", "small"], white_around),
    ("white_page.png", ["-m", "photo"], white_around),
    ("hdr_cicp.png", [], hdr("hdr_cicp_x2.png", b"cLLI")),
    ("hdr_nclx.avif", [], hdr("hdr_nclx_x2.png")),
    ("hdr_nclx.avif", ["-o", "a.jpg"], becomes("a.jpg", (128, 96), "without cICP (BT.2020, PQ)")),
    ("aspect_1_2.png", [], half_as_high),
    ("avif_clap.avif", [], becomes("avif_clap_x2.png", (80, 64))),
    ("ycbcr_444.tif", [], four_colors),
    (
        "raw_with_thumbnail.dng",
        ["-o", "big.tif"],
        "begins with a smaller copy of an image that is stored in a SubIFD, as in raw",
    ),
    ("thumbnail_behind.tif", [], becomes("thumbnail_behind_x2.tif", (128, 96), "without its thumbnail")),
    ("zstd.tif", [], becomes("zstd_x2.tif", (240, 160))),
    ("half_float.tif", [], half_floats),
    ("samsung_sos.jpg", [], becomes("samsung_sos_x2.jpg", (128, 96), "wrong scan parameters corrected")),
    ("samsung_sos.jpg", ["--strict"], "breaks the rules of JPEG"),
    ("cut.gif", [], "is a GIF that is damaged or cut short (Unexpected end of GIF source data)"),
    ("mac_folder/._IMG_1.jpg", [], "is the metadata that a Mac keeps beside a file"),
]
"""The file, further arguments, and the expected outcome: a check of the result, or a part of the error message."""


def test_every_case_is_tested() -> None:
    """Each file has a row in the README and one in `CASES`."""
    there = {path.name for path in FILES.iterdir()} - {"README.md"}
    rows = re.findall(r"^\| (\w[^|]*\.[^|]*|mac_folder) \|", (FILES / "README.md").read_text(), re.MULTILINE)
    assert {name for row in rows for name in row.split(", ")} == there
    assert {name.split("/")[0] for name, _, _ in CASES} == there


def test_the_files_are_those_of_the_data_folder(data: Path) -> None:
    if not (folder := data / "cases").is_dir():
        pytest.skip(f"no folder {folder}")
    here, there = (
        {path.relative_to(each): path.read_bytes() for path in each.rglob("*") if path.suffix not in ("", ".md", ".py")}
        for each in (FILES, folder)
    )
    assert here == there


@pytest.mark.parametrize(
    "command",
    [
        "upscale mac_folder -o out -m tiny",
        "evaluate --scales 2 --data mac_folder -- tiny",
        "train --data mac_folder --run run --epochs 1",
    ],
)
def test_files_of_macos_are_skipped_in_a_folder(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file next to the image is skipped, and not treated as a damaged image."""
    shutil.copytree(FILES / "mac_folder", tmp_path / "mac_folder")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(command.split())
    if command.startswith("train"):  # training needs a second image for validation
        assert ended.value.code == 2 and "1 different pictures can't be split" in capsys.readouterr().err
        return
    assert not ended.value.code
    if command.startswith("upscale"):
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".drrn.sqlite", "IMG_1_x2.jpg"]


def test_a_folder_of_damaged_files_reports_each_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each damaged file is listed with its own reason, not that of the one before."""
    (tmp_path / "in").mkdir()
    for name in ("photo.jfif", "scan.pbm", "cut.gif"):
        shutil.copy(FILES / name, tmp_path / "in")
    photo = (FILES / "photo.jfif").read_bytes()
    at = photo.index(b"\xff\xdb")
    (tmp_path / "in/bad.jpg").write_bytes(photo[:at] + bytes(4) + photo[at:])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["upscale", "in", "-o", "out", "--strict", "-m", "tiny", "--threads", "1"])
    errors = capsys.readouterr().err
    assert ended.value.code == 3
    assert "cut.gif is a GIF that is damaged or cut short (Unexpected end of GIF source data)" in errors
    assert errors.count("bad.jpg breaks the rules of JPEG") == 1
    assert sorted(path.name for path in (tmp_path / "out").glob("*_x2*")) == ["photo_x2.jpg", "scan_x2.pgm"]


@pytest.mark.parametrize(("name", "args", "right"), CASES, ids=[f"{name} {' '.join(args)}" for name, args, _ in CASES])
def test_each_case_has_its_documented_outcome(
    name: str,
    args: list[str],
    right: Check | str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = FILES / name
    shutil.copy(source, tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["upscale", source.name, "--json", "-m", "tiny", "--device", "cpu", "--threads", "1", *args])
    reported = capsys.readouterr()
    if isinstance(right, str):
        assert ended.value.code == 2 and right in reported.err + reported.out
        assert [path.name for path in tmp_path.iterdir()] == [source.name]
    else:
        assert not ended.value.code, reported.err
        line = json.loads(reported.out.splitlines()[-1])
        right(tmp_path / line["target"], line)


FORKED = """
import multiprocessing, sys
from pathlib import Path
from drrn.media.images.files import read

def total(number):
    return float(read(Path(sys.argv[1])).pixels.sum())

if __name__ == "__main__":
    first = total(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(total, range(4)).get(60) == [first] * 4
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forked_workers_read_files_that_their_parent_has_read(tmp_path: Path) -> None:
    (tmp_path / "forked.py").write_text(FORKED)
    sample = Path(__file__).parents[2] / "samples/chelsea.png"
    done = subprocess.run([sys.executable, tmp_path / "forked.py", sample], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
