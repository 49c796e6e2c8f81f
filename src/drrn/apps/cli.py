"""The `drrn` command: it parses, calls one function, and turns what went wrong into a line and an exit code.

Exit codes: 0 done, 1 a bug (with its traceback), 2 bad input or usage (one line), 3 some files of many failed (listed),
130 and 143 stopped by a signal.
"""

import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn

import tyro

from drrn import __version__
from drrn.apps.train import recipe_in, train_with
from drrn.errors import DRRNError


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line `args`, by default the process's own, and exit."""
    args = list(sys.argv[1:] if args is None else args)
    if args == ["--version"]:
        print(f"drrn {__version__}")
        sys.exit(0)
    signal.signal(signal.SIGTERM, _terminate)
    commands: dict[str, Callable[..., Any]] = {
        "train": train_with(recipe_in(args)),
    }
    try:
        code = tyro.extras.subcommand_cli_from_dict(commands, prog="drrn", args=args, description=__doc__)
    except DRRNError as error:
        print(f"drrn: {' '.join(str(error).split())}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(143)
