"""The tables of docs/reference/formats.md match how every kind of samples and metadata is converted."""

import os
from pathlib import Path

import pytest

from docs.write import formats
from docs.write.formats import KEPT, WRITTEN
from tests.media import animated_modes
from tests.media.mode_files import FORMATS, NOTES, TRUTH


@pytest.mark.slow
def test_the_tables_match_what_happens_to_every_kind_of_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)  # for speed: hundreds of files are written
    written = cells(formats.PAGE.read_text(encoding="utf-8"))
    found = cells("\n\n".join(formats.tables(tmp_path).values()))
    assert not [f"{cell}: {value}" for cell, value in found.items() if "!" in value]
    animated = len(animated_modes.ROWS) * len(animated_modes.COLUMNS)
    assert len(found) == (len(TRUTH) + len(NOTES)) * len(FORMATS) + (len(KEPT) + len(NOTES)) * len(WRITTEN) + animated
    differences = [
        f"{cell} is {found.get(cell)}, and {formats.PAGE.name} says {written.get(cell)}"
        for cell in sorted(found.keys() | written.keys())
        if found.get(cell) != written.get(cell)
    ]
    assert not differences, "\n".join(differences)


def cells(text: str) -> dict[str, str]:
    """Table, row and column -> the cell in the document."""
    found: dict[str, str] = {}
    head: list[str] = []
    for line in text.splitlines():
        row = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("| "):
            head = []
        elif not head:
            head = row
        elif "---" not in row:
            found |= {f"{head[0]}, {row[0]}, {form}": value for form, value in zip(head[1:], row[1:], strict=True)}
    return found
