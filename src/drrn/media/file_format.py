"""The formats of files that drrn reads or writes."""

from typing import Literal

FileFormat = Literal[
    "PNG", "JPEG", "WebP", "TIFF", "BMP", "PNM", "GIF", "AVIF", "DICOM", "GeoTIFF", "MP4", "Matroska", "AVI"
]
