"""Import DRRN weights of other projects from their `.pth` files.

The popular PyTorch ports have one block, no batch norm and four convolutions, under various names. Shapes tell them
apart: (C, 1, 3, 3) enters, two (C, C, 3, 3) belong to the unit, in order, and (1, C, 3, 3) leaves.
"""

import io
import os
import warnings
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from drrn.core.config import DRRNConfig, Skip
from drrn.errors import WeightsError
from drrn.weights.store import Weights

MAX_BYTES = 64 << 20
"""A DRRN's file has about a megabyte, with optimizer state a few."""
NESTS = ("ema_state_dict", "state_dict", "params_ema", "params", "model")
"""Keys under which ports store the weights, if a file contains more."""


def import_pth(path: Path, *, units: int, skip: Skip = "rectified") -> Weights:
    """Convert a port's `.pth` file.

    Args:
        units: residual units to run; a file of shared weights does not record them.
        skip: the ports' in-place ReLU also rectifies the block's first features; `rectified` reproduces that.

    Raises:
        WeightsError: the file is missing, damaged, malicious, or of another network.
    """
    if not os.path.isfile(path):  # noqa: PTH113, which raises if a name is too long
        raise WeightsError(f"No file {path}. Give the .pth file of a DRRN.")
    if path.stat().st_size > MAX_BYTES:
        raise WeightsError(
            f"{path} is larger than {MAX_BYTES >> 20} MB, so it is not a DRRN. Give the .pth file of a DRRN."
        )
    content = path.read_bytes()
    tensors = _convolutions(path, _load(path, content))
    first, middle, last = (list(of.values()) for of in tensors)
    if len(first) != 1 or len(middle) != 2 or len(last) != 1:
        raise WeightsError(
            f"{path} has {len(first)} + {len(middle)} + {len(last)} convolutions. Expected a DRRN of one block "
            "without batch norm: one that enters, two of the unit, one that leaves."
        )
    try:
        config = DRRNConfig(units=units, width=len(first[0]), skip=skip, bias=False)
        return Weights(
            config=config,
            scales=(2, 3, 4),
            units=(units, units),
            tensors=dict(zip(config.tensors(), (tensor.numpy() for tensor in [*first, *middle, *last]), strict=True)),
            card={"source": path.name, "source_sha256": sha256(content).hexdigest(), "recipe": "another project's"},
            name=path.stem,
        )
    except ValueError as error:
        raise WeightsError(f"{path} is not a DRRN that drrn can run: {error}") from error


def _load(path: Path, content: bytes) -> Any:
    """Load a torch file without executing anything: only tensors and plain containers."""
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # torch does not compress, and checks no CRC: a deflated file could expand a thousandfold
            stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
            if not stored or sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise WeightsError(
                    f"{path} is compressed or too large, unlike a file of torch. Save it again with torch.save."
                )
            if archive.testzip():
                raise WeightsError(f"{path} is damaged: a checksum does not match.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles of other versions, which are read or refused anyway
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # untrusted files can make the unpickler fail in any way
        raise WeightsError(
            f"{path} can't be read as plain tensors: it is damaged, or contains code. Save its state_dict() alone."
        ) from error


def _convolutions(path: Path, loaded: Any) -> tuple[dict[str, torch.Tensor], ...]:
    """The tensors of the first, middle and last convolutions."""
    for nest in NESTS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(nest), Mapping):
            loaded = loaded[nest]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise WeightsError(f"{path} has no weights. Expected a state_dict: tensors by name.")
    kernels = {name: value.float() for name, value in loaded.items() if value.ndim == 4}
    if len(kernels) != len(loaded) or any(value.shape[2:] != (3, 3) for value in kernels.values()):
        raise WeightsError(
            f"{path} has tensors other than 3x3 convolutions without bias. Expected a known port of DRRN."
        )
    first = {name: value for name, value in kernels.items() if value.shape[1] == 1}
    last = {name: value for name, value in kernels.items() if value.shape[0] == 1}
    return first, {name: value for name, value in kernels.items() if name not in first | last}, last
