"""The documentation, and the commands that write its measured parts: `python -m docs.write`."""
