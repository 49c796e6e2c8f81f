"""Trained weights: files that say what they are, and those that come with the package."""

DEFAULT = "fast"
"""The packaged model used by default."""

AUTO = "auto"
"""Stands for all packaged models."""
