"""Still images: files become pixels, and pixels files."""
