"""The reference of the command line, from what `drrn --help` is made of: each command, its options and its examples.

The pages in docs/reference/commands/ are stubs: their text is generated when the site is built.
"""

import inspect
import re

import docstring_parser

from docs.write import DOCS, Texts
from drrn.apps.cli import COMMANDS, EXAMPLES, EXIT_CODES, GROUPS
from drrn.apps.help import Command, Option, options_of

FOLDER = DOCS / "reference/commands"
ENVIRONMENT = {
    "DRRN_KERNELS": "`avx512`, `avx2`, `neon` or `baseline`: the fastest kernels that the native engine may use. By "
    "default the fastest that the CPU has.",
    "DRRN_TOKEN": "The token of `drrn serve` if `--token` is not given: other users of the machine can read command "
    "lines.",
    "OMP_NUM_THREADS": "Threads of PyTorch, NumPy and ONNX Runtime; `--threads` sets those of drrn's own engines.",
}
"""What each variable is for."""


def texts() -> Texts:
    """The stub of each command."""
    return {FOLDER / f"{name}.md": f"# drrn {name}\n\n<!-- generated command {name} -->\n" for name in COMMANDS}


def command(name: str) -> str:
    """All of a command; a section for each one of a group."""
    if name not in GROUPS:
        return "\n\n".join(_parts(f"drrn {name}", COMMANDS[name], "##"))
    parts = [_prose(inspect.getdoc(COMMANDS[name]) or "")]
    for each, function in GROUPS[name].items():
        parts += [f"## drrn {name} {each}", *_parts(f"drrn {name} {each}", function, "###")]
    return "\n\n".join(parts)


def commands() -> str:
    """The table of all commands."""
    lines = ["| command | |", "| --- | --- |"]
    for name, function in COMMANDS.items():
        text = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        lines.append(f"| [drrn {name}](commands/{name}.md) | {_prose(text.rstrip('.'))} |")
    return "\n".join(lines)


def exit_codes() -> str:
    """The table of exit codes."""
    return "\n".join(["| code | |", "| ---: | --- |", *(f"| {code} | {text} |" for code, text in EXIT_CODES.items())])


def environment() -> str:
    """The table of environment variables."""
    rows = [f"| `{name}` | {text} |" for name, text in ENVIRONMENT.items()]
    return "\n".join(["| variable | |", "| --- | --- |", *rows])


def _parts(prog: str, function: Command, heading: str) -> list[str]:
    groups = options_of(function)
    usage = " ".join([f"{prog} [OPTIONS]", *(each.value for each in groups.get("Arguments", []))])
    description = docstring_parser.parse(inspect.getdoc(function) or "").description or ""
    parts = [f"```text\n{usage}\n```", _prose(description)]
    for title, options in groups.items():
        parts += [f"{heading} {title}", *(_definition(each) for each in options)]
    return [*parts, f"{heading} Examples", "```sh\n" + "\n".join(EXAMPLES[prog]) + "\n```"]


def _definition(option: Option) -> str:
    return f"`{option.signature}`\n: {_prose(option.text)}"


def _prose(text: str) -> str:
    """Words of a help text as Markdown: pages become links, and nothing else gets a meaning."""
    paragraphs = [" ".join(each.split()) for each in text.split("\n\n")]
    return "\n\n".join(re.sub(r"`[^`]*`|--[a-z][\w-]*|[*<\[_]|docs/[\w/-]+\.md", _escaped, each) for each in paragraphs)


def _escaped(found: re.Match[str]) -> str:
    word = found[0]
    if word.startswith("`"):
        return word
    if word.startswith("--"):
        return f"`{word}`"
    if word.startswith("docs/"):
        path = DOCS.parent / word
        return f"[{path.stem}](/{path.relative_to(DOCS)})" if path.is_file() else word
    return f"\\{word}"
