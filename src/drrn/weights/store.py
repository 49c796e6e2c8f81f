"""Trained weights, with what it takes to use them, in one safetensors file.

The tensors are the network's; the header says which network, for which scales, and where the weights come from. Nothing
in a file is code, so that one from a stranger is safe to open: it is good, or it is refused before it is believed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as pack_tensors

from drrn.atomic import write_bytes
from drrn.core.config import DRRNConfig
from drrn.errors import WeightsError

PACKAGED = Path(__file__).parent / "packaged"
FORMATS = (1, 2)
"""The second has networks for exact scales."""
ROUNDING = 0.02
"""By how much a scale may differ that a picture's sides make."""
EXACT_SCALES = (2, 3, 4)
"""Those that may have networks of their own."""
EXACT = re.compile(r"x\d\.")
"""How the tensors of a network for one exact scale begin."""
MAX_HEADER = 1 << 20
"""Bytes. Ours have some 5,000; a header of 90 MB keeps the library busy for half a minute (measured)."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Weights:
    """A trained network, and all that is known about it."""

    config: DRRNConfig
    """The network that the tensors belong to."""
    scales: tuple[float, ...]
    """Those that it was trained for."""
    units: tuple[int, int]
    """The fewest and the most residual units that it was trained to run with."""
    tensors: Mapping[str, NDArray[np.float32]]
    """By name, as `DRRNConfig.tensors` lists them."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from: data, recipe, command, seed, commit, scores, protocol. Plain JSON values."""
    name: str = ""
    """What users call it: its packaged name, or its file's."""
    exact: Mapping[int, "Weights"] = field(default_factory=dict)
    """Networks of their own for images that become exactly 2, 3 or 4 times as large, by that number. All other scales
    are this network's."""

    def __post_init__(self) -> None:
        shapes = {name: tensor.shape for name, tensor in self.tensors.items()}
        if shapes != self.config.tensors():
            odd = sorted(set(shapes.items()) ^ set(self.config.tensors().items()))
            raise ValueError(f"its tensors are not those of its config: {str(odd[:2])[:200]}.")
        if not all(np.isfinite(tensor).all() for tensor in self.tensors.values()):
            raise ValueError("it has weights that are not finite.")
        low, high = self.units
        if not 0 <= low <= high <= self.config.units:
            raise ValueError("its range of units is not one of its config.")
        for scale, network in self.exact.items():
            if not scale >= 2 or network.exact or network.scales != (scale,):
                raise ValueError(f"its network for x{scale} is not for that scale alone.")
            if (network.config.channels, network.units) != (self.config.channels, self.units):
                raise ValueError(f"its network for x{scale} has other channels or units.")

    def __repr__(self) -> str:
        config, scales = self.config, sorted({*self.scales, *self.exact})
        span = " to ".join(dict.fromkeys(f"x{each:g}" for each in (*scales[:1], *scales[-1:])))
        network = f"B{config.blocks}U{config.units}, width {config.width}"
        return f"Weights({self.name or 'unnamed'}: {network}, {span}, {self.parameters:,} parameters)"

    @property
    def parameters(self) -> int:
        """Numbers that were trained, of all networks together."""
        return self.config.parameters + sum(network.config.parameters for network in self.exact.values())

    def network(self, scale: float) -> "Weights":
        """The weights that enlarge by exactly `scale`: those for that scale alone if there are any, or these."""
        return self.exact.get(int(scale), self) if scale == int(scale) else self

    def fitting(self, source: tuple[int, int], result: tuple[int, int]) -> "Weights":
        """The weights that enlarge an image from `source` to `result`, both (width, height)."""
        scale = result[0] / source[0]
        return self.network(scale) if result[1] == scale * source[1] else self

    def covers(self, scale: float) -> bool:
        """Whether `scale` lies within the trained scales, allowing for rounding to whole pixels."""
        low, high = min(self.scales), max((*self.scales, *self.exact))
        return low * (1 - ROUNDING) <= scale <= high * (1 + ROUNDING)

    def outside(self, scale: float) -> str:
        """A sentence saying that `scale` is outside the trained scales, or nothing if it is covered."""
        low, high = (f"x{each:g}" for each in (min(self.scales), max((*self.scales, *self.exact))))
        trained = f"{low} to {high}" if low != high else low
        return "" if self.covers(scale) else f"x{scale:.3g} is outside of what {self.name} was trained for ({trained})"

    def digest(self) -> str:
        """SHA-256 of the networks: of all that decides pixels, and nothing of where it comes from."""
        exact = {str(scale): network.digest() for scale, network in self.exact.items()}
        return _digest({"config": self.config.to_dict()} | ({"exact": exact} if exact else {}), self.tensors)


def names() -> list[str]:
    """The weights that came with the package."""
    return sorted(path.stem for path in PACKAGED.glob("*.safetensors"))


def save(weights: Weights, path: Path) -> None:
    """Write `weights` to `path`, whole or not at all.

    Raises:
        DRRNError: the file can't be written.
    """
    about = {
        "format": FORMATS[bool(weights.exact)],
        "config": weights.config.to_dict(),
        "scales": list(weights.scales),
        "units": list(weights.units),
        "card": dict(weights.card),
    }
    tensors = {name: np.ascontiguousarray(tensor, "<f4") for name, tensor in weights.tensors.items()}
    if weights.exact:
        about["exact"] = {
            str(scale): {"config": network.config.to_dict(), "card": dict(network.card)}
            for scale, network in weights.exact.items()
        }
        tensors |= {
            f"x{scale}.{name}": np.ascontiguousarray(tensor, "<f4")
            for scale, network in weights.exact.items()
            for name, tensor in network.tensors.items()
        }
    about["sha256"] = _digest(about, tensors)
    write_bytes(path, pack_tensors(tensors, metadata={"drrn": json.dumps(about)}))


def load(name: str | Path) -> Weights:
    """Weights by their packaged name, or from a file.

    Args:
        name: a packaged name (`drrn models list`), or the path of a safetensors file that drrn wrote.

    Raises:
        TypeError: it is no name and no path.
        WeightsError: there is no such name or file; or the file is damaged, hostile or of another kind.
    """
    if not isinstance(name, str | PathLike):
        kind = type(name).__qualname__
        raise TypeError(f"Weights are a packaged name, the path of a weights file, or drrn.Weights, got {kind}.")
    packaged = PACKAGED / f"{name}.safetensors"
    path = packaged if str(name) in names() else Path(name)
    if not _exists(path):
        known = ", ".join(names()) or "none"
        raise WeightsError(f"No weights named {str(name)!r}, and no such file. Packaged: {known}.")
    if not path.is_file():
        raise WeightsError(f"{_line(str(path))} is not a file. Give a .safetensors file of drrn, or a packaged name.")
    try:
        with path.open("rb") as file:
            about = _read_about(file)
            configs, size = _believe(about, path.stat().st_size)
            file.seek(0)
            tensors = parse_tensors(file.read(size + 1))
        if about["sha256"] != _digest({k: v for k, v in about.items() if k != "sha256"}, tensors):
            raise ValueError("its SHA-256 does not match: it is damaged.")
        low, high = about["units"]
        whole = Weights(
            config=configs.pop(0),
            scales=tuple(about["scales"]),
            units=(low, high),
            tensors={name: tensor for name, tensor in tensors.items() if not EXACT.match(name)},
            card=about["card"],
            name=path.stem,
        )
        exact = {
            scale: replace(
                whole,
                config=config,
                scales=(scale,),
                tensors={
                    name.removeprefix(f"x{scale}."): t for name, t in tensors.items() if name.startswith(f"x{scale}.")
                },
                card=about["exact"][str(scale)]["card"],
            )
            for scale, config in configs.items()
        }
        return replace(whole, exact=exact)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise WeightsError(f"{_line(str(path))} is no DRRN weights file: {_sentence(error)}") from error


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name longer than any file's
        return False


def _read_about(file: BinaryIO) -> dict[str, Any]:
    """Our part of the header of a safetensors file, read with limits that the library does not have."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= MAX_HEADER:
        raise ValueError(f"its header claims {length} bytes.")
    header = file.read(length)
    if not header.rstrip(b" ").endswith(b"}"):
        raise ValueError("its header is cut off or padded with something else than spaces.")
    values = json.loads(header, object_pairs_hook=_unique)
    text = values["__metadata__"]["drrn"]
    about = json.loads(text)
    if json.dumps(about) != text:  # said twice, or otherwise: the hash is of values, and 1e-05 and 1E-05 are one
        raise ValueError("its header is spelt as drrn spells none: it is damaged.")
    if about["format"] not in FORMATS:
        raise ValueError(f"its format is {about['format']!r:.20}, this drrn reads 1 and 2.")
    if any(entry["dtype"] != "F32" for name, entry in values.items() if name != "__metadata__"):
        raise ValueError("it has tensors that are not 32-bit floats.")
    about["length"] = 8 + length
    return dict(about)


def _believe(about: dict[str, Any], size: int) -> tuple[dict[int, DRRNConfig], int]:
    """The configs by their exact scale, 0 for all other scales, once it is seen that the file is as large as these
    networks need: nothing is allocated before."""
    exact = about.get("exact", {})
    if not (isinstance(exact, dict) and set(exact) <= set(map(str, EXACT_SCALES))):
        raise ValueError("its exact scales are not some of 2, 3 and 4.")
    parts = {0: about, **{int(scale): part for scale, part in exact.items()}}
    configs = {scale: DRRNConfig.from_dict(part["config"]) for scale, part in parts.items()}
    numbers = sum(prod(shape) for config in configs.values() for shape in config.tensors().values())
    needed = about.pop("length") + 4 * numbers
    if needed != size:
        raise ValueError(f"its network needs a file of {needed} bytes, it has {size}.")
    scales = about["scales"]
    if not (scales and type(scales) is list and all(type(s) in (int, float) and 1 < s <= 16 for s in scales)):
        raise ValueError("its scales are no list of numbers above 1.")
    low, high = about["units"]
    if not (type(low) is int and type(high) is int):
        raise ValueError("its range of units is not one.")
    if not all(isinstance(part["card"], dict) for part in parts.values()):
        raise ValueError("its card is not one.")
    return configs, needed


def _digest(about: Mapping[str, Any], tensors: Mapping[str, NDArray[np.float32]]) -> str:
    """SHA-256 over all that a file says and all that it holds."""
    digest = sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].shape}".encode())
        digest.update(tensors[name].astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("its header says something twice.")
    return values


def _sentence(error: Exception) -> str:
    """What is wrong, in one line that ends in a full stop."""
    if isinstance(error, KeyError):
        return f"its header lacks {error}."
    if isinstance(error, UnicodeDecodeError | json.JSONDecodeError | TypeError | RecursionError):
        return "its header makes no sense."
    line = _line(" ".join(str(error).split())[:300])
    return line if line.endswith(".") else f"{line}."


def _line(text: str) -> str:
    """The text on one line, whatever is in it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
