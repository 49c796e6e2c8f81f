"""On the command line, an impossible loss is reported in one sentence, with exit code 2."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.command_line import run
from tests.small_vgg import small_vgg


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Restore the signal handlers after a training."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def train(*args: str) -> int:
    return run("train", "--data", "photos", "--run", "run", "--device", "cpu", *args)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--loss", "l1+0.01*vgg", "--backbone", "absent.pth"], "drrn: No file absent.pth. Give the backbone's"),
        (["--loss", "lpips", "--backbone", "text.pth"], "drrn: text.pth can't be read as plain tensors"),
        (["--loss", "lpips"], "drrn: --loss lpips needs a backbone. Give a VGG: --backbone vgg16.pth."),
        (["--loss", "msssim+l1", "--backbone", "vgg.pth"], "drrn: --loss msssim+l1 needs no backbone."),
        (["--loss", "lpips", "--patch", "8", "--backbone", "vgg.pth"], "drrn: --loss lpips needs patches of at"),
    ],
)
def test_an_unsuitable_backbone_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.pth").write_text("no weights")
    torch.save(small_vgg(), "vgg.pth")
    assert train(*args) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) == 1 and printed.err.startswith(message)
    assert not Path("run").exists()


def test_an_unknown_loss_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--loss", "0.5*l2") == 2
    printed = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert "from mse, l1, charbonnier, euclidean, msssim, focal_frequency, vgg, lpips; got '0.5*l2'" in printed
