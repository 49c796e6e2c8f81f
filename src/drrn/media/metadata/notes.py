"""What a file says beside its pixels, and how it stays true: on reading, on enlarging and on writing.

`metadata.reading` takes it out of a file, and `metadata.embedding` puts it into the one that is written.
"""

from collections.abc import Callable
from contextlib import suppress
from mmap import mmap
from typing import Final, Literal, NamedTuple

from drrn.media.metadata import color_tags, exif_places, extended_xmp, xmp
from drrn.media.metadata import exif as tags
from drrn.media.metadata.color_tags import Chunk
from drrn.media.metadata.exif import MalformedError
from drrn.media.metadata.turns import is_quarter
from drrn.media.metadata.xml import InvalidXMLError

FileFormat = Literal[
    "PNG", "JPEG", "WebP", "TIFF", "BMP", "PNM", "GIF", "AVIF", "DICOM", "GeoTIFF", "MP4", "Matroska", "AVI"
]
Block = bytes | mmap
Pair = tuple[float, float]
Size = tuple[int, int]
"""Width and height."""

INCH = 0.0254
MIMES: Final[dict[FileFormat, str]] = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WebP": "image/webp",
    "TIFF": "image/tiff",
}
ALL: Final[tuple[FileFormat, ...]] = ("PNG", "JPEG", "WebP", "TIFF")
HOLDERS: Final[dict[str, tuple[FileFormat, ...]]] = {
    "ICC": (*ALL, "BMP"),
    "EXIF": ALL,
    "XMP": ALL,
    "dpi": (*ALL, "BMP"),
    "pixel aspect": ("PNG", "JPEG", "TIFF"),
    "pixels a unit": ("TIFF",),
    "text chunks": ("PNG",),
    "comments": ("JPEG",),
    "IPTC": ("JPEG", "TIFF"),
    "the maker's note": ("PNG", "JPEG", "WebP"),
}
"""Formats that hold what `held` names; what is not listed is a color tag, which a PNG holds."""


class Extras(NamedTuple):
    """What few files have."""

    extended_xmp: bytes | None = None
    """The second part of a JPEG's XMP, of which the first states the MD5."""
    aspect: Pair | None = None
    """Pixels across and down in a unit that is not told: of equal numbers, a TIFF's description may tell the unit."""
    color_tags: tuple[Chunk, ...] = ()
    """As chunks of a PNG; see `drrn.media.metadata.color_tags`."""
    texts: tuple[Chunk, ...] = ()
    """Chunks of a PNG."""
    comments: tuple[bytes, ...] = ()
    """Of a JPEG."""
    iptc: bytes | None = None
    """Captions, as they lie in a JPEG or a TIFF."""
    lost: tuple[str, ...] = ()
    """What was in the file and is not here, each as `without gain map`."""


class Metadata(NamedTuple):
    """As in `Image`; `exif` is plain: without a prefix, and with a first directory that can be read."""

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: Pair | None = None
    extras: Extras = Extras()


def make_metadata_upright(notes: Metadata, orientation: int, stored: Size, *, is_void: bool = False) -> Metadata:
    """The notes of an image that was read: of what is left behind they don't speak, and places in them are turned.

    An orientation that only XMP states is left as it is, for most viewers heed none: who sees the image turned, sees it
    so again.

    Args:
        orientation: 1 to 8, by which the image was turned.
        stored: its size before.
        is_void: EXIF and XMP may state another one, which doesn't count and becomes 1.
    """
    lost = list(notes.extras.lost)
    must_turn = orientation != 1 or is_void

    def clean(packet: bytes | None) -> bytes | None:
        if packet is None:
            return None
        try:
            packet, left = xmp.remove_parts(packet, turned=orientation != 1)
            packet = xmp.make_upright(packet, orientation, stored) if must_turn else packet
        except InvalidXMLError:
            packet, left = b"", ("without XMP that can't be read",)
        lost.extend(left)
        return packet or None

    def clean_exif(exif: bytes | None) -> bytes | None:
        if exif is None:
            return None
        try:
            exif, left = exif_places.remove_parts(exif)
            exif = exif_places.make_upright(exif, orientation, stored) if must_turn else exif
        except MalformedError:
            exif, left = b"", ("without EXIF that can't be read",)
        lost.extend(left)
        return exif or None

    exif = clean_exif(notes.exif)
    packet, extended = _check_extended(clean(notes.xmp), clean(notes.extras.extended_xmp), lost)
    dpi, aspect = notes.dpi, notes.extras.aspect
    if is_quarter(orientation):
        dpi, aspect = dpi and (dpi[1], dpi[0]), aspect and (aspect[1], aspect[0])
    if {"without gain map", "without motion video"} & {*lost}:  # which the further images are
        lost = [part for part in lost if part != "without further images"]
    extras = notes.extras._replace(extended_xmp=extended, aspect=aspect, lost=tuple(dict.fromkeys(lost)))
    return Metadata(notes.icc, exif, packet, dpi, extras)


def resize_metadata(notes: Metadata, before: Size, after: Size) -> Metadata:
    """The notes of the image in its new size: what counts pixels is scaled."""
    if before == after:
        return notes
    ratios = after[0] / before[0], after[1] / before[1]

    def scaled(pair: Pair | None) -> Pair | None:
        return pair and (pair[0] * ratios[0], pair[1] * ratios[1])

    exif = notes.exif
    if exif and tags.plain(exif):
        with suppress(MalformedError):  # nobody can read it
            exif = exif_places.resize(tags.plain(exif) or b"", before, after)
    extras = notes.extras._replace(
        aspect=scaled(notes.extras.aspect),
        extended_xmp=_edited(notes.extras.extended_xmp, lambda packet: xmp.resize(packet, before, after)),
    )
    packet = _edited(notes.xmp, lambda packet: xmp.resize(packet, before, after))
    return Metadata(notes.icc, exif, packet, scaled(notes.dpi), extras)


def fit_metadata(notes: Metadata, width: int, height: int, form: FileFormat | None = None) -> Metadata:
    """With EXIF and XMP of an upright picture of this size, in a file of this format."""
    exif = tags.plain(notes.exif) if notes.exif else None
    turned = exif is not None and tags.orientation(exif) != 1
    if exif:
        exif = tags.adapt_exif(exif, width, height, notes.dpi)
    mime = MIMES.get(form, "") if form else ""

    def fit(packet: bytes) -> bytes:
        return xmp.set_size(packet, (width, height), mime, upright=turned)

    extras = notes.extras._replace(extended_xmp=_edited(notes.extras.extended_xmp, fit))
    return notes._replace(exif=exif, xmp=_edited(notes.xmp, fit), extras=extras)


def held(notes: Metadata) -> tuple[str, ...]:
    """What there is, by the names of `HOLDERS`, and by color tag."""
    extras = notes.extras
    found = {
        "ICC": notes.icc,
        "EXIF": notes.exif,
        "XMP": notes.xmp,
        "dpi": notes.dpi,
        "pixel aspect": extras.aspect and extras.aspect[0] != extras.aspect[1],
        "pixels a unit": extras.aspect and extras.aspect[0] == extras.aspect[1],
        "text chunks": extras.texts,
        "comments": extras.comments,
        "IPTC": extras.iptc,
        "the maker's note": notes.exif and tags.has_maker_note(notes.exif),
    }
    names = tuple(name for name, note in found.items() if note)
    return names + color_tags.names(extras.color_tags, has_profile=bool(notes.icc))


def find_missing(holds: tuple[str, ...], form: FileFormat) -> list[str]:
    """What of `held` a file of that format has no place for, each as `without EXIF`."""
    return [f"without {name}" for name in holds if form not in HOLDERS.get(name, ("PNG",))]


def _check_extended(packet: bytes | None, extended: bytes | None, lost: list[str]) -> tuple[bytes | None, bytes | None]:
    """Both parts of the XMP, if they can be joined, as formats other than JPEG need it; a main one states no other."""
    if packet and extended:
        try:
            extended_xmp.merge(packet, extended)
            return packet, extended
        except InvalidXMLError:
            lost.append("without extended XMP that can't be read")
    return extended_xmp.set_guid(packet, None) if packet else None, None


def _edited(packet: bytes | None, edit: Callable[[bytes], bytes]) -> bytes | None:
    try:
        return edit(packet) if packet else packet
    except InvalidXMLError:
        return packet  # given by a program, for no file is read so: it says nothing to who reads XMP
