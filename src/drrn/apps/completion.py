"""`drrn completion`."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal, Union

import tyro
from tyro.conf import OmitSubcommandPrefixes, Positional, subcommand

from drrn.apps.commands import COMMANDS, GROUPS


def completion(shell: Positional[Literal["bash", "zsh", "fish"]], /) -> int:
    """Print a script for tab completion of drrn's commands and options.

    Args:
        shell: Your shell: bash, zsh or fish.
    """
    tree = {name: _group(GROUPS[name]) if name in GROUPS else command for name, command in COMMANDS.items()}
    with suppress(SystemExit):  # which is how tyro ends when it has printed
        tyro.extras.subcommand_cli_from_dict(
            tree, prog="drrn", args=["--tyro-print-completion", shell], config=(OmitSubcommandPrefixes,)
        )
    return 0


def _group(commands: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """A command that takes one of `commands`, for tyro."""
    each = [Annotated[Any, subcommand(name=name, constructor=command)] for name, command in commands.items()]

    def group(command: Any) -> Any:
        return command

    group.__annotations__["command"] = Union[tuple(each)]  # noqa: UP007
    return group
