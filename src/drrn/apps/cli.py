"""The `drrn` command: it parses, calls one function, and turns what went wrong into a line and an exit code.

`drrn` alone shows the help and exits with 2, since nothing was done: a script that passes on an empty list of arguments
must notice. Only what the command needs is imported.
"""

import json
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import NoReturn

from drrn import __version__
from drrn.apps.commands import ABOUT, COMMANDS, EXAMPLES, EXIT_CODES, GROUPS, Commands
from drrn.apps.overview import check_command, overview
from drrn.apps.signals import SignalHandler
from drrn.apps.words import sentence
from drrn.errors import DRRNError

__all__ = ["ABOUT", "COMMANDS", "EXAMPLES", "EXIT_CODES", "GROUPS", "main"]


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line `args`, by default the process's own, and exit."""
    args = list(sys.argv[1:] if args is None else args)
    if args == ["--version"]:
        print(f"drrn {__version__}")
        sys.exit(0)
    signals = SignalHandler()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # not every name can be written in every encoding
    prog, about, commands = "drrn", ABOUT, COMMANDS
    try:
        if args and args[0] in GROUPS:
            prog, about, commands = f"drrn {args[0]}", COMMANDS[args[0]].__doc__ or "", GROUPS[args[0]]
            args = args[1:]
        code = _run(prog, about, commands, args)
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
    except BrokenPipeError:  # the reader of the output has closed it: `drrn models show | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush
        code = 141  # as where SIGPIPE ends a program
    # libvips calls Python to log, and an exception raised in there is lost
    sys.exit(signals.exit_code if signals.received else code)


def _run(prog: str, about: str, commands: Commands, args: list[str]) -> int:
    """Show the help that `args` ask for, or run one of `commands`, and return the exit code.

    Raises:
        UsageError: there is no such command, or its arguments are wrong.
    """
    if not args or args[0] in ("-h", "--help"):
        print(overview(prog, about, commands.summaries(), EXAMPLES[prog]))
        return 0 if args else 2
    check_command(prog, commands, args)
    from drrn.apps.help import help_of  # here, as it takes long to import
    from drrn.apps.parsing import parse

    name, command = f"{prog} {args[0]}", commands.load(args[0], args)
    if any(word in ("-h", "--help") for word in args):
        print(help_of(name, command, EXAMPLES[name]))
        return 0
    return parse(name, command, args[1:])()
