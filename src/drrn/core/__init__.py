"""The mathematics, in NumPy alone: no files, no torch, no state."""
