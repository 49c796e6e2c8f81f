"""The network matches the recursion of the paper, written out once more without modules."""

from dataclasses import replace
from itertools import product
from typing import Any, Literal, get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from drrn.core.config import DRRNConfig, Skip
from drrn.network.model import DRRN, RecursiveBlock
from tests.small_configs import configs

seeds = st.integers(0, 2**31)


def network(config: DRRNConfig, seed: int = 0) -> DRRN:
    """A network in double precision whose tensors are all random, including batch norms."""
    rng = torch.Generator().manual_seed(seed)
    net = DRRN(config).double().eval()
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if "num_batches" not in name:
                tensor.copy_(0.3 * torch.randn(tensor.shape, generator=rng, dtype=torch.float64))
            if "running_var" in name:
                tensor.abs_().add_(0.5)
    return net


def picture(config: DRRNConfig, height: int, width: int, seed: int = 1) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(2, config.channels, height, width, generator=rng, dtype=torch.float64)


@torch.no_grad()
def by_hand(config: DRRNConfig, state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Section 3 of the paper: x (B, channels, H, W) -> sr."""

    def layer(h: Tensor, norm: str, conv: str) -> Tensor:
        if config.batch_norm:
            mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
            scale = state[f"{norm}.weight"] / torch.sqrt(variance + 1e-5)
            h = (h - mean[:, None, None]) * scale[:, None, None] + state[f"{norm}.bias"][:, None, None]
        h = torch.where(h > 0, h, 0)
        if config.flat and conv == "blocks.0.enter.conv":
            kernel, colors = state[f"{conv}.weight"].clone(), config.channels
            for which in kernel.chunk(colors, dim=1):  # views: each color's mean is taken off in place
                which -= which.mean((1, 2, 3), keepdim=True)
            return F.conv2d(F.pad(h, (1, 1, 1, 1), mode="replicate"), kernel)
        return F.conv2d(h, state[f"{conv}.weight"], state.get(f"{conv}.bias"), padding=1)

    n, (height, width) = config.unshuffle, x.shape[-2:]
    filled = F.pad(x, (0, -width % n, 0, -height % n), mode="replicate")
    # channel c, row i and column j of each cell of n x n, in this order
    h = torch.stack([filled[:, c, i::n, j::n] for c in range(config.channels) for i in range(n) for j in range(n)], 1)
    for b in range(config.blocks):
        h = h_0 = layer(h, f"blocks.{b}.enter.norm", f"blocks.{b}.enter.conv")
        for u in range(config.units):
            which = 0 if config.share else u
            f = layer(h, f"blocks.{b}.first_norms.{u}", f"blocks.{b}.first.{which}")
            f = layer(f, f"blocks.{b}.second_norms.{u}", f"blocks.{b}.second.{which}")
            h = f + {"source": h_0, "chain": h, "none": 0 * h, "rectified": h_0.clamp(min=0)}[config.skip]
    leaving = layer(h, "leave.norm", "leave.conv")
    detail = torch.zeros_like(filled)
    for k in range(leaving.shape[1]):
        c, i, j = k // n**2, k // n % n, k % n
        detail[:, c, i::n, j::n] = leaving[:, k]
    detail = detail[:, :, :height, :width]
    return x + detail if config.global_residual else detail


@pytest.mark.parametrize("unshuffle", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("skip", get_args(Skip))
def test_forward_matches_the_recursion_written_out(skip: Skip, unshuffle: Literal[1, 2, 4]) -> None:
    switches = ("batch_norm", "bias", "share", "global_residual")
    for blocks, channels, *on in product((1, 2) if unshuffle == 1 else (2,), (1, 3), *[(False, True)] * len(switches)):
        fields: dict[str, Any] = dict(zip(switches, on, strict=True), channels=channels)
        config = DRRNConfig(blocks=blocks, units=2, width=3, skip=skip, unshuffle=unshuffle, **fields)
        assert_forward_matches_recursion(config, 5, 6)


@given(configs, st.integers(1, 9), st.integers(1, 9), seeds)
@settings(max_examples=60, deadline=None)
def test_forward_matches_the_recursion_at_any_size(config: DRRNConfig, height: int, width: int, seed: int) -> None:
    assert_forward_matches_recursion(config, height, width, seed)


def assert_forward_matches_recursion(config: DRRNConfig, height: int, width: int, seed: int = 0) -> None:
    net, x = network(config, seed), picture(config, height, width)
    with torch.inference_mode():
        sr = net(x)
    assert sr.shape == x.shape  # though the sides be no multiple of `unshuffle`
    expected = by_hand(config, net.state_dict(), x)
    torch.testing.assert_close(sr, expected, rtol=1e-10, atol=1e-10, msg=lambda printed: f"{config}: {printed}")


@pytest.mark.parametrize("skip", get_args(Skip))
@pytest.mark.parametrize("share", [True, False])
def test_the_networks_of_the_paper_match_it_too(skip: Skip, share: bool) -> None:
    config = DRRNConfig(width=16, skip=skip, share=share, batch_norm=True)
    net, x = network(config), picture(config, 12, 10)
    with torch.inference_mode():
        torch.testing.assert_close(net(x), by_hand(config, net.state_dict(), x), rtol=1e-9, atol=1e-9)


def test_training_and_evaluation_differ_only_by_batch_norm_statistics() -> None:
    config = DRRNConfig(units=2, width=4, batch_norm=True)
    net, x = network(config), picture(config, 8, 8)
    assert not torch.allclose(net.train()(x), net.eval()(x))
    counts = {int(t) for name, t in net.state_dict().items() if "num_batches" in name}
    assert counts == {1}  # each unit has norms of its own: each saw one batch
    plain = network(replace(config, batch_norm=False))
    assert torch.equal(plain.train()(x), plain.eval()(x))


@pytest.mark.parametrize("units", [0, 1, 4])
def test_a_chain_telescopes_to_its_input_and_the_sum_of_what_each_unit_adds(units: int) -> None:
    block = network(DRRNConfig(units=units, width=6, skip="chain")).blocks[0]
    assert isinstance(block, RecursiveBlock)
    added = []
    for conv in block.second:
        conv.register_forward_hook(lambda module, inputs, output: added.append(output))
    x = picture(DRRNConfig(), 7, 7)
    with torch.inference_mode():
        h = block(x, units)
        assert len(added) == units
        # the report's equation 3.2: H_U = x + sum F_i
        torch.testing.assert_close(h, block.enter(x) + sum(added, torch.zeros_like(h)), rtol=1e-12, atol=1e-12)


class Port(nn.Module):
    """DRRN as in the popular ports: its in-place ReLUs also change the skip connection."""

    def __init__(self, width: int, units: int):
        super().__init__()
        self.units = units
        self.input = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.output = nn.Conv2d(width, 1, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        residual = x
        inputs = self.input(self.relu(x))
        out = inputs
        for _ in range(self.units):
            out = self.conv2(self.relu(self.conv1(self.relu(out))))
            out = torch.add(out, inputs)
        out = self.output(self.relu(out))
        return torch.add(out, residual)


@pytest.mark.parametrize("units", [0, 1, 2, 9])
def test_rectified_matches_the_ports_and_source_does_not(units: int) -> None:
    config = DRRNConfig(units=units, width=8, bias=False, skip="rectified")
    ours, port = network(config), Port(8, units).double()
    state = ours.state_dict()
    names = {"input": "blocks.0.enter.conv", "output": "leave.conv"}
    if units:
        names |= {"conv1": "blocks.0.first.0", "conv2": "blocks.0.second.0"}
    port.load_state_dict({f"{theirs}.weight": state[f"{mine}.weight"] for theirs, mine in names.items()}, strict=False)
    source = DRRN(replace(config, skip="source")).double()
    source.load_state_dict(state)
    x = picture(config, 9, 8)  # not negative, like the 8-bit images of the ports
    with torch.inference_mode():
        theirs = port(x.clone())
        torch.testing.assert_close(ours(x), theirs, rtol=1e-12, atol=1e-12)
        assert torch.allclose(source(x), theirs) == (units == 0)


REACHES = [
    DRRNConfig(units=0, width=2),
    DRRNConfig(units=2, width=2),
    DRRNConfig(units=1, width=2, blocks=2),
    DRRNConfig(units=1, width=2, skip="none", global_residual=False),
    DRRNConfig(units=2, width=2, skip="chain", channels=3),
    DRRNConfig(units=1, width=2, unshuffle=2),
    DRRNConfig(units=1, width=2, unshuffle=4, skip="rectified"),
    DRRNConfig(units=9, width=2, bias=False),
]


@pytest.mark.parametrize("config", REACHES, ids=lambda c: f"B{c.blocks}U{c.units}-{c.skip}-{c.unshuffle}")
def test_the_halo_is_tight(config: DRRNConfig) -> None:
    net = DRRN(config).double()
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.1)  # all positive: nothing cancels, and no ReLU is shut
    cell, halo = config.unshuffle, config.halo
    before = -(-(halo + 3) // cell) * cell  # a multiple of a cell
    side = 2 * before + cell
    x = torch.rand(1, config.channels, side, side, dtype=torch.float64).requires_grad_()
    inside = slice(before, before + cell)
    for output in (net(x)[..., inside, inside], net(x)[..., before, before]):  # the cell, and one pixel of it
        (gradient,) = torch.autograd.grad(output.sum(), x)
        far = torch.zeros(side, side, dtype=torch.bool)
        far[before - halo : before + cell + halo, before - halo : before + cell + halo] = True
        assert torch.equal((gradient != 0).all(dim=(0, 1)), far)
        assert torch.equal((gradient != 0).any(dim=(0, 1)), far)


@given(configs, seeds)
@settings(max_examples=30, deadline=None)
def test_the_input_is_not_modified(config: DRRNConfig, seed: int) -> None:
    net, x = network(config, seed), picture(config, 8, 8) - 0.5
    before = x.clone()
    with torch.inference_mode():
        first, second = net(x), net(x)
    assert torch.equal(x, before)
    assert torch.equal(first, second)  # to the last bit


@given(configs, st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_odd_sides_are_padded_by_repetition(config: DRRNConfig, h: int, w: int) -> None:
    net, x = network(config), picture(config, h, w)
    n = config.unshuffle
    filled = F.pad(x, (0, -w % n, 0, -h % n), mode="replicate")
    with torch.inference_mode():
        assert torch.equal(net(x), net(filled)[..., :h, :w])


def test_images_of_a_batch_are_independent() -> None:
    config = DRRNConfig(units=2, width=4)
    net, x = network(config), picture(config, 6, 6)
    with torch.inference_mode():
        torch.testing.assert_close(net(x)[1:], net(x[1:]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("skip", get_args(Skip))
@pytest.mark.parametrize("units", [0, 1, 3, 6])
def test_units_at_run_time_match_another_config(skip: Skip, units: int) -> None:
    config = DRRNConfig(units=3, width=4, blocks=2, skip=skip)
    net, x = network(config), picture(config, 6, 7)
    other = DRRN(replace(config, units=units)).double()
    other.load_state_dict(net.state_dict(), strict=units > 0)  # without units there are no convolutions for them
    with torch.inference_mode():
        assert torch.equal(net(x, units=units), other(x))
        assert torch.equal(net(x, units=3), net(x))


def test_fewer_unshared_units_are_the_first_ones() -> None:
    config = DRRNConfig(units=3, width=4, share=False, batch_norm=True)
    net, x = network(config), picture(config, 6, 6)
    fewer = DRRN(replace(config, units=1)).double().eval()
    fewer.load_state_dict({name: t for name, t in net.state_dict().items() if name in fewer.state_dict()})
    with torch.inference_mode():
        assert torch.equal(net(x, units=1), fewer(x))


def conv_statistics(net: DRRN) -> dict[str, tuple[float, float, float]]:
    """Mean, standard deviation and largest weight of each convolution, in units of sqrt(2 / fan in)."""
    found = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            unit = (2 / (9 * module.in_channels)) ** 0.5
            weight = module.weight / unit
            found[name] = (weight.mean().item(), weight.std().item(), weight.abs().max().item())
            assert module.bias is not None and not module.bias.any()
    return found


@pytest.mark.parametrize(("unit_gain", "leave_gain"), [(1.0, 1.0), (0.25, 1.0), (1.0, 0.5), (0.1, 0.01)])
def test_init_weights_uses_he_with_gains(unit_gain: float, leave_gain: float) -> None:
    torch.manual_seed(0)
    net = DRRN(DRRNConfig(blocks=2, units=2, width=48, share=False, channels=3))
    for parameter in net.parameters():
        nn.init.constant_(parameter, 7.0)
    net.init_weights(unit_gain=unit_gain, leave_gain=leave_gain)
    statistics = conv_statistics(net)
    assert len(statistics) == 2 * (1 + 4) + 1
    for name, (mean, deviation, largest) in statistics.items():
        gain = unit_gain if ".second." in name else leave_gain if name == "leave.conv" else 1
        assert abs(mean) < 0.15 * gain, name
        assert deviation == pytest.approx(gain, rel=0.1), name
        assert largest > 2.5 * gain, name  # normal: of a uniform one no weight is beyond 1.8 deviations


def test_init_weights_can_use_glorots_uniform() -> None:
    torch.manual_seed(0)
    net = DRRN(DRRNConfig(width=48, units=2, channels=3))
    net.init_weights("glorot", unit_gain=0.25)
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            limit = (6 / (9 * (module.in_channels + module.out_channels))) ** 0.5 * (0.25 if ".second." in name else 1)
            assert 0.98 * limit < module.weight.abs().max().item() <= limit * 1.0001, name
            assert module.weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.05), name
            assert module.bias is not None and not module.bias.any()


def test_a_centered_network_starts_blind_to_brightness() -> None:
    torch.manual_seed(0)
    net = DRRN(DRRNConfig(width=48, units=1, blocks=2, unshuffle=2))
    net.init_weights(centered=True)
    first, other = (net.get_parameter(f"blocks.{number}.enter.conv.weight").mean((1, 2, 3)) for number in (0, 1))
    assert first.abs().max() < 1e-7 < 1e-3 < other.abs().max()
    middle = net(torch.full((1, 1, 64, 64), 0.5))[..., 16:-16, 16:-16]
    torch.testing.assert_close(middle, torch.full_like(middle, 0.5), atol=1e-5, rtol=0)


def test_init_weights_depends_only_on_the_seed() -> None:
    nets = [DRRN(DRRNConfig(units=1, width=4, bias=False)) for _ in range(2)]
    for net in nets:
        torch.manual_seed(5)
        net.init_weights()
    assert all(torch.equal(a, b) for a, b in zip(*(net.parameters() for net in nets), strict=True))


def test_a_final_gain_of_zero_starts_at_bicubic() -> None:
    config = DRRNConfig(units=1, width=4)
    net, x = DRRN(config).double(), picture(config, 6, 6)
    net.init_weights(leave_gain=0)
    assert torch.equal(net(x), x)


def test_gradients_reach_every_parameter() -> None:
    config = DRRNConfig(units=2, width=8, blocks=2, batch_norm=True, share=False)
    net: Any = network(config).train()
    net(picture(config, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_autocast_preserves_faint_image_detail() -> None:
    """A gray level is 1/255. Above 1/2, bfloat16 has steps of 1/256, and half a step is lost by rounding."""
    config = DRRNConfig(blocks=2, units=1, width=8, unshuffle=2)
    net = DRRN(config)
    net.init_weights(centered=True)
    enter = net.blocks[0].get_submodule("enter")
    x = 0.7 + torch.rand(1, 4, 16, 16, generator=torch.Generator().manual_seed(1)) / 255
    with torch.no_grad():
        expected = enter(x)
        with torch.autocast("cpu", torch.bfloat16):
            exact = enter(x)
            assert enter(x.bfloat16()).dtype == exact.dtype == torch.bfloat16
    inside = (..., slice(1, -1), slice(1, -1))  # the border is no faint detail, but the picture's end
    assert (exact - expected)[inside].norm() < 0.005 * expected[inside].norm()
