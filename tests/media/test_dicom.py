"""Damaged and malicious DICOM files are refused in one line, at once, and nothing is written."""

import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom")

from drrn.errors import ImageError
from drrn.media.dicom.files import probe, read
from tests.dicom_files import DEFLATED, EXPLICIT, IMPLICIT, put, run, smooth

VALUES = smooth().astype(np.uint16)
UNKNOWN = 0xFFFFFFFF


pytestmark = pytest.mark.usefixtures("here")


def assert_refused(source: Path, capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Check that the command refuses the file in one line without personal data, and return the line."""
    before = sorted(source.parent.iterdir())
    assert run(source, *args) == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line]
    assert len(lines) == 1 and printed.out == "" and "Secret" not in lines[0] and "4711" not in lines[0], printed
    assert sorted(source.parent.iterdir()) == before
    return lines[0]


def element(group: int, number: int, kind: bytes, content: bytes, length: int | None = None) -> bytes:
    """A data element with explicit VR, of a kind with a length of four bytes."""
    return struct.pack("<HH2sHI", group, number, kind, 0, len(content) if length is None else length) + content


def with_body(path: Path, body: bytes, syntax: str) -> Path:
    """The beginning of the file, followed by another data set."""
    put(path, VALUES, syntax=syntax)
    content = path.read_bytes()
    (length,) = struct.unpack("<I", content[140:144])
    path.write_bytes(content[: 144 + length] + body)
    return path


def packed(data: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush()


def data_set(path: Path) -> bytes:
    """The data set before the pixels, followed by these bytes."""
    content = put(path, VALUES).read_bytes()
    (length,) = struct.unpack("<I", content[140:144])
    return content[144 + length :]


@pytest.mark.slow
def test_a_deflate_bomb_is_inflated_only_to_its_stated_size(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = data_set(here / "a.dcm")
    zeros = bytes(70_000_000)
    for body in (
        zeros,
        element(9, 0x1010, b"OB", zeros) + whole,
        struct.pack("<HH2sH", 9, 0x1010, b"LO", 0) * 10_000_000,
    ):
        source = with_body(here / "a.dcm", packed(body), DEFLATED)
        assert source.stat().st_size < 400_000
        tracemalloc.start()
        with pytest.raises(ImageError):
            probe(source, max_pixels=10**8)
        assert tracemalloc.get_traced_memory()[1] < 64e6
        tracemalloc.stop()
        assert_refused(source, capsys)
    pixels = whole[-960:]
    for body in (
        whole + element(0xFFFC, 0xFFFC, b"OB", zeros),
        whole[: -960 - 12] + element(0x7FE0, 0x10, b"OW", pixels + zeros),
    ):
        source = with_body(here / "a.dcm", packed(body), DEFLATED)
        tracemalloc.start()
        assert (read(source, max_pixels=480).values[0, ..., 0] == VALUES).all()
        assert tracemalloc.get_traced_memory()[1] < 64e6
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("elements", "sentence"),
    [
        ({"Rows": 65535, "Columns": 65535}, "4,294,836,225 pixels; the limit is 100,000,000"),
        ({"Rows": 9000, "Columns": 9000}, "fewer pixels than it states"),
        ({"NumberOfFrames": 2**31 - 1}, "in 2,147,483,647 frames"),
        ({"NumberOfFrames": 5}, "fewer pixels than it states"),
        ({"NumberOfFrames": 0}, "has no pixels"),
        ({"NumberOfFrames": -1}, "has no pixels"),
        ({"Rows": 0}, "has no pixels"),
        ({"BitsStored": 20}, "samples of 20 bits in 16"),
        ({"BitsStored": 1}, "samples of 1 bits in 16"),
        ({"BitsAllocated": 32}, "samples of 16 bits in 32"),
        ({"BitsAllocated": 1, "BitsStored": 1}, "samples of 1 bits in 1"),
        ({"SamplesPerPixel": 3}, "of 3 bands"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "is DICOM PALETTE COLOR"),
        ({"PhotometricInterpretation": "HSV"}, "colors that are not known"),
        ({"Modality": "SEG"}, "labels or doses"),
        ({"SeriesInstanceUID": ""}, "without the UIDs"),
        ({"TotalPixelMatrixColumns": 5}, "tiles of one slide"),
        ({"PixelSpacing": [1, 2, 3]}, "damaged or of a kind that can't be read (ValueError)"),
        ({"PixelPaddingValue": None, "PixelData": b""}, "fewer pixels than it states"),
    ],
)
def test_an_impossible_header_is_refused_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], elements: dict[str, Any], sentence: str
) -> None:
    assert sentence in assert_refused(put(here / "a.dcm", VALUES, **elements), capsys)


def test_floating_point_pixels_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put(here / "a.dcm", VALUES)
    dataset = pytest.importorskip("pydicom").dcmread(source)
    del dataset.PixelData
    dataset.FloatPixelData = VALUES.astype("<f4").tobytes()
    dataset.save_as(source)
    assert "is DICOM of floating-point samples" in assert_refused(source, capsys)


def test_impossible_rle_sizes_are_refused_before_decoding(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put(here / "a.dcm", VALUES, rle=True)
    content = source.read_bytes()
    sides = [struct.pack("<HH2sHH", 0x28, number, b"US", 2, side) for number, side in [(0x10, 24), (0x11, 20)]]
    assert all(content.count(side) == 1 for side in sides)
    for claimed, sentence in [(65535, "the limit is"), (9000, "fewer pixels than it states")]:
        hostile = content
        for side in sides:
            hostile = hostile.replace(side, side[:-2] + struct.pack("<H", claimed))
        source.write_bytes(hostile)
        assert sentence in assert_refused(source, capsys)
    source.write_bytes(content[:-400])
    assert "damaged" in assert_refused(source, capsys)


def test_twenty_thousand_nested_sequences_are_refused_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = data_set(here / "a.dcm")
    item = struct.pack("<HHI", 0xFFFE, 0xE000, UNKNOWN)
    for kind in (b"SQ", b"UN"):
        nested = (element(9, 0x1010, kind, item, UNKNOWN)) * 20_000
        assert "damaged" in assert_refused(with_body(here / "a.dcm", nested + whole, EXPLICIT), capsys)


@pytest.mark.parametrize(
    "how", [{"syntax": EXPLICIT}, {"syntax": IMPLICIT}, {"syntax": DEFLATED}, {"rle": True}], ids=str
)
def test_a_file_truncated_anywhere_is_refused(here: Path, how: dict[str, Any]) -> None:
    source = put(here / "a.dcm", VALUES, **how)
    content = source.read_bytes()
    assert len(read(source, max_pixels=480).values)
    end = len(content) - (8 if how.get("rle") else 2)  # the end of RLE data carries no information
    for length in range(132, end, 50):
        source.write_bytes(content[:length])
        with pytest.raises(ImageError) as error:
            read(source, max_pixels=480)
        assert "\n" not in str(error.value) and "Secret" not in str(error.value)


def test_a_file_with_a_flipped_bit_is_refused_or_read(here: Path) -> None:
    source = put(here / "a.dcm", VALUES)
    content = bytearray(source.read_bytes())
    rng = np.random.default_rng(1)
    for _ in range(150):
        at, bit = rng.integers(132, len(content) - VALUES.nbytes), 1 << rng.integers(8)
        content[at] ^= bit
        source.write_bytes(content)
        content[at] ^= bit
        try:
            assert read(source, max_pixels=1000).values.size
        except ImageError as error:
            assert "Secret" not in str(error) and "\n" not in str(error)


def test_unsupported_compressions_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for syntax, name in [
        ("1.2.840.10008.1.2.4.90", "JPEG 2000"),
        ("1.2.3", "unknown"),
    ]:
        content = put(here / "a.dcm", VALUES).read_bytes()
        uid = syntax.encode() + b"\0" * (len(syntax) % 2)
        old = struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + EXPLICIT.encode() + b"\0"
        assert content.count(old) == 1
        (here / "a.dcm").write_bytes(content.replace(old, struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid))
        assert name in assert_refused(here / "a.dcm", capsys)


def test_a_file_without_pixels_is_reported(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = data_set(here / "a.dcm")
    source = with_body(here / "a.dcm", whole[: whole.index(b"\xe0\x7f\x10\x00")], EXPLICIT)
    assert "without pixels" in assert_refused(source, capsys)
    (here / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert_refused(here / "DICOMDIR", capsys)


def test_bits_above_the_stored_ones_are_ignored(here: Path) -> None:
    values = np.array([[0, 4095, 2048, 1], [0xF000, 0xFFFF, 0x1800, 0x3001]], np.uint16)
    source = put(here / "a.dcm", values, BitsStored=12)
    assert read(source, max_pixels=8).values[0, ..., 0].tolist() == [[0, 4095, 2048, 1]] * 2
    source = put(here / "a.dcm", values, BitsStored=12, PixelRepresentation=1)
    assert read(source, max_pixels=8).values[0, ..., 0].tolist() == [[0, -1, -2048, 1]] * 2
