"""Name files that drrn can't read by their first bytes, and say what can be done with them.

Only used to explain a refusal: what can be read is decided in `images.decoding`, `video.containers`, `dicom` and
`geotiff`.
"""

import re
from pathlib import Path
from stat import S_ISREG
from typing import Final

from drrn.media.images.tiff import is_raw_photo

HEAD: Final = 512
"""Bytes of a file that are enough for `describe`."""
REMUX: Final = "Copy it into Matroska, which loses nothing: ffmpeg -i FILE -map 0 -c copy FILE.mkv"
TO_TIFF: Final = "Convert it first: gdal_translate FILE FILE.tif"
TO_FLOAT: Final = "Convert it to a floating-point TIFF first: oiiotool FILE -o FILE.tif"
APPLE_DOUBLE: Final = "the metadata that a Mac keeps beside a file (AppleDouble)"
RENDER: Final = "Render it at the size you need instead"
TO_PNG: Final = "Convert it to PNG or TIFF first"
CGBI: Final = "Restore it first: pngcrush -revert-iphone-optimizations FILE FILE.png"
RAW: Final = "Develop it to a 16-bit TIFF first, as darktable or dcraw -T -6 do"
SIGNATURES: Final[tuple[tuple[bytes, str, str], ...]] = (
    # A regular expression for the first bytes, the kind of file, and what to do.
    (rb"G.{187}G.{187}G", "an MPEG transport stream (.ts)", REMUX),
    (rb".{4}G.{191}G.{191}G", "an AVCHD or Blu-ray transport stream (.mts, .m2ts)", REMUX),
    (rb"\x00\x00\x01\xba", "an MPEG program stream (.mpg, .vob)", f"{REMUX} (with -fflags +genpts before -i)"),
    (rb"\x00\x00\x01\xb3", "a raw MPEG video stream", f"{REMUX} (with -fflags +genpts before -i)"),
    (rb"FLV\x01", "a Flash video (.flv)", REMUX),
    (rb"0&\xb2u\x8ef\xcf\x11", "a Windows Media file (.wmv, .asf)", REMUX),
    (rb"OggS", "an Ogg file (.ogv, .ogg)", REMUX),
    (rb"\.RMF", "a RealMedia file", REMUX),
    (rb"\x06\x0e\x2b\x34", "an MXF video", REMUX),
    (rb"\x00\x00\x00\x01[\x09\x67\x27\x40\x42]", "a raw H.264 or HEVC stream", f"{REMUX} (with -r and its frame rate)"),
    (rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 image (.jp2, .j2k)", TO_TIFF),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "a JPEG XL image (.jxl)", "Convert it first: djxl FILE FILE.png"),
    (rb"....ftypcrx ", "a Canon raw image (.cr3)", RAW),
    (rb"....ftyp.{4,60}(?:hei[cxms]|hev[cmsx]|mif1|msf1)", "a HEIC image", "Convert it: heif-convert FILE FILE.png"),
    (rb"FUJIFILMCCD-RAW|IIR[OS]|MMOR|IIU\x00|FOVb|\x00MRM", "a camera raw image", RAW),
    (rb"\x89PNG\r\n\x1a\n.{4}CgBI", "a PNG optimized for iPhones (CgBI)", CGBI),
    (rb"[\x89\x09]PNG(?!\r\n\x1a\n)", "a PNG damaged in transfer (line ends changed)", "Get it again, in binary mode"),
    (rb"II\xbc", "a JPEG XR image", TO_PNG),
    (rb"8BPS", "a Photoshop file (.psd)", "Export it as PNG or TIFF first"),
    (rb"gimp xcf", "a GIMP file (.xcf)", "Export it as PNG or TIFF first"),
    (rb"v/1\x01", "an OpenEXR image", TO_FLOAT),
    (rb"#\?RADIANCE|#\?RGBE", "a Radiance HDR image", TO_FLOAT),
    (rb"DDS ", "a DirectDraw texture (.dds)", TO_PNG),
    (rb"qoif", "a QOI image", TO_PNG),
    (rb"\x00\x00[\x01\x02]\x00[^\x00]\x00", "a Windows icon or cursor", TO_PNG),
    # no name and no number of its own: the kind of image, and what must be zero or small
    (rb".(?:\x00[\x02\x03\x0a\x0b]\x00{5}|\x01[\x01\x09].{5}).{8}[\x08\x10\x18 ][\x00\x08 (]", "a TGA image", TO_PNG),
    (rb"icns", "an Apple icon (.icns)", TO_PNG),
    (rb"\n[\x00\x02-\x05]\x01[\x01\x02\x04\x08]", "a PCX image", TO_PNG),
    (rb"BPG\xfb", "a BPG image", TO_PNG),
    (rb"Y\xa6j\x95|\x01\xda[\x00\x01][\x01\x02]\x00", "a Sun or SGI image", TO_PNG),
    (rb"SDPX|XPDS", "a DPX image", TO_FLOAT),
    (rb"FLIF|\xabKTX|/\* XPM \*/", "a FLIF, KTX or XPM image", TO_PNG),
    (rb"\x01\x00\x00\x00.{36} EMF|\xd7\xcd\xc6\x9a", "a Windows metafile", RENDER),
    (rb"farbfeld", "a farbfeld image", TO_PNG),
    (rb"\x8aMNG|\x8bJNG", "an MNG or JNG file", TO_PNG),
    (rb"AT&TFORM", "a DjVu document", "Export its pages as TIFF or PNG first: ddjvu -format=tiff FILE FILE.tif"),
    (rb"%PDF-", "a PDF document", "Export its pages as images first: pdftoppm -png FILE FILE"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript file", RENDER),
    (rb"(?:\xef\xbb\xbf)?\s*(?:<[?!][^>]*>\s*)*<svg[\s>]", "an SVG drawing", RENDER),
    (rb"(?i:\s*<!doctype html|\s*<html)", "a web page", "Save the image itself, not the page that shows it"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself", "Fetch the file first: git lfs pull"),
    (rb"\x00\x05\x16[\x00\x07]", APPLE_DOUBLE, "Name the file without ._ in front"),
    (rb"SIMPLE  =", "a FITS file", TO_TIFF),
    (rb"\x89HDF\r\n\x1a\n|CDF[\x01\x02\x05]", "an HDF5 or NetCDF file", TO_TIFF),
    (rb"\x5c\x01\x00\x00|.{344}(?:n\+1|ni1)\x00", "a NIfTI volume", "Convert it to DICOM or TIFF slices first"),
    (rb"PK\x03\x04|Rar!|7z\xbc\xaf|\x1f\x8b|BZh|\xfd7zXZ", "an archive", "Unpack it first"),
    (rb"#EXTM3U", "a playlist", "Name the video itself"),
    (rb"ID3|fLaC|RIFF....WAVE", "sound without a picture", ""),
)  # fmt: skip

OTHERS: Final = (
    *("a web page", "an archive", "a playlist", "sound without a picture", "a Git LFS pointer, not the file itself"),
    APPLE_DOUBLE,
)
"""Kinds of files that are neither images nor videos."""


def describe(head: bytes) -> tuple[str, str] | None:
    """Return what the file is and what to do about it, as `a PDF document`, `Export its pages first`; None if unknown.

    Args:
        head: the first `HEAD` bytes, or all of a shorter file.
    """
    return next(((what, advice) for sign, what, advice in SIGNATURES if re.match(sign, head, re.DOTALL)), None)


def unreadable(path: Path) -> tuple[str, str] | None:
    """Return `describe` for an image or a video that drrn can't read; None if the file is something else."""
    try:
        if not S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            return None
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return None
    found = describe(head) or (("a raw photo of a camera", RAW) if is_raw_photo(path) else None)
    return found if found and found[0] not in OTHERS else None
