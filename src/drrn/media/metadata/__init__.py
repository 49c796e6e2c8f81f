"""Metadata of files (EXIF, XMP, ICC and others), adjusted when an image is enlarged."""
