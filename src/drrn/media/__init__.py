"""The gate: a file becomes a `Picture` and back, and nothing is lost. Knows no network."""
