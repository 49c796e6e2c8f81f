"""What a model can do and what it can't, measured once it is finished: the figures of its card.

Nothing of this may choose anything in its making: the pictures are those of benchmarks.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from drrn.core.metrics import PROTOCOL
from drrn.core.parsing import parse_record
from drrn.data.pairs import pictures_in
from drrn.errors import DataError
from drrn.evaluation.benchmark import Row, evaluate
from drrn.evaluation.cards.drawings import DRAWINGS
from drrn.evaluation.cards.robustness import Robustness, robustness
from drrn.upscaling.upscaler import Upscaler

SCALES: Final = (2.0, 3.0, 4.0)
CURVE: Final = (*(round(1.2 + step / 5, 1) for step in range(15)), 4.5)
"""What the packaged models were trained for, and a step beyond."""
Note = Callable[[str], None]


@dataclass(frozen=True)
class Score:
    """By the protocol, on one set at one scale. PSNR in dB, here and below."""

    data: str
    pictures: int
    scale: float
    psnr: float
    ssim: float
    bicubic_psnr: float
    bicubic_ssim: float


@dataclass(frozen=True)
class ByUnits:
    """With fewer units, on the first set."""

    units: int
    macs: int
    """Multiply-adds for each pixel of the result."""
    scale: float
    psnr: float


@dataclass(frozen=True)
class Point:
    """Of the curve over scales, on the first set."""

    scale: float
    psnr: float
    bicubic: float


@dataclass(frozen=True)
class Worse:
    """A picture that bicubic enlarges better."""

    data: str
    picture: str
    scale: float
    psnr: float
    bicubic: float


@dataclass(frozen=True)
class Character:
    """All that was measured of a model, and on what."""

    model: str
    sha256: str
    """`Weights.digest`: of this very network."""
    data: list[str]
    """The sets, the first first."""
    scores: list[Score]
    units: list[ByUnits]
    curve: list[Point]
    worse: list[Worse]
    """The most harmed first."""
    robustness: list[Robustness]
    protocol: str = PROTOCOL
    command: str = ""
    commit: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Character":
        """Raises ValueError: that is no character."""
        character: Character = parse_record(cls, values)
        return character


def characterise(
    upscaler: Upscaler,
    with_units: Callable[[int], Upscaler],
    folders: Sequence[Path],
    *,
    command: str = "",
    commit: str = "",
    note: Note = lambda sentence: None,
) -> Character:
    """Measure all of it: scores on each of the folders, the rest on the first of them.

    Args:
        with_units: gives the model with so many units.
        note: told what is going on.

    Raises:
        DRRNError: a folder is missing or empty, a picture can't be read or is too small, or Pillow is missing.
    """
    if not folders:
        raise DataError("No folders of pictures given. Name at least one.")
    DRAWINGS["text"]()  # what is missing ends it here, and not after an hour
    weights = upscaler.weights
    scored = [pair for folder in folders for pair in _pairs(upscaler, folder, SCALES, note)]
    names = list(dict.fromkeys(pair.data for pair in scored))
    if len(names) < len(folders):
        raise DataError(f"Two of the folders have one name, of {', '.join(names)}. Rename one.")
    between = [scale for scale in CURVE if scale not in SCALES]
    others = [pair._replace(data=names[0]) for pair in _pairs(upscaler, folders[0], between, note)]
    return Character(
        model=weights.name,
        sha256=weights.digest(),
        data=names,
        scores=[pair.score() for pair in scored],
        units=list(_by_units(upscaler, with_units, folders[0], note)),
        curve=[
            Point(pair.ours.scale, round(pair.ours.psnr, 4), round(pair.bicubic.psnr, 4))
            for pair in sorted([*scored[: len(SCALES)], *others], key=lambda pair: pair.ours.scale)
        ],
        worse=sorted(
            (worse for pair in [*scored, *others] for worse in pair.worse()),
            key=lambda each: each.psnr - each.bicubic,
        ),
        robustness=list(robustness(upscaler, names[0], pictures_in(folders[:1]), note)),
        command=command,
        commit=commit,
    )


class _Pair(NamedTuple):
    """What bicubic and the model make of one set at one scale."""

    data: str
    bicubic: Row
    ours: Row

    def score(self) -> Score:
        ours, bicubic = self.ours, self.bicubic
        return Score(
            data=self.data,
            pictures=len(ours.images),
            scale=ours.scale,
            psnr=round(ours.psnr, 4),
            ssim=round(ours.ssim, 5),
            bicubic_psnr=round(bicubic.psnr, 4),
            bicubic_ssim=round(bicubic.ssim, 5),
        )

    def worse(self) -> Iterator[Worse]:
        for theirs, ours in zip(self.bicubic.images, self.ours.images, strict=True):
            if ours.psnr < theirs.psnr:
                yield Worse(self.data, ours.name, self.ours.scale, round(ours.psnr, 4), round(theirs.psnr, 4))


def _pairs(upscaler: Upscaler, folder: Path, scales: Sequence[float], note: Note) -> Iterator[_Pair]:
    for scale in scales:
        note(f"{folder.name} x{scale:g}")
        bicubic, *_, ours = evaluate([upscaler], [folder], [scale])
        yield _Pair(ours.data, bicubic, ours)


def _by_units(upscaler: Upscaler, with_units: Callable[[int], Upscaler], folder: Path, note: Note) -> Iterator[ByUnits]:
    """Nothing for a model that was trained with one number of them."""
    least, most = upscaler.weights.units
    for units in range(least, most + 1) if least < most else ():
        note(f"{units} units")
        for pair in _pairs(with_units(units), folder, SCALES, note):
            yield ByUnits(
                units,
                upscaler.weights.network(pair.ours.scale).config.macs(units),
                pair.ours.scale,
                round(pair.ours.psnr, 4),
            )
