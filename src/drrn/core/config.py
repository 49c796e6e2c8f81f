"""The config of a network, `DRRNConfig`, and everything that follows from it without building the network.

Reference: Tai, Yang and Liu, "Image Super-Resolution via Deep Recursive Residual Network", CVPR 2017.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import prod
from typing import Any, Literal, get_args

Skip = Literal["source", "chain", "none", "rectified"]

Initial = Literal["glorot", "he"]
"""How random weights are drawn, see `drrn.network.model.DRRN.init_weights`."""

ADDED: Mapping[str, Any] = {"flat": False}
"""Fields that files of older versions lack, with the values they stand for."""


@dataclass(frozen=True, kw_only=True)
class DRRNConfig:
    """Structure of the network: by default, the paper's B1U9 without batch norm."""

    blocks: int = 1
    """Recursive blocks, the paper's B, at least 1. Each has its own weights."""
    units: int = 9
    """Residual units in a block, the paper's U, at least 0. All use the block's two convolutions."""
    width: int = 128
    """Feature channels of every hidden layer."""
    skip: Skip = "source"
    """What a unit's output is added to. source (the paper): the block's first features, H_u = F(H_{u-1}) + H_0.
    chain (the report): the unit's own input, H_u = F(H_{u-1}) + H_{u-1}. none: nothing, the report's ablation.
    rectified: relu(H_0), which the popular ports compute; needed to run their weights."""
    global_residual: bool = True
    """Learn only what bicubic lost: sr = ilr + G(ilr). Turning it off is an ablation."""
    batch_norm: bool = False
    """Batch norm before every ReLU, as in the paper. Each unit has its own, even where convolutions are shared."""
    bias: bool = True
    """Convolutions have biases, as in the paper. The popular ports have none."""
    share: bool = True
    """Units of a block share its two convolutions. Turning it off is the paper's NS ablation."""
    channels: Literal[1, 3] = 1
    """1: luma, as in the paper; chroma is enlarged by bicubic. 3: RGB, as in the report."""
    unshuffle: Literal[1, 2, 3, 4] = 1
    """1: the paper's network. 2, 3 or 4: the same trunk on 4, 9 or 16 times fewer pixels, between a pixel-unshuffle
    and a pixel-shuffle: cheaper, and not in the paper."""
    flat: bool = False
    """Constant areas stay exactly as they are, up to the border. Not in the paper: the filters of the first
    convolution have zero mean per color, ilr is replicated beyond its border, and no convolution has a bias, so
    that a constant ilr gives zero features in every layer. Needs `bias` off, `batch_norm` off and `global_residual`
    on."""

    def __post_init__(self) -> None:
        for name, low, high in [("blocks", 1, 64), ("units", 0, 256), ("width", 1, 1024)]:
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"`{name}` must be in {low}..{high}, got {getattr(self, name)}.")
        for name, known in [("skip", get_args(Skip)), ("channels", (1, 3)), ("unshuffle", (1, 2, 3, 4))]:
            if getattr(self, name) not in known:
                allowed = ", ".join(map(str, known))
                raise ValueError(f"`{name}` must be one of {allowed}, got {getattr(self, name)!r}.")
        if self.flat and (self.bias or self.batch_norm or not self.global_residual):
            raise ValueError("`flat` needs `bias` off, `batch_norm` off and `global_residual` on.")

    @property
    def depth(self) -> int:
        """Convolutions from input to output, the paper's d = (1 + 2U)B + 1."""
        return (1 + 2 * self.units) * self.blocks + 1

    @property
    def halo(self) -> int:
        """The reach of the network, in pixels of ilr.

        The output pixels of a cell of `unshuffle` x `unshuffle` depend on input up to `halo` pixels beyond the cell on
        every side, and on nothing further: each 3x3 convolution adds one cell.
        """
        return self.depth * self.unshuffle

    @property
    def parameters(self) -> int:
        """Trained values: convolutions, biases, and scales and shifts of batch norms."""
        return sum(prod(shape) for name, shape in self.tensors().items() if "running" not in name)

    @property
    def convolution_weights(self) -> int:
        """Parameters as the paper counts them: without biases and batch norms."""
        return sum(prod(shape) for shape in self.tensors().values() if len(shape) == 4)

    def macs(self, units: int | None = None) -> int:
        """Multiply-adds per pixel of the enlarged image, optionally with another number of `units`."""
        units = self.units if units is None else units
        ends = (self.blocks - 1) * self.width + 2 * self.channels * self.unshuffle**2
        return 9 * self.width * (ends + 2 * self.blocks * units * self.width) // self.unshuffle**2

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor of the network, in the order of the layers."""
        outside, width = self.channels * self.unshuffle**2, self.width
        convolutions = (1 if self.units else 0) if self.share else self.units
        shapes: dict[str, tuple[int, ...]] = {}

        def norm(name: str, channels: int) -> None:
            if self.batch_norm:
                parts = ("weight", "bias", "running_mean", "running_var")
                shapes.update({f"{name}.{part}": (channels,) for part in parts})

        def convolution(name: str, channels_in: int, channels_out: int) -> None:
            shapes[f"{name}.weight"] = (channels_out, channels_in, 3, 3)
            if self.bias:
                shapes[f"{name}.bias"] = (channels_out,)

        for block in range(self.blocks):
            entering = width if block else outside
            norm(f"blocks.{block}.enter.norm", entering)
            convolution(f"blocks.{block}.enter.conv", entering, width)
            for half in ("first", "second"):
                for index in range(convolutions):
                    convolution(f"blocks.{block}.{half}.{index}", width, width)
            for half in ("first_norms", "second_norms"):
                for unit in range(self.units):
                    norm(f"blocks.{block}.{half}.{unit}", width)
        norm("leave.norm", width)
        convolution("leave.conv", width, outside)
        return shapes

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON has them. Fields that older versions did not have are left out at their defaults."""
        return {name: value for name, value in asdict(self).items() if name not in ADDED or value != ADDED[name]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DRRNConfig":
        """A config from untrusted JSON.

        Args:
            values: by the names of the fields. All are needed but those that later versions added.

        Raises:
            ValueError: a field is missing, unknown, of the wrong type or out of range.
        """
        if not isinstance(values, Mapping):
            raise ValueError("its config is not an object.")
        known = {field.name: type(field.default) for field in fields(cls)}
        values = {**ADDED, **values}
        if values.keys() != known.keys():
            odd = ", ".join(sorted(values.keys() ^ known.keys()))
            raise ValueError(f"its config has missing or unknown fields: {odd[:200]!r}.")
        for name, kind in known.items():
            if type(values[name]) is not kind:  # not isinstance: True is not a number of blocks
                raise ValueError(f"`{name}` must be {kind.__name__}, got {values[name]!r:.100}.")
        return cls(**values)
