"""What `drrn --help` prints, the answer to a mistyped command, and the layout of all help. It imports little."""

import shlex
import shutil
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from drrn.errors import UsageError

MAX_WIDTH = 120
"""Columns: longer lines are hard to read."""
MAX_OPTION_WIDTH = 30
"""Columns for an option; the text of a longer one begins on the next line."""


def overview(prog: str, about: str, commands: Mapping[str, str], examples: Sequence[str]) -> str:
    """The help of `drrn`, or of a group of `commands`, with what is said of each."""
    lines = list(commands.items())
    options = [("-h, --help", "Show this help, or the help of a command.")]
    if prog == "drrn":
        options.append(("--version", "Show the version."))
    parts = [f"Usage: {prog} COMMAND ...", wrap(about), section("Commands", lines), section("Options", options)]
    return "\n\n".join([*parts, *examples_section(examples)])


def check_command(prog: str, commands: Collection[str], args: Sequence[str]) -> None:
    """Refuse a first word that is none of `commands`, and say what may have been meant.

    Raises:
        UsageError: it is not a command.
    """
    word = args[0]
    if word in commands:
        return
    if word.startswith("-"):
        raise UsageError(f"Options follow a command, got {word} before any. See {prog} --help.")
    near = nearest(word, commands)
    if prog == "drrn" and not near and (Path(word).suffix or Path(word).exists()):
        raise UsageError(f"{word} is no command. Did you mean: drrn upscale {shlex.join(args)}")
    raise UsageError(f"{prog} has no command {word}.{near} See {prog} --help.")


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message: what may have been meant by `word`, if anything is near."""
    from difflib import get_close_matches  # here, as it takes long to import

    near = get_close_matches(word, list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def examples_section(lines: Sequence[str]) -> list[str]:
    """The last part of a help."""
    return ["\n".join(["Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)])]


def wrap(text: str) -> str:
    """A paragraph, in lines of the terminal's width."""
    return textwrap.fill(" ".join(text.split()), _width(), break_on_hyphens=False)


def left_margin(shown: Iterable[str]) -> int:
    """Columns that the names `shown` take."""
    return max((len(each) for each in shown if len(each) <= MAX_OPTION_WIDTH), default=0) + 4


def section(heading: str, rows: Sequence[tuple[str, str]], left: int = 0) -> str:
    """Rows of a name and a text below a heading; the texts begin at the column `left`, by default a fitting one."""
    left = left or left_margin(shown for shown, _ in rows)
    lines = [f"{heading}:"]
    for shown, text in rows:
        texts = textwrap.wrap(text, _width() - left, break_on_hyphens=False, break_long_words=False) or [""]
        if len(shown) > left - 4:
            lines.append(f"  {shown}")
        else:
            lines.append(f"  {shown}".ljust(left) + texts.pop(0))
        lines += [" " * left + line for line in texts]
    return "\n".join(line.rstrip() for line in lines)


def _width() -> int:
    return max(40, min(shutil.get_terminal_size().columns, MAX_WIDTH))
