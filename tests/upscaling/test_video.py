"""Enlarged videos: times, other tracks and metadata, values, and interrupted runs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")

import av

from drrn.atomic import write_bytes
from drrn.core.resize import imresize
from drrn.media.video import decoding as video
from drrn.media.video import encoding, muxing, probing
from drrn.media.video.encoding import Target
from drrn.upscaling.formats import video as films
from drrn.upscaling.upscaler import Upscaler
from drrn.weights import store
from tests import command_line, compare_films
from tests.film_files import BARE, BASE, CFR, Extra, copied, describe, film, planes, times

LOSSLESS: dict[str, Any] = {"codec": "ffv1", "options": {}}
REORDERED = {"crf": "20", "bf": "3", "preset": "medium"}
LONG = [512 * number for number in range(2 * films.SEGMENT + 14)]
EIGHT = [
    ("yuv420p", 1), ("yuv422p", 1), ("yuv444p", 1), ("gray", 1), ("yuv420p", 2), ("yuv444p10le", 2), ("yuv420p10le", 1)
]  # fmt: skip


pytestmark = pytest.mark.usefixtures("here")


def arguments(source: Path, *args: str | Path) -> list[str]:
    return ["upscale", str(source), *map(str, args), "--model", "tiny.safetensors", "--device", "cpu", "--threads", "1"]


def run(source: Path, *args: str | Path) -> int:
    """Run the command, and return its exit code."""
    return command_line.run(*arguments(source, *args))


def enlarged(source: Path, *args: str | Path, target: str | None = None) -> Path:
    path = source.with_name(target or f"{source.stem}_x2{source.suffix}")
    assert run(source, *args, *(["-o", str(path)] if target else [])) == 0
    assert sorted(each.name for each in source.parent.glob(".*")) == []
    return path


def duration(path: Path) -> Fraction:
    with av.open(str(path)) as container:
        return Fraction(container.duration or 0, 1_000_000)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", pytest.param(".mov", marks=pytest.mark.full)])
@pytest.mark.parametrize(
    ("name", "at", "base", "options"),
    [
        ("constant", CFR, BASE, BARE),
        ("film", [1001 * number for number in range(30)], Fraction(1, 24000), BARE),
        ("variable", [0, 512, 3000, 3101, 9000, 9100, 20000, 20500, 21000, 40000], BASE, BARE),
        ("reordered", [512 * number for number in range(films.SEGMENT + 4)], BASE, REORDERED),
        ("late", [64000 + time for time in CFR], BASE, REORDERED),
        ("single", [0], BASE, BARE),
    ],
)
def test_every_frame_keeps_its_time(
    here: Path, suffix: str, name: str, at: list[int], base: Fraction, options: dict[str, str]
) -> None:
    source = film(here / f"{name}{suffix}", times=at, base=base, options=options)
    result = enlarged(source)
    assert times(result) == times(source)
    assert len(times(result)) == len(at)
    assert abs(duration(result) - duration(source)) <= Fraction(1, 1000)
    assert {each[0].shape for each in planes(result)} == {(64, 96)}


def test_an_edit_list_is_applied(here: Path) -> None:
    """The video begins within a group of frames. Earlier ones are decoded but not shown."""
    whole = film(here / "whole.mp4", times=[512 * number for number in range(24)], options=REORDERED)
    content = bytearray(whole.read_bytes())
    entry = content.index(b"elst") + 12  # duration in ms, and start
    length, begin = (int.from_bytes(content[at : at + 4]) for at in (entry, entry + 4))
    content[entry : entry + 8] = (length - 5 * 40).to_bytes(4) + (begin + 5 * 512).to_bytes(4)
    source = here / "cut.mp4"
    source.write_bytes(content)
    assert len(times(source)) == 19
    result = enlarged(source)
    assert times(result) == times(source)
    header = probing.probe(source, max_pixels=10**8)
    assert (header.frames, header.converted) == (19, ("without 5 frames that its edit list hides",))


@pytest.mark.parametrize(
    ("suffix", "extra"),
    [
        (".mp4", Extra(sounds=[("aac", "eng"), ("flac", "deu")], subtitles="mov_text", chapters=True, cover=True)),
        (".mkv", Extra(sounds=[("aac", "eng"), ("flac", "deu")], subtitles="subrip", cover=True, attachment=True)),
        (".mkv", Extra(chapters=True, tags=(("title", "A video"), ("whatever", "else")))),
        (".mov", Extra(tags=(("title", "A video"), ("com.example.lens", "50 mm")), turn=90)),
        (".mp4", Extra(tags=(("title", "A video"), ("comment", "made")), turn=180)),
    ],
)
def test_other_tracks_and_metadata_of_a_video_are_kept(here: Path, suffix: str, extra: Extra) -> None:
    source = film(here / f"video{suffix}", extra=extra, options=REORDERED)
    result = enlarged(source)
    assert copied(result) == copied(source)
    assert describe(result) == describe(source)
    assert times(result) == times(source)
    for each in (*extra.sounds,):
        assert each[1] in [language for _, _, language in describe(result)["streams"]]
    assert len(describe(result)["chapters"]) == 2 * extra.chapters


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".mp4", "hevc"), (".mkv", "av1"), (".mkv", "ffv1")])
@pytest.mark.parametrize(
    "fields",
    [
        {"color_range": 1, "colorspace": 9, "color_primaries": 9, "color_trc": 16, "pixels": "yuv420p10le"},
        {"color_range": 2, "colorspace": 5, "color_primaries": 5, "color_trc": 6},
        {
            "color_range": 1,
            "colorspace": 1,
            "color_primaries": 1,
            "color_trc": 1,
            "sample_aspect_ratio": Fraction(4, 3),
        },
    ],
)
def test_color_tags_and_aspect_ratio_are_kept(here: Path, suffix: str, codec: str, fields: dict[str, Any]) -> None:
    source = film(here / f"video{suffix}", times=CFR[:3], **fields)
    if codec in ("av1", "ffv1") and "sample_aspect_ratio" in fields:  # these have no place for it
        assert run(source, "--codec", codec) == 2
        source = film(source, times=CFR[:3], **{**fields, "sample_aspect_ratio": 1})
    before, after = describe(source), describe(enlarged(source, "--codec", codec))
    for name in ("colors", "pixels"):
        assert after[name] == before[name]
    assert (after["aspect"] or 1) == (before["aspect"] or 1)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.parametrize("siting", ["left", "topleft"])
def test_the_chroma_location_is_kept(here: Path, siting: str, codec: str) -> None:
    source = film(here / "film.mp4", times=CFR[:3], options={**BARE, "chroma_sample_location": siting})
    found = probing.probe(enlarged(source, "--codec", codec), max_pixels=10**8).video
    assert found and found.siting == siting


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_hdr_metadata_is_kept(here: Path, capsys: pytest.CaptureFixture[str], codec: str) -> None:
    printed = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
    options = {"x265-params": f"log-level=none:{printed}"}
    colors: dict[str, Any] = {"color_range": 1, "colorspace": 9, "color_primaries": 9, "color_trc": 16}
    source = film(
        here / "hdr.mp4",
        times=CFR[:3],
        codec="libx265",
        pixels="yuv420p10le",
        size=(64, 64),
        options=options,
        **colors,
    )
    before = probing.probe(source, max_pixels=10**8).video
    assert run(source, "--codec", "ffv1", "-o", "film.mkv", "--estimate") == 0
    assert "without HDR metadata" in capsys.readouterr().out
    after = probing.probe(enlarged(source, "--codec", codec), max_pixels=10**8).video
    assert before and after and before.hdr.brightest == after.hdr.brightest == (1000, 400)
    for ours, theirs in zip(after.hdr.primaries, before.hdr.primaries, strict=True):
        assert all(abs(float(a - b)) < 1e-4 for a, b in zip(ours, theirs, strict=True))
    assert [round(float(each), 2) for each in after.hdr.luminance] == [0.01 if codec == "av1" else 0.0, 1000.0] or (
        after.hdr.luminance == before.hdr.luminance
    )


@pytest.mark.parametrize(("pixels", "span"), EIGHT)
@pytest.mark.parametrize("size", [(32, 24), (33, 25)])
def test_the_luma_of_a_video_matches_the_network(here: Path, pixels: str, span: int, size: tuple[int, int]) -> None:
    source = film(here / "film.mkv", times=CFR[:1], pixels=pixels, size=size, color_range=span, **LOSSLESS)
    result = planes(enlarged(source, "--codec", "ffv1"))[0]
    ((before, *chroma),) = planes(source)
    unit = 4 if before.dtype == np.uint16 else 1
    to_luma = np.array([16, 219 / 255 / unit]) if span == 2 else np.array([0, 1 / unit])
    if span == 2:
        to_luma[1] = 219 / (256 * unit - 1)
    y = (to_luma[0] + before.astype(np.float64) * to_luma[1]) / 255
    engine = Upscaler(store.load("tiny.safetensors"), device="cpu", threads=1).engine
    height, width = (2 * side for side in before.shape)
    wanted = (engine.run(imresize(y.astype(np.float32), height, width)[None])[0] * 255 - to_luma[0]) / to_luma[1]
    low, high = (0, 256 * unit - 1) if span == 2 else (16 * unit, 235 * unit)
    apart = np.abs(result[0].astype(int) - np.rint(wanted).clip(low, high))
    assert apart.max() <= 1 and (apart == 0).mean() > 0.99
    for plane, larger in zip(chroma, result[1:], strict=True):
        assert abs(float(larger.mean()) - float(plane.mean())) < 5 * unit


@pytest.mark.parametrize(("siting", "across"), [("left", 0.0), ("center", 0.5), ("topleft", 0.0)])
def test_chroma_keeps_its_position_in_the_image(here: Path, siting: str, across: float) -> None:
    """A gradient stays a gradient, with the same value at the same place."""
    slope = 40 + 2.0 * (2 * np.arange(40) + across)  # levels at each sample's place, in samples of luma
    down = {"left": 0.5, "center": 0.5, "topleft": 0.0}[siting]
    rise = 60 + 1.5 * (2 * np.arange(36) + down)
    luma = np.full((72, 80), 100, np.uint8)
    chroma = [np.rint(np.tile(slope, (36, 1))).astype(np.uint8), np.rint(np.tile(rise[:, None], 40)).astype(np.uint8)]
    source = film(here / "film.mkv", times=CFR[:1], size=(80, 72), **LOSSLESS)
    reported = probing.probe(source, max_pixels=10**8).video
    assert reported
    upscaler = Upscaler(store.load("tiny.safetensors"), device="cpu", threads=1)
    frame = video.Frame([luma, *chroma], 0, 0)
    larger = films.enlarge_frame(
        frame, reported._replace(siting=siting), upscaler, (144, 160), lambda share: None
    ).planes
    place = ((2 * np.arange(80) + across + 0.5) / 2 - 0.5)[8:-8]  # of the result's samples, in the source's luma
    assert np.abs(larger[1][36, 8:-8] - (40 + 2.0 * place)).max() <= 1
    height = ((2 * np.arange(72) + down + 0.5) / 2 - 0.5)[8:-8]
    assert np.abs(larger[2][8:-8, 40] - (60 + 1.5 * height)).max() <= 1


def test_values_outside_the_video_range_are_kept(here: Path) -> None:
    source = film(here / "film.mkv", times=CFR[:1], pixels="gray", **LOSSLESS)
    header = probing.probe(source, max_pixels=10**8)
    upscaler = Upscaler(store.load("tiny.safetensors"), device="cpu", threads=1)
    rng = np.random.default_rng(0)
    for low, high in ((16, 235), (40, 200), (4, 254)):
        plane = rng.choice(np.array([low, high], np.uint8), (24, 32))
        assert header.video
        frame = video.Frame([plane], 0, 0)
        (larger,) = films.enlarge_frame(frame, header.video, upscaler, (48, 64), lambda share: None).planes
        least, most = int(larger.min()), int(larger.max())
        assert least >= min(low, 16) and most <= max(high, 235)
        assert (low >= 16 or least < 16) and (high <= 235 or most > 235)


def test_repeated_frames_are_enlarged_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [0, 0, 0, 1, 1, 2, 1, 0, 3, 3]
    source = film(here / "film.mkv", times=CFR[:10], pictures=numbers, **LOSSLESS)
    done = counted(monkeypatch)
    result = planes(enlarged(source, "--codec", "ffv1"))
    assert len(done) == 4
    assert (result[0][0] == result[7][0]).all() and (result[3][1] == result[6][1]).all()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that collects the times of frames that the network enlarges."""
    done: list[int] = []
    enlarge = films.enlarge_frame

    def count(frame: video.Frame, *args: Any) -> video.Frame:
        done.append(frame.time)
        return enlarge(frame, *args)

    monkeypatch.setattr(films, "enlarge_frame", count)
    return done


DEATHS = """
import os, signal, sys
from drrn.apps import cli
from drrn.media.video import encoding, muxing
room, name, number, what = {"encoding": encoding, "muxing": muxing}[sys.argv[1]], sys.argv[2], *map(int, sys.argv[3:5])
call, calls = getattr(room, name), []
def die(*args, **kwargs):
    calls.append(1)
    if len(calls) == number:
        os.kill(os.getpid(), what)
    return call(*args, **kwargs)
setattr(room, name, die)
cli.main(sys.argv[5:])
"""


def killed(source: Path, room: str, name: str, number: int, what: int, *args: str | Path) -> tuple[int, str]:
    """The exit code and output of a run that gets a signal at this call of a function."""
    command = [sys.executable, "-c", DEATHS, room, name, str(number), str(what), *arguments(source, *args)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["h264", pytest.param("hevc", marks=pytest.mark.full), "av1", "ffv1"])
def test_a_killed_run_continues_to_the_same_result(here: Path, monkeypatch: pytest.MonkeyPatch, codec: str) -> None:
    extra = Extra(sounds=[("aac", "eng")])
    source = film(here / "film.mkv", times=LONG, options=REORDERED, extra=extra)
    whole = enlarged(source, "--codec", codec, target="whole.mkv").read_bytes()
    target = here / "film_x2.mkv"
    assert killed(source, "encoding", "write_bytes", 2, signal.SIGKILL, "--codec", codec)[0] == -signal.SIGKILL
    assert not target.exists() and len(list(films.work_folder(target).glob("*.npz"))) == 1
    if codec == "h264":
        assert killed(source, "muxing", "_packets", 1, signal.SIGKILL, "--codec", codec)[0] == -signal.SIGKILL
        assert not target.exists() and len(list(films.work_folder(target).glob("*.npz"))) == 3
        for left in here.glob(".drrn-????????????.mkv"):
            left.unlink()
    done = counted(monkeypatch)
    assert enlarged(source, "--codec", codec).read_bytes() == whole
    assert len(done) == (0 if codec == "h264" else len(LONG) - films.SEGMENT)
    assert times(target) == times(source)


def signaled(number: signal.Signals) -> Callable[..., None]:
    """`write_bytes`, with a signal before its second call."""
    numbers = iter([0, number])

    def write(*args: Any) -> None:
        if now := next(numbers):
            signal.raise_signal(now)
        write_bytes(*args)

    return write


@pytest.mark.slow
def test_an_interrupted_run_says_that_it_can_be_continued(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = film(here / "film.mp4", times=LONG, options=REORDERED)
    for kept, (number, code) in enumerate([(signal.SIGINT, 130), (signal.SIGTERM, 143)], start=1):
        with monkeypatch.context() as patch:
            patch.setattr(encoding, "write_bytes", signaled(number))
            assert run(source) == code
        words = capsys.readouterr().err
        assert "the same command continues" in words and "Traceback" not in words
        assert len(list(films.work_folder(here / "film_x2.mp4").glob("0*.npz"))) == kept
    enlarged(source)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [lambda path: film(path, times=LONG[::-1][::-1], pixels="yuv422p"), None], ids=["source", "crf"]
)
def test_segments_with_other_options_are_not_used(
    here: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], Path] | None
) -> None:
    source = film(here / "film.mp4", times=LONG)
    assert killed(source, "encoding", "write_bytes", 2, signal.SIGKILL)[0] == -signal.SIGKILL
    if change:
        change(source)
    done = counted(monkeypatch)
    enlarged(source, *([] if change else ["--crf", "30"]))
    assert len(done) == len(LONG)


@pytest.mark.slow
def test_a_full_disk_at_the_end_loses_no_segment(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = film(here / "film.mp4", times=LONG)

    def full(segments: Any) -> Any:
        raise av.error.OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(muxing, "_packets", full)
        assert run(source) == 2
    assert "No space left" in capsys.readouterr().err
    first, *others = sorted(films.work_folder(here / "film_x2.mp4").glob("*.npz"))
    assert len(others) == 2
    first.write_bytes(first.read_bytes()[:-100] + bytes(100))
    assert run(source) == 2
    assert "is damaged. Run it again." in capsys.readouterr().err
    done = counted(monkeypatch)
    enlarged(source)
    assert len(done) == films.SEGMENT


@pytest.mark.slow
def test_a_damaged_video_leaves_no_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = film(here / "film.mkv", times=LONG, options={**BARE, "g": "1"})
    with av.open(str(source)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0)]
    content = source.read_bytes()
    at = content.index(packets[70]) + 20
    source.write_bytes(content[:at] + bytes(30) + content[at + 30 :])
    assert run(source) == 2
    reported = capsys.readouterr().err.splitlines()[-1]
    assert reported.startswith(f"drrn: {source} is a video that is damaged")
    assert sorted(path.name for path in here.iterdir()) == ["film.mkv", "tiny.safetensors"]


def test_a_timecode_is_kept(here: Path) -> None:
    source = film(here / "film.mov", extra=Extra(timecode="01:02:03:04"))
    result = enlarged(source)
    for path in (source, result):
        with av.open(str(path)) as container:
            assert container.streams.video[0].metadata["timecode"] == "01:02:03:04"
            assert [stream.type for stream in container.streams] == ["video", "data"]
    assert times(result) == times(source)


@pytest.mark.slow
def test_uninitialized_memory_does_not_change_the_result(here: Path) -> None:
    """An encoder that reads uninitialized memory gives other bytes when the memory was used before."""
    source = film(here / "film.mkv", size=(192, 128), times=LONG[: films.SEGMENT], options=REORDERED)
    header = probing.probe(source, max_pixels=10**8)
    assert header.video
    frames = list(video.frames(source, header))
    for codec in ("h264", "hevc", "av1", "ffv1"):
        target = Target(192, 128, codec, None, ".mkv")
        results = set()
        for fill in (0, 255, 17):
            used = [np.full(size, fill, np.uint8) for size in (30 << 20, *(1 << power for power in range(12, 24)))]
            del used
            encoding.encode(frames, header.video, target, here / "segment.npz")
            results.add((here / "segment.npz").read_bytes())
        assert len(results) == 1, codec


NARROW = """
import sys
from pathlib import Path
from drrn.media.video import decoding, encoding, probing
source, target = map(Path, sys.argv[1:])
header = probing.probe(source, max_pixels=10**8)
frames = list(decoding.frames(source, header))
for _ in range(40):
    encoding.encode(frames, header.video, encoding.Target(48, 32, "hevc", None, ".mkv"), target)
"""


@pytest.mark.slow
def test_narrow_videos_are_encoded_without_memory_corruption(here: Path) -> None:
    """The vector code of x265 overflows its buffers for them; 40 runs in a row always crashed."""
    source = film(here / "film.mkv", size=(48, 32))
    args: list[str | Path] = [sys.executable, "-c", NARROW, source, here / "segment.npz"]
    assert subprocess.run(args, capture_output=True, timeout=300).returncode == 0


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads have no scheduling that can be read here")
def test_av1_encoding_does_not_use_real_time_threads(here: Path) -> None:
    """As root, SVT-AV1 gives all threads real-time priority, which blocks other processes."""
    source = film(here / "film.mp4", times=CFR[:3])
    before = os.sched_getscheduler(0)
    header = probing.probe(source, max_pixels=10**8)
    assert header.video
    target = Target(64, 64, "av1", None, ".mkv")
    with encoding.keep_scheduling():
        encoder = av.CodecContext.create("libsvtav1", "w")
        encoding.configure_encoder(encoder, header.video, target)
        encoder.open()
    threads = [int(thread.name) for thread in Path("/proc/self/task").iterdir()]
    assert len(threads) > 10 and {os.sched_getscheduler(thread) for thread in threads} == {before}
    del encoder
    enlarged(source, "--codec", "av1")
    assert os.sched_getscheduler(0) == before


@pytest.mark.slow
def test_the_encoding_is_recorded_in_the_target(here: Path) -> None:
    source = film(here / "film.mp4")
    names = {"h264": "h264", "hevc": "hevc", "av1": "libdav1d"}
    for codec, name in names.items():
        with av.open(str(enlarged(source, "--codec", codec, target=f"{codec}.mp4"))) as container:
            assert container.streams.video[0].codec_context.name == name
    web = film(here / "web.webm", codec="libvpx-vp9", options={})
    with av.open(str(enlarged(web))) as container:
        assert container.streams.video[0].codec_context.name == "libdav1d"
    small, large = (enlarged(source, "--crf", crf, target=f"{crf}.mp4").stat().st_size for crf in ("40", "5"))
    assert small < large


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-o", "film.avi"], "suffix of a video must be one of"),
        (["-o", "film.webm"], "can't take the subtitle stream"),
        (["--codec", "ffv1"], "FFV1 goes into .mkv"),
        (["--codec", "h264", "-o", "film.webm"], "H264 goes into"),
        (["--crf", "60"], "--crf of H264 is from 0 to 51, got 60"),
        (["--codec", "ffv1", "--crf", "3", "-o", "a.mkv"], "it is lossless"),
        (["--size", "62x43"], "needs even sides, and it is 62x43; use --size 62x44"),
        (["--lossless"], "a lossless video needs --codec ffv1 and a .mkv file"),
        (["--quality", "80"], "--quality is for JPEG and WebP"),
        (["--max-memory", "10"], "--max-memory"),
        (["--check"], "no checks"),
        (["--max-pixels", "3000"], "--max-pixels"),
        (["--max-pixels", "1000"], "1,536 pixels a frame; the limit is 1,000 (--max-pixels)"),
    ],
)
def test_incompatible_video_options_are_refused_before_the_work(
    here: Path, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    source = film(here / "source.mp4", extra=Extra(subtitles="mov_text"))
    assert run(source, *args) == 2
    reported = capsys.readouterr().err
    assert message in reported and reported.count("\n") == 1
    assert sorted(path.name for path in here.iterdir()) == ["source.mp4", "tiny.safetensors"]


def spatial(path: Path) -> Path:
    """A video with sound, and a second track of a codec that FFmpeg doesn't know, as phones make them."""
    source = film(path, extra=Extra(sounds=(("pcm_s16le", "eng"), ("pcm_s16le", "eng"))))
    content = source.read_bytes()
    at = content.rindex(b"sowt")
    source.write_bytes(content[:at] + b"apac" + content[at + 4 :])
    return source


def sounds(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [stream.codec_context.name for stream in container.streams.audio]


def test_a_track_that_no_container_can_hold_is_dropped_and_reported(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = spatial(here / "film.mov")
    assert run(source, "--json") == 0
    reported = json.loads(capsys.readouterr().out)["converted"]
    assert reported == ["without the audio stream 2, of an unknown codec, which no supported container can hold"]
    assert sounds(here / "film_x2.mov") == ["pcm_s16le"]
    assert run(source, "--json", "-o", "film.mkv") == 0
    assert reported[0] in json.loads(capsys.readouterr().out)["converted"]
    assert sounds(here / "film.mkv") == ["pcm_s16le"]


def test_a_track_that_needs_another_container_is_kept_there_or_dropped_on_request(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = film(here / "film.mp4", extra=Extra(subtitles="mov_text", sounds=(("aac", "eng"),)))
    assert run(source, "-o", "film.webm", "--drop-track", "1") == 2
    assert "Use an --output ending in .mp4 or .m4v or .mov, or --drop-track 2." in capsys.readouterr().err
    assert run(source, "-o", "film.webm", "--drop-track", "1", "--drop-track", "2", "--json") == 0
    reported = json.loads(capsys.readouterr().out)["converted"]
    assert reported[:2] == ["without the audio stream 1", "without the subtitle stream 2"]
    assert sounds(here / "film.webm") == []


@pytest.mark.parametrize("number", ["0", "7"])
def test_only_existing_other_tracks_can_be_dropped(here: Path, capsys: pytest.CaptureFixture[str], number: str) -> None:
    source = film(here / "film.mp4", extra=Extra(sounds=(("aac", "eng"),)))
    assert run(source, "--drop-track", number) == 2
    assert f"without track {number}: those that can be dropped are 1 (audio)." in capsys.readouterr().err
    assert not (here / "film_x2.mp4").exists()


@pytest.mark.parametrize(
    ("made", "name", "result"),
    [
        ("a.mp4", "clip v2.0", "clip v2.0_x2.mp4"),
        ("a.mov", "clip v2.0", "clip v2.0_x2.mov"),
        ("a.mkv", "clip", "clip_x2.mkv"),
        ("a.mkv", "clip.mp4", "clip_x2.mkv"),
        ("a.mp4", "clip.m4v", "clip_x2.m4v"),
        ("a.mp4", "clip.mkv", "clip_x2.mp4"),
        ("a.3gp", "clip.3gp", "clip_x2.mkv"),
        ("a.avi", "clip.avi", "clip_x2.mkv"),
    ],
)
def test_the_container_decides_the_suffix(
    here: Path, capsys: pytest.CaptureFixture[str], made: str, name: str, result: str
) -> None:
    film(here / made, times=CFR[:2]).rename(here / name)
    assert run(here / name, "--estimate", "--json") == 0
    assert Path(json.loads(capsys.readouterr().out)["target"]).name == result


def test_video_options_are_refused_for_images(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.pgm").write_bytes(b"P5 2 2 255\n\0\1\2\3")
    assert run(here / "a.pgm", "--crf", "3") == 2
    assert "are for videos" in capsys.readouterr().err


def test_converted_and_dropped_parts_of_a_video_are_reported(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = film(here / "film.mp4", size=(720, 400), times=CFR[:1], extra=Extra(cover=True))
    assert run(source, "--estimate", "-o", "film.mkv") == 0
    reported = capsys.readouterr().out
    assert "tagged as BT.601" in reported and "timestamps rounded to milliseconds" in reported
    assert run(source, "--estimate", "--size", "1000x400") == 0
    assert "pixels of 18:25" in capsys.readouterr().out


def test_an_estimate_counts_frames(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Upscaler, "speed", lambda self: 1e6)
    seconds = []
    for number in (2, 40):
        source = film(here / "film.mp4", times=[512 * each for each in range(number)])
        assert run(source, "--estimate", "--json") == 0
        seconds.append(json.loads(capsys.readouterr().out)["estimated_seconds"])
    assert seconds[1] > 5 * seconds[0]


def test_a_folder_may_hold_videos_and_images(here: Path) -> None:
    inside, outside = here / "in", here / "out"
    inside.mkdir()
    film(inside / "film.mp4")
    (inside / "a.pgm").write_bytes(b"P5 2 2 255\n\0\1\2\3")
    for _ in range(2):
        assert run(inside, "-o", outside, "--crf", "30") == 0
    assert sorted(path.name for path in outside.iterdir()) == [".drrn.sqlite", "a_x2.pgm", "film_x2.mp4"]


@pytest.mark.full
def test_a_real_video_matches_the_documents(here: Path, data: Path) -> None:
    source = data / "formats/video/cockatoo.mp4"
    result = here / "cockatoo.mp4"
    assert run(source, "--scale", "1.5", "-o", result) == 0
    assert compare_films.main(source, result) in (Path(__file__).parents[2] / "docs/how-to/video.md").read_text()
