"""Decode still images from files, and encode them to files."""
