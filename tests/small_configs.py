"""Small networks of every kind, for Hypothesis."""

from dataclasses import replace
from typing import get_args

from hypothesis import strategies as st

from drrn.core.config import DRRNConfig, Skip


def flat(config: DRRNConfig) -> DRRNConfig:
    """The same network with `flat`, which keeps constant areas."""
    return replace(config, flat=True, bias=False, batch_norm=False, global_residual=True)


configs = st.builds(
    DRRNConfig,
    blocks=st.integers(1, 3),
    units=st.integers(0, 3),
    width=st.integers(1, 5),
    skip=st.sampled_from(get_args(Skip)),
    global_residual=st.booleans(),
    batch_norm=st.booleans(),
    bias=st.booleans(),
    share=st.booleans(),
    channels=st.sampled_from([1, 3]),
    unshuffle=st.integers(1, 4),
).flatmap(lambda config: st.sampled_from([config, flat(config)]))
