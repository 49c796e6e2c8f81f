"""The `drrn` command: it parses, calls one function, and turns what went wrong into a line and an exit code.

Exit codes: 0 done, 1 a bug (with its traceback), 2 bad input or usage (one line), 3 some files of many failed (listed),
130 and 143 stopped by a signal, 141 nobody reads what it prints.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from io import TextIOWrapper
from types import FrameType
from typing import Any, NoReturn

import tyro

from drrn import __version__
from drrn.apps.bench import bench
from drrn.apps.compare import compare
from drrn.apps.evaluate import evaluate
from drrn.apps.export import export
from drrn.apps.models import import_model, join_models, judge_model, list_models, pack_model, show_model
from drrn.apps.show import sentence
from drrn.apps.study import list_studies, report_study, run_study
from drrn.apps.train import defaults_in, train_with
from drrn.apps.tune import tune_with
from drrn.apps.upscale import upscale
from drrn.errors import DRRNError

ABOUT = "Enlarge pictures with the Deep Recursive Residual Network, and train and judge such networks."


def models() -> int:
    """List, show, judge, pack, join and import models: see `drrn models --help`."""
    raise AssertionError("parsed as a group of commands")


def study() -> int:
    """Run experiments, and report what they show: see `drrn study --help`."""
    raise AssertionError("parsed as a group of commands")


COMMANDS: dict[str, Callable[..., Any]] = {
    "upscale": upscale,
    "train": train_with(*defaults_in([])),
    "tune": tune_with(*defaults_in([])),
    "evaluate": evaluate,
    "compare": compare,
    "bench": bench,
    "export": export,
    "models": models,
    "study": study,
}
MODELS: dict[str, Callable[..., Any]] = {
    "list": list_models,
    "show": show_model,
    "judge": judge_model,
    "pack": pack_model,
    "join": join_models,
    "import": import_model,
}
STUDY: dict[str, Callable[..., Any]] = {
    "run": run_study,
    "report": report_study,
    "list": list_studies,
}
GROUPS = {"models": MODELS, "study": STUDY}
STARTING = {"train": train_with, "tune": tune_with}
"""Commands whose options start from a recipe or a file that the command line names."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line `args`, by default the process's own, and exit."""
    args = list(sys.argv[1:] if args is None else args)
    if args == ["--version"]:
        print(f"drrn {__version__}")
        sys.exit(0)
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, partial(_end, asked))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # not every name can be written in every encoding
    prog, commands = "drrn", COMMANDS
    try:
        if args and args[0] in GROUPS:
            prog, commands, args = f"drrn {args[0]}", GROUPS[args[0]], args[1:]
        elif args and args[0] in STARTING:
            commands = {**COMMANDS, args[0]: STARTING[args[0]](*defaults_in(args))}
        code = tyro.extras.subcommand_cli_from_dict(commands, prog=prog, args=args, description=ABOUT)
        sys.stdout.flush()
    except DRRNError as error:
        if commands is COMMANDS and args[:1] == ["upscale"] and "--json" in args:
            print(
                json.dumps(({"source": error.source} if error.source else {}) | {"error": sentence(error)}), flush=True
            )
        print(f"drrn: {sentence(error)}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # who read what is printed has left: `drrn models show | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is printed at the end
        code = 141  # as where SIGPIPE ends a program
    # libvips calls Python to log, and what a signal raises in there is lost
    sys.exit(128 + asked[0] if asked else code)


def _end(asked: list[int], number: int, _frame: FrameType | None) -> NoReturn:
    asked.append(number)
    for either in (signal.SIGINT, signal.SIGTERM):
        signal.signal(either, signal.SIG_DFL)  # a second one ends at once
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
