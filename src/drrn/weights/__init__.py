"""The pantry: trained weights, in files that say what they are, and those that come with the package."""
