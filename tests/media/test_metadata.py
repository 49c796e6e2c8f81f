"""Metadata stays correct in the enlarged image: EXIF, PNG chunks, JPEG segments, TIFF tags and AVIF boxes."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from PIL import ImageCms
from PIL.TiffImagePlugin import IFDRational

from drrn.media.animation import files as animations
from drrn.media.animation import gif
from drrn.media.header import Header
from drrn.media.image import Image
from drrn.media.images.files import probe, read, write
from drrn.media.images.formats import changes
from drrn.media.metadata import avif, descriptions, exif, exif_places, tiff_tags
from drrn.media.metadata.png import png_chunk
from tests.media.metadata import doubled, jpeg_segments, packet, photo, png_chunks, with_chunks, with_segments

CHRM = struct.pack(">8L", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)  # Display P3
MDCV = struct.pack(">8H2L", 34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450, 10_000_000, 1)
CLLI = struct.pack(">2L", 10_000_000, 4_000_000)
PQ = bytes([9, 16, 0, 1])


def described(**tags: Any) -> Pillow.Exif:
    found = Pillow.Exif()
    found[0x10F] = "Maker"  # without an outer tag, Pillow writes no EXIF into a PNG
    inner = {int(tag[1:], 16): value for tag, value in tags.items() if tag.startswith("x")}
    found.get_ifd(tiff_tags.EXIF).update(inner)
    for tag, value in tags.items():
        if tag.startswith("t"):
            found[int(tag[1:], 16)] = value
    return found


def exif_of(path: Path) -> tuple[Pillow.Exif, dict[int, Any]]:
    with Pillow.open(path) as opened:
        opened.load()
        found = opened.getexif()
        return found, found.get_ifd(tiff_tags.EXIF)


# EXIF


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize(
    ("before", "after"), [((10, 8), (20, 16)), ((10, 8, 4), (20, 16, 8)), ((9, 8, 6, 4), (18, 16, 12, 8))]
)
def test_the_subject_area_stays_at_its_place(before: Any, after: Any, suffix: str, tmp_path: Path) -> None:
    photo().save(tmp_path / f"a.{suffix}", exif=described(x9214=before, xA214=before[:2]))
    _, found = exif_of(doubled(tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"))
    assert (found[0x9214], found[0xA214]) == (after, after[:2])


def test_a_subject_area_beyond_65535_stays_at_its_place() -> None:
    block = exif.plain(described(x9214=(40000, 30000, 9, 9)).tobytes())
    assert block
    found = Pillow.Exif()
    found.load(exif_places.resize(block, (50_000, 40_000), (100_000, 80_000)))
    assert found.get_ifd(tiff_tags.EXIF)[0x9214] == (80000, 60000, 18, 18)


def test_a_subject_area_is_limited_to_32_bits() -> None:
    block = exif.plain(described(x9214=(3_000_000_000, 70_000)).tobytes())
    assert block
    found = Pillow.Exif()
    found.load(exif_places.resize(block, (10, 10), (20, 20)))
    assert found.get_ifd(tiff_tags.EXIF)[0x9214] == (0xFFFFFFFF, 140_000)


def test_focal_plane_and_print_resolutions_are_scaled(tmp_path: Path) -> None:
    tags = described(xA20E=IFDRational(201, 2), xA20F=IFDRational(29, 4), xA210=2, t11A=72.0, t11B=36.0, t128=2)
    photo().save(tmp_path / "a.webp", exif=tags)
    outer, found = exif_of(doubled(tmp_path / "a.webp", tmp_path / "b.webp"))
    assert (float(found[0xA20E]), float(found[0xA20F]), found[0xA210]) == (201, 14.5, 2)
    assert (float(outer[0x11A]), float(outer[0x11B])) == (144, 72)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_subject_area_follows_the_orientation(orientation: int, tmp_path: Path) -> None:
    stored = np.zeros((8, 12, 3), np.uint8)
    stored[2:4, 8:10] = 255
    focal = {"xA20E": IFDRational(50), "xA20F": IFDRational(70)}
    tags = described(x9214=(9, 3, 2, 1), **focal, t112=orientation, t11A=72.0, t11B=36.0, t128=2)
    Pillow.fromarray(stored).save(tmp_path / "a.png", exif=tags)
    picture = read(tmp_path / "a.png")
    found = Pillow.Exif()
    found.load(picture.exif or b"")
    inner, turned = found.get_ifd(tiff_tags.EXIF), orientation >= 5
    rows, columns = np.nonzero(picture.pixels[..., 0])
    assert inner[0x9214] == (columns.max(), rows.max(), *((1, 2) if turned else (2, 1)))
    assert (inner[0xA20E], inner[0xA20F]) == ((70, 50) if turned else (50, 70))
    assert picture.dpi == ((36, 72) if turned else (72, 36))
    assert found.get(tiff_tags.ORIENTATION, 1) == 1


def test_unreadable_exif_is_reported(tmp_path: Path) -> None:
    for suffix in ("png", "jpg", "webp"):
        photo().save(tmp_path / f"a.{suffix}", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
        assert probe(tmp_path / f"a.{suffix}").converted == ("without EXIF that can't be read",)


def test_a_dropped_maker_note_is_reported(tmp_path: Path) -> None:
    photo().save(tmp_path / "a.jpg", exif=described(x927C=b"a maker's note"))
    header = probe(tmp_path / "a.jpg")
    assert changes(header, tmp_path / "b.jpg") == changes(header, tmp_path / "b.png") == ()
    assert changes(header, tmp_path / "b.tif") == ("without the maker's note",)


# PNG

COLORS = {
    "HDR": [(b"cICP", PQ), (b"mDCV", MDCV), (b"cLLI", CLLI)],
    "wide": [(b"cHRM", CHRM), (b"gAMA", struct.pack(">L", 45455))],
    "linear": [(b"gAMA", struct.pack(">L", 100000))],
    "sRGB": [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">L", 45455))],
}
MISSING = {
    "HDR": ("without cICP (BT.2020, PQ)", "without mDCV", "without cLLI"),
    "wide": ("without cHRM",),
    "linear": ("without gAMA (1)",),
    "sRGB": (),
}


@pytest.mark.parametrize("kind", COLORS)
def test_color_tags_are_kept_in_a_png_and_reported_elsewhere(kind: str, tmp_path: Path) -> None:
    path = with_chunks(COLORS[kind], tmp_path / "a.png")
    header = probe(path)
    assert changes(header, tmp_path / "b.png") == ()
    found = png_chunks(doubled(path, tmp_path / "b.png"))
    assert {name: found.get(name) for name, _ in COLORS[kind]} == {name: [body] for name, body in COLORS[kind]}
    for suffix in ("jpg", "webp", "tif", "bmp", "ppm"):
        assert changes(header, tmp_path / f"b.{suffix}") == MISSING[kind]


def test_color_tags_after_a_profile_or_srgb_chunk_are_found(tmp_path: Path) -> None:
    linear = (b"gAMA", struct.pack(">L", 100000))
    photo().save(tmp_path / "a.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for path in (
        with_chunks([linear], tmp_path / "a.png", onto=tmp_path / "a.png"),
        with_chunks([linear, (b"sRGB", b"\0")], tmp_path / "b.png"),
    ):
        assert changes(probe(path), tmp_path / "c.jpg") == ()


def test_color_tags_of_a_wrong_length_are_dropped(tmp_path: Path) -> None:
    found = png_chunks(doubled(with_chunks([(b"cICP", b"\t")], tmp_path / "a.png"), tmp_path / "b.png"))
    assert b"cICP" not in found


def test_text_is_kept_in_a_png_and_reported_elsewhere(tmp_path: Path) -> None:
    texts = [
        (b"tEXt", b"parameters\0a castle, Size: 48x32"),
        (b"zTXt", b"Comment\0\0" + bytes.fromhex("789c4bcecfcd4d0500076702c1")),
        (b"iTXt", "Author\0\0\0de\0Urheber\0Zoë".encode()),
    ]
    stale = [(b"tEXt", b"exif:PixelXDimension\0" + b"48")]
    path = with_chunks(texts + stale, tmp_path / "a.png")
    assert changes(probe(path), tmp_path / "b.png") == ()
    found = png_chunks(doubled(path, tmp_path / "b.png"))
    assert [found[name] for name, _ in texts] == [[body] for _, body in texts]
    for suffix in ("jpg", "webp", "tif", "bmp", "ppm"):
        assert changes(probe(path), tmp_path / f"b.{suffix}") == ("without text chunks",)


def test_chunks_about_the_old_pixels_are_dropped_and_reported(tmp_path: Path) -> None:
    path = with_chunks([(b"sCAL", b"\x011\0" + b"1"), (b"caBX", b"c2pa")], tmp_path / "a.png")
    assert probe(path).converted == ("without content credentials", "without the chunk sCAL")


def test_unknown_chunks_are_dropped_and_reported(tmp_path: Path) -> None:
    """Such as the layers and the canvas of other programs, and the places where Apple's decoder divides the image."""
    chunks = [(b"caNv", bytes(16)), (b"prVW", b"layers"), (b"prVW", b"more"), (b"iDOT", bytes(28)), (b"tIME", bytes(7))]
    path = with_chunks(chunks, tmp_path / "a.png")
    assert probe(path).converted == ("without the chunks caNv, prVW",)
    assert probe(doubled(path, tmp_path / "b.png")).converted == ()


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_the_pixel_aspect_ratio_is_kept(suffix: str, tmp_path: Path) -> None:
    path = with_chunks([(b"pHYs", struct.pack(">LLB", 1, 2, 0))], tmp_path / "a.png")
    result = doubled(path, tmp_path / f"b.{suffix}")
    again = doubled(result, tmp_path / "again.png")
    assert png_chunks(again)[b"pHYs"] == [struct.pack(">LLB", 1, 2, 0)]
    assert changes(probe(path), result) == changes(probe(result), again) == ()
    if suffix == "jpg":
        (body,) = (body for marker, body in jpeg_segments(result) if marker == 0xE0)
        assert body[7:12] == struct.pack(">BHH", 0, 1, 2)
    if suffix == "tif":
        with Pillow.open(result) as opened:
            assert [opened.getexif()[tag] for tag in (282, 283, 296)] == [2, 4, 1]


def test_a_lost_pixel_aspect_ratio_is_reported(tmp_path: Path) -> None:
    header = probe(with_chunks([(b"pHYs", struct.pack(">LLB", 1, 2, 0))], tmp_path / "a.png"))
    for suffix in ("webp", "bmp", "ppm"):
        assert changes(header, tmp_path / f"b.{suffix}") == ("without pixel aspect",)


def test_the_pixel_aspect_ratio_of_gif_and_bmp_is_kept(tmp_path: Path) -> None:
    photo().convert("P").save(tmp_path / "a.gif")
    content = bytearray((tmp_path / "a.gif").read_bytes())
    content[12] = 113  # pixels twice as wide as high
    (tmp_path / "a.gif").write_bytes(content)
    assert png_chunks(doubled(tmp_path / "a.gif", tmp_path / "b.png"))[b"pHYs"] == [struct.pack(">LLB", 1, 2, 0)]
    photo().save(tmp_path / "a.bmp", dpi=(50.8, 101.6))
    found = (tmp_path / "a.bmp").read_bytes(), doubled(tmp_path / "a.bmp", tmp_path / "b.bmp").read_bytes()
    assert [struct.unpack_from("<LL", content, 38) for content in found] == [(2000, 4000), (4000, 8000)]


def test_the_background_color_is_converted_like_the_image(tmp_path: Path) -> None:
    photo().save(tmp_path / "rgb.png")
    photo().quantize(16).save(tmp_path / "palette.png")
    Pillow.new("1", (9, 9)).save(tmp_path / "1.png")
    for name, body, right in (
        ("rgb", struct.pack(">3H", 1, 2, 3), struct.pack(">3H", 1, 2, 3)),
        ("1", struct.pack(">H", 1), struct.pack(">H", 255)),
        ("palette", b"\7", struct.pack(">3H", *png_chunks(tmp_path / "palette.png")[b"PLTE"][0][21:24])),
    ):
        path = tmp_path / f"{name}.png"
        whole = path.read_bytes()
        at = whole.index(b"IDAT") - 4
        path.write_bytes(whole[:at] + png_chunk(b"bKGD", body) + whole[at:])
        assert png_chunks(doubled(path, tmp_path / "b.png"))[b"bKGD"] == [right]


def test_dropped_gif_comments_are_reported(tmp_path: Path) -> None:
    photo().convert("P").save(tmp_path / "a.gif", comment=b"a comment")
    assert "without comments" in probe(tmp_path / "a.gif").converted
    photo().convert("P").save(tmp_path / "b.gif")
    assert "without comments" not in probe(tmp_path / "b.gif").converted
    whole = (tmp_path / "b.gif").read_bytes()
    assert not any(gif.has_comment(whole[:length]) for length in range(13, len(whole), 7))


# JPEG

CAPTIONS = b"\x1c\x02\x78\0\4Zoe\n"


def test_comments_and_captions_are_kept_in_a_jpeg_and_reported_elsewhere(tmp_path: Path) -> None:
    captions = b"8BIM\x04\x04\0\0" + struct.pack(">L", 9) + CAPTIONS + b"\0"
    size_of_paper = b"8BIM\x03\xed\0\0" + struct.pack(">L", 16) + bytes(16)
    added = [(0xED, b"Photoshop 3.0\0" + size_of_paper + captions), (0xFE, b"a comment")]
    path = with_segments(added, tmp_path / "a.jpg")
    assert changes(probe(path), tmp_path / "b.jpg") == ()
    found = jpeg_segments(doubled(path, tmp_path / "b.jpg"))
    assert (0xED, b"Photoshop 3.0\0" + captions) in found and (0xFE, b"a comment") in found
    assert changes(probe(path), tmp_path / "b.png") == ("without comments", "without IPTC")


def test_captions_go_from_a_tiff_to_a_jpeg_and_back(tmp_path: Path) -> None:
    path, array = tmp_path / "a.tif", np.zeros((4, 5), np.uint8)
    tifffile.imwrite(path, array, metadata=None, extratags=[(0x83BB, 7, len(CAPTIONS), CAPTIONS, True)])
    assert changes(probe(path), tmp_path / "b.jpg") == changes(probe(path), tmp_path / "b.tif") == ()
    doubled(doubled(path, tmp_path / "b.jpg"), tmp_path / "c.tif")
    with tifffile.TiffFile(tmp_path / "c.tif") as file:
        assert bytes(file.pages[0].tags[0x83BB].value) == CAPTIONS  # type: ignore[union-attr]


SAMSUNG = b"SEFH" + struct.pack("<LL", 107, 1) + struct.pack("<HHLL", 0, 0x0A30, 30, 30)


@pytest.mark.parametrize(
    ("added", "behind", "parts"),
    [
        ([(0xE2, b"MPF\0II*\0")], b"", ("without further images",)),
        ([(0xE2, b"MPF\0II*\0"), (0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0")], b"", ("without gain map",)),
        ([(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x20jumbc2pa")], b"", ("without content credentials",)),
        ([], bytes(99) + SAMSUNG + struct.pack("<L", len(SAMSUNG)) + b"SEFT", ("without motion video",)),
        ([], b"SEFT", ("without 4 bytes after the image",)),
        ([], bytes(99), ()),
        ([], b"\0\0\0\x18ftypmp42" + bytes(12), ("without motion video",)),
        ([], b"\xff\xd8\xff\xe0", ("without further images",)),
        ([(0xE2, b"MPF\0II*\0")], b"\xff\xd8\xff\xe0", ("without further images",)),
        ([(0xE1, b"FLIR\0\1\0\0")], b"", ("without thermal data",)),
        ([(0xE3, b"raw"), (0xEB, b"HDR_RI ver=11"), (0xE3, b"raw")], b"", ("without the JPEG segments APP3, APP11",)),
        ([(0xE0, b"JFXX\0\x10"), (0xEC, b"Ducky\0"), (0xED, b"Photoshop 3.0\0")], b"", ()),
    ],
)
def test_dropped_parts_of_a_jpeg_are_reported(added: Any, behind: bytes, parts: Any, tmp_path: Path) -> None:
    path = with_segments(added, tmp_path / "a.jpg", behind)
    assert probe(path).converted == parts
    assert probe(doubled(path, tmp_path / "b.jpg")).converted == ()


@pytest.mark.parametrize(("frames", "probe"), [(1, probe), (2, animations.probe)], ids=["image", "animation"])
@pytest.mark.parametrize("kind", ["png", "gif", "webp"])
def test_data_after_an_image_or_animation_are_reported(
    kind: str, frames: int, probe: Callable[[Path], Header], tmp_path: Path
) -> None:
    path = tmp_path / f"a.{kind}"
    first, *more = [Pillow.fromarray(np.full((3, 5, 3), (90 * n, 7, 0), np.uint8)) for n in range(frames)]
    first.save(path, save_all=frames > 1, append_images=more)
    whole, plain = path.read_bytes(), probe(path).converted
    assert not any("after the image" in part for part in plain)
    for behind, parts in [
        (bytes(100_000), ()),
        (bytes(70_000) + b"PK\5\6", ("without 70,004 bytes after the image",)),
        (b"\0\0\0\x18ftypmp42", ("without motion video",)),
        (whole, (f"without {len(whole):,} bytes after the image",)),
    ]:
        path.write_bytes(whole + behind)
        assert {*probe(path).converted} == {*plain, *parts}


# TIFF


def micrograph(path: Path, **options: Any) -> Path:
    tifffile.imwrite(path, np.arange(48 * 64, dtype=np.uint16).reshape(48, 64), **options)
    return path


def test_a_micrograph_keeps_its_scale(tmp_path: Path) -> None:
    path = micrograph(tmp_path / "a.tif", imagej=True, resolution=(2.5, 4), metadata={"unit": "um", "xorigin": 3.5})
    with tifffile.TiffFile(doubled(path, tmp_path / "b.tif")) as file:
        page = file.pages[0]
        tags = page.tags  # type: ignore[union-attr]
        assert (tags["XResolution"].value, tags["YResolution"].value) == ((5, 1), (8, 1))
        assert int(tags["ResolutionUnit"].value) == 1
        assert file.imagej_metadata and file.imagej_metadata["unit"] == "um"
        assert file.imagej_metadata["xorigin"] == 7
    assert "without pixel aspect" in changes(probe(path), tmp_path / "b.webp")


@pytest.mark.parametrize(("unit", "per_inch"), [(3, 2.54), (4, 25.4), (5, 25400)])
def test_a_resolution_in_units_of_micrographs_is_kept(unit: int, per_inch: float, tmp_path: Path) -> None:
    """libtiff knows no millimeters (4) and micrometers (5), as tifffile writes them."""
    pytest.importorskip("rasterio")
    path = micrograph(tmp_path / "a.tif", resolution=(2, 1), resolutionunit=unit, metadata=None)
    assert read(path).dpi == pytest.approx((2 * per_inch, per_inch))
    with tifffile.TiffFile(doubled(path, tmp_path / "b.tif")) as file:
        tags = file.pages[0].tags  # type: ignore[union-attr]
    values = [tags[name].value for name in ("XResolution", "YResolution")]
    assert [above / below for above, below in values] == pytest.approx([4 * per_inch, 2 * per_inch])
    assert tags["ResolutionUnit"].value == 2


def test_a_scale_unit_that_png_lacks_is_reported(tmp_path: Path) -> None:
    path = micrograph(tmp_path / "a.tif", imagej=True, resolution=(2, 2), metadata={"unit": "um"})
    assert changes(probe(path), tmp_path / "b.tif") == ()
    assert changes(probe(path), tmp_path / "b.png") == ("without pixels a unit",)


def test_ome_xml_gets_the_new_size_and_spacing(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    micrograph(path, metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25})
    with tifffile.TiffFile(doubled(path, tmp_path / "b.tif")) as file:
        text = file.ome_metadata
        assert file.series[0].shape == (96, 128)
    assert text and 'SizeX="128" SizeY="96"' in text and "UUID" not in text
    assert 'PhysicalSizeX="0.25"' in text and 'PhysicalSizeY="0.125"' in text


def test_regions_of_ome_xml_are_dropped_and_reported() -> None:
    image = b'<Image><Pixels SizeX="4"/><ROIRef ID="ROI:0"/></Image>'
    text = b'<OME UUID="urn:uuid:1">' + image + b'<ROI ID="ROI:0"><Union/></ROI></OME>'
    assert descriptions.remove_parts(text) == (
        b'<OME><Image><Pixels SizeX="4"/></Image></OME>',
        ("without the regions of its OME-XML",),
    )


def test_dropped_tiff_tags_are_reported(tmp_path: Path) -> None:
    extra = [(0x8649, 7, 4, b"8BIM", True), (50_000, 3, 1, 7, True), (0x10D, 2, 0, "a name", True)]
    path = micrograph(tmp_path / "a.tif", metadata=None, extratags=extra)
    assert changes(probe(path), tmp_path / "b.tif") == ("without the TIFF tags Photoshop, 50000",)
    with tifffile.TiffFile(doubled(path, tmp_path / "b.tif")) as file:
        assert file.pages[0].tags[0x10D].value == "a name"  # type: ignore[union-attr]


def test_other_descriptions_with_pixel_counts_are_updated() -> None:
    assert descriptions.resize(b"Aperio|MPP = 0.5|AppMag = 20", (9, 9), (18, 18)) == b"Aperio|MPP = 0.25|AppMag = 20"
    shape = descriptions.resize(b'{"shape": [2, 48, 64, 3]}\0', (64, 48), (128, 96))
    assert json.loads(shape.rstrip(b"\0")) == {"shape": [2, 96, 128, 3]}
    for text in (b"a castle, 48x32", b"{no json", b"<OME", b"ImageJ=1\nxorigin=?", b"", b"[" * 99_999):
        assert descriptions.resize(text, (48, 32), (96, 64)) == text


# AVIF


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">L", len(body) + 8) + kind + body


def boxes(*properties: bytes, item: bytes = b"av01") -> bytes:
    """The boxes of an AVIF whose second item is the primary one, with all properties except the first."""
    count = len(properties)
    links = struct.pack(">LLHBBHB", 0, 2, 1, 1, 1, 2, count) + bytes(range(2, count + 2))
    entry = box(b"infe", b"\2\0\0\0" + struct.pack(">HH", 3, 0) + item)
    other = box(b"colr", b"nclx" + struct.pack(">HHHB", 1, 13, 6, 128))
    meta = box(
        b"meta", bytes(4), box(b"pitm", bytes(4) + b"\0\2"), box(b"iinf", bytes(4) + b"\0\1" + entry),
        box(b"iprp", box(b"ipco", other, *properties), box(b"ipma", links)),
    )  # fmt: skip
    return box(b"ftyp", b"avif") + meta + box(b"mdat", bytes(9))


def nclx(primaries: int, transfer: int) -> bytes:
    return box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, 9, 128))


@pytest.mark.parametrize(
    ("primaries", "transfer", "tags"),
    [
        (9, 16, ((b"cICP", PQ),)),
        (9, 18, ((b"cICP", bytes([9, 18, 0, 1])),)),
        (12, 13, ((b"cICP", bytes([12, 13, 0, 1])),)),
        (12, 2, ((b"cICP", bytes([12, 13, 0, 1])),)),
        (1, 13, ()),
        (2, 2, ()),
    ],
)
def test_nclx_colors_of_an_avif_become_cicp_in_a_png(primaries: int, transfer: int, tags: Any) -> None:
    assert avif.read_boxes(boxes(nclx(primaries, transfer))).color_tags == tags
    profile = box(b"colr", b"prof" + bytes(128))
    assert avif.read_boxes(boxes(nclx(primaries, transfer), profile)).color_tags == ()  # the profile is kept


def test_hdr_metadata_and_aspect_ratio_of_an_avif_are_found() -> None:
    mastering = struct.pack(">8H2L", 13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450, 10_000_000, 1)
    light, aspect = box(b"clli", struct.pack(">HH", 1000, 400)), box(b"pasp", struct.pack(">LL", 2, 1))
    found = avif.read_boxes(boxes(nclx(9, 16), box(b"mdcv", mastering), light, aspect))
    assert found.color_tags == ((b"cICP", PQ), (b"mDCV", MDCV), (b"cLLI", CLLI))
    assert found.aspect == (1, 2)


def test_dropped_images_of_an_avif_are_reported() -> None:
    assert avif.read_boxes(boxes(item=b"tmap")).lost == ("without gain map",)
    depth = box(b"auxC", bytes(4) + b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth\0")
    alpha = box(b"auxC", bytes(4) + b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
    assert avif.read_boxes(boxes(depth, alpha)).lost == ("without depth map",)


def test_truncated_and_damaged_boxes_count_as_missing() -> None:
    whole = boxes(nclx(9, 16), box(b"pasp", struct.pack(">LL", 2, 1)))
    complete = avif.read_boxes(whole)
    assert complete == (((b"cICP", PQ),), (1, 2), ())
    for length in range(len(whole)):
        found = avif.read_boxes(whole[:length])
        assert found.color_tags in ((), complete.color_tags) and found.aspect in (None, complete.aspect), length
    for at in range(len(whole)):
        found = avif.read_boxes(whole[:at] + b"\xff" + whole[at + 1 :])
        assert all(name == b"cICP" for name, _ in found.color_tags) and found.lost == (), at


def test_an_hdr_avif_becomes_an_hdr_png(tmp_path: Path) -> None:
    photo().save(tmp_path / "a.avif")
    content = (tmp_path / "a.avif").read_bytes()
    at = content.index(b"colrnclx") + 8
    (tmp_path / "a.avif").write_bytes(content[:at] + struct.pack(">HHH", 9, 16, 9) + content[at + 6 :])
    assert changes(probe(tmp_path / "a.avif"), tmp_path / "b.png") == ()
    assert png_chunks(doubled(tmp_path / "a.avif", tmp_path / "b.png"))[b"cICP"] == [PQ]
    assert changes(probe(tmp_path / "a.avif"), tmp_path / "b.jpg") == ("without cICP (BT.2020, PQ)",)


def test_the_exif_orientation_of_an_avif_is_ignored(tmp_path: Path) -> None:
    printed = packet({"tiff": "http://ns.adobe.com/tiff/1.0/"}, 'tiff:Orientation="6"', "")
    photo().save(tmp_path / "a.avif", exif=described(t112=6), xmp=printed)
    picture = read(tmp_path / "a.avif")
    assert (picture.width, picture.height) == (32, 48)
    assert picture.xmp and b'tiff:Orientation="1"' in picture.xmp
    with Pillow.open(doubled(tmp_path / "a.avif", tmp_path / "b.png")) as opened:
        assert opened.getexif().get(tiff_tags.ORIENTATION, 1) == 1 and opened.size == (64, 96)


def test_an_image_made_in_code_needs_no_metadata(tmp_path: Path) -> None:
    write(Image(pixels=np.zeros((4, 5, 3), np.float32)), tmp_path / "a.png")
    assert set(png_chunks(tmp_path / "a.png")) == {b"IHDR", b"IDAT", b"IEND"}
