"""What docs/dicom.md says of two slices that were enlarged, found out anew. `DRRN_WRITE=1` writes the table in it."""

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom")

from pydicom import Dataset, dcmread

from drrn.core.resize import imresize
from tests.conftest import ROOT
from tests.dicom_files import enlarged, published

DOCUMENT = ROOT / "docs/dicom.md"
BEGIN, END = "<!-- begin: measured -->\n", "<!-- end: measured -->\n"
NAMES = {"CT_small": "CT", "MR_small": "MR"}


def test_the_page_says_what_becomes_of_a_ct_and_an_mr_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    columns = []
    for name in NAMES:
        source = tmp_path / f"{name}.dcm"
        source.write_bytes(published(name))
        before, after = dcmread(source), enlarged(source, model="small")
        columns += [facts(before), facts(after, before)]
    heads = [f"{kind}{end}" for kind in NAMES.values() for end in ("", ", enlarged")]
    rows = [["", *heads], ["---"] * 5, *([key, *(column[key] for column in columns)] for key in columns[1])]
    met = "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
    text = DOCUMENT.read_text(encoding="utf-8")
    start, stop = text.index(BEGIN) + len(BEGIN), text.index(END)
    if os.environ.get("DRRN_WRITE"):
        text = text[:start] + met + text[stop:]
        DOCUMENT.write_text(text, encoding="utf-8")
    said = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text[start:].splitlines() if line[:1] == "|"]
    assert [row[0] for row in said] == [row[0] for row in rows]
    for ours, theirs in zip(said[2:], rows[2:], strict=True):
        for said_cell, found in zip(ours, theirs, strict=True):
            assert said_cell == found or np.isclose(float(said_cell), float(found), rtol=0.01, atol=0.1), ours[0]


def facts(dataset: Dataset, source: Dataset | None = None) -> dict[str, str]:
    """What its table says of a slice; of an enlarged one, also how far it is from its `source` once made smaller."""
    slope, intercept = (float(dataset.get(f"Rescale{what}", other)) for what, other in (("Slope", 1), ("Intercept", 0)))
    values = dataset.pixel_array * slope + intercept
    down, across = map(float, dataset.PixelSpacing)
    corner = np.array(dataset.ImagePositionPatient, float)
    right, below = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
    outer = corner - right * across / 2 - below * down / 2
    found = {
        "rows x columns": f"{dataset.Rows} x {dataset.Columns}",
        "spacing, mm": f"{down:.6g} x {across:.6g}",
        "extent, mm": f"{dataset.Rows * down:.6g} x {dataset.Columns * across:.6g}",
        "outer corner, mm": ", ".join(f"{value:.3f}" for value in outer + 0.0),
        "bits stored, signed": f"{dataset.BitsStored}, {'yes' if dataset.PixelRepresentation else 'no'}",
        "rescale slope, intercept": f"{slope:g}, {intercept:g}",
        "unit": "HU" if dataset.Modality == "CT" else "as stored",
        "mean": f"{values.mean():.1f}",
        "standard deviation": f"{values.std():.1f}",
        "least, most": f"{values.min():.0f} to {values.max():.0f}",
        "made smaller again: root mean square from the source": "",
        "the same of bicubic": "",
        "image type": "\\\\".join(dataset.ImageType),
        "same series and instance": "",
    }
    if source is not None:
        given = source.pixel_array.astype(np.float64)
        bicubic = imresize(given, dataset.Rows, dataset.Columns)
        away = [
            np.sqrt(((imresize(larger.astype(np.float64), *given.shape) - given) ** 2).mean()) * slope
            for larger in (dataset.pixel_array, bicubic)
        ]
        found["made smaller again: root mean square from the source"] = f"{away[0]:.2f}"
        found["the same of bicubic"] = f"{away[1]:.2f}"
        same = [dataset[uid].value == source[uid].value for uid in ("SeriesInstanceUID", "SOPInstanceUID")]
        found["same series and instance"] = "yes" if any(same) else "no"
    return found
