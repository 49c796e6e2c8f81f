"""The header of a weights file, read and checked before anything is allocated: the file may come from anywhere."""

import json
from math import prod
from typing import Any, BinaryIO

from drrn.core.config import DRRNConfig

FORMATS = (1, 2)
"""Version 2 has a network for each of several whole scales."""
WHOLE_SCALES = (2, 3, 4)
"""Scales that may have a network of their own."""
SIZES = {"F32": 4, "F16": 2}
"""Bytes of a value, by the name that safetensors gives its kind."""
MAX_HEADER = 1 << 20
"""In bytes. Ours have about 5,000; a header of 90 MB occupies the library for half a minute (measured)."""


def read_header(file: BinaryIO) -> dict[str, Any]:
    """Read our part of a safetensors header, with limits that the library lacks."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= MAX_HEADER:
        raise ValueError(f"its header claims {length} bytes.")
    raw = file.read(length)
    if not raw.rstrip(b" ").endswith(b"}"):
        raise ValueError("its header is truncated, or padded with something other than spaces.")
    values = json.loads(raw, object_pairs_hook=_unique)
    text = values["__metadata__"]["drrn"]
    header = json.loads(text)
    if json.dumps(header) != text:  # the hash covers values, for which 1e-05 and 1E-05 are the same
        raise ValueError("its header is not written the way drrn writes it: it is damaged.")
    if header["format"] not in FORMATS:
        raise ValueError(f"its format is {header['format']!r:.20}; this drrn reads 1 and 2.")
    kinds = {entry["dtype"] for name, entry in values.items() if name != "__metadata__"}
    if not (len(kinds) == 1 and kinds <= set(SIZES)):
        raise ValueError("its tensors are neither all 32-bit floats nor all 16-bit floats.")
    header |= {"length": 8 + length, "kind": kinds.pop()}
    return dict(header)


def check_header(header: dict[str, Any], size: int) -> tuple[dict[int, DRRNConfig], int]:
    """Check that the file has the size its networks need, before anything is allocated.

    Returns:
        The configs of its networks, by scale, 0 for the first; and the size of the file in bytes.
    """
    larger = header.get("larger", {})
    if not (isinstance(larger, dict) and set(larger) <= set(map(str, WHOLE_SCALES))):
        raise ValueError("its whole scales are not some of 2, 3 and 4.")
    parts = {0: header, **{int(scale): part for scale, part in larger.items()}}
    configs = {scale: DRRNConfig.from_dict(part["config"]) for scale, part in parts.items()}
    numbers = sum(prod(shape) for config in configs.values() for shape in config.tensors().values())
    needed = header.pop("length") + SIZES[header.pop("kind")] * numbers
    if needed != size:
        raise ValueError(f"its network needs a file of {needed} bytes, it has {size}.")
    scales = header["scales"]
    if not (scales and type(scales) is list and all(type(s) in (int, float) and 1 < s <= 16 for s in scales)):
        raise ValueError("its scales are not a list of numbers above 1.")
    low, high = header["units"]
    if not (type(low) is int and type(high) is int):
        raise ValueError("its units are not two integers.")
    if not all(isinstance(part["card"], dict) for part in parts.values()):
        raise ValueError("its card is not an object.")
    return configs, needed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("its header has a duplicate key.")
    return values
