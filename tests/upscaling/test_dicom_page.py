"""docs/how-to/dicom.md matches what happens to two slices."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom")

from docs.write import dicom


def cells(markdown: str) -> list[list[str]]:
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_the_page_matches_what_happens_to_a_ct_and_an_mr_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written, measured = cells(dicom.PAGE.read_text(encoding="utf-8")), cells(dicom.table(tmp_path))
    assert [row[0] for row in written] == [row[0] for row in measured]
    for ours, theirs in zip(written, measured, strict=True):
        for a, b in zip(ours, theirs, strict=True):  # engines round differently
            assert a == b or np.isclose(float(a), float(b), rtol=0.01, atol=0.1), ours[0]
