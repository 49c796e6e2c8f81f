"""Make small DICOM files, and run the command that enlarges them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, RLELossless

from tests import command_line

NAME = "Secret^Patience"
"""A name that no message may contain."""
EXPLICIT, IMPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
CT = "1.2.840.10008.5.1.4.1.1.2"


def put(path: Path, values: NDArray[Any], *, syntax: str = EXPLICIT, rle: bool = False, **elements: Any) -> Path:
    """Write a file with these stored values: (H, W), (frames, H, W) or (H, W, 3)."""
    frames = values.ndim == 3 and values.shape[2] != 3
    height, width = values.shape[1:] if frames else values.shape[:2]
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, "1.2.3.4"
    dataset.PatientName, dataset.PatientID = NAME, "ID-4711"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.9"
    dataset.SamplesPerPixel = 3 if values.shape[-1] == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if values.shape[-1] == 3 else "MONOCHROME2"
    if values.shape[-1] == 3:
        dataset.PlanarConfiguration = 0
    if frames:
        dataset.NumberOfFrames = len(values)
    dataset.Rows, dataset.Columns = height, width
    dataset.BitsAllocated = dataset.BitsStored = values.itemsize * 8
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    dataset["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.HighBit = dataset.BitsStored - 1
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    if rle:
        dataset.compress(RLELossless, generate_instance_uid=False)
    dcmwrite(path, dataset, enforce_file_format=True)
    return path


def smooth(height: int = 24, width: int = 20, low: float = 0, high: float = 1000) -> NDArray[np.float64]:
    """Smooth waves with one edge."""
    y, x = np.mgrid[:height, :width]
    waves = (np.sin(x / 3) * np.cos(y / 4) + 1) / 2
    return np.rint(low + (high - low) * np.where(x + y > height, waves, waves / 4))


def run(*args: str | Path, model: str = "tiny.safetensors") -> int:
    """Run the command, and return its exit code."""
    return command_line.run("upscale", *args, "--model", model, "--device", "cpu", "--threads", "1")


def enlarged(source: Path, *args: str | Path, model: str = "tiny.safetensors") -> Dataset:
    """Enlarge a file, and read the result with pydicom."""
    target = source.with_name(f"{source.stem}_out.dcm")
    assert run(source, "-o", target, "--overwrite", *args, model=model) == 0
    return dcmread(target)


def published(name: str) -> bytes:
    """A test file of pydicom."""
    path = get_testdata_file(f"{name}.dcm", download=False)
    assert isinstance(path, str), f"pydicom has no {name}.dcm"
    return Path(path).read_bytes()
