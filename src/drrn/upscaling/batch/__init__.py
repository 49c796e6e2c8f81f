"""Enlarge many files: find them, plan and run the work, and record what is done."""
