"""The `drrn` command: it parses, calls one function, and turns what went wrong into a line and an exit code.

`drrn` alone shows the help and exits with 2, since nothing was done: a script that passes on an empty list of arguments
must notice.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated, Any, Literal, NoReturn, Union

import tyro
from tyro.conf import OmitSubcommandPrefixes, Positional, subcommand

from drrn import __version__
from drrn.apps import desktop as desktop_entries
from drrn.apps.bulk import plan_bulk, run_bulk, show_bulk
from drrn.apps.compare import compare
from drrn.apps.evaluate import evaluate
from drrn.apps.export import export
from drrn.apps.help import check_command, check_options, help_of, overview
from drrn.apps.models import import_model, join_models, list_models, show_model
from drrn.apps.serve import serve
from drrn.apps.signals import SignalHandler
from drrn.apps.study import list_studies, report_study, run_study
from drrn.apps.train import defaults_in, train_with
from drrn.apps.tune import tune_with
from drrn.apps.upscale import upscale
from drrn.apps.words import sentence
from drrn.errors import DRRNError

ABOUT = "Enlarge pictures with the Deep Recursive Residual Network, and train and evaluate such networks."


def models() -> int:
    """List, show, join and import models: see `drrn models --help`."""
    raise AssertionError("parsed as a group of commands")


def study() -> int:
    """Run experiments, and report what they show: see `drrn study --help`."""
    raise AssertionError("parsed as a group of commands")


def bulk() -> int:
    """Enlarge very many files, on one machine or several: see `drrn bulk --help`."""
    raise AssertionError("parsed as a group of commands")


def desktop() -> int:
    """Add drrn to the menus of a desktop: see `drrn desktop --help`."""
    raise AssertionError("parsed as a group of commands")


def completion(shell: Positional[Literal["bash", "zsh", "fish"]], /) -> int:
    """Print a script that makes a shell complete the commands and options of drrn when Tab is pressed.

    Args:
        shell: Your shell: bash, zsh or fish.
    """
    tree = {name: _group(GROUPS[name]) if name in GROUPS else command for name, command in COMMANDS.items()}
    with suppress(SystemExit):  # which is how tyro ends when it has printed
        tyro.extras.subcommand_cli_from_dict(
            tree, prog="drrn", args=["--tyro-print-completion", shell], config=(OmitSubcommandPrefixes,)
        )
    return 0


def _group(commands: "dict[str, Callable[..., Any]]") -> Callable[..., Any]:
    """A command that takes one of `commands`, for tyro."""
    each = [Annotated[Any, subcommand(name=name, constructor=command)] for name, command in commands.items()]

    def group(command: Any) -> Any:
        return command

    group.__annotations__["command"] = Union[tuple(each)]  # noqa: UP007
    return group


COMMANDS: dict[str, Callable[..., Any]] = {
    "upscale": upscale,
    "serve": serve,
    "train": train_with(*defaults_in([])),
    "tune": tune_with(*defaults_in([])),
    "evaluate": evaluate,
    "compare": compare,
    "export": export,
    "models": models,
    "study": study,
    "bulk": bulk,
    "desktop": desktop,
    "completion": completion,
}
MODELS: dict[str, Callable[..., Any]] = {
    "list": list_models,
    "show": show_model,
    "join": join_models,
    "import": import_model,
}
STUDY: dict[str, Callable[..., Any]] = {
    "run": run_study,
    "report": report_study,
    "list": list_studies,
}
BULK: dict[str, Callable[..., Any]] = {
    "plan": plan_bulk,
    "run": run_bulk,
    "status": show_bulk,
}
DESKTOP: dict[str, Callable[..., Any]] = {
    "install": desktop_entries.install,
    "remove": desktop_entries.remove,
}
GROUPS = {"models": MODELS, "study": STUDY, "bulk": BULK, "desktop": DESKTOP}
STARTING = {"train": train_with, "tune": tune_with}
"""Commands whose options start from a recipe or a file that the command line names."""
EXIT_CODES = {
    0: "Done.",
    1: "A bug in drrn: the traceback says where.",
    2: "Bad input or usage. One line says what was met, what was expected and what to do; nothing was written.",
    3: "Some pictures of many failed. They are listed, the others are written.",
    130: "Stopped by Ctrl-C (SIGINT). What can be resumed goes on with the same command.",
    141: "The program that reads the output has gone, as when it is piped into `head`.",
    143: "Stopped by SIGTERM. What can be resumed goes on with the same command.",
}
"""What each exit code means."""
EXAMPLES: dict[str, tuple[str, ...]] = {
    "drrn": ("drrn upscale photo.png", "drrn upscale --help"),
    "drrn upscale": (
        "drrn upscale photo.png",
        "drrn upscale photo.jpg -s 3 -o large.webp",
        "drrn upscale holiday -r -o holiday_large -m auto --budget 30s",
    ),
    "drrn serve": (
        "drrn serve --open",
        "drrn serve --host 0.0.0.0 --keep 10m",
    ),
    "drrn train": ("drrn train --data pictures --run runs/mine --recipe modern",),
    "drrn tune": ("drrn tune --data pictures --run searches/mine --trials 30",),
    "drrn evaluate": ("drrn evaluate fast best --data Set5 Set14 --scales 2 3 4",),
    "drrn compare": ("drrn compare photo.png -o sheet.png -s 3 --crop 160x120+200+40",),
    "drrn export": ("drrn export fast_x2.onnx -m fast -s 2",),
    "drrn completion": (
        "drrn completion bash > ~/.local/share/bash-completion/completions/drrn",
        "drrn completion fish > ~/.config/fish/completions/drrn.fish",
    ),
    "drrn desktop": ("drrn desktop install",),
    "drrn desktop install": ("drrn desktop install",),
    "drrn desktop remove": ("drrn desktop remove",),
    "drrn models": ("drrn models list",),
    "drrn models list": ("drrn models list --json",),
    "drrn models show": ("drrn models show best --markdown",),
    "drrn models join": ("drrn models join x2.safetensors x3.safetensors x4.safetensors -o mine.safetensors",),
    "drrn models import": ("drrn models import drrn.pth --units 9 -o imported.safetensors",),
    "drrn study": ("drrn study run depth --data pictures --budget quick",),
    "drrn study run": ("drrn study run depth --data pictures --budget quick",),
    "drrn study report": ("drrn study report --budget quick",),
    "drrn study list": ("drrn study list",),
    "drrn bulk": ("drrn bulk plan photos larger -s 2", "drrn bulk run larger", "drrn bulk status larger"),
    "drrn bulk plan": ("drrn bulk plan photos larger -s 2 -m fast",),
    "drrn bulk run": ("drrn bulk run larger --jobs 2", "drrn bulk run larger --part $SLURM_ARRAY_TASK_ID"),
    "drrn bulk status": ("drrn bulk status larger --failed",),
}
"""What the help of each command ends with."""


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
        elif args and args[0] in STARTING:
            commands = {**COMMANDS, args[0]: STARTING[args[0]](*defaults_in(args))}
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


def _run(prog: str, about: str, commands: "dict[str, Callable[..., Any]]", args: list[str]) -> int:
    """Show the help that `args` ask for, or run one of `commands`, and return the exit code.

    Raises:
        UsageError: there is no such command, or it has no such option.
    """
    if not args or args[0] in ("-h", "--help"):
        print(overview(prog, about, commands, EXAMPLES[prog]))
        return 0 if args else 2
    check_command(prog, commands, args)
    name, command = f"{prog} {args[0]}", commands[args[0]]
    if any(word in ("-h", "--help") for word in args):
        print(help_of(name, command, EXAMPLES[name]))
        return 0
    check_options(name, command, args[1:])
    code: int = tyro.extras.subcommand_cli_from_dict(commands, prog=prog, args=args, description=about)
    return code
