"""Georeference and band descriptions are kept, refused before GDAL reads them, or reported as dropped."""

import struct
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

pytest.importorskip("rasterio")

import rasterio
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC
from rasterio.transform import Affine

from docs.write import geotiff as page
from drrn.apps import cli
from drrn.errors import ImageError, UsageError
from drrn.media.geotiff import files as geotiff
from drrn.media.geotiff.files import probe
from drrn.media.geotiff.layout import is_raster
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.media.metadata.xmp_schema import TIFF
from drrn.upscaling.batch.planning import Request, plan
from drrn.weights import DEFAULT, store
from tests.media.metadata import packet
from tests.scene_files import NORTH_UP, corners, enlarged, make_upscaler, put, smooth
from tests.small_weights import small_weights

MOST = 10**8
SOUTH_UP = Affine(10.0, 0, 500_000.0, 0, 10.0, 5_400_000.0)
ROTATED = Affine(7.0, 3.0, 500_000.0, 2.5, -8.0, 5_400_000.0)


@pytest.mark.parametrize("scale", [2, 1.7])
@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED], ids=["north up", "south up", "rotated"])
@pytest.mark.parametrize("pixels", ["Area", "Point"])
def test_corners_stay_where_they_are(tmp_path: Path, transform: Affine, pixels: str, scale: float) -> None:
    source = put(
        tmp_path / "a.tif", smooth(21, 33), transform=transform, edit=lambda to: to.update_tags(AREA_OR_POINT=pixels)
    )
    with rasterio.open(source) as before, rasterio.open(enlarged(source, make_upscaler(), scale)) as after:
        assert np.abs(corners(before) - corners(after)).max() < 1e-6
        assert before.crs == after.crs
        assert after.tags()["AREA_OR_POINT"] == pixels
        assert (after.width, after.height) == (round(33 * scale), round(21 * scale))


@pytest.mark.slow
def test_corners_of_real_files_stay_where_they_are(data: Path, tmp_path: Path) -> None:
    """As stated in docs/how-to/geotiff.md."""

    def checked() -> Iterator[tuple[str, Any, Any]]:
        for name, before, after in page.pairs(data, tmp_path):
            assert np.abs(corners(before) - corners(after)).max() < 1e-6
            assert before.crs == after.crs
            assert before.dtypes == after.dtypes
            assert before.colorinterp == after.colorinterp
            assert before.mask_flag_enums == after.mask_flag_enums
            assert before.overviews(1) == after.overviews(1)
            np.testing.assert_equal(before.nodatavals, after.nodatavals)
            yield name, before, after

    assert page.table(checked()) in page.PAGE.read_text(encoding="utf-8")


def test_control_points_and_rpcs_are_scaled_with_the_pixels(tmp_path: Path) -> None:
    points = [GroundControlPoint(r, c, 13 + c / 100, 48 - r / 100, 5.0) for r in (0, 20) for c in (0.5, 30)]
    flat = [0.0] * 20
    rpcs = RPC(100, 1, 48, 1, [1.0, *flat[1:]], flat, 9.5, 10, 13, 1, [1.0, *flat[1:]], flat, 14.5, 15)

    def edit(dataset: Any) -> None:
        dataset.gcps, dataset.rpcs = (points, rasterio.crs.CRS.from_epsg(4326)), rpcs

    source = put(tmp_path / "a.tif", smooth(20, 30), transform=None, crs=None, edit=edit)
    with rasterio.open(enlarged(source, make_upscaler())) as after:
        moved, crs = after.gcps
        assert crs == rasterio.crs.CRS.from_epsg(4326)
        assert [(p.row, p.col, p.x, p.y, p.z) for p in moved] == [(2 * p.row, 2 * p.col, p.x, p.y, p.z) for p in points]
        # RPCs count from the center of the first pixel: 9.5 is the middle of 20 rows, and 19.5 of 40
        assert (after.rpcs.line_off, after.rpcs.line_scale, after.rpcs.samp_off, after.rpcs.samp_scale) == (
            19.5, 20, 29.5, 30,
        )  # fmt: skip
        assert after.rpcs.lat_off == 48


def test_a_floating_point_micrograph_keeps_its_scale(tmp_path: Path) -> None:
    printed = [(0x2BC, 1, len(xmp := packet({"tiff": TIFF}, 'tiff:ImageWidth="64"', "")), xmp, True)]
    options: dict[str, Any] = {"imagej": True, "resolution": (2, 4), "metadata": {"unit": "um", "xorigin": 3}}
    tifffile.imwrite(tmp_path / "a.tif", smooth(48, 64).astype(np.float32), extratags=printed, **options)
    with tifffile.TiffFile(enlarged(tmp_path / "a.tif", make_upscaler())) as file:
        tags = file.pages[0].tags  # type: ignore[union-attr]
        assert (tags["XResolution"].value, tags["YResolution"].value) == ((4, 1), (8, 1))
        assert file.imagej_metadata and (file.imagej_metadata["unit"], file.imagej_metadata["xorigin"]) == ("um", 6)
        assert b'tiff:ImageWidth="128"' in bytes(tags["XMP"].value)


def test_band_names_units_and_tags_are_kept_but_statistics_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    xmp = '<x:xmpmeta xmlns:x="adobe:ns:meta/">a = note</x:xmpmeta>'

    def edit(dataset: Any) -> None:
        dataset.descriptions, dataset.units = ("red edge", None, "höhe"), ("", "", "m")
        dataset.scales, dataset.offsets = (0.0001, 1, 2), (-0.1, 0, 5)
        inches = {"TIFFTAG_XRESOLUTION": "30", "TIFFTAG_YRESOLUTION": "30", "TIFFTAG_RESOLUTIONUNIT": "2 (pixels/inch)"}
        dataset.update_tags(TIFFTAG_ARTIST="Someone", **inches)
        dataset.update_tags(ns="SENSOR", ORBIT="12")
        key, _, value = xmp.partition("=")
        dataset.update_tags(ns="xml:XMP", **{key: value})
        dataset.update_tags(2, WAVELENGTH="705", STATISTICS_MEAN="12")
        dataset.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.undefined]

    source = put(tmp_path / "a.tif", smooth(3, 24, 24), interleave="band", photometric="minisblack", edit=edit)
    with pytest.raises(SystemExit) as end:
        cli.main(["upscale", str(source)])
    assert end.value.code in (None, 0)
    printed = capsys.readouterr()
    assert "without statistics" in printed.err
    assert "not for survey" in printed.err
    with rasterio.open(source) as before, rasterio.open(tmp_path / "a_x2.tif") as after:
        for field in ("descriptions", "units", "scales", "offsets", "colorinterp", "interleaving"):
            assert getattr(after, field) == getattr(before, field), field
        tags = after.tags()
        assert tags["TIFFTAG_ARTIST"] == "Someone" and tags["TIFFTAG_XRESOLUTION"] == "60"
        assert "drrn" in tags["ENLARGED_BY"] and f"model {DEFAULT}" in tags["ENLARGED_BY"]
        assert after.tags(ns="SENSOR") == {"ORBIT": "12"}
        assert after.tags(ns="xml:XMP") == before.tags(ns="xml:XMP")
        assert after.tags(2) == {"WAVELENGTH": "705"}
        assert after.profile["compress"] == "deflate" and after.profile["tiled"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "a_x2.tif"]


def test_overviews_are_written_if_the_source_has_some(tmp_path: Path) -> None:
    source = put(tmp_path / "a.tif", smooth(300, 280, dtype=np.uint8), mask=np.ones((300, 280), bool))
    with rasterio.open(source, "r+") as dataset:
        dataset.build_overviews([2, 4], rasterio.enums.Resampling.average)
    assert probe(source, max_pixels=MOST).width == 280  # overviews and masks are no pages
    with rasterio.open(enlarged(source, make_upscaler())) as after:
        assert after.overviews(1) == [2, 4]
        half = after.read(1).reshape(300, 2, 280, 2).mean((1, 3))
        assert np.abs(after.read(1, out_shape=(300, 280)) - half).max() <= 1


def test_tiles_and_overviews_follow_the_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def upscale(*args: str) -> object:
        with pytest.raises(SystemExit) as end:
            cli.main(["upscale", str(source), "--overwrite", "-m", str(model), *args])
        return end.value.code or 0

    model = tmp_path / "tiny.safetensors"
    store.save(small_weights(), model)
    source = put(tmp_path / "a.tif", smooth(300, 280, dtype=np.uint8))
    plain = tmp_path / "a_x2.tif"
    assert upscale("--block", "512", "--overviews", "make") == 0
    with rasterio.open(plain) as after:
        assert after.block_shapes == [(512, 512)] and after.overviews(1) == [2, 4]
        pixels = after.read()
    assert upscale() == 0
    with rasterio.open(plain) as after:
        assert after.block_shapes == [(256, 256)] and not after.overviews(1) and np.array_equal(after.read(), pixels)
    with rasterio.open(source, "r+") as dataset:
        dataset.build_overviews([2], rasterio.enums.Resampling.average)
    assert upscale("--overviews", "none") == 0
    with rasterio.open(plain) as after:
        assert not after.overviews(1)
    source = tmp_path / "b.png"
    write(Image(pixels=np.zeros((4, 4, 1), np.float32)), source)
    assert upscale("--block", "512") == 2
    assert "--block and --overviews are for GeoTIFF" in capsys.readouterr().err


def test_an_icc_profile_is_kept(tmp_path: Path) -> None:
    import base64

    profile = base64.b64encode(bytes(200)).decode()
    source = put(tmp_path / "a.tif", smooth(3, 20, 20, dtype=np.uint8, most=200), SOURCE_ICC_PROFILE=profile)
    with rasterio.open(enlarged(source, make_upscaler())) as after:
        assert after.tags(ns="COLOR_PROFILE")["SOURCE_ICC_PROFILE"] == profile


def test_a_nodata_value_outside_the_sample_type_is_reported_as_dropped(tmp_path: Path) -> None:
    source = plain(tmp_path / "a.tif", smooth(20, 20, dtype=np.uint8), extratags=[(42113, 2, 6, b"-9999\0", True)])
    assert probe(source, max_pixels=MOST).converted == ("without its nodata value, which uint8 doesn't hold",)
    with rasterio.open(enlarged(source, make_upscaler())) as after:
        assert after.nodata is None


# Which files are rasters


def plain(path: Path, values: np.ndarray, **options: Any) -> Path:
    """A TIFF without a georeference."""
    tifffile.imwrite(path, values, metadata=None, software=False, **options)
    return path


def test_photos_are_not_rasters_and_measurements_are(tmp_path: Path) -> None:
    rgb = smooth(20, 20, 3, dtype=np.uint8, most=200)
    cases: list[tuple[np.ndarray, dict[str, Any], bool]] = [
        (rgb, {}, False),
        (rgb.astype(np.uint16), {"photometric": "rgb"}, False),
        (np.dstack([rgb, rgb[..., :1]]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, False),
        (np.dstack([rgb, rgb[..., :1]]), {"photometric": "rgb", "extrasamples": ["unspecified"]}, True),
        (np.dstack([rgb, rgb]), {"photometric": "rgb", "planarconfig": "contig"}, True),
        (rgb[..., 0].astype(np.int16), {}, True),
        (rgb[..., 0].astype(np.float32), {}, True),
        (rgb[..., 0].astype(np.uint32), {}, True),
        (rgb, {"extratags": [(42113, 2, 2, b"0\0", True)]}, True),
        (rgb, {"extratags": [(33550, 12, 3, (1.0, 1.0, 0.0), True)]}, True),
    ]
    for number, (values, options, measured) in enumerate(cases):
        assert is_raster(plain(tmp_path / f"{number}.tif", values, **options)) == measured, number
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert not is_raster(tmp_path / "a.png") and not is_raster(tmp_path / "missing.tif") and not is_raster(tmp_path)


@pytest.mark.parametrize(
    ("sidecar", "text"),
    [("a.tfw", "2\n0\n0\n-2\n5\n6\n"), ("a.tif.aux.xml", "<PAMDataset><GeoTransform>5,2,0,6,0,-2</GeoTransform>")],
)
def test_a_georeference_in_a_sidecar_file_is_not_lost_silently(tmp_path: Path, sidecar: str, text: str) -> None:
    source = plain(tmp_path / "a.tif", smooth(20, 20, 3, dtype=np.uint8, most=200))
    (tmp_path / sidecar).write_text("<PAMDataset/>" if sidecar.endswith("xml") else text)
    assert is_raster(source) == (not sidecar.endswith("xml"))
    (tmp_path / sidecar).write_text(text)
    assert is_raster(source)
    with pytest.raises(ImageError, match=f"is georeferenced by {sidecar}, and files next to a TIFF are not read"):
        probe(source, max_pixels=MOST)


def test_without_rasterio_the_pip_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = put(tmp_path / "a.tif", smooth(20, 20, dtype=np.uint8, most=200))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(UsageError, match=r"needs rasterio. Install it: pip install 'drrn\[geo\]'"):
        enlarged(source, make_upscaler())


def test_a_raster_can_only_be_written_as_tiff(tmp_path: Path) -> None:
    source = put(tmp_path / "a.tif", smooth(20, 20))
    with pytest.raises(ImageError, match=r"can only become a TIFF; use .tif or .tiff"):
        geotiff.check_writable(tmp_path / "a.png")
    with pytest.raises(ImageError, match="exists"):
        plan(put(tmp_path / "b.tif", smooth(20, 20)), source, Request(2))


# What is refused


def patched(path: Path, tag: int, value: int) -> Path:
    """Change the number in a tag of the first directory."""
    content = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<L", content, 4)
    for place in range(at + 2, at + 2 + 12 * struct.unpack_from("<H", content, at)[0], 12):
        number, kind = struct.unpack_from("<HH", content, place)
        if number == tag:
            struct.pack_into("<H" if kind == 3 else "<L", content, place + 8, value)
    path.write_bytes(content)
    return path


def several(path: Path) -> Path:
    with tifffile.TiffWriter(path) as tiff:
        for _ in range(2):
            tiff.write(smooth(20, 20, dtype=np.float32), metadata=None)
    return path


def looped(path: Path) -> Path:
    put(path, smooth(20, 20))
    content = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<L", content, 4)
    (entries,) = struct.unpack_from("<H", content, at)
    struct.pack_into("<L", content, at + 2 + 12 * entries, at)
    path.write_bytes(content)
    return patched(path, 254, 1)


def palette(path: Path) -> Path:
    colors = {0: (0, 0, 0, 255), 1: (9, 9, 9, 255)}
    return put(path, np.eye(20, dtype=np.uint8), edit=lambda to: to.write_colormap(1, colors), photometric="palette")


def tiny(path: Path, *, bands: int, side: int) -> Path:
    """A file with large claims and no pixels."""
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=bands, dtype="uint8", sparse_ok=True, crs="EPSG:4326",
        transform=NORTH_UP, tiled=True, blockxsize=4096, blockysize=4096,
    ):  # fmt: skip
        return path


REFUSED: dict[str, tuple[Any, str]] = {
    "a palette": (palette, "has a palette: classes"),
    "1 bit": (lambda path: put(path, np.eye(20, dtype=np.uint8), nbits=1), "samples of 1 bit: classes"),
    "a thematic layer": (
        lambda path: put(path, smooth(20, 20), edit=lambda to: to.update_tags(1, LAYER_TYPE="thematic")),
        "bands of classes",
    ),
    "complex": (lambda path: put(path, smooth(20, 20).astype(np.complex64)), "samples that are complex"),
    "int64": (lambda path: put(path, smooth(20, 20).astype(np.int64)), "samples of int64"),
    "12 bit": (lambda path: put(path, smooth(20, 20), nbits=12), "samples that are of 12 bit"),
    "CMYK": (lambda path: put(path, smooth(4, 20, 20), photometric="cmyk"), "photometric interpretation 5"),
    "pages": (several, "several pages"),
    "a loop": (looped, "damaged or cut short"),
    "no tile": (lambda path: patched(put(path, smooth(300, 300), tiled=True), 322, 0), "damaged"),
    "a huge tile": (
        lambda path: patched(patched(put(path, smooth(300, 300), tiled=True), 322, 65520), 323, 65520),
        "damaged|MB for a window",
    ),
    "65,535 bands": (lambda path: patched(put(path, smooth(20, 20)), 277, 65535), "65,535 bands; up to 1,024"),
    "a bomb": (lambda path: tiny(path, bands=100, side=9000), "claims 8,100,000,000 bytes"),
    "too large": (lambda path: tiny(path, bands=1, side=20000), "the limit is 100,000,000"),
    "no area": (
        lambda path: plain(
            path, smooth(20, 20), extratags=[(34264, 12, 16, (1.0, 2.0, 0, 0, 2.0, 4.0, *[0.0] * 10), True)]
        ),
        "maps to no area",
    ),
    "no XML": (
        lambda path: plain(path, smooth(20, 20), extratags=[(42112, 2, 8, b"<G\xffDAL>\0", True)]),
        "damaged or cut short",
    ),
    "entities": (
        lambda path: plain(path, smooth(20, 20), extratags=[(42112, 2, 20, b"<!DOCTYPE a[]><a/>\0\0", True)]),
        "damaged or cut short",
    ),
    "geolocation": (
        lambda path: put(path, smooth(20, 20), edit=lambda to: to.update_tags(ns="GEOLOCATION", X_BAND="1")),
        "geolocation arrays",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refused_rasters_are_reported_in_one_line(what: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, sentence = REFUSED[what]
    source = make(tmp_path / "a.tif")
    assert is_raster(source)
    capfd.readouterr()
    with pytest.raises((ImageError, UsageError), match=sentence):
        enlarged(source, make_upscaler())
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("profile", [{}, {"compress": "deflate"}, {"tiled": True, "compress": "lzw"}], ids=str)
def test_a_raster_truncated_anywhere_is_refused(
    tmp_path: Path, profile: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    whole = put(tmp_path / "a.tif", smooth(40, 40), **profile).read_bytes()
    for length in np.linspace(9, len(whole) - 1, 15).astype(int):
        (tmp_path / "a.tif").write_bytes(whole[:length])
        with pytest.raises(ImageError, match=r"a\.tif"):
            enlarged(tmp_path / "a.tif", make_upscaler())
        assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""


# What reaches the network, and sidecar files


@pytest.fixture
def canary() -> Iterator[tuple[str, list[str]]]:
    """The address of a local server, and the requests it received."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", requests
    server.shutdown()
    thread.join()
    server.server_close()


def test_reading_a_raster_fetches_nothing(
    tmp_path: Path, canary: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, requests = canary
    monkeypatch.chdir(tmp_path)
    vrt = (
        '<VRTDataset rasterXSize="20" rasterYSize="20"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">/vsicurl/{address}/a.tif</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    wms = f'<GDAL_WMS><Service name="WMS"><ServerUrl>{address}/wms?</ServerUrl></Service></GDAL_WMS>'
    (tmp_path / "vrt.tif").write_text(vrt)
    (tmp_path / "wms.tif").write_text(wms)
    for source in ("vrt.tif", "wms.tif", f"{address}/a.tif", f"/vsicurl/{address}/a.tif", f"zip+{address}/a.zip!a.tif"):
        with pytest.raises(ImageError):
            enlarged(Path(source), make_upscaler())
    good = put(tmp_path / "good.tif", smooth(300, 300, dtype=np.uint8, most=200))
    for suffix in (".aux.xml", ".ovr", ".msk"):
        (tmp_path / f"good.tif{suffix}").write_text(vrt)
    with rasterio.open(enlarged(good, make_upscaler())) as after:
        assert after.read().max() > 100
    assert requests == []
    assert probe(good, max_pixels=MOST).converted == tuple(
        f"without good.tif{suffix}, which is not read" for suffix in (".aux.xml", ".msk", ".ovr")
    )


def test_a_file_name_with_a_meaning_to_gdal_is_only_a_name(tmp_path: Path) -> None:
    for name in ("a,b;c.tif", "a?b=c.tif", "GTIFF_DIR:1:x.tif", "a!b.tif", "ü \n.tif", "http:.tif"):
        source = put(tmp_path / "plain.tif", smooth(20, 20)).rename(tmp_path / name)
        assert probe(source, max_pixels=MOST).width == 20
        target = enlarged(source, make_upscaler())
        assert target.is_file() and target.name.endswith("_x2.tif")
