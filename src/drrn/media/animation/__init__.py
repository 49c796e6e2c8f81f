"""GIF, APNG and WebP animations."""
