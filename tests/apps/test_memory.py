"""Memory does not grow with the size of an image, measured on the command in a separate process."""

import subprocess
import sys
from pathlib import Path

import pytest

from docs.write import DOCS, memory
from drrn.weights.store import save
from tests.peak_memory import run_measured, write_image
from tests.small_weights import small_weights

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak memory of a process")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "ppm"])
def test_ten_times_as_many_rows_take_no_more_memory(suffix: str, tmp_path: Path) -> None:
    save(small_weights(units=1), tmp_path / "tiny.safetensors")
    peaks = []
    for rows in (250, 2500):
        source = write_image(tmp_path / f"{rows}.{suffix}", rows, 400)
        peaks.append(run_measured(["upscale", str(source), "-m", str(tmp_path / "tiny.safetensors")]).peak)
    assert peaks[1] < peaks[0] + 8  # MB; the samples of the result alone take 11, and planes of them 150


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_signal_ends_the_command_and_leaves_no_file(share: float, tmp_path: Path) -> None:
    """During the network, and during the encoding of the result."""
    save(small_weights(), tmp_path / "tiny.safetensors")
    source = write_image(tmp_path / "a.png", 300, 300)
    script = f"""
import os, signal
from drrn.apps.cli import main
from drrn.apps.upscale_progress import UpscaleProgress
def advance(self, job, done):
    if done >= {share}:
        os.kill(os.getpid(), signal.SIGINT)
UpscaleProgress.advance = advance
main()
"""
    args = ["upscale", str(source), "-m", str(tmp_path / "tiny.safetensors")]
    run = subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True)
    assert run.returncode == 130 and "Traceback" not in run.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "tiny.safetensors"]


@pytest.mark.full
def test_100_megapixels_take_the_memory_of_16(tmp_path: Path) -> None:
    costs = memory.measure(tmp_path)
    for suffix in memory.SUFFIXES:
        small, *large = [each.peak for each in costs if each.format == suffix]
        assert small <= min(large), "narrower than a strip"
        assert len(large) == 2 and max(large) <= 1.1 * min(large), (suffix, large)


def test_the_memory_page_follows_from_the_json_next_to_it() -> None:
    costs = memory.from_json((DOCS / "memory.json").read_text(encoding="utf-8"))
    assert memory.to_json(costs) == (DOCS / "memory.json").read_text(encoding="utf-8")
    assert memory.to_markdown(costs) == (DOCS / "reference/memory.md").read_text(encoding="utf-8")
