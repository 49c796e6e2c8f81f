"""What a training minimises, as it is written: `mse`, or a sum of weighted terms as in `0.84*msssim+0.16*l1`.

The functions are in `drrn.network.losses`.
"""

from math import inf, nan
from typing import Literal, NamedTuple, get_args

LossName = Literal["mse", "l1", "charbonnier", "euclidean", "msssim", "focal_frequency", "vgg", "lpips"]


class Term(NamedTuple):
    """One loss, and what it is multiplied by."""

    weight: float
    name: LossName


def terms(loss: str) -> list[Term]:
    """The terms of `loss` in their order; one that is written without a weight has 1.

    Raises:
        ValueError: a term is empty or unknown, or its weight is no number above 0.
    """
    return [_term(part, loss) for part in loss.split("+")]


def _term(part: str, loss: str) -> Term:
    before, times, after = part.rpartition("*")
    try:
        weight = float(before) if times else 1.0
    except ValueError:
        weight = nan
    for name in get_args(LossName):
        if name == after.strip() and 0 < weight < inf:
            return Term(weight, name)
    known = ", ".join(get_args(LossName))
    raise ValueError(
        f"`loss` must be a sum of terms as in 0.84*msssim+0.16*l1, weights above 0, of {known}; "
        f"got {part.strip()!r} in {loss!r}."
    )
