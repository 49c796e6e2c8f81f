"""Read metadata from a file.

libvips finds ICC profiles, EXIF and XMP; everything else is read from the file directly.
"""

from typing import Any, Final

from drrn.errors import printable
from drrn.media.buffer import Buffer
from drrn.media.file_format import FileFormat
from drrn.media.metadata import avif, color_tags, extended_xmp, jpeg_segments, png, tiff_tags
from drrn.media.metadata import exif as tags
from drrn.media.metadata.metadata import INCH, Extras, Metadata, Pair
from drrn.media.metadata.png import png_chunks, text_of
from drrn.media.metadata.xml import InvalidXMLError

TAGS: Final = {
    0x10E: "ImageDescription",
    0x12D: "TransferFunction",
    0x8649: "Photoshop",
    0x935C: "Photoshop's layers",
    0xC697: "ImageJ's overlays",
}
"""Names for messages about TIFF tags that are not kept; other tags are named by number."""
MAX_NAMED: Final = 8
SQUARE: Final = 49
"""The aspect byte of a GIF with square pixels; 0 means unspecified."""


def read_metadata(image: Any, form: FileFormat, file: Buffer, page: tiff_tags.Directory | None = None) -> Metadata:
    """Read the metadata of a file that libvips opened as `image`; of a TIFF, those of one page."""
    if form == "PNG":
        return _of_png(file)
    icc, exif, packet = (
        bytes(image.get(field)) if image.get_typeof(field) else None
        for field in ("icc-profile-data", "exif-data", "xmp-data")
    )  # never `get_fields`: names come from the file and may not be valid text
    # libvips states pixels per millimeter, and a default if the file states none
    dpi = (image.xres * 1000 * INCH, image.yres * 1000 * INCH) if image.get_typeof("resolution-unit") else None
    match form:
        case "GIF":
            aspect = (64.0, file[12] + 15.0) if file[12] not in (0, SQUARE) else None
            return Metadata(icc, xmp=packet, extras=Extras(aspect=aspect))
        case "WebP":
            return of_webp(icc, exif, packet)
        case "AVIF":
            boxes, metadata = avif.read_boxes(file), of_webp(icc, exif, packet)
            extras = Extras(aspect=boxes.aspect, color_tags=boxes.color_tags, lost=metadata.extras.lost + boxes.lost)
            return metadata._replace(extras=extras)
        case "TIFF":
            return of_tiff(file, page or tiff_tags.Directory.first(file), Metadata(icc, xmp=packet, dpi=_sensible(dpi)))
        case _:
            return _of_jpeg(file, _with_exif(Metadata(icc, xmp=packet, dpi=_sensible(dpi)), exif))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def of_webp(icc: bytes | None, exif: bytes | None, packet: bytes | None) -> Metadata:
    """Build the metadata of a WebP from its chunks, as `read_metadata` does."""
    metadata = _with_exif(Metadata(icc, xmp=packet), exif)
    return metadata._replace(dpi=_sensible(tags.dpi(metadata.exif) if metadata.exif else None))


def _sensible(dpi: Pair | None) -> Pair | None:
    return (round(dpi[0], 4), round(dpi[1], 4)) if dpi and all(0.001 < value < 65536 for value in dpi) else None


def _with_exif(metadata: Metadata, block: bytes | None) -> Metadata:
    exif = tags.plain(block) if block else None
    lost = ("without EXIF that can't be read",) if block and not exif else ()
    return metadata._replace(exif=exif, extras=metadata.extras._replace(lost=metadata.extras.lost + lost))


def _of_png(file: Buffer) -> Metadata:
    """Read the chunks of a PNG. libpng would drop a profile that it considers faulty."""
    metadata = Metadata()
    texts, colors, lost = [], [], []
    others: dict[str, None] = {}
    aspect, colored = None, png.Colors(file)
    for chunk, body in png_chunks(file):
        name = body.partition(b"\0")[0]
        if chunk == b"iCCP":
            metadata = metadata._replace(icc=text_of(chunk, body))
            lost += [] if metadata.icc else ["without an ICC profile that can't be read"]
        elif chunk == b"eXIf":
            metadata = _with_exif(metadata, body)
        elif chunk == b"pHYs" and len(body) == 9:
            across, down = (int.from_bytes(body[at : at + 4]) for at in (0, 4))
            if body[8] == 1:  # per meter, not just a ratio
                metadata = metadata._replace(dpi=_sensible((across * INCH, down * INCH)))
            elif across and down and across != down:
                aspect = (float(across), float(down))
        elif chunk == b"iTXt" and name == png.XMP:
            metadata = metadata._replace(xmp=text_of(chunk, body))
            lost += [] if metadata.xmp else ["without XMP that can't be read"]
        elif chunk in png.TEXTS and name in png.PROFILES:
            profile = png.from_hexadecimal(text_of(chunk, body) or b"")
            if name.endswith(b"xmp"):
                metadata = metadata._replace(xmp=metadata.xmp or profile or None)
            else:
                metadata = metadata._replace(exif=metadata.exif or tags.plain(profile))
        elif chunk in png.TEXTS and not png.OF_THE_SIZE.match(name):
            texts.append((chunk, body))
        elif chunk == b"PLTE":
            colored.palette = body
        elif chunk == b"bKGD":
            colors.append((chunk, colored.background(body)))
        elif chunk in color_tags.SIZES:
            colors.append((chunk, body))
        elif chunk == png.CREDENTIALS:
            lost.append("without content credentials")
        elif chunk not in png.KNOWN:
            others[printable(chunk.decode("ascii", "replace"))] = None
    if others:
        lost.append(f"without the chunk{'s' * (len(others) > 1)} {_listed([*others])}")
    metadata = metadata._replace(dpi=metadata.dpi or _sensible(tags.dpi(metadata.exif) if metadata.exif else None))
    extras = metadata.extras._replace(
        aspect=aspect, color_tags=color_tags.from_png(colors), texts=tuple(texts), lost=(*metadata.extras.lost, *lost)
    )
    return metadata._replace(extras=extras)


def _of_jpeg(file: Buffer, metadata: Metadata) -> Metadata:
    found = jpeg_segments.read_segments(file)
    first = next((body for body in found.xmp_pieces if body.startswith(jpeg_segments.XMP)), None)
    packet = (
        first[len(jpeg_segments.XMP) :] if first else metadata.xmp
    )  # libvips returns any XMP segment, even a piece of an extended packet
    lost, extended = [*metadata.extras.lost, *found.lost], None
    try:
        if packet and extended_xmp.stated_guid(packet):
            extended = extended_xmp.find_extended(packet, found.xmp_pieces)
            if extended is None:
                lost.append("without extended XMP that can't be read")
    except InvalidXMLError:
        pass  # reported later, when it is parsed
    aspect = found.aspect if metadata.dpi is None else None
    return metadata._replace(
        xmp=packet, extras=Extras(extended, aspect, comments=found.comments, iptc=found.iptc or None, lost=tuple(lost))
    )


def of_tiff(file: Buffer, page: tiff_tags.Directory, metadata: Metadata) -> Metadata:
    """Build the metadata of a page from its tags and the profile, XMP and dpi that are already known."""
    metadata = metadata._replace(exif=tags.of_tiff(file, page))
    lost = ["without the maker's note"] if tags.has_maker_note(file, page) else []
    known = {*tags.ABOUT, *tags.LAYOUT, tiff_tags.IPTC} - tags.too_long(page)
    others = [TAGS.get(tag, str(tag)) for tag in sorted(page.slots.keys() - known)]
    if others:
        lost.append(f"without the TIFF tags {_listed(others)}")
    extras = Extras(iptc=page.bytes(file, tiff_tags.IPTC), lost=tuple(lost))
    if page.integers(file, tiff_tags.UNIT) == (tiff_tags.NO_UNIT,):
        pair = tags.rationals(file, page)
        is_told = b"ImageJ=" in (metadata.exif or b"")
        extras = extras._replace(aspect=pair if pair != (1.0, 1.0) or is_told else None)
        metadata = metadata._replace(dpi=None)
    return metadata._replace(extras=extras)
