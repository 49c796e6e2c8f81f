"""The street side: the only rooms that print, parse or answer."""
