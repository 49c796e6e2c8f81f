"""Highlighting of commands on the site: an option is one token, so that no line is broken at its hyphens."""

from typing import Any, ClassVar

from pygments.lexer import inherit
from pygments.lexers.shell import BashLexer, BashSessionLexer
from pygments.token import Name


class ShellLexer(BashLexer):  # type: ignore[misc]  # without types
    """Bash with options such as `--epoch-steps` as attributes, which _static/site.css keeps on one line."""

    tokens: ClassVar[dict[str, Any]] = {"data": [(r"(?<=\s)--?[a-zA-Z][\w-]*", Name.Attribute), inherit]}


class ConsoleLexer(BashSessionLexer):  # type: ignore[misc]
    """The same behind a prompt."""

    _innerLexerCls = ShellLexer  # noqa: N815, the name in Pygments
