"""The mathematics, in NumPy only: no files, no torch, no state."""
