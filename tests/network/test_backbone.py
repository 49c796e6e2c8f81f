"""A VGG is built from the names of the tensors in its file, and the losses that use it match their formulas."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from drrn.errors import WeightsError
from drrn.network.backbone import SMALLEST, Backbone, read_backbone
from drrn.network.losses import make_loss
from tests.small_vgg import small_vgg

SR, HR = torch.rand(2, 2, 1, 31, 31, generator=torch.Generator().manual_seed(1))


def stored(folder: Path, tensors: Any, name: str = "vgg.pth") -> Path:
    torch.save(tensors, folder / name)
    return folder / name


def read(folder: Path, **options: Any) -> Backbone:
    return read_backbone([stored(folder, small_vgg(**options))])


def written_out(vgg: dict[str, Tensor], picture: Tensor) -> list[Tensor]:
    """The network of tests/small_vgg.py, layer by layer."""

    def convolve(x: Tensor, number: int) -> Tensor:
        return F.relu(F.conv2d(x, vgg[f"features.{number}.weight"], vgg[f"features.{number}.bias"], padding=1))

    rgb = picture.expand(-1, 3, -1, -1)
    planes = [
        (rgb[:, i] - mean) / std for i, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)])
    ]
    first = convolve(convolve(torch.stack(planes, 1), 0), 2)
    second = convolve(convolve(F.max_pool2d(first, 2), 5), 7)
    third = convolve(F.max_pool2d(second, 2), 10)
    fourth = convolve(convolve(F.max_pool2d(third, 2), 13), 15)
    return [first, second, third, fourth, convolve(F.max_pool2d(fourth, 2), 18)]


@pytest.mark.parametrize("channels", [1, 3])
def test_features_match_the_network_written_out(tmp_path: Path, channels: int) -> None:
    picture = SR.expand(-1, channels, -1, -1) * torch.tensor([1.0, 0.5, 0.2][:channels])[:, None, None]
    found = read(tmp_path).features(picture)
    assert [feature.shape[-1] for feature in found] == [31, 15, 7, 3, 1]
    for ours, theirs in zip(found, written_out(small_vgg(), picture), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_vgg_loss_uses_the_second_stage(tmp_path: Path) -> None:
    ours, theirs = (written_out(small_vgg(), picture)[1] for picture in (SR, HR))
    found = make_loss("vgg", read(tmp_path))(SR, HR)
    torch.testing.assert_close(found, ((ours - theirs) ** 2).mean())


@pytest.mark.parametrize("linear", [True, False])
def test_lpips_matches_its_formula(tmp_path: Path, linear: bool) -> None:
    vgg, expected = small_vgg(linear=linear), torch.zeros(())
    for stage, (ours, theirs) in enumerate(zip(written_out(vgg, SR), written_out(vgg, HR), strict=True)):
        lengths = [features.norm(dim=1, keepdim=True) + 1e-10 for features in (ours, theirs)]  # as the authors do
        apart = ours / lengths[0] - theirs / lengths[1]
        weight = vgg[f"lin{stage}.model.1.weight"] if linear else 1
        expected = expected + (weight * apart**2).sum(1).mean()
    torch.testing.assert_close(make_loss("lpips", read(tmp_path, linear=linear))(SR, HR), expected)


@pytest.mark.parametrize("loss", ["vgg", "lpips"])
def test_only_sr_receives_gradients_and_they_are_finite(tmp_path: Path, loss: str) -> None:
    dead = small_vgg()
    dead["features.18.bias"] -= 100  # all features of the last stage are 0
    backbone = read_backbone([stored(tmp_path, dead)])
    for picture in (SR, HR, torch.zeros_like(SR)):
        sr = picture.clone().requires_grad_()
        make_loss(loss, backbone)(sr, HR).backward()
        assert sr.grad is not None and sr.grad.isfinite().all()
        assert sr.grad.any() != torch.equal(picture, HR)


def test_the_smallest_patch_reaches_the_last_stage(tmp_path: Path) -> None:
    backbone = read(tmp_path)
    assert backbone.features(torch.rand(1, 1, SMALLEST, SMALLEST))[-1].numel() == 8
    with pytest.raises(RuntimeError):
        backbone.features(torch.rand(1, 1, SMALLEST - 1, SMALLEST))


def test_every_file_format_gives_the_same_backbone(tmp_path: Path) -> None:
    whole = read(tmp_path, linear=True)
    vgg = small_vgg(linear=True)
    linear = {name: vgg.pop(name) for name in list(vgg) if name.startswith("lin")}
    save_file(vgg, tmp_path / "vgg.safetensors")
    parts = read_backbone([tmp_path / "vgg.safetensors", stored(tmp_path, linear, "lpips.pth")])
    torch.save(small_vgg(linear=True), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    old = read_backbone([tmp_path / "old.pth"])
    assert whole.digest == parts.digest == old.digest
    assert len({whole.digest, read(tmp_path).digest, read(tmp_path, seed=1).digest}) == 3


def test_the_backbone_computes_in_single_precision_and_is_frozen(tmp_path: Path) -> None:
    half = {name: torch.nn.Parameter(value.half()) for name, value in small_vgg(linear=True).items()}
    backbone = read_backbone([stored(tmp_path, half)])
    parts = [*(part for stage in backbone.stages for pair in stage for part in pair), *backbone.scores]
    assert {(part.dtype, part.requires_grad) for part in parts} == {(torch.float32, False)}
    torch.testing.assert_close(backbone.features(SR), read(tmp_path).features(SR), rtol=0.01, atol=0.01)


class Code:
    """An object that pickles as a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def changed(**tensors: Tensor | None) -> dict[str, Tensor]:
    """The small VGG with some tensors replaced or removed; `_` stands for a dot."""
    vgg: dict[str, Tensor | None] = dict(small_vgg(linear=True))
    vgg |= {name.replace("_", "."): value for name, value in tensors.items()}
    return {name: value for name, value in vgg.items() if value is not None}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "it has 1 stages, a VGG 5"),
        ({"0": torch.zeros(4, 1, 3, 3)}, "it has 1 stages, a VGG 5"),
        (changed(features_18_weight=None, features_18_bias=None), "it has 4 stages, a VGG 5"),
        (changed(features_1_weight=torch.ones(4), features_1_running_mean=torch.ones(4)), r"numbered \[0, 1, 2, 5"),
        ({f"features.{n}.weight": torch.ones(1) for n in (1, 4, 7, 10)}, r"numbered \[1, 4, 7, 10\]"),
        (changed(features_2_bias=None), r"layer 2 has shapes \(4, 4, 3, 3\) and \(0,\)"),
        (changed(features_5_weight=torch.zeros(5, 4, 1, 1)), r"layer 5 has shapes \(5, 4, 1, 1\)"),
        (changed(lin4_model_1_weight=None), r"linear weights have shapes \[\(1, 4, 1, 1\), "),
    ],
)
def test_other_networks_than_a_vgg_are_refused(tmp_path: Path, tensors: dict[str, Tensor], message: str) -> None:
    with pytest.raises(WeightsError, match=rf"vgg\.pth can't be a backbone: .*{message}.* Give the state_dict"):
        read_backbone([stored(tmp_path, tensors)])


def test_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"No file .*absent\.pth\. Give the backbone's"):
        read_backbone([tmp_path / "absent.pth"])
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    stored(tmp_path, Code(tmp_path / "made"), "code.pth")
    stored(tmp_path, [1, 2], "list.pth")
    for name in ("text.pth", "text.safetensors", "code.pth", "list.pth"):
        with pytest.raises(WeightsError, match=f"{name} can't be read as plain tensors"):
            read_backbone([tmp_path / name])
    assert not (tmp_path / "made").exists()
