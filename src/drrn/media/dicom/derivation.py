"""Derive the DICOM header of an enlargement: a new object that refers to its source and occupies the same place.

Values measured in pixels are adapted or left out. Patient, study, frame of reference, rescale slope and intercept,
windows and `LossyImageCompression` are unchanged.
"""

from collections.abc import Iterator
from math import gcd
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import NAMESPACE_OID, uuid5

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset

SPACINGS: Final = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""(down, across) in mm, from center to center."""
IN_PIXELS: Final = {
    "icon": ("IconImageSequence",),
    "ultrasound regions": ("SequenceOfUltrasoundRegions",),
    "shutter": (
        "ShutterShape", "ShutterLeftVerticalEdge", "ShutterRightVerticalEdge", "ShutterUpperHorizontalEdge",
        "ShutterLowerHorizontalEdge", "CenterOfCircularShutter", "RadiusOfCircularShutter",
        "VerticesOfThePolygonalShutter", "ShutterPresentationValue",
    ),
    "collimator": (
        "CollimatorShape", "CollimatorLeftVerticalEdge", "CollimatorRightVerticalEdge", "CollimatorUpperHorizontalEdge",
        "CollimatorLowerHorizontalEdge", "CenterOfCircularCollimator", "RadiusOfCircularCollimator",
        "VerticesOfThePolygonalCollimator",
    ),
}  # fmt: skip
"""Elements that state positions in pixels, or hold a thumbnail. They are left out, and reported."""
STALE: Final = (
    "SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries",
    "SmallestImagePixelValueInPlane", "LargestImagePixelValueInPlane", "InstanceCreationDate", "InstanceCreationTime",
    "DigitalSignaturesSequence", "MACParametersSequence", "DataSetTrailingPadding", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths", "PixelDataProviderURL",
)  # fmt: skip
"""Elements that do not apply to other pixels, and are left out."""


class Derivation(NamedTuple):
    """How an enlargement was made."""

    recipe: str
    """Everything besides the source that determines the result."""
    series: str
    """The same for a whole series: equal for slices enlarged in one run."""
    model: str
    version: str
    """The version of drrn."""


def derive(dataset: "Dataset", values: NDArray[Any], how: Derivation) -> None:
    """Change `dataset` into that of the enlargement.

    The UIDs are derived from those of the source and from `how`, so that repeating the enlargement gives the same UIDs.

    Args:
        values: (frames, H, W, channels), as stored.
    """
    from pydicom import Dataset

    height, width, channels = values.shape[1:]
    before = (int(dataset.Rows), int(dataset.Columns))
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    _enlarge_geometry(dataset, before, (height, width))
    for keyword in (*STALE, *(each for keywords in IN_PIXELS.values() for each in keywords)):
        if keyword in dataset:
            del dataset[keyword]
    for tag in list(_overlays(dataset)):
        del dataset[tag]
    dataset.Rows, dataset.Columns = height, width
    dataset.SOPInstanceUID = _uid("instance", dataset.SOPInstanceUID, how.recipe, how.version)
    dataset.SeriesInstanceUID = _uid("series", dataset.SeriesInstanceUID, how.series, how.version)
    dataset.SourceImageSequence = [source]
    dataset.ImageType = ["DERIVED", "SECONDARY", *_several(dataset.get("ImageType"))[2:]]
    said = f"Enlarged by drrn {how.version}, model {how.model}, from {before[1]}x{before[0]} to {width}x{height}."
    told = f"{dataset.get('DerivationDescription') or ''} {said} Not for diagnosis.".strip()
    dataset.DerivationDescription = told[-1024:]  # its maximum length
    if channels == 3:
        dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0
    content = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    dataset.add_new(0x7FE00010, "OB" if values.itemsize == 1 else "OW", content + b"\0" * (len(content) % 2))


def left_out(dataset: "Dataset") -> tuple[str, ...]:
    """List what an enlargement of it lacks, each as `without overlays`."""
    names = [name for name, keywords in IN_PIXELS.items() if any(keyword in dataset for keyword in keywords)]
    if any(True for _ in _overlays(dataset)):
        names.insert(0, "overlays")
    return tuple(f"without {name}" for name in names)


def _enlarge_geometry(dataset: "Dataset", before: tuple[int, int], after: tuple[int, int]) -> None:
    """Scale the pixel spacing, and move the center of the first pixel so that the outer corners stay in place."""
    ratio = np.divide(before, after)  # down, across
    shared = _first(dataset, "SharedFunctionalGroupsSequence")
    frames = [dataset, *_several(dataset.get("PerFrameFunctionalGroupsSequence")), *([shared] if shared else [])]
    for frame in frames:
        _move(frame, shared, ratio)
    groups = [_first(frame, "PixelMeasuresSequence") for frame in frames]
    for item in [dataset, *(group for group in groups if group is not None)]:
        for keyword in SPACINGS:
            if item.get(keyword):
                item[keyword].value = _decimals(np.array(item[keyword].value, float).reshape(2) * ratio)
    if dataset.get("PixelAspectRatio"):  # down : across
        down, across = (int(value) for value in dataset.PixelAspectRatio)
        down, across = down * before[0] * after[1], across * before[1] * after[0]
        dataset.PixelAspectRatio = [down // gcd(down, across), across // gcd(down, across)]


def _move(frame: "Dataset", shared: "Dataset | None", ratio: NDArray[Any]) -> None:
    """Move the position of `frame`, by the spacing and orientation that it states itself or shares."""

    def found(group: str, keyword: str, *holders: "Dataset | None") -> "Dataset | None":
        items = (item for holder in holders for item in (holder, _first(holder, group)))
        return next((item for item in items if item is not None and item.get(keyword)), None)

    place = found("PlanePositionSequence", "ImagePositionPatient", frame)
    measures = found("PixelMeasuresSequence", "PixelSpacing", frame, shared)
    orientation = found("PlaneOrientationSequence", "ImageOrientationPatient", frame, shared)
    if place is None:
        return
    if measures is None or orientation is None:  # it can't be moved, and unmoved it would be wrong
        del place.ImagePositionPatient
        return
    across, down = np.array(orientation.ImageOrientationPatient, float).reshape(2, 3)
    # shift of the center, in mm: down, across
    steps = np.array(measures.PixelSpacing, float).reshape(2) * (ratio - 1) / 2
    moved = np.array(place.ImagePositionPatient, float).reshape(3) + steps[0] * down + steps[1] * across
    place.ImagePositionPatient = _decimals(moved)


def _first(dataset: "Dataset | None", sequence: str) -> "Dataset | None":
    items = _several(dataset.get(sequence)) if dataset is not None else []
    return items[0] if items else None


def _several(value: Any) -> list[Any]:
    """Return the value as a list, whether there are none, one or many."""
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _decimals(values: NDArray[Any]) -> list[str]:
    """Format numbers as decimal strings of at most 16 characters."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(float(value)) for value in values]


def _overlays(dataset: "Dataset") -> Iterator[Any]:
    """Yield the tags of overlays and curves, which are positioned in pixels too."""
    return (tag for tag in list(dataset.keys()) if tag.group % 2 == 0 and tag.group >> 8 in (0x50, 0x60))


def _uid(*what: str) -> str:
    return f"2.25.{uuid5(NAMESPACE_OID, ' '.join(what)).int}"
