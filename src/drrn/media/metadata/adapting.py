"""Adjust metadata when an image is turned upright, resized, or written in another format."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from drrn.media.file_format import FileFormat
from drrn.media.metadata import exif as tags
from drrn.media.metadata import exif_places, extended_xmp, xmp
from drrn.media.metadata.metadata import Metadata, Pair
from drrn.media.metadata.tiff_tags import MalformedError
from drrn.media.metadata.turns import is_quarter
from drrn.media.metadata.xml import InvalidXMLError

Size = tuple[int, int]
"""Width and height."""

MIMES: Final[dict[FileFormat, str]] = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WebP": "image/webp",
    "TIFF": "image/tiff",
}


def make_metadata_upright(metadata: Metadata, orientation: int, stored: Size, *, is_void: bool = False) -> Metadata:
    """Adjust the metadata of an image that has been turned upright, and drop what describes parts that are not kept.

    An orientation that only the XMP states is left alone: most viewers ignore it, and those that do not will rotate the
    result as they rotated the original.

    Args:
        orientation: the EXIF orientation, 1 to 8, that was applied to the pixels.
        stored: width and height as stored in the file.
        is_void: the decoder has already rotated the pixels, so any orientation in EXIF and XMP is reset to 1.
    """
    lost = list(metadata.extras.lost)
    must_turn = orientation != 1 or is_void

    def clean(packet: bytes | None) -> bytes | None:
        if packet is None:
            return None
        try:
            packet, removed = xmp.remove_parts(packet, turned=orientation != 1)
            packet = xmp.make_upright(packet, orientation, stored) if must_turn else packet
        except InvalidXMLError:
            packet, removed = b"", ("without XMP that can't be read",)
        lost.extend(removed)
        return packet or None

    def clean_exif(exif: bytes | None) -> bytes | None:
        if exif is None:
            return None
        try:
            exif, removed = exif_places.remove_parts(exif)
            exif = exif_places.make_upright(exif, orientation, stored) if must_turn else exif
        except MalformedError:
            exif, removed = b"", ("without EXIF that can't be read",)
        lost.extend(removed)
        return exif or None

    exif = clean_exif(metadata.exif)
    packet, extended = _check_extended(clean(metadata.xmp), clean(metadata.extras.extended_xmp), lost)
    dpi, aspect = metadata.dpi, metadata.extras.aspect
    if is_quarter(orientation):
        dpi, aspect = dpi and (dpi[1], dpi[0]), aspect and (aspect[1], aspect[0])
    if {"without gain map", "without motion video"} & {*lost}:  # the further images are these
        lost = [part for part in lost if part != "without further images"]
    extras = metadata.extras._replace(extended_xmp=extended, aspect=aspect, lost=tuple(dict.fromkeys(lost)))
    return Metadata(metadata.icc, exif, packet, dpi, extras)


def resize_metadata(metadata: Metadata, before: Size, after: Size) -> Metadata:
    """Scale the values that are measured in pixels (dpi, subject areas, focal-plane resolution) to the new size."""
    if before == after:
        return metadata
    ratios = after[0] / before[0], after[1] / before[1]

    def scale(pair: Pair | None) -> Pair | None:
        return pair and (pair[0] * ratios[0], pair[1] * ratios[1])

    exif = metadata.exif
    if exif and tags.plain(exif):
        with suppress(MalformedError):  # malformed EXIF: no reader can use it
            exif = exif_places.resize(tags.plain(exif) or b"", before, after)
    extras = metadata.extras._replace(
        aspect=scale(metadata.extras.aspect),
        extended_xmp=_edit(metadata.extras.extended_xmp, lambda packet: xmp.resize(packet, before, after)),
    )
    packet = _edit(metadata.xmp, lambda packet: xmp.resize(packet, before, after))
    return Metadata(metadata.icc, exif, packet, scale(metadata.dpi), extras)


def adapt_metadata(metadata: Metadata, width: int, height: int, form: FileFormat | None = None) -> Metadata:
    """Set the size, orientation 1 and the MIME type in EXIF and XMP, for a file of this format."""
    exif = tags.plain(metadata.exif) if metadata.exif else None
    turned = exif is not None and tags.orientation(exif) != 1
    if exif:
        exif = tags.adapt_exif(exif, width, height, metadata.dpi)
    mime = MIMES.get(form, "") if form else ""

    def set_size(packet: bytes) -> bytes:
        return xmp.set_size(packet, (width, height), mime, upright=turned)

    extras = metadata.extras._replace(extended_xmp=_edit(metadata.extras.extended_xmp, set_size))
    return metadata._replace(exif=exif, xmp=_edit(metadata.xmp, set_size), extras=extras)


def _check_extended(packet: bytes | None, extended: bytes | None, lost: list[str]) -> tuple[bytes | None, bytes | None]:
    """Return both parts of the XMP if they can be merged, as formats other than JPEG need; otherwise the main part
    alone.
    """
    if packet and extended:
        try:
            extended_xmp.merge(packet, extended)
            return packet, extended
        except InvalidXMLError:
            lost.append("without extended XMP that can't be read")
    return extended_xmp.set_guid(packet, None) if packet else None, None


def _edit(packet: bytes | None, edit: Callable[[bytes], bytes]) -> bytes | None:
    try:
        return edit(packet) if packet else packet
    except InvalidXMLError:
        return packet  # supplied by a caller: packets read from files have been validated
