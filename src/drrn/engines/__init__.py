"""The engine room: whatever turns ilr into sr, on NumPy planes."""
