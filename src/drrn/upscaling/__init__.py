"""Enlarge an image in memory, or files of any format, one or many."""
