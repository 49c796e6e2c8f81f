"""Enlarged rasters: values, nodata, windows, and memory."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rasterio")

import rasterio
from rasterio.enums import ColorInterp

from drrn.core.resize import imresize
from drrn.errors import DRRNError, ImageError, UsageError
from drrn.media.geotiff import files as geotiff
from drrn.media.geotiff.files import open_raster
from drrn.upscaling.batch.planning import Request, plan
from drrn.upscaling.formats import raster_windows
from drrn.upscaling.formats.raster_values import fill_unknown
from drrn.upscaling.upscaler import Upscaler
from tests.conftest import ROOT
from tests.scene_files import enlarged, make_upscaler, put, smooth
from tests.small_weights import small_weights, stepped_weights

NONE = -9999


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return np.asarray(dataset.read())


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_each_band_is_enlarged_on_its_own(tmp_path: Path, dtype: str) -> None:
    least, most = {"uint8": (3, 250), "int8": (-120, 100), "int16": (-3000, 9000)}.get(dtype, (100, 5000))
    values = smooth(3, 30, 41, dtype=dtype, least=least, most=most)
    upscaler = make_upscaler()
    found = read(enlarged(put(tmp_path / "a.tif", values), upscaler))
    assert found.dtype == values.dtype and found.shape == (3, 60, 82)
    for band, plane in zip(found, values.astype(np.float64), strict=True):
        low, high = np.quantile(plane, (0.001, 0.999))
        ilr = imresize((plane - low) / (high - low), 60, 82)
        wanted = upscaler.engine.run(ilr.astype(np.float32)[None])[0].astype(np.float64) * (high - low) + low
        if found.dtype.kind != "f":
            info = np.iinfo(found.dtype)
            wanted = np.rint(wanted).clip(info.min, info.max)
        tolerance = 1 if found.dtype.kind != "f" else 1e-5 * (high - low)
        assert np.abs(band - wanted).max() <= tolerance
        assert np.abs(band - imresize(plane, 60, 82)).max() > 0.01 * (high - low)  # the network did something


def test_a_fractional_scale_of_a_raster_reduces_the_next_whole_one(tmp_path: Path) -> None:
    values, upscaler = smooth(1, 30, 40, dtype=np.float32), Upscaler(stepped_weights(2, 3), device="cpu", threads=1)
    found = read(enlarged(put(tmp_path / "a.tif", values), upscaler, 2.5))[0]
    low, high = np.quantile(values, (0.001, 0.999))
    ilr = imresize((values[0] - low) / (high - low), 90, 120).astype(np.float32)
    made = upscaler.for_size((40, 30), (100, 75)).engine.run(ilr[None])[0]
    wanted = imresize(made, 75, 100) * (high - low) + low
    assert np.abs(found - wanted).max() <= 1e-5 * (high - low)


def test_integer_values_are_clipped_and_do_not_wrap_around(tmp_path: Path) -> None:
    values = np.zeros((24, 24), np.uint16)
    values[:, 12:] = 65535
    found = read(enlarged(put(tmp_path / "a.tif", values), make_upscaler()))[0].astype(int)
    assert found[:, :20].max() < 20000 and found[:, 28:].min() > 10000


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("nodata", "int16"), ("nodata", "float32"), ("NaN", "float32"), ("undeclared NaN", "float64"), ("mask", "uint8"),
     ("mask", "float32"), ("alpha", "uint8"), ("alpha", "uint16")],
)  # fmt: skip
def test_nodata_stays_nodata_and_affects_no_other_pixel(tmp_path: Path, kind: str, dtype: str) -> None:
    hidden = np.zeros((40, 44), bool)
    hidden[10:20, 8:30] = hidden[30:, 40:] = True
    inside = smooth(2, 40, 44, dtype=dtype, least=20, most=120)
    found, upscaler = [], make_upscaler()
    for number, under in enumerate((0, 100)):  # any value under the mask
        values = inside.copy()
        values[:, hidden] = {"nodata": NONE, "NaN": np.nan, "undeclared NaN": np.nan}.get(kind, under)
        profile: dict[str, Any] = {"nodata": NONE if kind == "nodata" else np.nan} if kind in ("nodata", "NaN") else {}
        if kind == "alpha":
            opaque = np.where(hidden, 0, np.iinfo(dtype).max).astype(dtype)
            values = np.stack([*values, opaque])
            profile["edit"] = lambda dataset: setattr(
                dataset, "colorinterp", [ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha]
            )
            profile["alpha"] = "unspecified"
        mask = ~hidden if kind == "mask" else None
        target = enlarged(put(tmp_path / f"{number}.tif", values, mask=mask, **profile), upscaler)
        with rasterio.open(target) as dataset:
            found.append(dataset.read())
            masks = dataset.read_masks([1, 2])
            if kind in ("nodata", "NaN"):
                np.testing.assert_equal(dataset.nodata, profile["nodata"])
    np.testing.assert_array_equal(*found)
    wanted = imresize(hidden.astype(np.float32), 80, 88) >= 0.5
    result = found[0][:2]
    if kind == "alpha":  # alpha fades, but colors don't
        assert (found[0][2] == 0)[24:36, 20:56].all() and (found[0][2] > 0)[~wanted].all()
        assert result[:, found[0][2] > 0].min() > 0
        assert set(np.unique(found[0][2][:, :12])) == {np.iinfo(dtype).max}
    else:
        assert ((np.isnan(result) if "NaN" in kind else masks == 0) == wanted).all()
    seen = result[:, ~wanted]
    assert seen.min() > -200 and seen.max() < 300  # the input is 20 to 120; the network is random


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 5), ("uint8", 255), ("float32", 0.0)])
def test_no_measurement_becomes_nodata(tmp_path: Path, dtype: str, nodata: float) -> None:
    values = np.full((2, 20, 20), 7, dtype)
    values[0] = smooth(20, 20, dtype=np.uint8, least=0, most=8).clip(6, 8)
    source, upscaler = put(tmp_path / "a.tif", values, nodata=nodata), make_upscaler(local=True)
    upscaler.engine.run = lambda ilr, done=None: np.full_like(ilr, (nodata - 6) / 2)  # type: ignore[method-assign]
    found = read(enlarged(source, upscaler))
    assert not (found == nodata).any() and (found[1] == 7).all()


def test_an_outlier_does_not_affect_distant_pixels(tmp_path: Path) -> None:
    values = smooth(60, 60, dtype=np.float32, least=0, most=1)
    spiked = values.copy()
    spiked[30, 30] = 1e9
    plain, found = (
        read(enlarged(put(tmp_path / f"{n}.tif", each), make_upscaler()))[0] for n, each in enumerate((values, spiked))
    )
    apart, near = np.abs(found - plain), np.zeros((120, 120), bool)
    near[40:82, 40:82] = True
    assert np.isfinite(found).all()
    assert apart[~near].max() < 0.02
    near[56:66, 56:66] = False  # the reach of bicubic
    assert apart[near].max() < 2


def test_a_constant_raster_band_stays_constant(tmp_path: Path) -> None:
    values = np.full((2, 20, 20), 7.5, np.float32)
    values[1] = NONE
    found = read(enlarged(put(tmp_path / "a.tif", values, nodata=NONE), make_upscaler()))
    assert (found[0] == 7.5).all() and (found[1] == NONE).all()


@pytest.mark.parametrize("scale", [2, 1.3, 3.7])
@pytest.mark.parametrize("hides", [False, True])
def test_windows_have_the_same_bits_as_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: float, hides: bool
) -> None:
    values = smooth(2, 75, 90, dtype=np.float32)
    if hides:
        rng = np.random.default_rng(1)
        values[0, rng.random((75, 90)) < 0.3] = np.nan
        values[1, 20:50, 30:80] = np.nan
    source, upscaler = put(tmp_path / "a.tif", values), make_upscaler(local=True)
    whole = read(enlarged(source, upscaler, scale))
    monkeypatch.setattr(raster_windows, "SIDES", (32,))
    windowed = read(enlarged(source, upscaler, scale))
    np.testing.assert_array_equal(windowed, whole)
    assert np.isnan(whole).any() == hides


@pytest.mark.parametrize(
    ("scales", "scale"),
    [((), 2), ((3,), 2), ((2, 3), 2.5), ((2, 3, 4), 1.3), ((2, 3), 3.7)],  # windows of 64 begin within cells of 3
    ids=str,
)
def test_windows_of_the_engine_match_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scales: tuple[int, ...], scale: float
) -> None:
    source = put(tmp_path / "a.tif", smooth(80, 70))
    weights = stepped_weights(*scales, units=1) if scales[1:] else small_weights(units=1, width=4, unshuffle=3)
    upscaler = Upscaler(weights if scales else small_weights(units=1, width=4, unshuffle=2), device="cpu", threads=1)
    whole = read(enlarged(source, upscaler, scale)).astype(int)
    monkeypatch.setattr(raster_windows, "SIDES", (64,))
    windowed = read(enlarged(source, upscaler, scale)).astype(int)
    assert np.abs(windowed - whole).max() <= 1 and (windowed == whole).mean() > 0.99


def test_a_window_depends_only_on_what_it_reads(tmp_path: Path) -> None:
    """The property above would also hold if every window read the whole raster."""
    job = plan(put(tmp_path / "a.tif", smooth(5000, 8)), None, Request(2))
    with open_raster(job.source, max_pixels=10**6) as scene:
        windows = raster_windows.Windows(make_upscaler(max_memory=1 << 27), scene, job.width, job.height)
    assert windows.part[0] < windows.side


def test_fill_unknown_reaches_exactly_its_distance() -> None:
    plane, known = np.arange(90.0).reshape(1, 90).repeat(9, 0), np.zeros((9, 90), bool)
    known[:, :20] = True
    filled = fill_unknown(plane, known, 15)
    assert (filled[:, 20:35] < 20).all() and (filled[:, :20] == plane[:, :20]).all()
    assert (fill_unknown(plane[:, 5:], known[:, 5:], 15)[:, 15:] == filled[:, 20:]).all()


@pytest.mark.slow
def test_a_raster_larger_than_memory_stays_within_the_limit(tmp_path: Path) -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of a process is read in /proc")
    put(tmp_path / "a.tif", smooth(1500, 1400), tiled=True, nodata=0)
    code = f"""
    import gc, sys
    from pathlib import Path
    from tests.scene_files import enlarged, make_upscaler, put, smooth
    from drrn.errors import UsageError
    from drrn.upscaling.batch.planning import Request, plan
    folder = Path({str(tmp_path)!r})
    upscaler = make_upscaler(max_memory={128 << 20})
    try:
        upscaler.estimate(1400, 1500, 2)
        raise SystemExit("the whole would fit")
    except UsageError:
        pass
    enlarged(put(folder / "small.tif", smooth(64, 64), nodata=0), upscaler)
    def kb(what):
        return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(what))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = kb("VmRSS")
    enlarged(folder / "a.tif", upscaler)
    print((kb("VmHWM") - before) // 1024)
    """
    ran = subprocess.run([sys.executable, "-c", dedent(code)], cwd=ROOT, capture_output=True, text=True)
    assert not ran.returncode, ran.stderr
    assert int(ran.stdout) <= 128
    assert read(tmp_path / "a_x2.tif").shape == (1, 3000, 2800)


def test_too_little_memory_for_a_raster_is_reported(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"needs \d+ MB for a window of it, and 20 are allowed. Give a larger --max-memory"
    ):
        enlarged(put(tmp_path / "a.tif", smooth(600, 600)), make_upscaler(max_memory=20 << 20))


def test_an_ensemble_is_the_mean_of_eight_in_windows_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = smooth(40, 50, dtype=np.float32)
    upscaler = make_upscaler(local=True, ensemble=True)
    whole = read(enlarged(put(tmp_path / "a.tif", values), upscaler))
    turned = read(enlarged(put(tmp_path / "b.tif", np.rot90(values).copy()), upscaler))
    assert np.abs(np.rot90(whole[0]) - turned[0]).max() < 0.01
    monkeypatch.setattr(raster_windows, "SIDES", (32,))
    np.testing.assert_array_equal(read(enlarged(tmp_path / "a.tif", upscaler)), whole)
    with pytest.raises(UsageError, match="would become 63x50, and an ensemble in windows needs sides that are"):
        enlarged(tmp_path / "a.tif", upscaler, 1.25)


def test_a_result_that_does_not_read_back_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = iter(range(10))
    monkeypatch.setattr(geotiff, "crc32", lambda *values: next(sums))
    with pytest.raises(ImageError, match="does not contain what was written"):
        enlarged(put(tmp_path / "a.tif", smooth(20, 20)), make_upscaler())
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 1)], ids=str)
def test_the_smallest_scenes_are_enlarged(tmp_path: Path, shape: tuple[int, int]) -> None:
    values = np.arange(shape[0] * shape[1], dtype=np.uint16).reshape(shape)
    assert read(enlarged(put(tmp_path / "a.tif", values, nodata=0), make_upscaler())).shape == (
        1,
        2 * shape[0],
        2 * shape[1],
    )


def test_infinite_values_are_refused(tmp_path: Path) -> None:
    values = smooth(2, 20, 20, dtype=np.float32)
    values[1, 3, 4] = -np.inf
    with pytest.raises(ImageError, match="in band 2 that are infinite"):
        enlarged(put(tmp_path / "a.tif", values), make_upscaler())
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_an_interrupted_raster_leaves_no_file(tmp_path: Path) -> None:
    source, reported = put(tmp_path / "a.tif", smooth(40, 40)), []

    def progress(share: float) -> None:
        reported.append(share)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enlarged(source, make_upscaler(), progress=progress)
    assert reported and [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("most", [2_000, 300_000, 1_200_000])
def test_a_full_disk_leaves_the_old_file_unchanged(tmp_path: Path, most: int) -> None:
    resource = pytest.importorskip("resource")
    source = put(tmp_path / "a.tif", np.random.default_rng(0).integers(0, 65535, (400, 400)).astype(np.uint16))
    (tmp_path / "a_x2.tif").write_bytes(b"old")
    upscaler, (_, hard) = make_upscaler(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        with pytest.raises(DRRNError, match=r"a_x2\.tif"):
            enlarged(source, upscaler)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert (tmp_path / "a_x2.tif").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "a_x2.tif"]


def test_reported_progress_grows_to_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raster_windows, "SIDES", (64,))
    reported: list[float] = []
    enlarged(put(tmp_path / "a.tif", smooth(2, 50, 50)), make_upscaler(), progress=reported.append)
    assert reported == sorted(reported) and reported[-1] == 1
