"""A loss is written as a sum of weighted terms."""

from typing import get_args

import pytest

from drrn.core.loss import LossName, terms
from drrn.training.config import TrainConfig


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("mse", [(1, "mse")]),
        ("msssim+l1", [(1, "msssim"), (1, "l1")]),
        ("0.84*msssim+0.16*l1", [(0.84, "msssim"), (0.16, "l1")]),
        ("l1 + 1e-2 * vgg", [(1, "l1"), (0.01, "vgg")]),
        ("l1+0.1*focal_frequency+lpips", [(1, "l1"), (0.1, "focal_frequency"), (1, "lpips")]),
    ],
)
def test_a_loss_is_parsed_term_by_term(loss: str, expected: list[tuple[float, LossName]]) -> None:
    assert terms(loss) == expected
    assert TrainConfig(loss=loss).loss == loss


@pytest.mark.parametrize("name", get_args(LossName))
def test_a_single_name_is_a_whole_loss(name: LossName) -> None:
    assert terms(name) == [(1, name)]


@pytest.mark.parametrize(
    ("loss", "culprit"),
    [
        ("", "''"),
        ("l2", "'l2'"),
        ("l1+", "''"),
        ("l1+2*L1", r"'2\*L1'"),
        ("0*l1", r"'0\*l1'"),
        ("l1+-1*mse", r"'-1\*mse'"),
        ("nan*l1", r"'nan\*l1'"),
        ("inf*l1", r"'inf\*l1'"),
        ("*l1", r"'\*l1'"),
        ("2*3*l1", r"'2\*3\*l1'"),
        ("l1*0.5", r"'l1\*0.5'"),
    ],
)
def test_an_unknown_loss_lists_the_known_ones(loss: str, culprit: str) -> None:
    with pytest.raises(ValueError, match=rf"from mse, l1, .*, lpips; got {culprit} in '"):
        TrainConfig(loss=loss)
