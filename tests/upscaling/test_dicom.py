"""Enlarged DICOM files: values, geometry, identity, and what is kept away from the network."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom")

from pydicom import Dataset, dcmread

from drrn.core.resize import imresize
from drrn.media.dicom import transfer
from drrn.media.image import Image
from drrn.upscaling.upscaler import Upscaler
from drrn.weights import store
from tests.dicom_files import DEFLATED, IMPLICIT, NAME, enlarged, published, put, run, smooth

pytestmark = pytest.mark.usefixtures("here")


def by_hand(values: np.ndarray, low: int, high: int, between: tuple[int, int] | None = None) -> np.ndarray:
    """Enlarge a plane with the network alone, as the documents describe it."""
    least, most = map(float, between or (values.min(), values.max()))
    ilr = imresize(((values - least) / (most - least)).astype(np.float32), *(2 * side for side in values.shape))
    engine = Upscaler(store.load("tiny.safetensors"), device="cpu", threads=1).engine
    sr = engine.run(ilr[None])[0]
    return np.rint(sr.astype(np.float64) * (most - least) + least).clip(low, high)


@pytest.mark.parametrize(
    ("name", "slope", "intercept", "between"),
    [("CT_small", 1, -1024, (0, 4095)), ("MR_small", None, None, None)],  # -1024 to 3071 Hounsfield units for CT
)
def test_dicom_values_match_the_enlarged_plane(
    here: Path,
    name: str,
    slope: int | None,
    intercept: int | None,
    between: tuple[int, int] | None,
) -> None:
    source = here / "slice.dcm"
    source.write_bytes(published(name))
    before, after = dcmread(source), enlarged(source)
    wanted = by_hand(before.pixel_array, -(1 << 15), (1 << 15) - 1, between)
    assert np.abs(after.pixel_array - wanted).max() <= 1
    assert (after.pixel_array == wanted).mean() > 0.999
    for keyword in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PatientID", "StudyInstanceUID"):
        assert after[keyword].value == before[keyword].value
    if slope:
        assert (after.RescaleSlope, after.RescaleIntercept) == (slope, intercept)
    assert after.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert not {"SmallestImagePixelValue", "LargestImagePixelValue", "DataSetTrailingPadding"} & set(after.dir())


@pytest.mark.parametrize(
    "series",
    [
        {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024},
        {"Modality": "MR", "SmallestPixelValueInSeries": 0, "LargestPixelValueInSeries": 3000},
    ],
)
def test_images_of_a_series_share_their_range(here: Path, series: dict[str, Any]) -> None:
    """What one slice shows besides the common organ does not change that organ."""
    organ = smooth(64, 20)
    bright = organ.copy()
    bright[:4] += 1900
    results = [enlarged(put(here / f"{n}.dcm", v.astype(np.uint16), **series)) for n, v in enumerate([organ, bright])]
    assert (results[0].pixel_array[64:] == results[1].pixel_array[64:]).all()
    assert (results[0].pixel_array[:8] != results[1].pixel_array[:8]).any()


def test_the_outer_corners_of_a_slice_stay_at_their_place(here: Path) -> None:
    across, down = np.array([0.6, 0.8, 0]), np.array([0, 0, -1.0])
    source = put(
        here / "a.dcm",
        smooth(10, 14).astype(np.uint16),
        PixelSpacing=[0.7, 0.5],
        ImagerPixelSpacing=[1.4, 1.0],
        ImagePositionPatient=[-10, 20, 30.5],
        ImageOrientationPatient=[*across, *down],
        SliceThickness=3,
    )

    def corners(dataset: Dataset) -> list[np.ndarray]:
        position, (high, wide) = np.array(dataset.ImagePositionPatient, float), map(float, dataset.PixelSpacing)
        return [
            position + across * wide * (x * dataset.Columns - 0.5) + down * high * (y * dataset.Rows - 0.5)
            for x in (0, 1)
            for y in (0, 1)
        ]

    before, after = dcmread(source), enlarged(source, "--size", "33x25")
    assert (after.Rows, after.Columns) == (25, 33)
    np.testing.assert_allclose(corners(after), corners(before), atol=1e-9)
    np.testing.assert_allclose(np.array(after.PixelSpacing, float), [0.7 * 10 / 25, 0.5 * 14 / 33], rtol=1e-12)
    np.testing.assert_allclose(np.array(after.ImagerPixelSpacing, float), [1.4 * 10 / 25, 14 / 33], rtol=1e-12)
    assert after.SliceThickness == 3


def test_positions_of_the_frames_of_an_enhanced_object_are_adapted(here: Path) -> None:
    def item(**elements: Any) -> Dataset:
        dataset = Dataset()
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        return dataset

    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=[2, 2])],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
    )
    places = [item(PlanePositionSequence=[item(ImagePositionPatient=[1, 1, z])]) for z in (5, 6)]
    source = put(
        here / "a.dcm",
        np.stack([smooth(), smooth()]).astype(np.uint16),
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=places,
    )
    after = enlarged(source)
    assert after.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing == [1, 1]
    moved = [frame.PlanePositionSequence[0].ImagePositionPatient for frame in after.PerFrameFunctionalGroupsSequence]
    assert moved == [[0.5, 0.5, 5], [0.5, 0.5, 6]]


def test_monochrome1_is_enlarged_as_displayed(here: Path) -> None:
    values = smooth(low=100, high=3000).astype(np.uint16)
    plain = enlarged(put(here / "a.dcm", values, BitsStored=12)).pixel_array.astype(int)
    other = put(here / "b.dcm", 4095 - values, BitsStored=12, PhotometricInterpretation="MONOCHROME1")
    inverted = enlarged(other)
    assert inverted.PhotometricInterpretation == "MONOCHROME1"
    assert np.abs(4095 - inverted.pixel_array.astype(int) - plain).max() <= 1


@pytest.mark.parametrize(("kind", "low", "high"), [(np.uint16, 0, 4095), (np.int16, -2048, 2047)])
def test_values_stay_within_the_stored_bits_without_early_clipping(
    here: Path, kind: type[np.uint16] | type[np.int16], low: int, high: int
) -> None:
    board = np.indices((24, 24)).sum(axis=0) // 3 % 2
    source = put(here / "a.dcm", np.where(board, high, low).astype(kind), BitsStored=12)
    full = enlarged(source, model="small").pixel_array
    assert (full.min(), full.max()) == (low, high)
    middle = (low + high) // 2
    put(source, np.where(board, middle + 300, middle - 300).astype(kind), BitsStored=12)
    part = enlarged(source, model="small").pixel_array
    assert part.max() > middle + 305 and part.min() < middle - 305  # overshoots like bicubic
    assert max((part == part.min()).sum(), (part == part.max()).sum()) < 9  # and nothing is cut off


def test_every_frame_is_enlarged_on_its_own(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Upscaler, "speed", lambda self: 1e6)
    frames = np.stack([smooth(low=0, high=1000), smooth(low=200, high=900)[::-1], smooth(low=0, high=1000)])
    source = put(here / "a.dcm", frames.astype(np.uint16))
    after = enlarged(source)
    assert after.NumberOfFrames == 3 and after.pixel_array.shape == (3, 48, 40)
    first, second, third = after.pixel_array.astype(int)
    assert (first == third).all() and (first != second).any()
    assert np.abs(first - by_hand(frames[0], 0, 65535)).max() <= 1
    capsys.readouterr()
    assert run(source, "--estimate", "--json") == 0
    many = json.loads(capsys.readouterr().out)["estimated_seconds"]
    put(source, frames[0].astype(np.uint16))
    assert run(source, "--estimate", "--json") == 0
    assert many == pytest.approx(3 * json.loads(capsys.readouterr().out)["estimated_seconds"], rel=0.1)


def test_colors_become_rgb_of_the_same_hue(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat = np.broadcast_to(np.array([200, 100, 50], np.uint8), (8, 9, 3))
    after = enlarged(put(here / "a.dcm", np.ascontiguousarray(flat)))
    assert (after.pixel_array == [200, 100, 50]).all() and after.pixel_array.shape == (16, 18, 3)
    ybr = np.ascontiguousarray(np.broadcast_to(np.array([150, 90, 160], np.uint8), (8, 8, 3)))
    source = put(here / "b.dcm", ybr, PhotometricInterpretation="YBR_FULL")
    capsys.readouterr()
    after = enlarged(source)
    assert "YBR_FULL to RGB" in capsys.readouterr().err
    assert after.PhotometricInterpretation == "RGB"
    assert np.abs(after.pixel_array - [195, 140, 83.0]).max() <= 1
    source.write_bytes(published("examples_rgb_color"))
    before, larger = dcmread(source).pixel_array, enlarged(source, "--scale", "1.1").pixel_array
    upscaler = Upscaler(store.load("tiny.safetensors"), device="cpu", threads=1)
    wanted = upscaler.upscale(Image(pixels=(before / 255).astype(np.float32)), 1.1)
    assert np.abs(wanted.to_array().astype(int) - larger).max() <= 1


@pytest.mark.parametrize("filler", [-2000, 3000, 500])
def test_padding_values_do_not_bleed_into_the_image(here: Path, filler: int) -> None:
    values = smooth(24, 24, low=400, high=1100).astype(np.int16)
    values[values == 500] += 1
    hidden = np.zeros((24, 24), bool)
    hidden[:, :8] = True
    padded = put(here / "a.dcm", np.where(hidden, np.int16(filler), values), PixelPaddingValue=filler)
    after = enlarged(padded, model="small").pixel_array
    out = imresize(hidden.astype(np.float32), 48, 48) >= 0.5
    assert (after[out] == filler).all() and not (after[~out] == filler).any()
    assert out[:, :16].all() and not out[:, 16:].any()
    inside = after[~out].astype(int)
    assert inside.min() > 100 and inside.max() < 1400
    # the value that marks padding makes no difference
    other = put(here / "b.dcm", np.where(hidden, np.int16(-1), values), PixelPaddingValue=-1)
    np.testing.assert_allclose(enlarged(other, model="small").pixel_array[~out], inside, atol=1)


def test_a_file_with_only_padding_stays_padding(here: Path) -> None:
    values = np.full((8, 8), -2000, np.int16)
    assert (enlarged(put(here / "a.dcm", values, PixelPaddingValue=-2000)).pixel_array == -2000).all()


def test_the_result_is_a_new_object_in_a_new_series(here: Path) -> None:
    values = smooth().astype(np.uint16)
    (here / "in").mkdir()
    for number in (1, 2):
        put(here / f"in/IM{number}", values, SOPInstanceUID=f"1.2.3.4.{number}", InstanceNumber=number)
    put(here / "in/1.2.840.77", values, SOPInstanceUID="1.2.3.5", SeriesInstanceUID="1.2.3.8")
    (here / "in/DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (here / "in/README").write_text("no picture")
    assert run("in", "-o", "out") == 0
    names = ["1.2.840.77_x2.dcm", "IM1_x2.dcm", "IM2_x2.dcm"]
    assert sorted(path.name for path in (here / "out").glob("*.dcm")) == names
    other, one, two = (dcmread(here / "out" / name) for name in names)
    assert one.SeriesInstanceUID == two.SeriesInstanceUID not in ("1.2.3.9", other.SeriesInstanceUID)
    assert len({one.SOPInstanceUID, two.SOPInstanceUID, "1.2.3.4.1", "1.2.3.4.2"}) == 4
    assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
    assert one.ImageType == ["DERIVED", "SECONDARY", "AXIAL"]
    assert one.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.4.1"
    assert "drrn 0.1.0, model tiny, from 20x24 to 40x48" in one.DerivationDescription
    first = (here / "out/IM1_x2.dcm").read_bytes()
    assert run("in", "-o", "again", "--jobs", "2") == 0
    assert (here / "again/IM1_x2.dcm").read_bytes() == first
    assert run("in", "-o", "third", "--scale", "3") == 0
    assert dcmread(here / "third/IM1_x3.dcm").SeriesInstanceUID != one.SeriesInstanceUID


def test_a_folder_of_dicom_files_can_be_continued(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "in").mkdir()
    for number in (1, 2):
        put(here / f"in/{number}.dcm", smooth().astype(np.uint16), SOPInstanceUID=f"1.2.3.4.{number}")
    assert run("in", "-o", "out") == 0
    printed = capsys.readouterr().err
    assert printed.count("not for diagnosis") == 1
    assert run("in", "-o", "out") == 0
    assert "0 enlarged, 2 unchanged" in capsys.readouterr().err
    assert run("in/1.dcm", "-o", "out/1_x2.dcm") == 2
    assert "1_x2.dcm exists" in capsys.readouterr().err


def test_overlays_icons_and_pixel_positions_are_dropped_and_reported(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = here / "a.dcm"
    source.write_bytes(published("examples_overlay"))
    after = enlarged(source, "--scale", "1.1")
    assert "without overlays · without icon" in capsys.readouterr().err
    assert "IconImageSequence" not in after and not any("(60" in str(each.tag) for each in after)
    assert after.WindowCenter == dcmread(source).WindowCenter
    source = put(here / "b.dcm", smooth().astype(np.uint16), ShutterShape="CIRCULAR", RadiusOfCircularShutter=9)
    assert not {"ShutterShape", "RadiusOfCircularShutter"} & set(enlarged(source).dir())
    assert "without shutter" in capsys.readouterr().err


@pytest.mark.parametrize("how", [{"syntax": IMPLICIT}, {"syntax": DEFLATED}, {"rle": True}], ids=str)
def test_other_encodings_give_the_same_result(here: Path, how: dict[str, Any]) -> None:
    values = smooth().astype(np.int16)
    plain = enlarged(put(here / "a.dcm", values, PixelPaddingValue=-5))
    other = enlarged(put(here / "b.dcm", values, PixelPaddingValue=-5, **how))
    assert plain == other and plain.file_meta.TransferSyntaxUID == other.file_meta.TransferSyntaxUID


def test_patient_names_appear_only_in_the_result(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put(here / "a.dcm", smooth().astype(np.uint16))
    assert enlarged(source, "--json").PatientName == NAME
    assert run(source, "--estimate") == 0
    put(source, smooth().astype(np.uint16), PixelSpacing=["1"])
    assert run(source) == 2
    printed = "".join(capsys.readouterr())
    assert "Secret" not in printed and "4711" not in printed and "1.2.3.4" not in printed


def test_unsupported_requests_for_dicom_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put(here / "a.dcm", smooth().astype(np.uint16))
    for args, sentence in [
        (["--check"], "no checks and no maps"),
        (["-o", "a.png"], "a DICOM file can only become a DICOM file; use .dcm or .dicom"),
        (["--max-pixels", "500"], "more than 500 pixels"),
        (["--max-memory", "0"], "larger --max-memory"),
    ]:
        assert run(source, *args) == 2
        assert sentence in capsys.readouterr().err.replace("\n", " ")
    assert list(here.glob("a*")) == [source]


def test_without_pydicom_the_pip_command_is_named(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = put(here / "a.dcm", smooth().astype(np.uint16))
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    assert run(source) == 2
    assert "pip install 'drrn[dicom]'" in capsys.readouterr().err
    assert transfer.is_dicom(source)
