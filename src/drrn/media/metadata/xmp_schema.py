"""Names in XMP that are measured in pixels, state positions in the image, or belong to other parts of its file."""

from typing import Final, NamedTuple

from drrn.media.metadata.xml import Name

RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XML: Final = "http://www.w3.org/XML/1998/namespace"
DC: Final = "http://purl.org/dc/elements/1.1/"
TIFF: Final = "http://ns.adobe.com/tiff/1.0/"
EXIF: Final = "http://ns.adobe.com/exif/1.0/"
CRS: Final = "http://ns.adobe.com/camera-raw-settings/1.0/"
GPANO: Final = "http://ns.google.com/photos/1.0/panorama/"
DEPTH: Final = "http://ns.google.com/photos/1.0/depthmap/"
CONTAINER: Final = "http://ns.google.com/photos/1.0/container/"
DIMENSIONS: Final = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
AREA: Final = "http://ns.adobe.com/xmp/sType/Area#"
REGIONS: Final = "http://www.metadataworkinggroup.com/schemas/regions/"
IPTC: Final = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
MICROSOFT: Final = "http://ns.microsoft.com/photo/1.2/t/Region#"
DJI: Final = "http://www.dji.com/drone-dji/1.0/"
LI: Final = (RDF, "li")
TRANSPARENT: Final = {(RDF, name) for name in ("RDF", "Description", "Seq", "Bag", "Alt")}
"""Elements of RDF syntax, which are not owners of values."""
ORIENTATION: Final = (TIFF, "Orientation")


class PixelPair(NamedTuple):
    """Two values of one owner, one measured in pixels across and one in pixels down."""

    across: Name
    down: Name
    unit: Name | None = None
    """The value that states their unit; None if it is always pixels."""
    pixels: frozenset[str] = frozenset({"pixel", "pixels"})
    """What `unit` says when the unit is pixels."""
    is_place: bool = False
    """Whether they are a position or the sides of an area, which are turned with the image. Other pairs are swapped
    when the sides are.
    """


SIZES: Final = (
    PixelPair((TIFF, "ImageWidth"), (TIFF, "ImageLength")),
    PixelPair((EXIF, "PixelXDimension"), (EXIF, "PixelYDimension")),
)
"""Sizes of the image itself."""
SCALED: Final = (
    PixelPair((TIFF, "XResolution"), (TIFF, "YResolution")),
    PixelPair((EXIF, "FocalPlaneXResolution"), (EXIF, "FocalPlaneYResolution")),
    PixelPair((GPANO, "FullPanoWidthPixels"), (GPANO, "FullPanoHeightPixels")),
    PixelPair((GPANO, "CroppedAreaImageWidthPixels"), (GPANO, "CroppedAreaImageHeightPixels"), is_place=True),
    PixelPair((GPANO, "CroppedAreaLeftPixels"), (GPANO, "CroppedAreaTopPixels"), is_place=True),
    PixelPair((GPANO, "LargestValidInteriorRectLeft"), (GPANO, "LargestValidInteriorRectTop"), is_place=True),
    PixelPair((GPANO, "LargestValidInteriorRectWidth"), (GPANO, "LargestValidInteriorRectHeight"), is_place=True),
    PixelPair((DEPTH, "ImageWidth"), (DEPTH, "ImageHeight")),
    PixelPair((CRS, "CropWidth"), (CRS, "CropHeight"), (CRS, "CropUnit"), frozenset({"0"})),
    PixelPair((DIMENSIONS, "w"), (DIMENSIONS, "h"), (DIMENSIONS, "unit")),
    PixelPair((AREA, "x"), (AREA, "y"), (AREA, "unit"), is_place=True),
    PixelPair((AREA, "w"), (AREA, "h"), (AREA, "unit"), is_place=True),
    PixelPair((AREA, "d"), (AREA, "d"), (AREA, "unit"), is_place=True),
    PixelPair((IPTC, "rbX"), (IPTC, "rbY"), (IPTC, "rbUnit"), is_place=True),
    PixelPair((IPTC, "rbW"), (IPTC, "rbH"), (IPTC, "rbUnit"), is_place=True),
    PixelPair((IPTC, "rbRx"), (IPTC, "rbRx"), (IPTC, "rbUnit"), is_place=True),
    PixelPair((DJI, "CalibratedOpticalCenterX"), (DJI, "CalibratedOpticalCenterY")),
    PixelPair((DJI, "CalibratedFocalLength"), (DJI, "CalibratedFocalLength")),
)
POINTS: Final = ((EXIF, "SubjectArea"), (EXIF, "SubjectLocation"))
"""Lists of numbers: a center and, for an area, a diameter or width and height."""
PARTS: Final = (
    ("http://ns.adobe.com/hdr-gain-map/", "", "gain map"),
    ("http://ns.apple.com/HDRGainMap/", "", "gain map"),
    ("http://ns.apple.com/pixeldatainfo/", "", "auxiliary image"),
    ("http://ns.google.com/photos/1.0/camera/", "MicroVideo|MotionPhoto", "motion video"),
    ("http://ns.oplus.com/photos/1.0/camera/", "MotionPhoto|OLivePhoto|VideoLength", "motion video"),
    ("http://ns.xiaomi.com/photos/1.0/camera/", "XMPMeta", "auxiliary image"),
    ("http://ns.google.com/photos/dd/1.0/", "", "depth map"),
    (CONTAINER, "", ""),
)
"""Prefixes of namespaces and names of values that describe other parts of the file, and what to call these."""
STORED_PARTS: Final = (
    (DEPTH, "", "depth map"),
    ("http://ns.google.com/photos/1.0/image/", "", "further image"),
    ("http://ns.adobe.com/xap/1.0/", "Thumbnails$", ""),
)
"""The same for images within the packet, which are stored unrotated: dropped if the image is rotated."""
SEMANTICS: Final = {"GainMap": "gain map", "MotionPhoto": "motion video", "Depth": "depth map", "Primary": ""}
"""Meaning of an item in a container, and what to call it."""
