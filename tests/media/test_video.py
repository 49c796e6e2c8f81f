"""Headers and frames of videos; and files that are not videos, or damaged ones."""

import re
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")

import av

from drrn.apps import cli
from drrn.errors import DRRNError, ImageError, UsageError
from drrn.media.video import containers, probing
from drrn.media.video import decoding as video
from tests.film_files import BARE, CFR, Extra, film, planes

LIMIT = 10**8


@pytest.fixture
def visitors() -> Iterator[tuple[int, list[str]]]:
    """The port of a local server, and its visitors."""
    came: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                came.append(str(address))
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], came
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_the_header_of_a_video_is_read(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", color_range=1, colorspace=1, sample_aspect_ratio=Fraction(4, 3))
    header = probing.probe(source, max_pixels=LIMIT)
    assert header[:6] == ("MP4", 48, 32, 3, False, 8)
    assert header.frames == 12 and header.converted == ()
    reported = header.video
    assert reported and (reported.pixel_format, reported.bits, reported.rate, reported.aspect) == (
        "yuv420p",
        8,
        Fraction(25),
        Fraction(4, 3),
    )
    assert (reported.range, reported.matrix, reported.siting, reported.subsampling) == (video.STUDIO, 1, "left", (2, 2))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi"])
@pytest.mark.parametrize("pixels", ["gray", "gray10le", "yuv420p10le", "yuv422p", "yuv444p12le", "yuv420p"])
def test_frames_are_the_planes_as_decoded(tmp_path: Path, suffix: str, pixels: str) -> None:
    lossless: dict[str, Any] = {"codec": "ffv1", "options": {}} if suffix in (".mkv", ".avi") else {}
    if pixels.startswith("gray") and not lossless:
        pytest.skip("FFmpeg's decoder of H.264 adds chroma to gray")
    if pixels.endswith("12le") and not lossless:
        lossless = {"codec": "libx265", "options": {}}
    source = film(
        tmp_path / f"video{suffix}", times=range(3), base=Fraction(1, 25), pixels=pixels, size=(64, 64), **lossless
    )
    header = probing.probe(source, max_pixels=LIMIT)
    found = list(video.frames(source, header))
    assert (len(found), header.frames, header.channels) == (3, 3, 1 if pixels.startswith("gray") else 3)
    for ours, theirs in zip(found, planes(source), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours.planes, theirs, strict=True))
        assert len(ours.planes) == header.channels


@pytest.mark.parametrize(("codec", "options"), [("mpeg4", {"bf": "2"}), ("libx264", {"bf": "3"})])
def test_frames_of_an_avi_follow_each_other_in_display_order(
    tmp_path: Path, codec: str, options: dict[str, str]
) -> None:
    """An AVI has no frame times if its packets are not in display order."""
    source = film(tmp_path / "film.avi", times=range(20), base=Fraction(1, 25), codec=codec, options=options)
    header = probing.probe(source, max_pixels=LIMIT)
    assert header.frames == 20 and header.video and header.video.time_base == Fraction(1, 25)
    at = [frame.time for frame in video.frames(source, header)]
    assert at == [at[0] + number for number in range(20)]


def test_a_cover_image_is_not_a_video(tmp_path: Path) -> None:
    header = probing.probe(film(tmp_path / "film.mp4", extra=Extra(cover=True)), max_pixels=LIMIT)
    assert (header.width, header.converted) == (48, ())


def test_the_first_of_two_video_streams_is_taken_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as out:
        for side in (32, 64):
            stream = out.add_stream("ffv1", rate=25)
            stream.width = stream.height = side
        for stream in out.streams.video:
            frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
            frame.pts, frame.time_base = 0, Fraction(1, 25)
            out.mux(stream.encode(frame) + stream.encode(None))
    header = probing.probe(path, max_pixels=LIMIT)
    assert (header.width, header.converted) == (32, ("without all video streams but number 0",))


def assert_refused(path: Path, message: str) -> None:
    """Check that probing or decoding refuses the file, in one line that names it."""
    with pytest.raises(DRRNError, match=message) as caught:
        header = probing.probe(path, max_pixels=LIMIT)
        list(video.frames(path, header))
    assert str(caught.value).count("\n") == 0 and str(path.name) in str(caught.value)


def test_truncated_videos_are_refused(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv", ".avi"):
        codec: dict[str, Any] = {"codec": "ffv1", "options": {}} if suffix == ".avi" else {}
        content = film(tmp_path / f"video{suffix}", **codec).read_bytes()
        path = tmp_path / f"part{suffix}"
        for end in (len(content) - 1, len(content) * 3 // 4, len(content) // 2, 100, 40):
            path.write_bytes(content[:end])
            assert_refused(path, "damaged|cut short|can't be read|no video stream")


def test_a_video_without_its_index_is_refused(tmp_path: Path) -> None:
    content = film(tmp_path / "film.mp4").read_bytes()
    path = tmp_path / "bare.mp4"
    path.write_bytes(content.replace(b"moov", b"none"))
    assert_refused(path, "can't be read")


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4"])
def test_a_corrupt_byte_never_gives_a_shorter_video(tmp_path: Path, suffix: str) -> None:
    source = film(
        tmp_path / f"video{suffix}", times=range(6), base=Fraction(1, 25), size=(32, 16), options={**BARE, "g": "1"}
    )
    content, path = source.read_bytes(), tmp_path / f"damaged{suffix}"
    read = []
    for at in range(0, len(content), 101 if suffix == ".avi" else 37):
        broken = bytearray(content)
        broken[at] ^= 0xFF
        path.write_bytes(broken)
        try:
            header = probing.probe(path, max_pixels=LIMIT)
            hidden = int("".join(re.findall(r"(\d+) frames that its edit list hides", str(header.converted))) or 0)
            read.append((at, hidden + len(list(video.frames(path, header)))))
        except ImageError:
            pass
    assert [each for each in read if each[1] != 6] == []


@pytest.mark.parametrize("codec", ["libx264", "libx265", "ffv1", "libsvtav1"])
def test_damage_inside_a_video_is_refused(tmp_path: Path, codec: str) -> None:
    """Damage to any frame is refused: the video is never shortened or guessed."""
    options = {"libx264": BARE, "ffv1": {"slicecrc": "1", "level": "3"}}
    source = film(tmp_path / "film.mkv", codec=codec, size=(128, 96), options=options.get(codec, {}))
    content = source.read_bytes()
    with av.open(str(source)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    spots = [(content.index(packet), len(packet)) for packet in packets]
    assert len(spots) == 12
    path = tmp_path / "damaged.mkv"
    caught = 0
    for at, size in spots:
        broken = bytearray(content)
        middle = at + size // 2
        broken[middle : middle + 24] = bytes(255 - each for each in content[middle : middle + 24])
        path.write_bytes(broken)
        try:
            header = probing.probe(path, max_pixels=LIMIT)
            count = len(list(video.frames(path, header)))
            assert count == 12
        except ImageError:
            caught += 1
    assert caught >= {"libx264": 6, "libx265": 3, "ffv1": 12, "libsvtav1": 3}[codec]


def test_a_missing_frame_is_refused(tmp_path: Path) -> None:
    source, path = film(tmp_path / "film.mkv", options={**BARE, "g": "1"}), tmp_path / "gone.mkv"
    with av.open(str(source)) as container, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(container.streams.video[0], opaque=True)
        for number, packet in enumerate(container.demux(video=0)):
            if packet.size:
                whole = bytes(packet)
                new = av.Packet(whole if number != 5 else b"\0\0\0\2\x09\x10")  # an access unit without a picture
                new.pts, new.dts, new.time_base, new.is_keyframe = packet.pts, packet.dts, packet.time_base, True
                new.stream = stream
                out.mux(new)
    assert_refused(path, "damaged|missing")


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/a.mp4'\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>http://127.0.0.1:{port}/</BaseURL></MPD>',
        "http://127.0.0.1:{port}/film.mp4\n",
        "\0\0\0\x14ftypisom#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n",
        "\x1aE\xdf\xa3#EXTM3U\nhttp://127.0.0.1:{port}/a.ts\n",
        "RIFF\x40\0\0\0AVI #EXTM3U\nhttp://127.0.0.1:{port}/a.ts\n",
    ],
)
@pytest.mark.parametrize("name", ["film.mp4", "film.m3u8", "concat:film.mp4", "film.mkv"])
def test_nothing_but_the_file_is_ever_opened(
    tmp_path: Path, visitors: tuple[int, list[str]], capsys: pytest.CaptureFixture[str], text: str, name: str
) -> None:
    port, came = visitors
    path = tmp_path / name
    path.write_bytes(text.format(port=port).encode("latin-1"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["upscale", str(path), "--engine", "reference"])
    assert ended.value.code == 2
    reported = capsys.readouterr().err
    assert reported.startswith("drrn: ") and reported.count("\n") == 1
    with pytest.raises(ImageError), containers.open_container(path, LIMIT):
        pass
    assert not came


def test_references_to_other_files_are_not_followed(tmp_path: Path, visitors: tuple[int, list[str]]) -> None:
    """An MP4 can refer to data in other files."""
    port, came = visitors
    content = film(tmp_path / "film.mp4").read_bytes()
    at = content.index(b"dref") - 4
    old = content[at : at + int.from_bytes(content[at : at + 4])]
    where = f"http://127.0.0.1:{port}/".encode() + b"\0"
    entry = (12 + len(where)).to_bytes(4) + b"url \0\0\0\0" + where
    new = (16 + len(entry)).to_bytes(4) + old[4:16] + entry
    boxes = [name for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf")]
    changed = bytearray(content[:at] + new + content[at + len(old) :])
    for name in boxes:
        place = changed.rindex(name, 0, at) - 4
        changed[place : place + 4] = (int.from_bytes(changed[place : place + 4]) + len(new) - len(old)).to_bytes(4)
    path = tmp_path / "elsewhere.mp4"
    path.write_bytes(changed)
    with suppress(ImageError):
        list(video.frames(path, probing.probe(path, max_pixels=LIMIT)))
    assert not came


def test_urls_are_not_opened(visitors: tuple[int, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    port, came = visitors
    for path in (f"http://127.0.0.1:{port}/film.mp4", f"tcp://127.0.0.1:{port}"):
        with pytest.raises(SystemExit) as ended:
            cli.main(["upscale", path])
        assert ended.value.code == 2
        assert "There is no file" in capsys.readouterr().err
    assert not came


def test_decoding_stops_at_the_pixel_limit(tmp_path: Path) -> None:
    """Also if the container claims a small size and the frames are larger."""
    source = film(tmp_path / "film.mp4", size=(640, 480), times=CFR[:1])
    with pytest.raises(ImageError, match="307,200 pixels a frame; the limit is 10,000"):
        probing.probe(source, max_pixels=10_000)
    content = source.read_bytes()
    liar = tmp_path / "liar.mp4"
    at = content.index(b"avc1", content.index(b"stsd"))
    liar.write_bytes(content[: at + 28] + (16).to_bytes(2) + (16).to_bytes(2) + content[at + 32 :])
    with pytest.raises(ImageError):
        list(video.frames(liar, probing.probe(liar, max_pixels=10_000)))


def test_impossible_sample_tables_are_refused_before_they_are_loaded(tmp_path: Path) -> None:
    """A table of 80 million samples takes 20 bytes in the file and 3 GB in FFmpeg."""
    content = bytearray(film(tmp_path / "film.mp4").read_bytes())
    many = (80_000_000).to_bytes(4)
    for name, place in ((b"stsz", 12), (b"stsc", 16), (b"stts", 12)):
        at = content.index(name) + place
        content[at : at + 4] = many
    at = content.index(b"stsz") + 8
    content[at : at + 4] = (1).to_bytes(4)
    path = tmp_path / "bomb.mp4"
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert_refused(path, "damaged")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # in KB, on Linux


def test_interlaced_videos_are_refused(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", options={**BARE, "x264-params": "tff=1"}, flags=1 << 18 | 1 << 29)
    assert_refused(source, "interlaced")


def test_unknown_pixel_formats_are_refused(tmp_path: Path) -> None:
    assert_refused(film(tmp_path / "film.mkv", codec="ffv1", pixels="bgr0", options={}), "of the kind bgr0")


def test_a_file_with_only_sound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as out:
        sound = out.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate, frame.pts = 48000, 0
        out.mux(sound.encode(frame) + sound.encode(None))
    assert_refused(path, "has no video stream; a video or an image was expected")


def test_a_changing_frame_size_is_refused(tmp_path: Path) -> None:
    parts = [film(tmp_path / f"{side}.mkv", size=(side, side), codec="libvpx-vp9", options={}) for side in (32, 64)]
    path = tmp_path / "both.mkv"
    with av.open(str(path), "w") as out:
        stream = None
        for number, part in enumerate(parts):
            with av.open(str(part)) as container:
                stream = stream or out.add_stream_from_template(container.streams.video[0], opaque=True)
                for packet in container.demux(video=0):
                    if packet.size and packet.pts is not None and packet.dts is not None:
                        packet.pts += 1000 * number
                        packet.dts += 1000 * number
                        packet.stream = stream
                        out.mux(packet)
    assert_refused(path, "changes its size")


def test_an_absurd_frame_rate_is_ignored(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", times=[0, 1, 2, 3], base=Fraction(1, 1_000_000_000))
    header = probing.probe(source, max_pixels=LIMIT)
    assert header.video and header.video.rate <= 1000
    assert [frame.time for frame in video.frames(source, header)] == [0, 1, 2, 3]


def test_without_pyav_the_pip_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = film(tmp_path / "film.mp4")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(UsageError, match=r"pip install 'drrn\[video\]'"):
        probing.probe(source, max_pixels=LIMIT)


def test_alpha_stored_beside_the_frames_is_refused(tmp_path: Path) -> None:
    """VP8 and VP9 store it where decoders may ignore it."""
    for codec in ("libvpx-vp9", "libvpx"):
        path = film(tmp_path / f"{codec}.webm", codec=codec, pixels="yuva420p", options={"auto-alt-ref": "0"})
        assert_refused(path, rf"has transparency.*-c:v {codec} -i")


@pytest.mark.parametrize(
    ("suffix", "codec", "pixels"),
    [
        (".mov", "prores_ks", "yuva444p10le"),
        (".mkv", "ffv1", "yuva420p"),
        (".mov", "png", "rgba"),
        (".mov", "qtrle", "argb"),
    ],
)
def test_alpha_in_the_pixel_format_is_refused(tmp_path: Path, suffix: str, codec: str, pixels: str) -> None:
    assert_refused(film(tmp_path / f"video{suffix}", codec=codec, pixels=pixels, options={}), "has transparency")


def test_an_alpha_layer_in_hevc_is_refused(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mkv", codec="libx265", options={})
    assert probing.probe(path, max_pixels=LIMIT).frames == 12
    content = path.read_bytes()
    sei = content.index(b"\x4e\x01\x05")  # the message that x265 adds, replaced by another one
    path.write_bytes(content[:sei] + b"\x4e\x01\xa5" + content[sei + 3 :])
    assert_refused(path, "has transparency")


def box(kind: bytes, *body: bytes) -> bytes:
    return struct.pack(">L", 8 + len(b"".join(body))) + kind + b"".join(body)


def with_boxes(path: Path, added: bytes) -> Path:
    """Insert boxes into the description of the video stream of an MP4 whose index comes last."""
    content, at, sizes = bytearray(path.read_bytes()), 0, []
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        while bytes(content[at + 4 : at + 8]) != kind:
            at += int.from_bytes(content[at : at + 4])
        sizes.append(at)
        at += 16 if kind == b"stsd" else 8
    end = sizes[-1] + int.from_bytes(content[sizes[-1] : sizes[-1] + 4])
    for place in sizes:
        content[place : place + 4] = struct.pack(">L", int.from_bytes(content[place : place + 4]) + len(added))
    path.write_bytes(content[:end] + added + content[end:])
    return path


SPHERE = box(
    b"sv3d", box(b"svhd", bytes(4), b"maker\0"), box(b"proj", box(b"prhd", bytes(16)), box(b"equi", bytes(20)))
)


@pytest.mark.parametrize(
    ("added", "printed"),
    [
        (SPHERE, ("without its 360° projection",)),
        (box(b"st3d", bytes(4), b"\2"), ("without its arrangement in 3D",)),
        (box(b"st3d", bytes(4), b"\0"), ()),
    ],
)
def test_a_dropped_projection_or_arrangement_in_3d_is_reported(
    added: bytes, printed: tuple[str, ...], tmp_path: Path
) -> None:
    path = with_boxes(film(tmp_path / "film.mp4", times=CFR[:2]), added)
    assert probing.probe(path, max_pixels=LIMIT).converted == printed


def test_dropped_closed_captions_are_reported(tmp_path: Path) -> None:
    """Broadcasters put them into messages between the frames."""
    captions = b"\xb5\0\x31GA94\3\x41\xff\xfc\x94\x20\xff"
    message = b"\6\4" + bytes([len(captions)]) + captions + b"\x80"
    path = film(tmp_path / "film.mp4", times=CFR[:2])
    with av.open(str(path)) as source, av.open(str(tmp_path / "live.mp4"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                told = av.Packet(struct.pack(">L", len(message)) + message + bytes(packet))
                told.pts, told.dts, told.time_base, told.stream = packet.pts, packet.dts, packet.time_base, stream
                told.is_keyframe = packet.is_keyframe
                out.mux(told)
    assert probing.probe(tmp_path / "live.mp4", max_pixels=LIMIT).converted == ("without closed captions",)


def test_a_claim_of_alpha_without_alpha_is_ignored(tmp_path: Path) -> None:
    """Browsers write this claim into every recording."""
    path = film(tmp_path / "film.webm", codec="libvpx-vp9", options={})
    with av.open(str(path)) as source, av.open(str(tmp_path / "live.webm"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.metadata["alpha_mode"] = "1"
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    header = probing.probe(tmp_path / "live.webm", max_pixels=LIMIT)
    assert len(list(video.frames(tmp_path / "live.webm", header))) == 12


@pytest.mark.parametrize("flags", ["use_metadata_tags", "faststart", "frag_keyframe+empty_moov"])
def test_what_cameras_append_to_an_mp4_is_ignored(flags: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    with (
        av.open(str(film(tmp_path / "film.mp4"))) as source,
        av.open(str(whole), "w", options={"movflags": flags}) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    content, path = whole.read_bytes(), tmp_path / "long.mp4"
    for tail in (b"8db42d694ccc418790edff439fe026bf", bytes(range(9, 256)) * 40, bytes(4096)):
        path.write_bytes(content + tail)
        assert len(list(video.frames(path, probing.probe(path, max_pixels=LIMIT)))) == 12, len(tail)
    path.write_bytes(content[:-9])
    assert_refused(path, "damaged|cut short|can't be read")


def test_zeros_after_a_matroska_video_are_padding(tmp_path: Path) -> None:
    content, path = film(tmp_path / "film.mkv").read_bytes(), tmp_path / "padded.mkv"
    void = b"\xec\x01" + (500).to_bytes(7) + bytes(500)
    for tail in (bytes(1), bytes(4096), bytes(3 << 20), void, void + bytes(9)):
        path.write_bytes(content + tail)
        assert len(list(video.frames(path, probing.probe(path, max_pixels=LIMIT)))) == 12, len(tail)
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))  # as of a download that is not done
    assert_refused(path, "damaged|cut short|can't be read")
    path.write_bytes(content + bytes(99) + b"more")
    assert_refused(path, "damaged")
