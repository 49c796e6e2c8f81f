"""What the site takes from elsewhere when Sphinx builds it: other documents, and text that the code itself has.

A line `<!-- include PATH -->` in a page stands for the document at PATH, which is relative to the page, and
`<!-- include PATH NAME -->` for what is between `<!-- NAME -->` and `<!-- /NAME -->` there. A line
`<!-- generated NAME WORDS -->` stands for the text that a function of `GENERATED` returns for WORDS.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docs.write import DOCS, ROOT, commands, read, text_between
from docs.write.cards import cards

GENERATED: dict[str, Callable[..., str]] = {
    "command": commands.command,
    "commands": commands.commands,
    "exit-codes": commands.exit_codes,
    "environment": commands.environment,
    "cards": cards,
}
"""Each takes words and returns Markdown."""
PAGES = {
    ROOT / "README.md": "index",
    ROOT / "CONTRIBUTING.md": "contributing",
    ROOT / "CHANGELOG.md": "changelog",
    DOCS / "family.md": "how-to/models",
    DOCS / "results.md": "how-to/evaluation",
    **dict.fromkeys((ROOT / "models").glob("*.md"), "reference/cards"),
}
"""Documents that are no pages of the site, and the page that has their text."""
LINK = re.compile(r"(\]\()([^)\s]+)(\))|^(\[[^\]]+\]: +)(\S+)()$", re.MULTILINE)


def expand(text: str, page: Path) -> str:
    """The Markdown of a page with everything it includes.

    Raises:
        ValueError: a line asks for what does not exist.
    """
    text = re.sub(
        r"^<!-- include (\S+)(?: (\S+))? -->$", lambda found: _included(page, *found.groups()), text, flags=re.M
    )
    return re.sub(
        r"^<!-- generated (\S+)(.*) -->$", lambda found: _generated(found[1], found[2].split()), text, flags=re.M
    )


def move_links(text: str, source: Path, page: Path) -> str:
    """Markdown of `source` with its relative links as seen from `page`."""

    def moved(found: re.Match[str]) -> str:
        before, target, after = filter(lambda group: group is not None, found.groups())
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        path, mark, anchor = target.partition("#")
        return f"{before}{os.path.relpath(source.parent / path, page.parent)}{mark}{anchor}{after}"

    return LINK.sub(moved, text)


def _included(page: Path, path: str, name: str | None) -> str:
    source = (page.parent / path).resolve()
    if not source.is_file():
        raise ValueError(f"{page.relative_to(ROOT)} includes {path}, which does not exist.")
    text = read(source)
    return move_links(text_between(text, name) if name else text, source, page)


def _generated(name: str, words: list[str]) -> str:
    if name not in GENERATED:
        raise ValueError(f"Nothing generates {name}. Known: {', '.join(GENERATED)}.")
    return GENERATED[name](*words)


def connect(app: Any) -> dict[str, Any]:
    """Make Sphinx expand each page that it reads, resolve links to files that are no pages, and highlight options."""
    from docs.write.shell import ConsoleLexer, ShellLexer  # here, as Pygments comes with Sphinx

    app.add_lexer("sh", ShellLexer)
    app.add_lexer("console", ConsoleLexer)
    app.connect("source-read", _expand_source)
    app.connect("doctree-read", _resolve_links, priority=400)  # before Sphinx collects files to copy
    app.connect("autodoc-process-docstring", _keep_first_line, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", _drop_what_python_wrote, priority=400)
    app.connect("autodoc-process-docstring", _link_pages)
    app.connect("autodoc-process-signature", _readable_signature)
    return {"parallel_read_safe": True}


def _expand_source(_app: Any, name: str, source: list[str]) -> None:
    source[0] = expand(source[0], DOCS / f"{name}.md")


def _keep_first_line(_app: Any, what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Napoleon takes the text before a colon in the first line of a field's docstring for the field's type.

    With its first word on a line of its own, the paragraph is the same and no such line is left.
    """
    if what in ("attribute", "property"):
        lines[:1] = lines[0].split(" ", 1)


def _drop_what_python_wrote(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """A NamedTuple has a docstring of its own on `__new__`, which says nothing."""
    lines[:] = [line for line in lines if not line.startswith("Create new instance of ")]


def _link_pages(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """A docstring names a document by its path in the repository."""
    lines[:] = [re.sub(r"docs/([\w/-]+)\.md", r":doc:`/\1`", line) for line in lines]


def _readable_signature(
    _app: Any, _what: str, _name: str, _object: Any, _options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """`<factory>` is no Python, so Sphinx would show the whole signature as it comes, with the module of each type."""
    if signature and "<factory>" in signature:
        signature = re.sub(r"~[\w.]+\.", "", signature).replace("<factory>", "...")
    return signature, returns


def _resolve_links(app: Any, document: Any) -> None:
    """Links to documents outside of the site: to the page that includes one, or to a copy of the file."""
    from sphinx import addnodes

    for link in list(document.findall(addnodes.pending_xref)):
        target = link["reftarget"]
        if link.get("refdomain") != "doc" or target in app.env.found_docs:
            continue
        path = (DOCS / f"{target}.md").resolve()
        if path in PAGES:
            link["reftarget"] = PAGES[path]
            continue
        attributes = {
            **link.attributes,
            "refdomain": None,
            "reftarget": os.path.relpath(path, DOCS / Path(app.env.docname).parent),
        }
        copy = addnodes.download_reference("", "", *link.children, **attributes)
        link.replace_self(copy)
