"""The parts of the documents that follow from measurements and results: one module per page.

Each returns the text of files, by path; `python -m docs.write` writes them, and tests hold the documents to them.
"""

from pathlib import Path

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent

Texts = dict[Path, str]
"""The text of each file."""


def read(path: Path) -> str:
    """The text of a document."""
    return path.read_text(encoding="utf-8")


def replace_between(document: str, name: str, text: str) -> str:
    """The document with `text` between `<!-- name -->` and `<!-- /name -->`.

    Raises:
        ValueError: the document does not have the two marks.
    """
    before, _, after = _split(document, name)
    return f"{before}\n{text.strip()}\n\n{after}"


def text_between(document: str, name: str) -> str:
    """The text between `<!-- name -->` and `<!-- /name -->`.

    Raises:
        ValueError: the document does not have the two marks.
    """
    return _split(document, name)[1].strip()


def _split(document: str, name: str) -> tuple[str, str, str]:
    """What is before the text, with its first mark; the text; and what follows, with its last mark."""
    before, begin, rest = document.partition(f"<!-- {name} -->\n")
    text, end, after = rest.partition(f"<!-- /{name} -->")
    if not begin or not end:
        raise ValueError(f"The document has no marks <!-- {name} --> and <!-- /{name} -->.")
    return before + begin, text, end + after
