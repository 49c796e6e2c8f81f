"""The search for a network and a recipe."""
