"""Trained weights: self-describing files, and the ones packaged with drrn."""

DEFAULT = "small"
"""The packaged model used by default, for clean pictures."""

PHOTO = "photo"
"""The packaged model used by default for pictures that JPEG or noise has spoilt."""

AUTO = "auto"
"""Stands for all packaged models."""
