"""What is measured of a finished model for its card.

None of this may influence a choice made during training: the pictures are those of benchmarks.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.cards.robustness import Robustness, measure_robustness
from drrn.core.metrics import PROTOCOL
from drrn.core.parsing import parse_record
from drrn.data.pairs import pictures_in
from drrn.errors import DataError
from drrn.evaluation.benchmark import Row, evaluate
from drrn.evaluation.cards.card import CurvePoint
from drrn.upscaling.upscaler import Upscaler

SCALES: Final = (2.0, 3.0, 4.0)
CURVE: Final = (*(round(1.2 + step / 5, 1) for step in range(15)), 4.5)
"""The scales that the packaged models were trained for, and one beyond."""
MOST_WORSE = 30
"""The most pictures that a card names of those that bicubic enlarges better."""
ON_CARD = ("data", "units", "curve", "worse", "robustness", "command", "commit")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Score:
    """One set at one scale, by the protocol. PSNR in dB, here and below."""

    data: str
    pictures: int
    scale: float
    psnr: float
    ssim: float
    bicubic_psnr: float
    bicubic_ssim: float


@dataclass(frozen=True)
class ByUnits:
    """The first set, with fewer units."""

    units: int
    macs: int
    """Multiply-adds per pixel of the result."""
    scale: float
    psnr: float


@dataclass(frozen=True)
class Worse:
    """A picture that bicubic enlarges better."""

    data: str
    picture: str
    scale: float
    psnr: float
    bicubic: float


@dataclass(frozen=True)
class Measurements:
    """All measurements of a model, and where they come from."""

    model: str
    sha256: str
    """`Weights.digest` of the network."""
    data: list[str]
    """The names of the sets."""
    scores: list[Score]
    units: list[ByUnits]
    curve: list[CurvePoint]
    worse: list[Worse]
    """The worst first."""
    robustness: list[Robustness]
    protocol: str = PROTOCOL
    command: str = ""
    commit: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_dict(cls, values: Any) -> "Measurements":
        """Raises ValueError if `values` are not those of `to_json`."""
        measurements: Measurements = parse_record(cls, values)
        return measurements

    def add_to(self, card: Mapping[str, Any]) -> dict[str, Any]:
        """The card with these measurements: few enough for the header of a weights file."""
        values = asdict(self)
        character = {name: values[name] for name in ON_CARD} | {
            "worse": values["worse"][:MOST_WORSE],
            "worse_count": len(self.worse),
        }
        return {**card, "scores": values["scores"], "protocol": self.protocol, "character": character}


def measure_model(
    upscaler: Callable[[int | None], Upscaler],
    folders: Sequence[Path],
    *,
    command: str = "",
    commit: str = "",
    progress: Progress = lambda sentence: None,
) -> Measurements:
    """Measure scores on each of the folders, and everything else on the first.

    Args:
        upscaler: makes an upscaler of the model with a number of units, None for its own.
        progress: is told in a few words what is being measured.

    Raises:
        DRRNError: a folder is missing or empty, or a picture can't be read or is too small.
    """
    if not folders:
        raise DataError("No folders of pictures given. Name at least one.")
    own = upscaler(None)
    weights = own.weights
    scored = [pair for folder in folders for pair in _pairs(own, folder, SCALES, progress)]
    names = list(dict.fromkeys(pair.data for pair in scored))
    if len(names) < len(folders):
        raise DataError(f"Two of the folders have one name, of {', '.join(names)}. Rename one.")
    between = [scale for scale in CURVE if scale not in SCALES]
    others = [pair._replace(data=names[0]) for pair in _pairs(own, folders[0], between, progress)]
    return Measurements(
        model=weights.name,
        sha256=weights.digest(),
        data=names,
        scores=[pair.score() for pair in scored],
        units=list(_by_units(upscaler, weights.units, folders[0], progress)),
        curve=[
            CurvePoint(pair.drrn.scale, round(pair.drrn.psnr, 4), round(pair.bicubic.psnr, 4))
            for pair in sorted([*scored[: len(SCALES)], *others], key=lambda pair: pair.drrn.scale)
        ],
        worse=sorted(
            (worse for pair in [*scored, *others] for worse in pair.worse()),
            key=lambda each: each.psnr - each.bicubic,
        ),
        robustness=list(measure_robustness(own, names[0], pictures_in(folders[:1]), progress)),
        command=command,
        commit=commit,
    )


class _Pair(NamedTuple):
    """The scores of bicubic and of the model on one set at one scale."""

    data: str
    bicubic: Row
    drrn: Row

    def score(self) -> Score:
        drrn, bicubic = self.drrn, self.bicubic
        return Score(
            data=self.data,
            pictures=len(drrn.images),
            scale=drrn.scale,
            psnr=round(drrn.psnr, 4),
            ssim=round(drrn.ssim, 5),
            bicubic_psnr=round(bicubic.psnr, 4),
            bicubic_ssim=round(bicubic.ssim, 5),
        )

    def worse(self) -> Iterator[Worse]:
        for bicubic, drrn in zip(self.bicubic.images, self.drrn.images, strict=True):
            if drrn.psnr < bicubic.psnr:
                yield Worse(self.data, drrn.name, self.drrn.scale, round(drrn.psnr, 4), round(bicubic.psnr, 4))


def _pairs(upscaler: Upscaler, folder: Path, scales: Sequence[float], progress: Progress) -> Iterator[_Pair]:
    for scale in scales:
        progress(f"{folder.name} x{scale:g}")
        bicubic, *_, drrn = evaluate([upscaler], [folder], [scale])
        yield _Pair(drrn.data, bicubic, drrn)


def _by_units(
    upscaler: Callable[[int | None], Upscaler], trained: tuple[int, int], folder: Path, progress: Progress
) -> Iterator[ByUnits]:
    """Empty for a model that was trained with one number of units."""
    least, most = trained
    for units in range(least, most + 1) if least < most else ():
        progress(f"{units} units")
        with_units = upscaler(units)
        for pair in _pairs(with_units, folder, SCALES, progress):
            macs = with_units.weights.network(pair.drrn.scale).config.macs(units)
            yield ByUnits(units, macs, pair.drrn.scale, round(pair.drrn.psnr, 4))
