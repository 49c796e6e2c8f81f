"""Model cards, and the list of models."""
