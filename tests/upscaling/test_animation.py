"""Animations are enlarged frame by frame: each like a single image, identical ones once, one at a time."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from drrn.errors import ImageError, UsageError
from drrn.media.animation.files import probe, read
from drrn.media.image import Image
from drrn.upscaling.batch.planning import Request, plan
from drrn.upscaling.consistency import Checks
from drrn.upscaling.formats.job import Hooks, Job, Options
from drrn.upscaling.formats.registry import format_of
from drrn.upscaling.upscaler import Upscaler
from tests import command_line
from tests.forks import ENVIRONMENT
from tests.media import moving
from tests.media.moving import CLEAR, Step, as_pillow_has_them
from tests.small_weights import small_weights


@pytest.fixture
def upscaler() -> Upscaler:
    return Upscaler(small_weights(), threads=1)


def noise(seed: int, height: int = 12, width: int = 16, *, alpha: bool = False) -> Any:
    samples = np.random.default_rng(seed).integers(0, 256, (height, width, 4)).astype(np.uint8)
    samples[..., 3] = np.where(samples[..., 3] > 99, 255, 0) if alpha else 255
    return samples


def animated(path: Path, *frames: Any, deep: bool = False, **more: Any) -> Path:
    """Write an animation in the format of the suffix, with these frames, each of which fills the canvas."""
    steps = [Step(frame, after=CLEAR, delay=(number + 2, 100)) for number, frame in enumerate(frames)]
    make: dict[str, Callable[..., bytes]] = {".gif": moving.gif, ".webp": moving.webp}
    size = (frames[0].shape[1], frames[0].shape[0])
    path.write_bytes(make.get(path.suffix, moving.png)(steps, size, **more))
    return path


def enlarge(job: Job, upscaler: Upscaler, progress: Callable[[float], None] = lambda share: None) -> None:
    job.format.enlarge(job, upscaler, Hooks(progress=progress))


@pytest.mark.parametrize("alpha", [False, True])
def test_each_frame_is_enlarged_like_a_single_image(alpha: bool, upscaler: Upscaler, tmp_path: Path) -> None:
    frames = [noise(seed, alpha=alpha) for seed in range(3)]
    source = animated(tmp_path / "a.png", *frames, plays=4)
    job = plan(source, None, Request(2.5))
    assert job.target == tmp_path / "a_x2.5.png" and (job.width, job.height) == (40, 30)
    shares: list[float] = []
    enlarge(job, upscaler, shares.append)
    assert shares == sorted(shares) and shares[-1] == 1
    result = read(job.target)
    assert (result.header.seconds, result.header.plays) == (probe(source).seconds, 4)
    for ours, frame in zip(result.frames(), frames, strict=True):
        assert np.array_equal(ours, upscaler.upscale(Image.from_array(frame), 2.5).to_array())


def test_sixteen_bits_are_kept_in_an_enlarged_animation(upscaler: Upscaler, tmp_path: Path) -> None:
    frames = [np.random.default_rng(seed).integers(0, 65536, (8, 9, 4)).astype(np.uint16) for seed in range(2)]
    job = plan(animated(tmp_path / "a.apng", *frames), None, Request(2))
    assert job.target.name == "a_x2.apng"
    enlarge(job, upscaler)
    for ours, frame in zip(read(job.target).frames(), frames, strict=True):
        assert np.array_equal(ours, upscaler.upscale(Image.from_array(frame), 2).to_array())


@pytest.mark.parametrize("target", ["gif", "png", "webp"])
@pytest.mark.parametrize("source", ["gif", "png", "webp"])
def test_any_animation_format_can_be_converted_to_any_other(
    source: str, target: str, upscaler: Upscaler, tmp_path: Path
) -> None:
    frames = [noise(seed, 6, 8, alpha=True) for seed in (0, 1, 0)]
    path = animated(tmp_path / f"a.{source}", *frames)
    job = plan(path, tmp_path / f"b.{target}", Request(2))
    enlarge(job, upscaler)
    theirs, durations, loop = as_pillow_has_them(job.target)
    assert [frame.shape for frame in theirs] == [(12, 16, 4)] * 3 and durations == [20, 30, 40] and loop == 0
    for ours, frame in zip(theirs, frames, strict=True):
        expected = upscaler.upscale(Image.from_array(frame), 2).to_array()
        if target == "gif":
            expected[..., 3] = np.where(expected[..., 3] >= 128, 255, 0)
        assert np.array_equal(ours[..., 3], expected[..., 3])
        visible = expected[..., 3] > 0
        assert np.abs(ours[visible].astype(int) - expected[visible]).mean() < (4 if target == "gif" else 1e-9)


def test_identical_frames_are_computed_once(
    upscaler: Upscaler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [noise(seed) for seed in (0, 1, 2, 1, 0, 3, 3)]
    source = animated(tmp_path / "a.png", *frames)
    ran: list[int] = []
    upscale = Upscaler.upscale

    def count(self: Upscaler, *args: Any, **more: Any) -> Image:
        ran.append(1)
        return upscale(self, *args, **more)

    monkeypatch.setattr(Upscaler, "upscale", count)
    job = plan(source, None, Request(2))
    enlarge(job, upscaler)
    assert len(ran) == 4
    once = list(read(job.target).frames())
    monkeypatch.setattr("drrn.upscaling.formats.animation.MAX_CACHE", 32 * 24 * 4)  # one result
    ran.clear()
    enlarge(plan(source, None, Request(2, overwrite=True)), upscaler)
    assert 4 < len(ran) < 7 and all(map(np.array_equal, once, read(job.target).frames()))


def test_limits_count_all_frames(upscaler: Upscaler, tmp_path: Path) -> None:
    source = animated(tmp_path / "a.png", *(noise(seed) for seed in range(5)))  # of 192 pixels
    with pytest.raises(ImageError, match=r"16 x 12 in 5 frames, 960 pixels; the limit is 900 \(--max-pixels\)"):
        plan(source, None, Request(2, max_pixels=900))
    with pytest.raises(UsageError, match="would become 32x24 in 5 frames, more than 3800 pixels"):
        plan(source, None, Request(2, max_pixels=3800))
    job = plan(source, None, Request(2, max_pixels=3840))
    cost = job.format.estimate(job, upscaler)
    one = upscaler.estimate(16, 12, 2, alpha=True)
    assert cost.seconds == 5 * one.seconds and one.memory < cost.memory < one.memory + (3 << 20)
    upscaler.max_memory = 1000
    with pytest.raises(UsageError, match="--max-memory"):
        job.format.estimate(job, upscaler)


def test_an_exception_from_progress_ends_the_work_and_leaves_no_file(upscaler: Upscaler, tmp_path: Path) -> None:
    source = animated(tmp_path / "a.gif", *(noise(seed) for seed in range(5)))

    def enough(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    for suffix in ("gif", "png", "webp"):
        with pytest.raises(KeyboardInterrupt):
            enlarge(plan(source, tmp_path / f"b.{suffix}", Request(2)), upscaler, enough)
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_a_damaged_frame_is_found_before_the_work(upscaler: Upscaler, tmp_path: Path) -> None:
    source = animated(tmp_path / "a.png", *(noise(seed) for seed in range(5)))
    content = source.read_bytes()
    at = content.rindex(b"fdAT")
    length = int.from_bytes(content[at - 4 : at])
    body = content[at + 4 : at + 12] + bytes(length - 8)
    source.write_bytes(content[: at - 4] + moving.chunk(b"fdAT", body) + content[at + 8 + length :])
    job = plan(source, None, Request(2))
    with pytest.raises(ImageError, match="frame 5"):
        job.format.enlarge(job, upscaler, Hooks(start=pytest.fail))
    source.unlink()
    with pytest.raises(ImageError, match=r"a\.png can't be read: No such file"):
        job.format.estimate(job, upscaler)


def test_the_suffix_of_an_enlarged_animation_follows_its_content(tmp_path: Path) -> None:
    content = animated(tmp_path / "x.gif", noise(0), noise(1)).read_bytes()
    for name, target in (("a.gif", "a_x2.gif"), ("a.png", "a_x2.gif"), ("a", "a_x2.gif"), ("a.GIF", "a_x2.GIF")):
        (tmp_path / name).write_bytes(content)
        assert plan(tmp_path / name, None, Request(2)).target.name == target
    with pytest.raises(ImageError, match="JPEG holds no animation; use gif, png or webp"):
        plan(tmp_path / "a", tmp_path / "b.jpg", Request(2))
    with pytest.raises(UsageError, match="is an animation, which has no checks and no maps"):
        plan(tmp_path / "a", None, Request(2, options=Options(Checks(check=True))))


def test_a_single_frame_becomes_a_png(tmp_path: Path) -> None:
    """PNG is lossless, whereas another GIF would have 256 colors."""
    animated(tmp_path / "a.gif", noise(0))
    job = plan(tmp_path / "a.gif", None, Request(2))
    assert job.target.name == "a_x2.png" and job.format is not format_of(
        animated(tmp_path / "b.gif", noise(0), noise(1))
    )


# On the command line


def run(*args: str) -> int:
    return command_line.run("upscale", *args, "--model", "tiny.safetensors")


def test_a_folder_with_animations_is_enlarged_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "in").mkdir()
    for name in ("dance.gif", "walk.png", "run.webp", "jump.apng"):
        animated(here / "in" / name, noise(0), noise(1))
    Pillow.fromarray(noise(2)).save(here / "in" / "photo.png")
    Pillow.fromarray(noise(2)).convert("P").save(here / "in" / "still.gif")
    assert run("in", "-o", "out") == 0
    names = sorted(path.name for path in (here / "out").iterdir() if not path.name.startswith("."))
    assert names == ["dance_x2.gif", "jump_x2.apng", "photo_x2.png", "run_x2.webp", "still_x2.png", "walk_x2.png"]
    for name in ("dance_x2.gif", "jump_x2.apng", "run_x2.webp", "walk_x2.png"):
        assert len(as_pillow_has_them(here / "out" / name)[0]) == 2
    assert "6 enlarged, 0 unchanged" in capsys.readouterr().err
    assert run("in", "-o", "out") == 0
    assert "0 enlarged, 6 unchanged" in capsys.readouterr().err


def test_conversions_of_an_animation_are_reported(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    animated(here / "dance.gif", noise(0), noise(1))
    assert run("dance.gif") == 0
    assert (
        "dance.gif 16x12 -> dance_x2.gif 32x24 · 2 frames · more than 256 colors to a palette · "
        in capsys.readouterr().err
    )
    assert run("dance.gif", "-o", "dance.webp") == 0
    assert " · palette to RGB · " in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupt_leaves_no_file(here: Path) -> None:
    animated(here / "dance.png", *(noise(seed, 200, 300) for seed in range(60)))
    command = [sys.executable, "-m", "drrn", "upscale", "dance.png", "--model", "tiny.safetensors", "--threads", "1"]
    process = subprocess.Popen(command, cwd=here, env=ENVIRONMENT, stderr=subprocess.PIPE)
    while not list(here.glob(".drrn-*")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert b"Traceback" not in process.communicate(timeout=300)[1]
    assert process.returncode == 130
    assert sorted(path.name for path in here.iterdir()) == ["dance.png", "tiny.safetensors"]
