"""Trained weights, with everything needed to use them, in one safetensors file.

The header says which network the tensors belong to, for which scales, and where the weights come from. A file contains
no code, so untrusted files are safe to open: everything is checked before it is used.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as pack_tensors

from drrn.atomic import write_bytes
from drrn.core.config import DRRNConfig
from drrn.errors import WeightsError
from drrn.weights.header import FORMATS, WHOLE_SCALES, check_header, read_header

PACKAGED = Path(__file__).parent / "packaged"
ROUNDING = 0.02
"""Relative tolerance for a scale computed from an image's sides."""
LARGER = re.compile(r"x\d\.")
"""Prefix of the tensors of a network for a larger whole scale."""


class NetworkPlan(NamedTuple):
    """Which network enlarges an image, and to which size."""

    network: "Weights"
    """What enlarges it."""
    size: tuple[int, int]
    """(width, height) that the network produces, from an image enlarged to that size by bicubic. If the result is to
    have another size, it is resized afterwards.
    """


@dataclass(frozen=True, kw_only=True, repr=False)
class Weights:
    """A trained network, or one for each of several whole scales, and everything known about it."""

    config: DRRNConfig
    """The network that the tensors belong to."""
    scales: tuple[float, ...]
    """The scales it was trained for."""
    units: tuple[int, int]
    """The minimum and maximum of residual units it was trained to run with."""
    tensors: Mapping[str, NDArray[np.float32]]
    """By name, in the order of `DRRNConfig.tensors`."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """Its origin: data, recipe, command, seed, commit, scores, protocol. Plain JSON values."""
    name: str = ""
    """Its packaged name, or that of its file."""
    larger: Mapping[int, "Weights"] = field(default_factory=dict)
    """Networks for larger whole scales, by scale; this one is for the smallest."""

    def __post_init__(self) -> None:
        shapes = {name: tensor.shape for name, tensor in self.tensors.items()}
        if shapes != self.config.tensors():
            odd = sorted(set(shapes.items()) ^ set(self.config.tensors().items()))
            raise ValueError(f"its tensors do not match its config: {str(odd[:2])[:200]}.")
        if not all(np.isfinite(tensor).all() for tensor in self.tensors.values()):
            raise ValueError("it has weights that are not finite.")
        low, high = self.units
        if not 0 <= low <= high <= self.config.units:
            raise ValueError("its units are outside the range of its config.")
        if self.larger and not self.stepped:
            raise ValueError("its first network is not for one whole scale alone.")
        for scale, network in self.larger.items():
            if not scale > self.scales[0] or network.larger or network.scales != (scale,):
                raise ValueError(f"its network for x{scale} is not for that scale alone.")
            if (network.config.channels, network.units) != (self.config.channels, self.units):
                raise ValueError(f"its network for x{scale} has other channels or units.")

    def __repr__(self) -> str:
        config = self.config
        network = f"B{config.blocks}U{config.units}, width {config.width}"
        return f"Weights({self.name or 'unnamed'}: {network}, {self.span}, {self.parameters:,} parameters)"

    @property
    def parameters(self) -> int:
        """Trained values, of all networks together."""
        return sum(network.config.parameters for network in (self, *self.larger.values()))

    @property
    def all_scales(self) -> tuple[float, ...]:
        """The scales of all its networks, ascending."""
        return *sorted(self.scales), *sorted(self.larger)

    @property
    def span(self) -> str:
        """The scales it is for, as in `x1.2 to x4`, or `up to x4` where it is `stepped`."""
        low, high = (f"x{each:g}" for each in (self.all_scales[0], self.all_scales[-1]))
        return f"up to {high}" if self.stepped else f"{low} to {high}" if low != high else low

    @property
    def for_photos(self) -> bool:
        """Whether it was trained on images degraded like photos."""
        recipe = self.card.get("recipe")
        return isinstance(recipe, Mapping) and recipe.get("degrade") == "photo"

    @property
    def stepped(self) -> bool:
        """Whether each network is for exactly one whole scale, and other scales are resized from its result."""
        return len(self.scales) == 1 and self.scales[0] in WHOLE_SCALES

    def network(self, scale: float) -> "Weights":
        """The network for images enlarged by `scale`."""
        return self.plan((10_000, 10_000), (round(10_000 * scale),) * 2).network

    def plan(self, source: tuple[int, int], result: tuple[int, int]) -> NetworkPlan:
        """Decide how an image is enlarged from `source` to `result`, both (width, height).

        If the weights are `stepped`, by the network for the next larger whole scale, or the largest. Since sides are
        rounded, a result of up to one pixel more than a whole scale still counts as that scale.
        """
        if not self.stepped:
            return NetworkPlan(self, result)
        by_scale = {int(self.scales[0]): self, **self.larger}
        enough = [s for s in sorted(by_scale) if all(n <= s * m + 1 for m, n in zip(source, result, strict=True))]
        scale = (*enough, max(by_scale))[0]
        return NetworkPlan(by_scale[scale], (scale * source[0], scale * source[1]))

    def covers(self, scale: float) -> bool:
        """Whether `scale` is within the trained range, allowing for rounding to whole pixels."""
        low = 1 if self.stepped else self.all_scales[0]
        return low * (1 - ROUNDING) <= scale <= self.all_scales[-1] * (1 + ROUNDING)

    def outside(self, scale: float) -> str:
        """Return a sentence that says that `scale` is outside the trained scales; empty if it is covered."""
        if self.covers(scale):
            return ""
        if self.stepped:
            return f"{self.name} enlarges it x{self.all_scales[-1]:g}, and bicubic does the rest"
        return f"x{scale:.3g} is outside of what {self.name} was trained for ({self.span})"

    def digest(self) -> str:
        """SHA-256 of the networks: of everything that affects pixels, but not of their origin."""
        larger = {str(scale): network.digest() for scale, network in self.larger.items()}
        return _digest({"config": self.config.to_dict()} | ({"larger": larger} if larger else {}), self.tensors)


def names() -> list[str]:
    """The names of the packaged models."""
    return sorted(path.stem for path in PACKAGED.glob("*.safetensors"))


def save(weights: Weights, path: Path) -> None:
    """Write `weights` to `path`, atomically; in 16 bits if `rounded` to them.

    Raises:
        DRRNError: the file can't be written.
    """
    header = {
        "format": FORMATS[bool(weights.larger)],
        "config": weights.config.to_dict(),
        "scales": list(weights.scales),
        "units": list(weights.units),
        "card": dict(weights.card),
    }
    tensors = {name: np.ascontiguousarray(tensor, "<f4") for name, tensor in weights.tensors.items()}
    if weights.larger:
        header["larger"] = {
            str(scale): {"config": network.config.to_dict(), "card": dict(network.card)}
            for scale, network in weights.larger.items()
        }
        tensors |= {
            f"x{scale}.{name}": np.ascontiguousarray(tensor, "<f4")
            for scale, network in weights.larger.items()
            for name, tensor in network.tensors.items()
        }
    header["sha256"] = _digest(header, tensors)
    halves = {name: _half(tensor) for name, tensor in tensors.items()}
    if all(np.array_equal(halves[name], tensor) for name, tensor in tensors.items()):
        tensors = halves
    write_bytes(path, pack_tensors(tensors, metadata={"drrn": json.dumps(header)}))


def load(name: str | Path) -> Weights:
    """Load weights by packaged name or from a file.

    Args:
        name: a packaged name (`drrn models list`), or the path of a safetensors file that drrn wrote.

    Raises:
        TypeError: `name` is neither a string nor a path.
        WeightsError: there is no such name or file, or the file is damaged, malicious or of another kind.
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
            header = read_header(file)
            configs, size = check_header(header, path.stat().st_size)
            file.seek(0)
            tensors = {name: tensor.astype("<f4") for name, tensor in parse_tensors(file.read(size + 1)).items()}
        if header["sha256"] != _digest({k: v for k, v in header.items() if k != "sha256"}, tensors):
            raise ValueError("its SHA-256 does not match: it is damaged.")
        low, high = header["units"]
        whole = Weights(
            config=configs.pop(0),
            scales=tuple(header["scales"]),
            units=(low, high),
            tensors={name: tensor for name, tensor in tensors.items() if not LARGER.match(name)},
            card=header["card"],
            name=path.stem,
        )
        larger = {
            scale: replace(
                whole,
                config=config,
                scales=(scale,),
                tensors={
                    name.removeprefix(f"x{scale}."): t for name, t in tensors.items() if name.startswith(f"x{scale}.")
                },
                card=header["larger"][str(scale)]["card"],
            )
            for scale, config in configs.items()
        }
        return replace(whole, larger=larger)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise WeightsError(f"{_line(str(path))} is not a DRRN weights file: {_sentence(error)}") from error


def rounded(weights: Weights) -> Weights:
    """The networks with their values rounded to 16-bit floats, of 11 binary digits: half the size of the file.

    Raises:
        ValueError: a value is too large.
    """
    return replace(
        weights,
        tensors={name: _half(tensor).astype(np.float32) for name, tensor in weights.tensors.items()},
        larger={scale: rounded(network) for scale, network in weights.larger.items()},
    )


def _half(tensor: NDArray[np.float32]) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):  # infinite then, which no weights may be
        return tensor.astype("<f2")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for a file
        return False


def _digest(header: Mapping[str, Any], tensors: Mapping[str, NDArray[np.float32]]) -> str:
    """SHA-256 over a file's header and tensors."""
    digest = sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].shape}".encode())
        digest.update(tensors[name].astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def _sentence(error: Exception) -> str:
    """The error as one line that ends in a full stop."""
    if isinstance(error, KeyError):
        return f"its header lacks {error}."
    if isinstance(error, UnicodeDecodeError | json.JSONDecodeError | TypeError | RecursionError):
        return "its header makes no sense."
    line = _line(" ".join(str(error).split())[:300])
    return line if line.endswith(".") else f"{line}."


def _line(text: str) -> str:
    """The text on one line, with control characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
