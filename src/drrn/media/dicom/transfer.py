"""How a DICOM file encodes its dataset: its offset, transfer syntax and byte order.

This needs pydicom, which is imported only when a DICOM file is met.
"""

import re
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset

IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN, RLE = (
    f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".1.99", ".2", ".5")
)  # transfer syntaxes
READ: Final = (IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN, RLE)
WORDS: Final = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
"""Bytes per word of values that hold many words, by value representation."""
FIRST_ELEMENT: Final = re.compile(
    rb"\x02\x00.\x00[A-Z][A-Z]|\x08\x00.\x00[A-Z][A-Z]|\x00\x08\x00.[A-Z][A-Z]"
    rb"|\x08\x00.\x00(?:\x04\x00\x00\x00.{4}|([\x02-\x7f])\x00\x00\x00)",
    re.DOTALL,
)
"""The first bytes of a dataset without preamble; of an implicit one, including the length of its first value."""


def is_dicom(path: Path) -> bool:
    """Whether the content of the file is DICOM."""
    try:
        if not S_ISREG(path.stat().st_mode):  # opening a pipe would wait for a writer
            return False
        with path.open("rb") as file:
            head = file.read(512)
    except OSError:
        return False
    return head[128:132] == b"DICM" or _begins_data_set(head)


def begin(file: BinaryIO) -> tuple[int, str]:
    """Find the offset of the dataset and its transfer syntax; the file is left at that offset.

    Without a preamble the dataset begins at once. If there is no meta group to state the syntax, it is inferred from
    the first element.
    """
    from pydicom.filereader import read_dataset

    head = file.read(138)
    start = 132 if head[128:132] == b"DICM" else 0
    file.seek(start)
    first = head[start : start + 6]
    if first[:2] == b"\x02\x00":
        meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
        return file.tell(), str(meta.get("TransferSyntaxUID", ""))
    if not first[4:].isupper():
        return start, IMPLICIT
    return start, EXPLICIT if first[1:2] == b"\0" else BIG_ENDIAN


def swap_words(dataset: "Dataset") -> None:
    """Convert values of many words from big to little endian, where pydicom leaves the bytes as stored."""
    for element in dataset.iterall():
        if element.VR in WORDS and isinstance(element.value, bytes):
            element.value = swapped(element.value, WORDS[element.VR])


def swapped(content: bytes, word: int) -> bytes:
    """Swap the byte order of words of this many bytes."""
    return np.frombuffer(content, f">u{word}").astype(f"<u{word}").tobytes()


def _begins_data_set(head: bytes) -> bool:
    """Whether it is a dataset without the preamble of a file."""
    found = FIRST_ELEMENT.match(head)
    if not found:
        return False
    if head[4:6].isupper():  # with an explicit value representation
        return True
    second = 8 + int.from_bytes(head[4:8], "little")
    return head[second : second + 2] == b"\x08\x00"


def encode(dataset: "Dataset", file: Any) -> None:
    """Write a dataset with its pixels, as Explicit VR Little Endian."""
    from pydicom import dcmwrite
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dcmwrite(file, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True)
