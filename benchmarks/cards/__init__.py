"""The measurements on the card of a finished model: `python -m benchmarks.cards --help`."""
