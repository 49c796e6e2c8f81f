"""What is computed from a config matches the network that is built, and an invalid config is refused."""

import json
import re
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from drrn.core.config import DRRNConfig
from drrn.network.model import DRRN
from tests.small_configs import configs, flat

B1U9 = DRRNConfig()
B1U25 = DRRNConfig(units=25)


@pytest.mark.parametrize(
    ("config", "trained", "macs", "depth"),
    [(B1U9, 302_467, 2_656_512, 20), (B1U25, 310_659, 7_375_104, 52)],
    ids=["B1U9", "B1U25"],
)
def test_the_networks_of_the_paper_have_its_numbers(config: DRRNConfig, trained: int, macs: int, depth: int) -> None:
    # golden: DRRN_FACTS.md section 1, from the authors' prototxt files; the paper prints 297K, d = 20 and d = 52
    assert config.convolution_weights == 297_216
    assert replace(config, batch_norm=True).convolution_weights == 297_216
    assert replace(config, bias=False).parameters == 297_216
    assert replace(config, batch_norm=True).parameters == trained
    assert config.macs() == macs
    assert config.depth == config.halo == depth


def test_blocks_and_unshared_units_have_the_numbers_of_the_paper_too() -> None:
    assert [DRRNConfig(blocks=b, units=u).depth for b, u in [(2, 3), (3, 2), (3, 8), (17, 1)]] == [15, 16, 52, 52]
    assert [DRRNConfig(blocks=3, units=u).convolution_weights // 1000 for u in (2, 8)] == [1181, 1181]  # 1182K there
    unshared = DRRNConfig(share=False).convolution_weights
    assert unshared == 297_216 + 8 * 2 * 9 * 128 * 128


@given(configs)
@settings(deadline=None)
def test_tensors_match_the_network(config: DRRNConfig) -> None:
    network = DRRN(config)
    built = {name: tuple(t.shape) for name, t in network.state_dict().items() if "num_batches_tracked" not in name}
    assert list(config.tensors().items()) == list(built.items())  # in the same order, too
    assert config.parameters == sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert config.convolution_weights == sum(p.numel() for p in network.parameters() if p.ndim == 4)


@given(configs)
@settings(max_examples=40, deadline=None)
def test_macs_match_the_network(config: DRRNConfig) -> None:
    assert config.macs() == config.macs(config.units) == macs_that_run(config, config.units)


@pytest.mark.parametrize("units", [0, 1, 3, 7])
@pytest.mark.parametrize("unshuffle", [1, 2])
def test_macs_of_other_units_match_the_network(units: int, unshuffle: Literal[1, 2]) -> None:
    config = DRRNConfig(blocks=2, units=3, width=4, unshuffle=unshuffle)
    assert config.macs(units) == macs_that_run(config, units)


def macs_that_run(config: DRRNConfig, units: int) -> int:
    """Multiply-adds per pixel, counted by hooks."""
    network = DRRN(config).eval()
    counted = 0

    def count(conv: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal counted
        assert isinstance(conv, nn.Conv2d)
        counted += output.numel() * conv.in_channels * 9

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, config.channels, 12, 12), units=units)
    return counted // 144


@given(configs)
@settings(deadline=None)
def test_depth_and_halo_follow_the_formula_of_the_paper(config: DRRNConfig) -> None:
    assert config.depth == (1 + 2 * config.units) * config.blocks + 1
    assert config.halo == config.depth * config.unshuffle


@given(configs)
@settings(deadline=None)
def test_a_config_survives_json(config: DRRNConfig) -> None:
    assert DRRNConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def a_config(**fields: Any) -> DRRNConfig:
    return DRRNConfig(**fields)


@pytest.mark.parametrize(("name", "low", "high"), [("blocks", 1, 64), ("units", 0, 256), ("width", 1, 1024)])
def test_numbers_out_of_range_are_refused(name: str, low: int, high: int) -> None:
    for inside in (low, high):
        assert getattr(a_config(**{name: inside}), name) == inside
    for outside in (low - 1, high + 1, -(10**30), 10**30):
        with pytest.raises(ValueError, match=rf"^`{name}` must be in {low}\.\.{high}, got {outside}\.$"):
            a_config(**{name: outside})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("skip", "sauce", "source, chain, none, rectified"),
        ("channels", 2, "1, 3"),
        ("channels", 0, "1, 3"),
        ("unshuffle", 5, "1, 2, 3, 4"),
        ("unshuffle", 8, "1, 2, 3, 4"),
    ],
)
def test_unknown_choices_are_refused(name: str, value: Any, allowed: str) -> None:
    with pytest.raises(ValueError, match=rf"^`{name}` must be one of {allowed}, got {re.escape(repr(value))}\.$"):
        a_config(**{name: value})


def test_an_untrusted_config_must_have_exactly_the_known_fields() -> None:
    good = B1U9.to_dict()
    for name in good:
        with pytest.raises(ValueError, match=rf"missing or unknown fields: '{name}'\."):
            DRRNConfig.from_dict({key: value for key, value in good.items() if key != name})
    with pytest.raises(ValueError, match=r"missing or unknown fields: 'dilation'\."):
        DRRNConfig.from_dict({**good, "dilation": 2})
    with pytest.raises(ValueError, match=r"missing or unknown fields: 'x{200}'\."):
        DRRNConfig.from_dict({**good, "x" * 10**6: 2})


WRONG = [True, False, 1, 1.0, 9.0, "9", "source", None, [], {}, [9], float("nan"), 10**400]


@pytest.mark.parametrize("name", B1U9.to_dict())
def test_untrusted_values_must_have_the_exact_type(name: str) -> None:
    good = B1U9.to_dict()
    for value in WRONG:
        if type(value) is not type(good[name]):
            with pytest.raises(ValueError, match=rf"^`{name}` must be {type(good[name]).__name__}, got .{{1,100}}\.$"):
                DRRNConfig.from_dict({**good, name: value})


def test_untrusted_values_must_be_in_range() -> None:
    with pytest.raises(ValueError, match="`units` must be in"):
        DRRNConfig.from_dict({**B1U9.to_dict(), "units": 257})


@pytest.mark.parametrize("value", [None, [], "config", 9, [["blocks", 1]]])
def test_an_untrusted_config_must_be_an_object(value: Any) -> None:
    with pytest.raises(ValueError, match="its config is not an object"):
        DRRNConfig.from_dict(value)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(list(B1U9.to_dict())), anything) | anything)
@settings(max_examples=100, deadline=None)
def test_untrusted_configs_raise_only_value_errors(values: Any) -> None:
    if isinstance(values, dict):
        values = B1U9.to_dict() | values
    try:
        assert DRRNConfig.from_dict(values).to_dict() == values
    except ValueError as error:
        assert str(error).isprintable() and len(str(error)) < 2100


@pytest.mark.parametrize("fields", [{"bias": True}, {"batch_norm": True}, {"global_residual": False}], ids=str)
def test_flat_is_refused_with_incompatible_fields(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^`flat` needs `bias` off, `batch_norm` off and `global_residual` on\.$"):
        replace(flat(DRRNConfig()), **fields)


def test_an_older_config_is_read_and_written_unchanged() -> None:
    older = {name: value for name, value in DRRNConfig().to_dict().items() if name != "flat"}
    assert older == DRRNConfig().to_dict()  # the digests of older weights must not change
    assert DRRNConfig.from_dict(older) == DRRNConfig()
    assert DRRNConfig.from_dict(flat(DRRNConfig()).to_dict()) == flat(DRRNConfig())
