"""GIF, animated PNG and animated WebP: how frames are composed when reading, and what is written."""

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from drrn.errors import ImageError
from drrn.media.animation.files import Animation, changes, is_animated, probe, read, writable, write
from drrn.media.animation.frames import Samples, blended, patches, ticks
from drrn.media.images import files
from tests.media import moving
from tests.media.moving import CLEAR, KEEP, RESTORE, Step, as_pillow_has_them, composed_frames, multiplied

SIZE = (18, 14)
FORMS = ("gif", "png", "webp")
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MAKERS: dict[str, Callable[..., bytes]] = {"gif": moving.gif, "png": moving.png, "webp": moving.webp}


def put(content: bytes, path: Path) -> Path:
    path.write_bytes(content)
    return path


def assert_refused(content: bytes, path: Path, match: str, **limits: int) -> None:
    with pytest.raises(ImageError, match=match) as met:
        read(put(content, path), **limits)
    assert len(str(met.value).splitlines()) == 1 and path.name in str(met.value)


def samples_of(rng: np.random.Generator, height: int, width: int, *, deep: bool = False, alpha: str = "any") -> Any:
    """RGBA with few colors, so that a GIF can hold it."""
    top = 65535 if deep else 255
    kind = np.uint16 if deep else np.uint8
    samples = rng.integers(0, top, (6, 4), endpoint=True)[rng.integers(0, 6, (height, width))].astype(kind)
    if alpha != "any":
        samples[..., 3] = top if alpha == "opaque" else top * rng.integers(0, 2, (height, width))
    return samples


def steps_of(seed: int, *, deep: bool = False, alpha: str = "any", after: int | None = None) -> list[Step]:
    """A frame that fills the canvas, and five smaller ones."""
    rng = np.random.default_rng(seed)
    steps = []
    for number in range(6):
        left, top = (2 * int(rng.integers(0, 4)), 2 * int(rng.integers(0, 3))) if number else (0, 0)
        height, width = (int(rng.integers(1, 9)), int(rng.integers(1, 11))) if number else (SIZE[1], SIZE[0])
        samples = samples_of(rng, height, width, deep=deep, alpha=alpha)
        then = int(rng.integers(0, 3)) if after is None else after
        steps.append(Step(samples, left, top, then, bool(rng.integers(0, 2)), (int(rng.integers(2, 30)), 100)))
    return steps


def frames_of(animation: Animation) -> list[Samples]:
    return list(animation.frames())


def same(ours: Samples, truth: Samples) -> bool:
    """Compare within rounding, which is done once per frame."""
    return bool(np.abs(multiplied(ours) - truth).max() <= 2.5 / np.iinfo(ours.dtype).max)


# Reading


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("after", [KEEP, CLEAR, RESTORE, None])
def test_a_png_is_composed_as_the_specification_says(after: int | None, deep: bool, tmp_path: Path) -> None:
    for seed in range(3):
        steps = steps_of(seed, deep=deep, after=after)
        animation = read(put(moving.png(steps, SIZE), tmp_path / "a.png"))
        assert animation.header.bits == (16 if deep else 8) and animation.header.alpha
        for ours, truth in zip(frames_of(animation), composed_frames(steps, *SIZE), strict=True):
            assert same(ours, truth)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("after", [KEEP, CLEAR, RESTORE, None])
def test_a_gif_is_composed_as_the_specification_says(after: int | None, own: bool, tmp_path: Path) -> None:
    for seed in range(3):
        steps = [step._replace(over=True) for step in steps_of(seed, alpha="hard", after=after)]
        if not own:  # all of one palette
            colors = np.unique(steps[0].samples[steps[0].samples[..., 3] > 0][:, :3], axis=0)
            for step in steps[1:]:
                step.samples[..., :3] = colors[step.samples[..., 0] % len(colors)]
        animation = read(put(moving.gif(steps, SIZE, own=own), tmp_path / "a.gif"))
        for ours, truth in zip(frames_of(animation), composed_frames(steps, *SIZE), strict=True):
            assert np.array_equal(multiplied(ours), truth)


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("after", [KEEP, CLEAR, None])
def test_a_webp_is_composed_as_by_libwebp(after: int | None, lossless: bool, tmp_path: Path) -> None:
    for seed in range(3):
        steps = [step._replace(after=step.after % 2) for step in steps_of(seed, after=after)]
        path = put(moving.webp(steps, SIZE, lossless=lossless), tmp_path / "a.webp")
        theirs, durations, _ = as_pillow_has_them(path)
        animation = read(path)
        assert [float(each * 1000) for each in animation.header.seconds] == durations
        for ours, frame in zip(frames_of(animation), theirs, strict=True):
            assert np.abs(multiplied(ours) - multiplied(frame)).max() <= 3 / 255


def test_published_animations_match_pillow(data: Path) -> None:
    for name in (
        "video/newtonscradle.gif",
        "skimage/no_time_for_that_tiny.gif",
        "pillow/dispose_bgnd_transparency.gif",
        "pillow/no_palette.gif",
    ):
        path = data / "formats" / name
        theirs, durations, loop = as_pillow_has_them(path)
        animation = read(path)
        header = animation.header
        assert header == probe(path) and header.frames == len(theirs)
        assert [float(each * 1000) for each in header.seconds] == durations
        assert header.plays == (1 if loop is None else 0)
        for ours, frame in zip(frames_of(animation), theirs, strict=True):
            assert np.array_equal(multiplied(ours), multiplied(frame)), name
    station = probe(data / "formats/pillow/iss634.apng")
    assert (station.format, station.frames, station.plays, station.alpha) == ("PNG", 41, 0, True)


def test_the_hidden_default_image_of_an_apng_is_left_out(tmp_path: Path) -> None:
    steps = steps_of(1)[1:]  # and then the first need not fill the canvas
    path = put(
        moving.png(steps, SIZE, hidden=samples_of(np.random.default_rng(0), SIZE[1], SIZE[0])), tmp_path / "a.png"
    )
    animation = read(path)
    assert "without the picture that is no frame" in animation.header.converted
    for ours, truth in zip(frames_of(animation), composed_frames(steps, *SIZE), strict=True):
        assert same(ours, truth)


def test_palettes_gray_and_transparent_colors_are_decoded(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    palette = rng.integers(0, 256, (7, 4)).astype(np.uint8)
    steps = [step._replace(samples=np.array(rng.integers(0, 7, step.samples.shape), np.uint8)) for step in steps_of(4)]
    path = put(moving.png(steps, SIZE, palette=palette), tmp_path / "a.png")
    animation = read(path)
    assert animation.header.converted == ("palette to RGB and alpha",)
    truth = composed_frames([step._replace(samples=palette[step.samples[..., 0]]) for step in steps], *SIZE)
    assert all(map(same, frames_of(animation), truth))
    for deep in (False, True):
        steps = steps_of(5, deep=deep)
        for bands in ((0,), (0, 3)):
            gray = [step._replace(samples=step.samples[..., [0, 0, 0, 3]].copy()) for step in steps]
            key = int(gray[0].samples[0, 0, 0])
            extra = moving.chunk(b"tRNS", struct.pack(">H", key)) if len(bands) == 1 else b""
            animation = read(put(moving.png(gray, SIZE, bands=bands, extra=extra), path))
            header = animation.header
            assert (header.channels, header.bits, header.alpha) == (1, 16 if deep else 8, True)
            if len(bands) == 1:
                assert header.converted == ("a transparent color to alpha",)
                for step in gray:
                    step.samples[..., 3] = np.where(step.samples[..., 0] == key, 0, np.iinfo(step.samples.dtype).max)
            assert all(map(same, frames_of(animation), composed_frames(gray, *SIZE)))


def test_an_animation_has_alpha_only_if_a_pixel_may_be_transparent(tmp_path: Path) -> None:
    full, hard = (samples_of(np.random.default_rng(2), 14, 18, alpha=alpha) for alpha in ("opaque", "hard"))
    part = full[:4, :4]
    for alpha, steps in (
        (False, [Step(full), Step(hard), Step(part, 4, 4, RESTORE)]),
        (False, [Step(full), Step(full, after=CLEAR), Step(full)]),
        (True, [Step(full, after=CLEAR), Step(part)]),
        (True, [Step(full, after=RESTORE), Step(hard)]),
        (True, [Step(hard), Step(full)]),
        (True, [Step(part), Step(full)]),
    ):
        animation = read(put(moving.gif(steps, SIZE), tmp_path / "a.gif"))
        assert animation.header.alpha == alpha
        assert all(frame.shape[2] == 3 + alpha for frame in animation.frames())
        truth = composed_frames(steps, *SIZE)
        assert (min(frame[..., 3].min() for frame in truth) < 1) == alpha
        assert all(
            np.array_equal(multiplied(ours), each) for ours, each in zip(frames_of(animation), truth, strict=True)
        )
    steps = [Step(full), Step(hard, over=False), Step(full)]
    assert read(put(moving.webp(steps, SIZE), tmp_path / "a.webp")).header.alpha


def test_blending_opaque_over_translucent_pixels_keeps_them_opaque() -> None:
    above = np.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 128]]], np.uint8)
    below = np.array([[[10, 20, 30, 77], [10, 20, 30, 77], [10, 20, 30, 0]]], np.uint8)
    assert np.array_equal(blended(below, above)[0], [above[0, 0], below[0, 1], above[0, 2]])


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_an_animation_is_rotated_upright(orientation: int, tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x112] = orientation
    steps = steps_of(3)
    extra = moving.chunk(b"eXIf", tags.tobytes().removeprefix(b"Exif\0\0"))
    animation = read(put(moving.png(steps, SIZE, extra=extra), tmp_path / "a.png"))
    quarter = {1: 0, 3: 2, 6: 3}[orientation]
    for ours, truth in zip(frames_of(animation), composed_frames(steps, *SIZE), strict=True):
        assert (animation.header.height, animation.header.width) == ours.shape[:2]
        assert same(ours, np.rot90(truth, quarter))


# Writing


@pytest.mark.parametrize("target", FORMS)
@pytest.mark.parametrize("source", FORMS)
def test_frames_durations_and_loops_are_kept(source: str, target: str, tmp_path: Path) -> None:
    for alpha, plays in (("opaque", 0), ("hard", 1), ("hard", 5)):
        steps = [step._replace(over=True, after=step.after % 2) for step in steps_of(plays, alpha=alpha)]
        steps.insert(3, Step(np.zeros((1, 1, 4), np.uint8), delay=(11, 100)))  # nothing changes
        loops = {"loop": {0: 0, 1: None, 5: 4}[plays]} if source == "gif" else {"plays": plays}
        path = put(MAKERS[source](steps, SIZE, **loops), tmp_path / f"a.{source}")
        animation, out = read(path), tmp_path / f"b.{target}"
        write(animation.frames(), out, animation, SIZE, overwrite=True)
        theirs, durations, loop = as_pillow_has_them(out)
        for frame, truth in zip(theirs, composed_frames(steps, *SIZE), strict=True):
            assert np.array_equal(multiplied(frame), truth)
        assert durations == [step.delay[0] * 10 for step in steps]
        assert loop == ({0: 0, 1: None, 5: 4} if target == "gif" else {0: 0, 1: 1, 5: 5})[plays]
        again = read(out)
        assert (again.header.seconds, again.header.plays) == (animation.header.seconds, plays)
        assert all(map(np.array_equal, map(multiplied, frames_of(again)), map(multiplied, theirs)))


@pytest.mark.parametrize("bands", [(0,), (0, 3), (0, 1, 2), (0, 1, 2, 3)])
def test_sixteen_bits_are_kept_in_a_png_and_rounded_in_other_formats(bands: tuple[int, ...], tmp_path: Path) -> None:
    steps = steps_of(6, deep=True)
    animation = read(put(moving.png(steps, SIZE, bands=bands), tmp_path / "a.png"))
    first = frames_of(animation)
    for target in ("png", "webp"):
        write(animation.frames(), tmp_path / f"b.{target}", animation, SIZE)
        again = read(tmp_path / f"b.{target}")
        if target == "png":
            assert all(map(np.array_equal, first, frames_of(again)))
            continue
        assert changes(animation.header, tmp_path / "b.webp") == ("16 bit to 8", "gray to RGB")[: 1 + (len(bands) < 3)]
        for ours, deep in zip(frames_of(again), first, strict=True):
            expected = np.round(multiplied(deep)[..., 3] * 255)
            assert np.array_equal(multiplied(ours)[..., 3] * 255, expected)
            assert np.abs(multiplied(ours) - multiplied(deep)).max() < 1 / 255


def test_a_gif_approximates_many_colors_and_has_binary_alpha(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 48 * 40).reshape(40, 48).astype(np.uint8)
    steps = [Step(np.dstack([np.roll(ramp, 9 * n, 1), ramp.T.reshape(40, 48), 255 - ramp, ramp])) for n in range(3)]
    animation = read(put(moving.png(steps, (48, 40)), tmp_path / "a.png"))
    reported = changes(animation.header, tmp_path / "b.gif")
    assert reported == ("more than 256 colors to a palette", "alpha to fully opaque or transparent")
    write(animation.frames(), tmp_path / "b.gif", animation, (48, 40))
    for theirs, truth in zip(as_pillow_has_them(tmp_path / "b.gif")[0], composed_frames(steps, 48, 40), strict=True):
        assert np.array_equal(theirs[..., 3] > 0, truth[..., 3] >= 0.5)
        visible = theirs[..., 3] > 0
        apart = np.abs(theirs[visible][:, :3] - truth[visible][:, :3] / truth[visible][:, 3:] * 255)
        assert apart.mean() < 12


def test_only_the_changed_part_of_a_frame_is_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    still = samples_of(rng, 64, 64, alpha="opaque")
    moves = [still.copy() for _ in range(5)]
    for number, frame in enumerate(moves):
        frame[8 + number : 12 + number, 20:30, 0] ^= 255
    animation = read(put(moving.png([Step(frame) for frame in moves], (64, 64)), tmp_path / "a.png"))
    alone = read(put(moving.png([Step(moves[0]), Step(still[:1, :1])], (64, 64)), tmp_path / "one.png"))
    for target in FORMS:
        write(animation.frames(), tmp_path / f"b.{target}", animation, (64, 64))
        write(alone.frames(), tmp_path / f"c.{target}", alone, (64, 64))
        sizes = [(tmp_path / f"{name}.{target}").stat().st_size for name in "bc"]
        assert sizes[0] < sizes[1] + 4 * 500, target
    assert [patch.samples.shape for patch in patches(frame for frame in moves)][1:] == [(5, 10, 4)] * 4


def test_metadata_is_kept_or_its_loss_reported(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x10F], tags[0x11A], tags[0x11B], tags[0x128], tags[0x112] = "Maker", 100.0, 100.0, 2, 6
    path = tmp_path / "a.png"
    photo = Image.fromarray(samples_of(np.random.default_rng(0), 12, 20))
    photo.save(
        path, save_all=True, append_images=[photo.transpose(Image.Transpose.ROTATE_180)], exif=tags, icc_profile=ICC
    )
    animation = read(path)
    assert animation.header.holds == ("ICC", "EXIF", "dpi") and animation.header.width == 12
    big = [frame.repeat(2, 0).repeat(2, 1) for frame in frames_of(animation)]
    for target in ("png", "webp"):
        write(big, tmp_path / f"b.{target}", animation, (24, 40))
        with Image.open(tmp_path / f"b.{target}") as image:
            found = image.getexif()
            assert image.info["icc_profile"] == ICC and getattr(image, "n_frames", 1) == 2 and image.size == (24, 40)
            assert (found[0x10F], found[0x112], float(found[0x11A])) == ("Maker", 1, 200.0)
        assert read(tmp_path / f"b.{target}").header.holds == ("ICC", "EXIF", "dpi")
        assert not [word for word in changes(animation.header, tmp_path / f"b.{target}") if "without" in word]
    reported = changes(animation.header, tmp_path / "b.gif")
    assert reported[-3:] == ("without ICC", "without EXIF", "without dpi")


def test_xmp_and_the_background_color_are_kept(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">a note</x:xmpmeta>'
    whole = moving.webp(steps_of(0), SIZE, back=b"\1\2\3\4", plays=3)
    note = b"XMP " + struct.pack("<L", len(xmp)) + xmp
    content = whole[:4] + struct.pack("<L", len(whole) - 8 + len(note)) + whole[8:] + note
    animation = read(put(content[:20] + bytes([content[20] | 4]) + content[21:], tmp_path / "a.webp"))
    assert animation.metadata.xmp == xmp and animation.background == b"\1\2\3\4"
    write(animation.frames(), tmp_path / "b.webp", animation, SIZE)
    again = read(tmp_path / "b.webp")
    assert (again.metadata.xmp, again.background, again.header.plays) == (xmp, b"\1\2\3\4", 3)
    with Image.open(tmp_path / "b.webp") as image:
        assert image.info["xmp"] == xmp and image.info["background"] == (3, 2, 1, 4)


def test_an_error_while_writing_frames_leaves_no_file(tmp_path: Path) -> None:
    animation = read(put(moving.png(steps_of(0), SIZE), tmp_path / "a.png"))

    def broken() -> Iterator[Samples]:
        yield next(animation.frames())
        raise KeyboardInterrupt

    for target in FORMS:
        with pytest.raises(KeyboardInterrupt):
            write(broken(), tmp_path / f"b.{target}", animation, SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


# Time


def test_rounded_durations_do_not_accumulate_an_error() -> None:
    film = [Fraction(1, 30)] * 300
    reported = ticks(film, 100, 65535)
    assert set(reported) == {3, 4} and sum(reported) == 1000
    assert ticks([Fraction(1, 60)] * 4, 100, 65535) == [2] * 4  # 1 would be taken for 10
    assert ticks([Fraction(1, 60)] * 3 + [Fraction(1)], 100, 65535) == [2, 2, 2, 100]  # nothing to be made up for
    assert ticks([Fraction(0), Fraction(1, 100), Fraction(1000)], 100, 65535) == [0, 1, 65535]
    assert ticks([Fraction(16, 1000), Fraction(1, 100)], 1000, 1 << 24) == [16, 10]


def test_durations_are_exact_in_png_and_rounding_is_reported_elsewhere(tmp_path: Path) -> None:
    delays = [(1, 30), (0, 1), (7, 0), (65535, 1), (1, 65535), (5, 100)]
    steps = [step._replace(delay=delay) for step, delay in zip(steps_of(0), delays, strict=True)]
    animation = read(put(moving.png(steps, SIZE), tmp_path / "a.png"))
    seconds = (Fraction(1, 30), Fraction(0), Fraction(7, 100), Fraction(65535), Fraction(1, 65535), Fraction(1, 20))
    assert animation.header.seconds == seconds
    for target, word in (("png", None), ("webp", "durations to 1/1000 s"), ("gif", "durations to 1/100 s")):
        write(animation.frames(), tmp_path / f"b.{target}", animation, SIZE)
        claimed = changes(animation.header, tmp_path / f"b.{target}")
        assert word in claimed if word else not claimed
        again = probe(tmp_path / f"b.{target}").seconds
        most, rate = {"png": (65535, 1), "webp": ((1 << 24) - 1, 1000), "gif": (65535, 100)}[target]
        for ours, truth in zip(again, seconds, strict=True):
            off = abs(ours - min(truth, Fraction(most, rate)))
            assert off == 0 if target == "png" else off <= Fraction(1, rate)
    header = animation.header._replace(seconds=(Fraction(1, 20), Fraction(3)), plays=70_000)
    assert changes(header, tmp_path / "b.webp") == ("shown 70,000 times to 65,535",)
    assert "durations to 1/100 s" not in changes(header, tmp_path / "b.gif")
    long = animation.header._replace(seconds=(Fraction(16_777_215, 1000),))
    assert changes(long, tmp_path / "b.png") == ("durations rounded",)


# What is refused


def test_reading_an_animation_as_a_single_image_is_refused(tmp_path: Path) -> None:
    for form in FORMS:
        path = put(MAKERS[form](steps_of(0, alpha="hard"), SIZE), tmp_path / f"a.{form}")
        assert is_animated(path)
        for look in (files.read, files.probe):
            with pytest.raises(ImageError, match="is animated; a single picture was expected"):
                look(path)


def test_a_single_frame_is_not_an_animation(tmp_path: Path) -> None:
    for form in FORMS:
        path = put(MAKERS[form](steps_of(0, alpha="hard")[:1], SIZE), tmp_path / f"a.{form}")
        assert not is_animated(path) and files.read(path).width == SIZE[0]
        with pytest.raises(ImageError, match="is not an animated GIF, PNG or WebP"):
            read(path)
    assert not is_animated(tmp_path) and not is_animated(tmp_path / "missing.gif")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("a.jpg", "JPEG holds no animation; use gif, png or webp"),
        ("a.tif", "TIFF holds no animation"),
        ("a.bmp", "BMP holds no animation"),
        ("a.mp4", "the suffix of an animation must be one of .gif, .png, .apng, .webp"),
        ("a", "the suffix of an animation"),
        ("there.gif", "exists"),
    ],
)
def test_an_unwritable_path_is_refused_before_any_work(name: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "there.gif").touch()
    with pytest.raises(ImageError, match=match):
        writable(tmp_path / name, 4, 4)
    assert writable(tmp_path / "there.gif", 4, 4, overwrite=True) == "GIF"
    assert writable(tmp_path / "a.apng", 1 << 20, 1) == "PNG"


def test_sides_and_profiles_that_a_format_can_not_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="GIF holds at most 65535 pixels a side"):
        writable(tmp_path / "a.gif", 65536, 1)
    with pytest.raises(ImageError, match="WebP holds at most 16383 pixels a side"):
        writable(tmp_path / "a.webp", 1, 16384)
    with pytest.raises(ImageError, match="no gray ICC profile"):
        writable(tmp_path / "a.webp", 1, 1, icc=bytes(16) + b"GRAY")


def test_hostile_gifs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    steps = steps_of(0, alpha="hard")
    whole = moving.gif(steps, SIZE)
    frame = struct.pack("<BHHHHB", 0x2C, 0, 0, 1, 1, 0) + b"\2\2\x44\1\0"
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    assert_refused(head + frame * 200_000 + b";", path, "has over 16,384 frames")
    huge = head[:6] + struct.pack("<HH", 65535, 65535) + head[10:]
    assert_refused(huge + frame * 2 + b";", path, r"8,589,672,450 pixels; the limit is 100,000,000")
    assert_refused(whole, path, "the limit is 1,000 ", max_pixels=1000)
    assert_refused(head[:6] + bytes(4) + head[10:] + frame * 2 + b";", path, "lies outside")
    assert_refused(head + frame + frame.replace(b"\1\0\1\0", b"\2\0\1\0") + b";", path, "lies outside")
    assert_refused(head + frame + frame.replace(b"\1\0\1\0", b"\1\0\0\0") + b";", path, "lies outside")
    assert_refused(head + frame * 2, path, "ends too early")
    assert_refused(head + frame * 2 + b"\x33;", path, "unknown kind 51")
    assert_refused(head + frame + frame.replace(b"\2\x44", b"\2\xff") + b";", path, "damaged")


def test_hostile_pngs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    steps = steps_of(0)
    whole = moving.png(steps, SIZE)
    assert_refused(moving.png(steps, SIZE, claimed=7), path, "has 6 frames and says 7")
    assert_refused(moving.png(steps, SIZE, claimed=2**32 - 1), path, "has 6 frames and says 4294967295")
    assert_refused(moving.png(steps, SIZE, claimed=2), path, "has 6 frames and says 2")
    assert_refused(moving.png(steps, (2**31 - 1, 2**31 - 1)), path, "has another size")
    assert_refused(moving.png(steps[1:], SIZE), path, "its first frame has another size")
    assert_refused(moving.png(steps[1:], (2**31 - 1, 2**31 - 1), hidden=steps[0].samples), path, "--max-pixels")
    assert_refused(moving.png([*steps, Step(steps[0].samples, 1)], SIZE), path, "lies outside")
    at = whole.rindex(b"fdAT")
    assert_refused(
        whole[: at + 6] + bytes([whole[at + 6] ^ 1]) + whole[at + 7 :], path, "the checksum of a chunk 'fdAT'"
    )
    swapped = moving.chunk(b"fdAT", struct.pack(">L", 77) + b"x")
    assert_refused(whole[:-12] + swapped + whole[-12:], path, "out of order")
    unknown = moving.png([steps[0], steps[1]._replace(after=3)], SIZE)
    assert_refused(unknown, path, "a frame of an unknown kind")
    bomb = moving.chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 26)))
    assert_refused(moving.png(steps, SIZE, extra=bomb), path, "bytes of text and profiles")
    lone = moving.chunk(b"fcTL", struct.pack(">LLLLLHHBB", 16, 1, 1, 0, 0, 1, 1, 0, 0))
    assert_refused(whole[:-12] + lone + whole[-12:], path, "a frame without pixels")


def test_damaged_pixels_with_a_valid_checksum_are_refused(tmp_path: Path) -> None:
    """The chunks have valid checksums, so only decoding can find the damage."""
    path = tmp_path / "a.png"
    steps = steps_of(0)
    whole = moving.png(steps, SIZE)
    at = whole.rindex(b"fdAT")
    length = int.from_bytes(whole[at - 4 : at])
    body = whole[at + 4 : at + 4 + length]
    for cut in (body[:-4], body[:-1] + bytes([body[-1] ^ 1]), body[:4] + bytes(len(body) - 4)):
        assert_refused(whole[: at - 4] + moving.chunk(b"fdAT", cut) + whole[at + 8 + length :], path, "frame 6")


def test_hostile_webps_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    steps = steps_of(0)
    whole = moving.webp(steps, SIZE)
    at = whole.rindex(b"ANMF")
    assert_refused(whole[: at + 8] + b"\xff" + whole[at + 9 :], path, "lies outside")
    assert_refused(whole[: at + 14] + b"\0" + whole[at + 15 :], path, "has another size|lies outside")
    assert_refused(whole[:4] + struct.pack("<L", len(whole)) + whole[8:], path, "ends too early")
    assert_refused(whole[: at + 4] + struct.pack("<L", 1 << 30) + whole[at + 8 :], path, "ends too early")
    assert_refused(whole[: at + 24] + b"JUNK" + whole[at + 28 :], path, "a frame without pixels")
    assert_refused(whole[:24] + b"\xff\xff\xff\xff\xff\xff" + whole[30:], path, "the limit is")
    empty = b"ANMF" + struct.pack("<L", 16) + bytes(16)
    many = whole[:44] + empty * 20_000
    assert_refused(many[:4] + struct.pack("<L", len(many) - 8) + many[8:], path, "a frame without pixels")


@pytest.mark.parametrize("form", FORMS)
def test_a_truncated_or_damaged_animation_is_refused_or_read(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{form}"
    whole, rng = MAKERS[form](steps_of(0, alpha="hard"), SIZE), random.Random(1)
    assert read(put(whole, path)).header.frames == 6

    def attempt(content: bytes) -> None:
        put(content, path)
        if is_animated(path):
            frames_of(read(path, max_pixels=100_000))
        else:
            files.read(path, max_pixels=100_000)

    for length in range(0, len(whole) - 1, max(len(whole) // 20, 1)):
        with pytest.raises(ImageError):
            attempt(whole[:length])
    for _ in range(50):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        try:
            attempt(bytes(content))
        except ImageError as error:
            assert len(str(error).splitlines()) == 1
