"""Parse a loss as users write it: `mse`, or a weighted sum such as `0.84*msssim+0.16*l1`.

The functions are in `drrn.network.losses`.
"""

from math import inf, nan
from typing import Literal, NamedTuple, get_args

LossName = Literal["mse", "l1", "charbonnier", "euclidean", "msssim", "focal_frequency", "vgg", "lpips"]


class Term(NamedTuple):
    """A loss and its weight."""

    weight: float
    name: LossName


def terms(loss: str) -> list[Term]:
    """The terms of `loss` in order; a term without a weight has weight 1.

    Raises:
        ValueError: a term is empty or unknown, or its weight is not a number above 0.
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
        f"`loss` must be a sum of terms such as 0.84*msssim+0.16*l1, with weights above 0 and losses from {known}; "
        f"got {part.strip()!r} in {loss!r}."
    )
