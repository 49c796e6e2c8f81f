"""What `--help` of a command prints.

It is made from the functions and dataclasses that tyro parses by: their annotations, defaults and docstrings. A
dataclass among a function's parameters is a group of options, and the first line of its docstring is the heading.
"""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import docstring_parser
from tyro import conf

from drrn.apps.overview import examples_section, left_margin, section, wrap

Command = Callable[..., Any]

MAX_CHOICES_WIDTH = 24
"""Letters: longer lists of choices are replaced by NAME."""


@dataclass(frozen=True)
class Option:
    """One option or positional argument of a command."""

    names: tuple[str, ...]
    """As typed, short ones first; none for a positional argument."""
    value: str
    """The metavar; empty for a flag."""
    text: str
    kinds: tuple[Any, ...] = ()
    """The types of its values; one type if there may be any number of them."""
    least_values: int = 0
    most_values: int = 0
    required: bool = False

    @property
    def signature(self) -> str:
        return " ".join(filter(None, [", ".join(self.names), self.value]))

    @property
    def spellings(self) -> Iterator[str]:
        """All spellings that the parser takes: any flag can be switched off by name, even if it is off by default."""
        for name in self.names:
            plain = name.replace("[no-]", "")
            yield plain
            if not self.value and plain.startswith("--"):
                yield f"--no-{plain[2:]}"


def help_of(prog: str, command: Command, examples: Sequence[str]) -> str:
    """The help of one command."""
    groups = options_of(command)
    arguments = groups.pop("Arguments", [])
    description = docstring_parser.parse(inspect.getdoc(command) or "").description or ""
    usage = " ".join([f"Usage: {prog} [OPTIONS]", *(each.value for each in arguments)])
    parts = [usage, *(wrap(part) for part in description.split("\n\n"))]
    if arguments:
        parts.append(section("Arguments", [(each.value, each.text) for each in arguments]))
    groups.setdefault("Options", []).append(Option(("-h", "--help"), "", "Show this help."))
    width = left_margin(each.signature for group in groups.values() for each in group)
    for heading, options in groups.items():
        parts.append(section(heading, [(each.signature, each.text) for each in options], width))
    return "\n\n".join([*parts, *examples_section(examples)])


def options_of(command: Command, *, with_texts: bool = True) -> dict[str, list[Option]]:
    """The options of a command by heading: `Arguments` are positional, `Options` belong to no group.

    Args:
        with_texts: off leaves out descriptions, which take most of the time.
    """
    hints = get_type_hints(command, include_extras=True)
    documented = docstring_parser.parse(inspect.getdoc(command) or "").params if with_texts else []
    texts = {each.arg_name: _name_options(each.description or "", hints) for each in documented}
    groups: dict[str, list[Option]] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        kind, marks = _unwrap(hints[name])
        default = MISSING if parameter.default is parameter.empty else parameter.default
        if isinstance(kind, type) and is_dataclass(kind):
            groups[_heading(kind)] = list(_fields(kind, default, with_texts))
        elif parameter.kind is parameter.POSITIONAL_ONLY or conf.Positional in marks:
            groups.setdefault("Arguments", []).append(_argument(name, kind, default, texts.get(name, "")))
        else:
            groups.setdefault("Options", []).append(_option(name, kind, marks, default, texts.get(name, "")))
    return groups


def _heading(kind: type) -> str:
    first = (inspect.getdoc(kind) or "").split("\n")[0]
    return re.split("[:;.]", first)[0]


def _fields(kind: type, default: Any, with_texts: bool) -> Iterator[Option]:
    hints, texts = get_type_hints(kind, include_extras=True), field_texts(kind) if with_texts else {}
    for each in fields(kind):
        inner, marks = _unwrap(hints[each.name])
        if conf.Fixed in marks:
            continue
        value = each.default if default is MISSING else getattr(default, each.name)
        yield _option(each.name, inner, marks, value, _name_options(texts.get(each.name, ""), hints))


def field_texts(kind: type) -> dict[str, str]:
    """The docstrings below the fields of a dataclass and its bases."""
    texts = {}
    for base in filter(is_dataclass, reversed(kind.__mro__)):
        tree = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        for field, text in pairwise(tree.body if isinstance(tree, ast.ClassDef) else []):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(written))):
                    texts[name] = written
    return texts


def _name_options(text: str, names: Iterable[str]) -> str:
    """The text with `later_patches` written as --later-patches."""
    return re.sub(r"`(\w+)`", lambda found: _to_option(found[1]) if found[1] in names else found[0], text)


def _to_option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without Annotated and `| None`, and its annotations."""
    marks: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *more = get_args(hint)
        marks = tuple(more)
    if get_origin(hint) in (Union, UnionType):
        left = [each for each in get_args(hint) if each is not NoneType]
        if len(left) == 1:
            hint, more_marks = _unwrap(left[0])
            marks += more_marks
    return hint, marks


def _argument(name: str, kind: Any, default: Any, text: str) -> Option:
    value = f"{name.upper().removesuffix('S')}..." if get_origin(kind) is tuple else name.upper()
    required = default is MISSING
    text = _text(text, MISSING if required else default, kind)
    return Option((), value if required else f"[{value}]", text, *_values(kind), required)


def _option(name: str, kind: Any, marks: tuple[Any, ...], default: Any, text: str) -> Option:
    long = _to_option(name)
    aliases = tuple(alias for mark in marks for alias in getattr(mark, "aliases", None) or ())
    metavar = next((mark.metavar for mark in marks if getattr(mark, "metavar", None)), None)
    if kind is bool:
        text = _text(text, "on" if default is True else False, kind)
        return Option((*aliases, f"--[no-]{long[2:]}" if default is True else long), "", text)
    text = _text(text, default, kind) + " (required)" * (default is MISSING)
    return Option((*aliases, long), metavar or _metavar(kind, name), text, *_values(kind), default is MISSING)


def _values(kind: Any) -> tuple[tuple[Any, ...], int, int]:
    """The types of the values, and how many there may be."""
    kinds = get_args(kind) if get_origin(kind) is tuple else (kind,)
    return (kinds[:1], 0, sys.maxsize) if Ellipsis in kinds else (kinds, len(kinds), len(kinds))


def _metavar(kind: Any, name: str = "") -> str:
    """A word for the value: its type, its choices, or for a text the name of its option."""
    if get_origin(kind) is Literal:
        choices = "|".join(map(str, get_args(kind)))
        return choices if len(choices) <= MAX_CHOICES_WIDTH else "NAME"
    if get_origin(kind) is tuple:
        first, *others = get_args(kind)
        one = re.sub(r"(?<=SS)ES$|S$", "", name.upper())
        return f"{_metavar(first, one)}..." if Ellipsis in others else " ".join(map(_metavar, get_args(kind)))
    if kind is str and name:
        return name.upper().replace("_", "-")
    return {Path: "PATH", str: "TEXT"}.get(kind) or str(kind.__name__).upper()


def _text(text: str, default: Any, kind: Any) -> str:
    text = " ".join(text.split())
    if get_origin(kind) is Literal and _metavar(kind) == "NAME":
        choices = [str(each) for each in get_args(kind)]
        if not all(choice in text for choice in choices):
            text += f" One of {', '.join(choices)}."
    if default is MISSING or default is None or default is False or default in ("", ()):
        return text
    values = default if isinstance(default, tuple) else (default,)
    shown = " ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in values)
    return f"{text} (default: {shown})"
