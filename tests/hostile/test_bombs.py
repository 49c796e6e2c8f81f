"""Small files that expand to huge ones are refused in one line, or read with little memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from drrn.apps import cli
from drrn.media.images.files import read
from drrn.weights import store
from tests.hostile.bombs import BOMBS, HARMLESS
from tests.hostile.harness import Campaign, Limits, campaign
from tests.hostile.seeds import photo, saved
from tests.small_weights import small_weights

MOST_MB = 64


@pytest.fixture(scope="module")
def trial() -> Iterator[Campaign]:
    with campaign("tests.hostile.bombs", limits=Limits(megabytes=MOST_MB, seconds=60, patience=120)) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("name", [*BOMBS, *HARMLESS])
def test_a_bomb_takes_little_time_and_memory(name: str, trial: Campaign, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes((BOMBS | HARMLESS)[name]())
    tally = trial.retry("bomb", bomb)
    assert not tally.findings and (tally.read, tally.refused) == ((0, 1) if name in BOMBS else (1, 0)), tally


@pytest.mark.slow
def test_every_bomb_is_refused_in_one_line_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    store.save(small_weights(), tmp_path / "tiny.safetensors")
    files = [f"{name.replace(' ', '_')}.png" for name in BOMBS]
    for file, make in zip(files, BOMBS.values(), strict=True):
        Path(file).write_bytes(make())
    with pytest.raises(SystemExit) as error:
        cli.main(["upscale", *files, "-o", "out", "-m", "tiny.safetensors", "--device", "cpu", "--threads", "1"])
    lines = capsys.readouterr().err.splitlines()
    assert error.value.code == 2 and not Path("out").exists()
    failed = [line for line in lines if line.startswith("drrn: ")]
    assert len(failed) == len(files) and all(f"drrn: {file} " in " ".join(failed) for file in files)


def test_data_after_an_image_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PNG that is also a web page or an archive becomes only a PNG."""
    monkeypatch.chdir(tmp_path)
    store.save(small_weights(), tmp_path / "tiny.safetensors")
    payload = b"<html><script>alert(1)</script>PK\x03\x04"
    for form, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("TIFF", "tif")):
        (tmp_path / f"a.{suffix}").write_bytes(saved(photo(), form) + payload)
        with pytest.raises(SystemExit) as error:
            cli.main(["upscale", f"a.{suffix}", "-m", "tiny.safetensors", "--device", "cpu", "--threads", "1"])
        output = tmp_path / f"a_x2.{suffix}"
        assert error.value.code == 0 and read(output).width == 48, suffix
        assert b"script" not in output.read_bytes() and b"PK\x03\x04" not in output.read_bytes()
