"""The encodings of DICOM files: padding, byte orders, with and without a preamble."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom")

import pydicom
from pydicom import dcmread
from pydicom.uid import ExplicitVRBigEndian

from drrn.media.dicom.files import probe, read
from drrn.media.dicom.transfer import is_dicom
from drrn.upscaling.batch.folders import find_sources
from tests.dicom_files import EXPLICIT, IMPLICIT, enlarged, put
from tests.media.test_dicom import VALUES, data_set, element, with_body

pytestmark = pytest.mark.usefixtures("here")


def test_padding_after_the_pixels_is_dropped_and_reported(here: Path) -> None:
    for extra, reported in [
        (b"", []),
        (b"\0\0", ["without 2 bytes after the pixels"]),
        (b"\7" * 50_001, ["without 50,001 bytes after the pixels"]),
    ]:
        source = with_body(
            here / "a.dcm",
            data_set(here / "a.dcm")[: -960 - 12] + element(0x7FE0, 0x10, b"OW", VALUES.tobytes() + extra),
            EXPLICIT,
        )
        assert list(probe(source, max_pixels=480).converted) == reported
        assert (read(source, max_pixels=480).values[0, ..., 0] == VALUES).all()


def test_an_odd_number_of_bytes_without_padding_is_read(here: Path) -> None:
    values = np.arange(21, dtype=np.uint8).reshape(3, 7) * 12
    content = put(here / "a.dcm", values).read_bytes()
    assert content[-22:] == values.tobytes() + b"\0" and content[-26:-22] == struct.pack("<I", 22)
    (here / "a.dcm").write_bytes(content[:-26] + struct.pack("<I", 21) + values.tobytes())
    assert (read(here / "a.dcm", max_pixels=480).values[0, ..., 0] == values).all()


def big_endian(path: Path, values: Any, kind: str = "OW") -> Path:
    """Write a big-endian file with pydicom, which does not swap pixel values itself."""
    order = values.astype(values.dtype.newbyteorder(">")).tobytes()
    raw = order if values.itemsize == 2 or kind == "OB" else np.frombuffer(order, ">u2").astype("<u2").tobytes()
    dataset = dcmread(put(path, values, RescaleSlope="2", SmallestImagePixelValue=7))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.add_new("PixelData", kind, raw)
    dataset.add_new(0x00091010, "LO", "DRRN")
    dataset.add_new(0x00091011, "OW", b"\1\2\3\4")
    pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=False)
    return path


@pytest.mark.parametrize("kind", ["OW", "OB"])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.uint8])
def test_big_endian_files_have_the_same_values(here: Path, dtype: Any, kind: str) -> None:
    if kind == "OB" and dtype != np.uint8:
        return
    values = (np.arange(480).reshape(24, 20) * (1 if dtype == np.uint8 else 60)).astype(dtype)
    slices = read(big_endian(here / "a.dcm", values, kind), max_pixels=480)
    assert (slices.values[0, ..., 0] == values).all()
    assert slices.dataset[0x00091011].value == b"\2\1\4\3"
    result = enlarged(here / "a.dcm")
    assert (result.Rows, result.RescaleSlope, result[0x00091011].value) == (48, 2, b"\2\1\4\3")
    little = enlarged(put(here / "b.dcm", values, RescaleSlope="2", SmallestImagePixelValue=7))
    assert (result.pixel_array == little.pixel_array).all()


@pytest.mark.parametrize("meta", [True, False])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.2"])
def test_a_file_without_preamble_is_read(here: Path, syntax: str, meta: bool) -> None:
    source = here / "a.dcm"
    if syntax in (EXPLICIT, IMPLICIT):
        put(source, VALUES, syntax=syntax)
    else:
        big_endian(source, VALUES)
    content = source.read_bytes()
    (length,) = struct.unpack("<I", content[140:144])
    bare = here / "bare"
    bare.write_bytes(content[132:] if meta else content[144 + length :])
    assert is_dicom(bare)
    assert (read(bare, max_pixels=480).values[0, ..., 0] == VALUES).all()
    assert enlarged(bare).Rows == 2 * len(VALUES)
    found = find_sources([here], here / "out").sources
    assert [source.path.name for source in found] == [
        "a.dcm",
        "bare",
        "bare_out.dcm",
    ]


def test_a_file_that_only_begins_like_a_data_set_is_refused(tmp_path: Path) -> None:
    for number, head in enumerate([b"\x08\0\x05\0\x0a\0\0\0", b"\x08\0 a book", b"\2\0\0\0", b""]):
        (tmp_path / str(number)).write_bytes(head + bytes(600))
        assert not is_dicom(tmp_path / str(number))
