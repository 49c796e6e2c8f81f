"""The metadata of an image, and which formats can hold each kind.

`metadata.reading` reads them from a file, `metadata.adapting` adjusts them to another size, and `metadata.embedding`
writes them to a file.
"""

from typing import Final, NamedTuple

from drrn.media.file_format import FileFormat
from drrn.media.metadata import color_tags
from drrn.media.metadata import exif as tags
from drrn.media.metadata.color_tags import Chunk

Pair = tuple[float, float]

INCH = 0.0254
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
"""The formats that can hold each name of `list_names`. Names not listed here are color tags, which only PNG holds."""


class Extras(NamedTuple):
    """Metadata that few files have."""

    extended_xmp: bytes | None = None
    """The second part of a JPEG's XMP; the first part states its MD5."""
    aspect: Pair | None = None
    """Pixels per unit across and down, the unit being unknown. If both are equal, the description of a TIFF may name
    the unit.
    """
    color_tags: tuple[Chunk, ...] = ()
    """As PNG chunks; see `drrn.media.metadata.color_tags`."""
    texts: tuple[Chunk, ...] = ()
    """Text chunks of a PNG."""
    comments: tuple[bytes, ...] = ()
    """Comments of a JPEG."""
    iptc: bytes | None = None
    """IPTC captions, as stored in a JPEG or TIFF."""
    lost: tuple[str, ...] = ()
    """What the file had but is not kept here, each as `without gain map`."""


class Metadata(NamedTuple):
    """The metadata of an image; see `drrn.Image`. `exif` has no prefix, and its first directory is readable."""

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: Pair | None = None
    extras: Extras = Extras()


def list_names(metadata: Metadata) -> tuple[str, ...]:
    """Return the names of the metadata that are present: keys of `HOLDERS`, and color tags."""
    extras = metadata.extras
    found = {
        "ICC": metadata.icc,
        "EXIF": metadata.exif,
        "XMP": metadata.xmp,
        "dpi": metadata.dpi,
        "pixel aspect": extras.aspect and extras.aspect[0] != extras.aspect[1],
        "pixels a unit": extras.aspect and extras.aspect[0] == extras.aspect[1],
        "text chunks": extras.texts,
        "comments": extras.comments,
        "IPTC": extras.iptc,
        "the maker's note": metadata.exif and tags.has_maker_note(metadata.exif),
    }
    names = tuple(name for name, value in found.items() if value)
    return names + color_tags.names(extras.color_tags, has_profile=bool(metadata.icc))


def find_missing(names: tuple[str, ...], form: FileFormat) -> list[str]:
    """Return those of `list_names` that this format can't hold, each as `without EXIF`."""
    return [f"without {name}" for name in names if form not in HOLDERS.get(name, ("PNG",))]
