"""Folders of images become pairs of ilr and hr, patches of them, and benchmark sets."""
