"""Rules for file names: which files of a folder to ignore, and how to name an enlargement.

The content of a file determines its format. Its name only determines whether it is examined, and the stem and, if it
fits the content, the suffix of the result.
"""

import re
from pathlib import Path
from typing import Final

from drrn.media.header import Header
from drrn.media.images.formats import SUFFIXES
from drrn.media.images.recognition import is_readable

SYSTEM_FILES: Final = frozenset({".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", ".directory", ".picasa.ini"})
SYSTEM_FOLDERS: Final = frozenset(
    {"@eadir", "#recycle", "@recycle", "@tmp", "__macosx", "$recycle.bin", "system volume information", "lost+found"}
)
"""Folders in which network drives and systems keep thumbnails and deleted files; in addition to those that begin with a
dot.
"""
OTHER_NAMES: Final = (
    *(".jfif", ".jfi", ".jif", ".jpe", ".mpo", ".jps", ".pbm", ".apng", ".dib", ".gtiff", ".gtif", ".btf", ".tf8"),
    *(".gif", ".avif"),
)
"""Suffixes of images that can be read but are never written."""
UNREADABLE: Final = (".heic", ".heif", ".jxl", ".jp2", ".j2k", ".jpx")
VIDEOS: Final = (".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".qt", ".mk3d")
RASTERS: Final = (".dcm", ".dicom")
IMAGES: Final = (*(suffix for suffixes in SUFFIXES.values() for suffix in suffixes), *OTHER_NAMES)
"""Suffixes of files that are assumed to be images."""
KNOWN: Final = frozenset({*IMAGES, *UNREADABLE, *VIDEOS, *RASTERS})


def is_system_file(name: str) -> bool:
    """Whether a file of that name was created by the system rather than the user, as `._photo.jpg` and `Thumbs.db`."""
    return name.startswith(("._", ".drrn-")) or name.lower() in SYSTEM_FILES


def is_system_folder(name: str) -> bool:
    """Whether a folder of that name holds none of the user's images, like `.git`, `@eaDir` and `__MACOSX`."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def is_image(path: Path) -> bool:
    """Whether the file is an image that can be read, judging by its content or, if it may be damaged, its suffix.

    System files such as `._photo.jpg` never are.
    """
    return not is_system_file(path.name) and (split(path.name)[1].lower() in IMAGES or is_readable(path))


def split(name: str) -> tuple[str, str]:
    """Split a file name into stem and suffix. Only known suffixes count: `v1.2 final` is all stem.

    What browsers append to a suffix belongs to it, as in `photo.jpg_large` and `photo.png:orig`.
    """
    stem, dot, end = name.rpartition(".")
    found = re.match(r"([A-Za-z0-9]+)(?:[_:?!-][\w=&:-]*)?$", end, re.ASCII)
    if stem and found and f".{found[1].lower()}" in KNOWN:
        return stem, dot + end
    return name, ""


def image_suffix(header: Header, given: str) -> str:
    """Return the suffix for a file like `header`: `given` if it denotes that format, otherwise the usual one.

    Formats that are only read become PNG, and a PNM gets the suffix that can hold its samples.
    """
    form, given_lower = header.format, given.lower()
    if form not in SUFFIXES:
        return ".png"
    if form == "PNM":
        exact = ".pam" if header.alpha else ".pgm" if header.channels == 1 else ".ppm"
        return given if given_lower in (exact, ".pnm", ".pam") else exact
    return given if given_lower in SUFFIXES[form] else SUFFIXES[form][0]
