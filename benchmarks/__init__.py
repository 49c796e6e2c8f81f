"""Speed and memory of our engines and of other networks, side by side: `make bench`, or `python -m benchmarks --help`.

Maintainers run this from a checkout. It is not part of the installed package.
"""
