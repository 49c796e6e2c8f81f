"""Metadata of files, kept true when an image is enlarged: EXIF, XMP, ICC and the like."""
