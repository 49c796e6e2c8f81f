"""Trained weights: files that say what they are, and those that come with the package."""

DEFAULT = "fast"
"""The packaged weights that are used where none are named."""

AUTO = "auto"
"""Stands for all packaged models, where one is named."""
