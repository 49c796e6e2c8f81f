"""`man drrn`: the commands, exit codes and examples that the code has, as a manual page.

The options of a command are not in it: `drrn COMMAND --help` prints them, and the site has a page for each.
"""

import inspect

from docs.write import ROOT, Texts
from docs.write.commands import ENVIRONMENT
from drrn.apps.cli import ABOUT, COMMANDS, EXAMPLES, EXIT_CODES, GROUPS
from drrn.apps.help import Command

PAGE = ROOT / "man/drrn.1"


def texts() -> Texts:
    """The manual page."""
    return {PAGE: page()}


def page() -> str:
    """drrn(1) in the macros of man."""
    lines = [
        ".TH DRRN 1",
        ".SH NAME",
        r"drrn \- enlarge pictures with the Deep Recursive Residual Network",
        ".SH SYNOPSIS",
        ".B drrn",
        r"\fICOMMAND\fR [\fIOPTIONS\fR] ...",
        ".SH DESCRIPTION",
        _plain(ABOUT),
        ".PP",
        _plain("drrn COMMAND --help prints all options of a command, with examples."),
        ".SH COMMANDS",
    ]
    for name, command in COMMANDS.items():
        lines += _item(f"drrn {name}", _first_sentence(command))
        for each, part in GROUPS.get(name, {}).items():
            lines += _item(f"drrn {name} {each}", _first_sentence(part))
    lines += [".SH EXIT STATUS"]
    for code, text in EXIT_CODES.items():
        lines += _item(str(code), text)
    lines += [".SH ENVIRONMENT"]
    for name, text in ENVIRONMENT.items():
        lines += _item(name, text)
    lines += [".SH FILES"]
    for name, text in FILES.items():
        lines += _item(name, text)
    lines += [
        ".SH EXAMPLES",
        ".nf",
        *map(_plain, dict.fromkeys(examples[0] for examples in EXAMPLES.values())),  # those of groups repeat
        ".fi",
    ]
    return "\n".join(lines) + "\n"


FILES = {
    ".drrn.sqlite": "In a folder of results: what was made, and from what, so that a later run does only the rest.",
    ".drrn": "In a folder of results of drrn bulk: the plan, and a record of each part.",
}


def _item(term: str, text: str) -> list[str]:
    return [".TP", f".B {_plain(term)}", _plain(text)]


def _first_sentence(command: Command) -> str:
    text = " ".join((inspect.getdoc(command) or "").split("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".") + "."


def _plain(text: str) -> str:
    """Text that roff takes as it is: no escapes, no requests, hyphens that can be typed."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("`", "")
    return rf"\&{text}" if text.startswith((".", "'")) else text
