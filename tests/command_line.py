"""The command line, run in the process of the test."""

from pathlib import Path

import pytest

from drrn.apps import cli


def run(*args: str | Path) -> int:
    """Run `drrn` with these arguments, and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main([*map(str, args)])
    return int(ended.value.code or 0)
