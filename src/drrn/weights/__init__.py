"""Trained weights: self-describing files, and the ones packaged with drrn."""

DEFAULT = "base"
"""The packaged model used by default for clean images."""

PHOTO = "photo"
"""The packaged model used by default for images degraded by JPEG or noise."""

AUTO = "auto"
"""Stands for all packaged models."""
