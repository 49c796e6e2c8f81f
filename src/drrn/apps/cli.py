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
from drrn.apps.bench import bench
from drrn.apps.compare import compare
from drrn.apps.evaluate import evaluate
from drrn.apps.export import export
from drrn.apps.models import import_model, list_models, pack_model, show_model
from drrn.apps.train import recipe_in, train_with
from drrn.apps.upscale import upscale
from drrn.errors import DRRNError
from drrn.training.config import RECIPES

ABOUT = "Enlarge pictures with the Deep Recursive Residual Network, and train and judge such networks."


def models() -> int:
    """List, show, import and pack models: see `drrn models --help`."""
    raise AssertionError("parsed as a group of commands")


COMMANDS: dict[str, Callable[..., Any]] = {
    "upscale": upscale,
    "train": train_with(RECIPES["report"]),
    "evaluate": evaluate,
    "compare": compare,
    "bench": bench,
    "export": export,
    "models": models,
}
MODELS: dict[str, Callable[..., Any]] = {
    "list": list_models,
    "show": show_model,
    "import": import_model,
    "pack": pack_model,
}


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line `args`, by default the process's own, and exit."""
    args = list(sys.argv[1:] if args is None else args)
    if args == ["--version"]:
        print(f"drrn {__version__}")
        sys.exit(0)
    signal.signal(signal.SIGTERM, _end)
    prog, commands = "drrn", {**COMMANDS, "train": train_with(recipe_in(args))}
    if args[:1] == ["models"]:
        prog, commands, args = "drrn models", MODELS, args[1:]
    try:
        code = tyro.extras.subcommand_cli_from_dict(commands, prog=prog, args=args, description=ABOUT)
    except DRRNError as error:
        print(f"drrn: {' '.join(str(error).split())}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
