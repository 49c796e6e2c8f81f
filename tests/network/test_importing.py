"""Weights of other projects are imported as tensors, and nothing else is."""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from drrn.engines.pytorch import build
from drrn.errors import WeightsError
from drrn.network.importing import import_pth


def port(width: int = 4, names: tuple[str, ...] = ("head", "conv1", "conv2", "tail")) -> dict[str, torch.Tensor]:
    shapes = [(width, 1, 3, 3), (width, width, 3, 3), (width, width, 3, 3), (1, width, 3, 3)]
    draw = torch.Generator().manual_seed(0)
    return OrderedDict((f"{n}.weight", torch.randn(s, generator=draw)) for n, s in zip(names, shapes, strict=True))


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("nest", [None, "state_dict", "ema_state_dict", "params"])
@pytest.mark.parametrize("names", [("head", "conv1", "conv2", "tail"), ("module.input", "a", "b", "output")])
def test_a_ports_tensors_are_recognized_by_shape(tmp_path: Path, nest: str | None, names: tuple[str, ...]) -> None:
    state = port(names=names)
    weights = import_pth(saved(tmp_path / "port.pth", {nest: state, "epoch": 3} if nest else state), units=9)
    assert (weights.config.units, weights.config.width, weights.config.skip) == (9, 4, "rectified")
    assert weights.units == (9, 9) and weights.name == "port" and not weights.config.bias
    for ours, theirs in zip(weights.tensors.values(), state.values(), strict=True):
        assert torch.equal(torch.from_numpy(ours), theirs)


def test_the_old_format_without_zip_is_read(tmp_path: Path) -> None:
    torch.save(port(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert import_pth(tmp_path / "old.pth", units=2).config.width == 4


def test_imported_weights_compute_what_the_port_computes(tmp_path: Path) -> None:
    """Compared with the forward pass of the popular ports, including their in-place ReLUs."""
    state = port()
    relu = torch.nn.ReLU(inplace=True)

    def conv(x: torch.Tensor, name: str) -> torch.Tensor:
        return torch.nn.functional.conv2d(relu(x), state[f"{name}.weight"], padding=1)

    ilr = torch.rand(1, 1, 9, 8)
    out = inputs = conv(ilr.clone(), "head")
    for _ in range(3):
        out = conv(conv(out, "conv1"), "conv2")
        out = torch.add(out, inputs)
    theirs = conv(out, "tail") + ilr
    ours = build(import_pth(saved(tmp_path / "p.pth", state), units=3))(ilr)
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))


class Canary:
    """Code in a pickle that makes a file, in place of something worse."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_file_is_not_executed(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    files = [saved(tmp_path / "zip.pth", {**port(), "x": Canary(canary)}), tmp_path / "plain.pth", tmp_path / "old.pth"]
    files[1].write_bytes(pickle.dumps(Canary(canary)))
    torch.save({"x": Canary(canary)}, files[2], _use_new_zipfile_serialization=False)
    for file in files:
        with pytest.raises(WeightsError, match="damaged, or contains code"):
            import_pth(file, units=2)
    assert not canary.exists()
    pickle.loads(files[1].read_bytes())  # noqa: S301 - the canary is alive
    assert canary.exists()


def test_a_deflated_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    good = saved(tmp_path / "good.pth", port())
    bomb = tmp_path / "bomb.pth"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
        target.writestr("good/data/99", bytes(50 << 20))
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(WeightsError, match="compressed or too large"):
        import_pth(bomb, units=2)


def test_a_flipped_bit_that_torch_misses_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path / "p.pth", port(32))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    torch.load(file, weights_only=True)  # torch reads it
    with pytest.raises(WeightsError, match="a checksum does not match"):
        import_pth(file, units=2)


NOT_FINITE = {**port(), "tail.weight": torch.full((1, 4, 3, 3), torch.nan)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "has no weights"),
        ({"weights": "none"}, "has no weights"),
        ({**port(), "bn.weight": torch.ones(4)}, "Expected a known port"),
        ({"a": torch.ones(4, 1, 5, 5)}, "Expected a known port"),
        ({"a": torch.ones(4, 1, 3, 3)}, r"has 1 \+ 0 \+ 0 convolutions"),
        ({**port(), "more": torch.ones(4, 4, 3, 3)}, r"has 1 \+ 3 \+ 1 convolutions"),
        ({**port(), "head.weight": torch.ones(5, 1, 3, 3)}, "is not a DRRN that drrn can run"),
        (NOT_FINITE, "not finite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_network_is_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        import_pth(saved(tmp_path / "other.pth", content), units=2)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut off", bytes(1000)])
def test_a_file_that_is_not_a_pth_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"x\.pth"):
        import_pth(tmp_path / "x.pth", units=2)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(WeightsError, match="No file"):
            import_pth(path, units=2)


def test_too_many_units_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"`units` must be in 0\.\.256"):
        import_pth(saved(tmp_path / "p.pth", port()), units=1000)
