"""What a DICOM header says once the picture is larger: another object, derived from its source, in the same place.

Everything that counts pixels is made to fit, or left out. The patient, the study, the frame of reference, rescale slope
and intercept, windows and `LossyImageCompression` stay as they are.
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
"""(down, across) in mm, from centre to centre."""
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
"""What holds places in pixels, or a smaller copy of them, and is left out and said to be."""
STALE: Final = (
    "SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries",
    "SmallestImagePixelValueInPlane", "LargestImagePixelValueInPlane", "InstanceCreationDate", "InstanceCreationTime",
    "DigitalSignaturesSequence", "MACParametersSequence", "DataSetTrailingPadding", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths", "PixelDataProviderURL",
)  # fmt: skip
"""What is not true of other pixels, and is left out."""


class Derivation(NamedTuple):
    """How an enlargement came about."""

    recipe: str
    """All that decides it beside its source."""
    series: str
    """The same of a whole series: equal for slices that are enlarged in one run."""
    model: str
    version: str
    """Of drrn."""


def derive(dataset: "Dataset", values: NDArray[Any], how: Derivation) -> None:
    """Make `dataset` that of the enlargement.

    The UIDs follow from those of the source and from `how`: who enlarges again gets the same.

    Args:
        values: (frames, H, W, channels), as they are to be stored.
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
    dataset.DerivationDescription = told[-1024:]  # as long as it may be
    if channels == 3:
        dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0
    content = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    dataset.add_new(0x7FE00010, "OB" if values.itemsize == 1 else "OW", content + b"\0" * (len(content) % 2))


def left_out(dataset: "Dataset") -> tuple[str, ...]:
    """What of it an enlargement lacks, each as `without overlays`."""
    names = [name for name, keywords in IN_PIXELS.items() if any(keyword in dataset for keyword in keywords)]
    if any(True for _ in _overlays(dataset)):
        names.insert(0, "overlays")
    return tuple(f"without {name}" for name in names)


def _enlarge_geometry(dataset: "Dataset", before: tuple[int, int], after: tuple[int, int]) -> None:
    """Pixels become smaller, and the centre of the first moves, so that the outer corners stay where they are."""
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
    """The position that `frame` has itself, by spacing and orientation that it has itself or shares."""

    def found(group: str, keyword: str, *holders: "Dataset | None") -> "Dataset | None":
        items = (item for holder in holders for item in (holder, _first(holder, group)))
        return next((item for item in items if item is not None and item.get(keyword)), None)

    place = found("PlanePositionSequence", "ImagePositionPatient", frame)
    measures = found("PixelMeasuresSequence", "PixelSpacing", frame, shared)
    orientation = found("PlaneOrientationSequence", "ImageOrientationPatient", frame, shared)
    if place is None:
        return
    if measures is None or orientation is None:  # it can't be moved, and where it is it would be wrong
        del place.ImagePositionPatient
        return
    across, down = np.array(orientation.ImageOrientationPatient, float).reshape(2, 3)
    steps = np.array(measures.PixelSpacing, float).reshape(2) * (ratio - 1) / 2  # of the centre, in mm: down, across
    moved = np.array(place.ImagePositionPatient, float).reshape(3) + steps[0] * down + steps[1] * across
    place.ImagePositionPatient = _decimals(moved)


def _first(dataset: "Dataset | None", sequence: str) -> "Dataset | None":
    items = _several(dataset.get(sequence)) if dataset is not None else []
    return items[0] if items else None


def _several(value: Any) -> list[Any]:
    """Whether there are none, one or many."""
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _decimals(values: NDArray[Any]) -> list[str]:
    """As text of at most 16 characters."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(float(value)) for value in values]


def _overlays(dataset: "Dataset") -> Iterator[Any]:
    """Tags of overlays and of curves, which lie over pixels too."""
    return (tag for tag in list(dataset.keys()) if tag.group % 2 == 0 and tag.group >> 8 in (0x50, 0x60))


def _uid(*what: str) -> str:
    return f"2.25.{uuid5(NAMESPACE_OID, ' '.join(what)).int}"
