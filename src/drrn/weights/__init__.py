"""Trained weights: files that say what they are, and those that come with the package."""

DEFAULT = "small"
"""The packaged model used by default, for clean pictures."""

PHOTO = "photo"
"""The packaged model used by default for pictures that JPEG or noise has spoilt."""

AUTO = "auto"
"""Stands for all packaged models."""
