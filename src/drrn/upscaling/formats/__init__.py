"""How files of each format are enlarged."""
