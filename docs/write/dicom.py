"""The table of docs/how-to/dicom.md: two slices, before and after `drrn upscale`."""

from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from docs.write import DOCS, Texts, read, replace_between
from drrn.core.resize import imresize
from drrn.tables import markdown
from tests.dicom_files import enlarged, published

PAGE = DOCS / "how-to/dicom.md"
SLICES = {"CT_small": "CT", "MR_small": "MR"}
"""pydicom's files, and their modality."""


def texts(scratch: Path) -> Texts:
    """The page with its table."""
    return {PAGE: replace_between(read(PAGE), "measured", table(scratch))}


def table(scratch: Path) -> str:
    """A column for each slice before and after, a row for each fact."""
    head, columns = [""], []
    for name, modality in SLICES.items():
        source = scratch / f"{name}.dcm"
        source.write_bytes(published(name))
        before, after = dcmread(source), enlarged(source, model="small")
        head += [modality, f"{modality}, enlarged"]
        columns += [_facts(before), _facts(after, before)]
    lines = [[fact, *(column[fact] for column in columns)] for fact in columns[1]]
    return markdown(head, lines, texts=len(head))


def _facts(dataset: Dataset, source: Dataset | None = None) -> dict[str, str]:
    """The facts of a slice; for an enlarged one, also its distance from `source` when made smaller again."""
    slope, intercept = (float(dataset.get(f"Rescale{what}", other)) for what, other in (("Slope", 1), ("Intercept", 0)))
    values = dataset.pixel_array * slope + intercept
    down, across = map(float, dataset.PixelSpacing)
    corner = np.array(dataset.ImagePositionPatient, float)
    right, below = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
    outer = corner - right * across / 2 - below * down / 2
    facts = {
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
        "image type": ", ".join(dataset.ImageType),
        "same series and instance": "",
    }
    if source is not None:
        small = source.pixel_array.astype(np.float64)
        bicubic = imresize(small, dataset.Rows, dataset.Columns)
        distances = [
            np.sqrt(((imresize(larger.astype(np.float64), *small.shape) - small) ** 2).mean()) * slope
            for larger in (dataset.pixel_array, bicubic)
        ]
        facts["made smaller again: root mean square from the source"] = f"{distances[0]:.2f}"
        facts["the same of bicubic"] = f"{distances[1]:.2f}"
        is_same = [dataset[uid].value == source[uid].value for uid in ("SeriesInstanceUID", "SOPInstanceUID")]
        facts["same series and instance"] = "yes" if any(is_same) else "no"
    return facts
