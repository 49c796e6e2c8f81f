"""Parse the arguments of a command; what is wrong with them is said in one line."""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr
from functools import partial, wraps
from io import StringIO
from typing import Any, Literal, get_args, get_origin

import tyro

from drrn.apps.help import Command, Option, options_of
from drrn.apps.overview import nearest
from drrn.errors import UsageError

OPTION = re.compile("--?[a-zA-Z]")
FRAME = re.compile(r"[─│╭╮╰╯]")
"""The box that tyro draws around a message."""
WORDS = {int: "a whole number", float: "a number"}
"""What an option of this type takes."""


def parse(prog: str, command: Command, args: Sequence[str]) -> Callable[[], int]:
    """Return the command with its arguments, ready to be called.

    Raises:
        UsageError: an option is unknown or missing, or its value is not of the right type.
    """
    check_options(prog, command, args)

    @wraps(command)
    def deferred(*positional: Any, **named: Any) -> Callable[[], int]:
        return partial(command, *positional, **named)

    message = StringIO()
    try:
        with redirect_stderr(message):
            parsed: Callable[[], int] = tyro.cli(deferred, prog=prog, args=args)
    except SystemExit as error:
        fault = find_fault(command, args) or " ".join(FRAME.sub(" ", message.getvalue()).split())
        raise UsageError(f"{fault} See {prog} --help.") from error
    return parsed


def check_options(prog: str, command: Command, args: Iterable[str]) -> None:
    """Refuse unknown options, and name the nearest known one.

    Raises:
        UsageError: an option is unknown.
    """
    groups = options_of(command, with_texts=False).values()
    known = [name for group in groups for option in group for name in option.spellings]
    for word in args:
        name = _name(word)
        if OPTION.match(name) and name not in known:
            raise UsageError(f"{prog} has no option {name}.{nearest(name, known)} See {prog} --help.")


def find_fault(command: Command, args: Iterable[str]) -> str:
    """Describe the first error in the arguments as a sentence; return an empty string if it is not a common one."""
    groups = options_of(command, with_texts=False)
    arguments = groups.pop("Arguments", [])
    options = [option for group in groups.values() for option in group]
    named = {name: option for option in options for name in option.spellings}
    values: dict[Option, list[str]] = {}
    current: Option | None = None
    free: list[str] = []
    for word in args:
        if found := named.get(_name(word)):
            current = found
            values[current] = [word.partition("=")[2]] if "=" in word else []
        elif current and len(values[current]) < current.most_values:
            values[current].append(word)
        else:
            free.append(word)
    for argument in arguments:
        if taken := free[: argument.most_values]:
            values[argument] = taken
            free = free[len(taken) :]
    faults = [_fault(option, words) for option, words in values.items()]
    faults += [
        f"{each.signature} is missing." for each in [*arguments, *options] if each.required and each not in values
    ]
    faults += [f"There is no use for {word!r} here." for word in free]
    return next(filter(None, faults), "")


def _name(word: str) -> str:
    return word.partition("=")[0].replace("_", "-")


def _fault(option: Option, words: Sequence[str]) -> str:
    name = option.names[-1] if option.names else option.value
    if len(words) < option.least_values:
        return f"{name} takes {option.value}, and {'only ' + ' '.join(words) if words else 'nothing'} was given."
    kinds = option.kinds if len(option.kinds) > 1 else option.kinds * len(words)
    for kind, word in zip(kinds, words, strict=False):
        if get_origin(kind) is Literal and word not in map(str, get_args(kind)):
            return f"{name} is one of {', '.join(map(str, get_args(kind)))}, got {word!r}."
        try:
            if kind in WORDS:
                kind(word)
        except ValueError:
            return f"{name} takes {WORDS[kind]}, got {word!r}."
    return ""
