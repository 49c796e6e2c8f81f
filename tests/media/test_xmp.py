"""XMP stays correct in the enlarged image: sizes, places, related parts of the file, and extended XMP."""

from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from drrn.media.image import Image
from drrn.media.images.files import probe, read, write
from drrn.media.images.formats import changes
from drrn.media.metadata import extended_xmp, xmp
from drrn.media.metadata.xml import MAX_BYTES, Document, InvalidXMLError
from tests.media.metadata import doubled, jpeg_segments, packet, photo, with_segments, with_xmp

NAMESPACES = {
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "Item": "http://ns.google.com/photos/1.0/container/item/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "GDepth": "http://ns.google.com/photos/1.0/depthmap/",
    "GPano": "http://ns.google.com/photos/1.0/panorama/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
}
GAIN_MAP = (
    "<hdrgm:Version>1.0</hdrgm:Version><hdrgm:GainMapMax><rdf:Seq><rdf:li>2</rdf:li></rdf:Seq></hdrgm:GainMapMax>"
)
DIRECTORY = (
    '<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary" '
    'Item:Mime="image/jpeg"/></rdf:li><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="{}" '
    'Item:Mime="video/mp4" Item:Length="743"/></rdf:li></rdf:Seq></Container:Directory>'
)


def of(attributes: str = "", elements: str = "") -> bytes:
    return packet(NAMESPACES, attributes + ' xmp:Rating="3"', elements)


@pytest.mark.parametrize(
    ("attributes", "elements", "part"),
    [
        ('hdrgm:Version="1.0"', DIRECTORY.format("GainMap"), "gain map"),
        ("", GAIN_MAP, "gain map"),
        ('GCamera:MicroVideo="1" GCamera:MicroVideoOffset="2345"', "", "motion video"),
        ('GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"', DIRECTORY.format("MotionPhoto"), "motion video"),
        ("", DIRECTORY.format("Depth"), "depth map"),
        ("", DIRECTORY.format("Other"), "further image"),
    ],
)  # fmt: skip
def test_xmp_about_dropped_parts_is_removed_and_reported(
    attributes: str, elements: str, part: str, tmp_path: Path
) -> None:
    path = with_xmp(of(attributes, elements), tmp_path / "a.jpg")
    assert f"without {part}" in probe(path).converted
    result = read(doubled(path, tmp_path / "b.jpg")).xmp
    assert result and b'xmp:Rating="3"' in result
    for word in (b"hdrgm", b"Container", b"Item:", b"MicroVideo", b"MotionPhoto"):
        assert word not in result.replace(b"xmlns:GCamera", b"").replace(b"xmlns:MPReg", b"")


def test_a_photo_marked_as_without_video_loses_none(tmp_path: Path) -> None:
    assert probe(with_xmp(of('GCamera:MotionPhoto="0"'), tmp_path / "a.jpg")).converted == ()


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_panorama_sizes_are_scaled(suffix: str, tmp_path: Path) -> None:
    names = ["FullPanoWidth", "FullPanoHeight", "CroppedAreaImageWidth", "CroppedAreaImageHeight"]
    names += ["CroppedAreaLeft", "CroppedAreaTop"]
    values = [100, 50, 48, 32, 10, 5]
    printed = " ".join(f'GPano:{name}Pixels="{value}"' for name, value in zip(names, values, strict=True))
    result = read(doubled(with_xmp(of(printed), tmp_path / f"a.{suffix}"), tmp_path / f"b.{suffix}")).xmp
    assert result == of(" ".join(f'GPano:{n}Pixels="{2 * v}"' for n, v in zip(names, values, strict=True)))


def test_sizes_and_resolutions_are_scaled_in_attributes_and_elements() -> None:
    for form in ('{0}="{1}"', "<{0}>{1}</{0}>"):
        printed = {
            "tiff:XResolution": ("720000/10000", "144/1"),
            "tiff:YResolution": ("72/1", "216/1"),
            "exif:FocalPlaneXResolution": ("100.5", "201"),
            "exif:FocalPlaneYResolution": ("7/2", "21/2"),
        }
        before, after = (
            [form.format(name, values[index]) for name, values in printed.items()] for index in (0, 1)
        )  # fmt: skip
        old, new = (of(" ".join(each)) if "=" in form else of("", "".join(each)) for each in (before, after))
        assert xmp.resize(old, (10, 10), (20, 30)) == new
    sizes = of('tiff:ImageWidth="10" exif:PixelXDimension="10" exif:PixelYDimension="4" dc:format="image/avif"')
    right = of('tiff:ImageWidth="20" exif:PixelXDimension="20" exif:PixelYDimension="8" dc:format="image/png"')
    assert xmp.set_size(sizes, (20, 8), "image/png") == right


def regions(unit: str, area: str, width: int, height: int) -> bytes:
    return of(
        "",
        f'<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:AppliedToDimensions stDim:w="{width}" stDim:h="{height}" '
        'stDim:unit="pixel"/><mwg-rs:RegionList><rdf:Bag><rdf:li><rdf:Description mwg-rs:Name="Face">'
        f'<mwg-rs:Area {area} stArea:unit="{unit}"/></rdf:Description></rdf:li></rdf:Bag></mwg-rs:RegionList>'
        "</mwg-rs:Regions>",
    )


def test_regions_in_pixels_are_scaled_and_relative_ones_kept() -> None:
    pixels = regions("pixel", 'stArea:x="20" stArea:y="10" stArea:w="8" stArea:h="4"', 48, 32)
    assert xmp.resize(pixels, (48, 32), (96, 96)) == regions(
        "pixel", 'stArea:x="40" stArea:y="30" stArea:w="16" stArea:h="12"', 96, 96
    )
    shares = 'stArea:x="0.25" stArea:y="0.5" stArea:w="0.1" stArea:h="0.2"'
    assert xmp.resize(regions("normalized", shares, 48, 32), (48, 32), (96, 96)) == regions(
        "normalized", shares, 96, 96
    )


def test_subject_areas_in_lists_are_scaled() -> None:
    listed = "<exif:SubjectArea><rdf:Seq>{}</rdf:Seq></exif:SubjectArea>"
    for before, after in (((10, 20), (20, 60)), ((10, 20, 4), (20, 60, 10)), ((10, 20, 4, 6), (20, 60, 8, 18))):
        old, new = (of("", listed.format("".join(f"<rdf:li>{n}</rdf:li>" for n in each))) for each in (before, after))
        assert xmp.resize(old, (10, 10), (20, 30)) == new


@pytest.mark.parametrize("orientation", range(1, 9))
def test_places_in_xmp_follow_the_orientation(orientation: int, tmp_path: Path) -> None:
    """A bright pixel is referred to in every way, and each reference finds it in the upright image."""
    stored = np.zeros((8, 12, 3), np.uint8)
    stored[2, 9] = 255
    x, y = 9.5, 2.5
    printed = of(
        'tiff:Orientation="6"',
        f'<mwg-rs:Area stArea:x="{x / 12}" stArea:y="{y / 8}" stArea:w="{1 / 12}" stArea:h="{1 / 8}" '
        'stArea:unit="normalized"/><Iptc4xmpExt:RegionBoundary Iptc4xmpExt:rbUnit="pixel" Iptc4xmpExt:rbX="9.0" '
        'Iptc4xmpExt:rbY="2.0" Iptc4xmpExt:rbW="1.0" Iptc4xmpExt:rbH="1.0"/>'
        f'<rdf:Description MPReg:Rectangle="{9 / 12}, {2 / 8}, {1 / 12}, {1 / 8}"/>'
        f"<exif:SubjectArea><rdf:Seq><rdf:li>{x}</rdf:li><rdf:li>{y}</rdf:li></rdf:Seq></exif:SubjectArea>",
    )
    tags = Pillow.Exif()
    tags[0x112] = orientation
    Pillow.fromarray(stored).save(tmp_path / "a.png", exif=tags)
    picture = read(with_xmp(printed, tmp_path / "a.png", onto=tmp_path / "a.png"))
    ((row, column),) = np.argwhere(picture.pixels[..., 0] == 1)
    assert picture.xmp and (b'tiff:Orientation="1"' in picture.xmp) == (orientation != 1)
    document = Document(picture.xmp)
    found = {v.name[1]: v.text for v in xmp._values(document) if v.name[1] != "li"}
    where = {"x": column + 0.5, "y": row + 0.5}
    assert float(found["x"]) * picture.width == pytest.approx(where["x"])
    assert float(found["y"]) * picture.height == pytest.approx(where["y"])
    assert (float(found["rbX"]), float(found["rbY"])) == (column, row)
    left, top, width, height = map(float, found["Rectangle"].split(","))
    assert [left * picture.width, top * picture.height] == pytest.approx([column, row], abs=1e-4)
    assert [width * picture.width, height * picture.height] == pytest.approx([1, 1], abs=1e-4)
    subject = [float(v.text) for v in xmp._values(document) if v.name[1] == "li"]
    assert subject == [where["x"], where["y"]]


def test_a_depth_map_is_dropped_if_the_image_is_rotated(tmp_path: Path) -> None:
    printed = of('GDepth:ImageWidth="48"', "<GDepth:Data>AAAA</GDepth:Data>")
    for orientation, reported in ((1, ()), (6, ("without depth map",))):
        tags = Pillow.Exif()
        tags[0x112] = orientation
        photo().save(tmp_path / "a.png", exif=tags)
        path = with_xmp(printed, tmp_path / "a.png", onto=tmp_path / "a.png")
        assert probe(path).converted == reported
        result = read(doubled(path, tmp_path / "b.png")).xmp
        assert result and (b"AAAA" in result, b'GDepth:ImageWidth="96"' in result) == (not reported, not reported)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
def test_an_orientation_stated_only_in_xmp_is_kept(suffix: str, tmp_path: Path) -> None:
    printed = of('tiff:Orientation="6"')
    path = with_xmp(printed, tmp_path / f"a.{suffix}")
    picture = read(path)
    assert (picture.width, picture.height, picture.xmp) == (48, 32, printed)
    result = doubled(path, tmp_path / f"b.{suffix}")
    assert read(result).xmp == printed
    with Pillow.open(result) as opened:
        assert opened.getexif().get(0x112) in (None, 6)  # Pillow may take it from XMP


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
def test_xmp_keeps_every_byte_except_sizes(suffix: str, tmp_path: Path) -> None:
    printed = (
        of('dc:source="é"', "<!-- a comment --><dc:title><![CDATA[<&>]]></dc:title>") + b"\n  \n<?xpacket end='w'?>"
    )
    result = doubled(with_xmp(printed, tmp_path / f"a.{suffix}"), tmp_path / f"b.{suffix}")
    assert read(result).xmp == printed
    with Pillow.open(result) as opened:
        theirs = opened.info["xmp"] if "xmp" in opened.info else opened.info["XML:com.adobe.xmp"].encode()
    assert theirs == printed


@pytest.mark.parametrize(
    "hostile",
    [
        b'<!DOCTYPE a [<!ENTITY b "' + b"b" * 99 + b'"><!ENTITY c "' + b"&b;" * 99 + b'">]><a>&c;</a>',
        b"<a>" * 300 + b"</a>" * 300,
        pytest.param(b"<a>" + b"<b/>" * 70_000 + b"</a>", marks=pytest.mark.slow),
        b"<a" + b" " * MAX_BYTES + b"/>",
        b"<a>",
        b"\xff\xfe<\0a\0/\0>\0",
        b"no xml",
    ],
    ids=["entities", "deep", "many", "long", "cut", "utf-16", "text"],
)
def test_unreadable_xmp_is_dropped_and_reported(hostile: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvalidXMLError):
        xmp.resize(hostile, (1, 1), (2, 2))
    path = with_xmp(hostile, tmp_path / "a.png")
    assert probe(path).converted == ("without XMP that can't be read",)
    assert read(path).xmp is None
    write(Image(pixels=np.zeros((4, 5, 3), np.float32), xmp=hostile), tmp_path / "b.png")  # a program's own affair


# Packets in two parts


def two_parts(path: Path, *, damage: bool = False) -> Path:
    """A JPEG whose extended XMP takes two segments, which come before the standard XMP."""
    second = (
        packet({"dc": NAMESPACES["dc"]}, "", "", outer='xmlns:GPano="' + NAMESPACES["GPano"] + '"')
        .replace(
            b"</rdf:RDF>",
            b'<rdf:Description GPano:FullPanoWidthPixels="48"><dc:source>' + b"long " * 20_000 + b"</dc:source>"
            b"</rdf:Description></rdf:RDF>",
        )
        .replace(b"<rdf:Description GPano", b'<rdf:Description xmlns:dc="' + NAMESPACES["dc"].encode() + b'" GPano')
    )
    guid = md5(second).hexdigest().upper()
    bodies = [*extended_xmp.split(second)]
    assert len(bodies) == 2
    first = of(f'xmpNote:HasExtendedXMP="{guid}"')
    other = [(0xE1, body) for body in (bodies[:1] if damage else bodies[::-1])]
    return with_segments([*other, (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + first)], path)


def test_standard_and_extended_xmp_are_kept(tmp_path: Path) -> None:
    path = two_parts(tmp_path / "a.jpg")
    assert probe(path).converted == ()
    result = doubled(path, tmp_path / "b.jpg")
    bodies = [body for marker, body in jpeg_segments(result) if marker == 0xE1]
    first = next(body for body in bodies if body.startswith(b"http://ns.adobe.com/xap/1.0/\0"))
    pieces = [body[len(extended_xmp.PREFIX) :] for body in bodies if body.startswith(extended_xmp.PREFIX)]
    whole = b"".join(piece[40:] for piece in pieces)
    guid = md5(whole).hexdigest().upper().encode()
    assert len(pieces) == 2 and all(piece[:32] == guid for piece in pieces)
    assert b'HasExtendedXMP="' + guid + b'"' in first and b'xmp:Rating="3"' in first
    assert whole.count(b"long ") == 20_000 and b'GPano:FullPanoWidthPixels="96"' in whole


def test_standard_and_extended_xmp_are_merged_for_other_formats(tmp_path: Path) -> None:
    path = two_parts(tmp_path / "a.jpg")
    for suffix in ("png", "webp", "tif"):
        one = read(doubled(path, tmp_path / f"b.{suffix}")).xmp
        assert one and b"HasExtendedXMP" not in one and one.count(b"long ") == 20_000
        found = {v.name: v.text for v in xmp._values(Document(one))}
        assert found[NAMESPACES["GPano"], "FullPanoWidthPixels"] == "96" and found[NAMESPACES["xmp"], "Rating"] == "3"


def test_a_damaged_extended_xmp_is_dropped_and_reported(tmp_path: Path) -> None:
    path = two_parts(tmp_path / "a.jpg", damage=True)
    assert "without extended XMP that can't be read" in changes(probe(path), tmp_path / "b.jpg")
    result = read(doubled(path, tmp_path / "b.jpg"))
    assert result.xmp and b"HasExtendedXMP" not in result.xmp and b'xmp:Rating="3"' in result.xmp
