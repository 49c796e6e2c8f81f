"""The workshop: a picture becomes a larger picture."""
