"""Experiments as values: run them, store their results, and report which claims hold."""
