"""The network in PyTorch, its losses, and the import of other projects' weights."""
