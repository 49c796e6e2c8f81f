"""Read and write animations: GIF, animated PNG and WebP.

Frames are processed one at a time and never held in memory together. Reading yields composed frames, as a viewer
displays them; writing stores only what changes from one frame to the next. Durations, loops, transparency and metadata
are kept if the target format can hold them; `changes` lists the rest.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from drrn.atomic import atomic, refuse_existing
from drrn.errors import ImageError, printable
from drrn.media.animation import apng, gif, webp
from drrn.media.animation.frames import ParsedAnimation, Samples, composed
from drrn.media.animation.stills import decode_still, encode_still, open_still, to_eight_bits
from drrn.media.buffer import Buffer
from drrn.media.file_format import FileFormat
from drrn.media.header import Header
from drrn.media.images.decoding import converted
from drrn.media.images.files import MAX_PIXELS, upright
from drrn.media.images.formats import format_of_suffix, refuse_unfit
from drrn.media.images.quality import Loss, loss_of
from drrn.media.images.recognition import check_texts, map_file
from drrn.media.libvips import FAULTS, reason
from drrn.media.metadata import exif
from drrn.media.metadata.adapting import adapt_metadata, make_metadata_upright, resize_metadata
from drrn.media.metadata.metadata import Metadata, find_missing, list_names

ANIMATED: Final[dict[FileFormat, tuple[str, ...]]] = {"GIF": (".gif",), "PNG": (".png", ".apng"), "WebP": (".webp",)}
"""The suffixes that can be written."""
KNOWN: Final = {"GIF": gif, "PNG": apng, "WebP": webp}


class Animation(NamedTuple):
    """A file whose frames have all been parsed and checked."""

    header: Header
    metadata: Metadata
    background: bytes
    """As in `ParsedAnimation`."""
    alike: tuple[int, ...]
    """For each frame, the index of the first identical frame."""
    opaque: bool
    """Whether alpha is 1 everywhere in all frames, if there is alpha."""
    frames: Callable[[], Iterator[Samples]]
    """Composed upright frames in order: (H, W, channels and alpha), uint8 or uint16."""


def is_animated(path: Path) -> bool:
    """Whether the content of the file is an animation of more than one frame."""
    try:
        with map_file(path) as (_, _, file):
            form = _format(file)
            return form is not None and KNOWN[form].is_animated(file)
    except ImageError:
        return False


def probe(path: Path, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Read the header of an animation. No pixel is decoded.

    Raises:
        ImageError: the file is missing, not an animation, damaged, or has more than `max_pixels` in all frames.
    """
    with map_file(path) as (name, _, file):
        return _parse_header(file, name, max_pixels)[1]


def read(path: Path, *, max_pixels: int = MAX_PIXELS) -> Animation:
    """Read an animation. Each frame is decoded once as a check; none is kept in memory.

    Raises:
        ImageError: as `probe`, or a frame is damaged.
    """
    with map_file(path) as (name, _, file):
        content = bytes(file)  # read into memory: the file might be modified during the work
    animation, header, turn = _parse_header(content, name, max_pixels)
    bands = header.channels + 1

    def frames() -> Iterator[Samples]:
        for samples in composed(animation, partial(decode_still, animation, bands)):
            yield upright(samples if header.alpha else samples[..., :-1], turn)

    first: dict[bytes, int] = {}
    alike, opaque = [], True
    for number, samples in enumerate(frames()):
        alike.append(first.setdefault(blake2b(samples.tobytes()).digest(), number))
        opaque = opaque and (not header.alpha or bool((samples[..., -1] == np.iinfo(samples.dtype).max).all()))
    return Animation(header, animation.metadata, animation.background, tuple(alike), opaque, frames)


def write(
    frames: Iterable[Samples],
    path: Path,
    like: Animation,
    size: tuple[int, int],
    *,
    loss: Loss | None = None,
    overwrite: bool = False,
    written: Callable[[Path], None] = lambda temporary: None,
) -> None:
    """Write the frames atomically, as they arrive, in the format of the suffix.

    PNG and, without `loss`, WebP are lossless; a GIF has 256 colors per frame.

    Args:
        frames: as many as `like` has, with its bits, channels and alpha.
        like: the animation whose durations, loops and metadata are used; its dpi are scaled with the size.
        size: width and height of the frames.
        written: as in `drrn.media.images.files.write`.

    Raises:
        ImageError: as `writable`.
        DRRNError: as `atomic`, and whatever `frames` raises.
    """
    header, (width, height) = like.header, size
    form = writable(path, width, height, icc=like.metadata.icc, overwrite=overwrite)
    metadata = adapt_metadata(resize_metadata(like.metadata, (header.width, header.height), size), width, height, form)
    encode, alpha = partial(encode_still, form=form, name=printable(path), loss=loss), header.alpha and not like.opaque
    if form != "PNG":
        frames = (to_eight_bits(frame if alpha == header.alpha else frame[..., :-1]) for frame in frames)
    pieces: Iterator[bytes]
    match form:
        case "GIF":
            pieces = gif.pieces(frames, encode, header.seconds, header.plays, size, alpha=alpha)
        case "WebP":
            back = like.background
            how = {"alpha": alpha, "lossy": loss is not None}
            pieces = webp.pieces(frames, encode, header.seconds, header.plays, size, metadata, back, **how)
        case _:
            pieces = apng.pieces(frames, encode, header.seconds, header.plays, metadata)
    with atomic(path, overwrite=overwrite) as temporary:
        with temporary.open("xb") as file:
            try:
                for piece in pieces:
                    file.write(piece)
            except FAULTS as error:
                raise ImageError(f"{printable(path)} can't be encoded as {form}{reason(error)}.") from error
            if form == "WebP":
                webp.end(file, printable(path))
        written(temporary)


def changes(header: Header, path: Path) -> tuple[str, ...]:
    """List what is converted or dropped from a file to `path`, as `drrn.media.images.formats.changes` does."""
    form = format_of(path)
    changed = [what for what in header.converted if form != "GIF" or "palette" not in what]
    if header.bits == 16 and form != "PNG":
        changed.append("16 bit to 8")
    if header.channels == 1 and form == "WebP":
        changed.append("gray to RGB")
    if form == "GIF":
        changed.append("more than 256 colors to a palette")
        if header.alpha:
            changed.append("alpha to fully opaque or transparent")
    if form and (rounded := KNOWN[form].rounded(header.seconds)):
        changed.append(rounded)
    if form and header.plays > (most := KNOWN[form].MOST_PLAYS):
        changed.append(f"shown {header.plays:,} times to {most:,}")
    changed += find_missing(header.holds, form) if form else []
    return tuple(dict.fromkeys(changed))


def writable(path: Path, width: int, height: int, *, icc: bytes | None = None, overwrite: bool = False) -> FileFormat:
    """Check that an animation can be written to `path`, before long work begins.

    Returns:
        The format of the suffix.

    Raises:
        ImageError: the suffix is unknown or of a format without animation; the format has a shorter longest side, or
            can't hold a gray ICC profile; or `path` exists and `overwrite` is off.
    """
    form, name = format_of(path), printable(path)
    if form is None:
        if single := format_of_suffix(path):
            raise ImageError(f"{name} can't be written: {single} holds no animation; use gif, png or webp.")
        known = ", ".join(suffix for suffixes in ANIMATED.values() for suffix in suffixes)
        raise ImageError(f"{name} can't be written: the suffix of an animation must be one of {known}.")
    refuse_unfit(path, form, (width, height), icc, what="animation", instead="png")
    refuse_existing(path, overwrite=overwrite)
    return form


def format_of(path: Path) -> FileFormat | None:
    """Return the format of the suffix; None if animations can't be written in it."""
    return next((form for form, suffixes in ANIMATED.items() if path.suffix.lower() in suffixes), None)


def _format(file: Buffer) -> FileFormat | None:
    if file[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if file[:8] == apng.SIGNATURE:
        return "PNG"
    return "WebP" if file[:4] == b"RIFF" and file[8:12] == b"WEBP" else None


def _parse_header(file: Buffer, name: str, max_pixels: int) -> tuple[ParsedAnimation, Header, int]:
    """Parse the file and return its animation, header and orientation."""
    form = _format(file)
    if form is None or not KNOWN[form].is_animated(file):
        raise ImageError(f"{name} is not an animated GIF, PNG or WebP.")
    if form == "PNG":
        check_texts(file, name)
    animation = KNOWN[form].parse(file, name)
    frames, count = len(animation.frames), animation.width * animation.height * len(animation.frames)
    if not count:
        raise ImageError(f"{name} is {animation.width} x {animation.height}: it has no pixels.")
    if count > max_pixels:
        raise ImageError(
            f"{name} is {animation.width} x {animation.height} in {frames:,} frames, {count:,} pixels; the limit is "
            f"{max_pixels:,} (--max-pixels)."
        )
    first = open_still(animation, animation.frames[0])
    turn = exif.orientation(animation.metadata.exif) if animation.metadata.exif else 1
    animation.metadata = make_metadata_upright(animation.metadata, turn, (animation.width, animation.height))
    width, height = (animation.width, animation.height) if turn < 5 else (animation.height, animation.width)
    header = Header(
        form,
        width,
        height,
        1 if form == "PNG" and first.bands < 3 else 3,
        animation.alpha,
        16 if first.format == "ushort" else 8,
        (*converted(first, form, file, alpha=animation.alpha), *animation.left_out, *animation.metadata.extras.lost),
        list_names(animation.metadata),
        frames,
        tuple(frame.seconds for frame in animation.frames),
        animation.plays,
        loss=loss_of(form, file),
    )
    return animation, header, turn
