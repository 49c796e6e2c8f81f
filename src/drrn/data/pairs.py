"""Pairs of an original and its interpolated lr, from a folder of originals or from two folders.

Grey levels stay what they are in the files, 8 bits: hr is exact in them, unless a teacher makes it. The ilr is not
rounded in the protocol; half precision keeps it to 0.06 of a level at most (1/4096 just below white), and to twice that
where it overshoots white, which is exact enough to learn from.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drrn.core.color import levels, luma
from drrn.core.resize import degrade, imresize, modcrop
from drrn.errors import DataError
from drrn.media.animation.files import is_animated
from drrn.media.images.files import read
from drrn.media.naming import IMAGES, is_image

SCALED = re.compile(r"_?x\d+(\.\d+)?$")
"""What the name of an lr has more than that of its hr."""

Levels = NDArray[np.uint8]
"""(channels, H, W): rounded luma, or RGB."""
Teach = Callable[[Path, NDArray[np.float32], float, Levels], Levels]
"""From the file of an original, its lr (channels, h, w) in [0, 1], or a little beyond, the scale, and the original as
cropped for it (channels, H, W): what is to be learnt in its place, of the same shape, or the original itself."""


class Pair(NamedTuple):
    """What a network is given, and what it should make of it."""

    name: str
    scale: float
    lr: NDArray[np.float16]  # (channels, h, w)
    ilr: NDArray[np.float16]  # (channels, H, W)
    hr: Levels  # (channels, H, W)


def pictures_in(folders: Iterable[Path]) -> list[Path]:
    """Every picture file of the folders, sorted within each; subfolders are not entered.

    Files are taken by their content, or by a suffix such as .png. System files such as `._a.png` and animations are
    left out.

    Raises:
        DataError: a folder is missing or holds no picture.
    """
    found = []
    for folder in folders:
        try:
            inside = sorted(path for path in folder.iterdir() if is_image(path) and not is_animated(path))
        except OSError as error:
            raise DataError(f"No folder {folder}. Give a folder of pictures.") from error
        if not inside:
            raise DataError(f"No pictures in {folder}. Known: {', '.join(IMAGES)}.")
        found += inside
    return found


def pick_evenly(paths: Sequence[Path], count: int) -> list[Path]:
    """`count` of the paths, at most, evenly from the first to the last; all for 0."""
    if not count or len(paths) <= count:
        return list(paths)
    return [paths[place * len(paths) // count] for place in range(count)]


def label(folder: Path) -> str:
    """A folder by its last two names: enough to know the set, and nothing of the machine."""
    return "/".join(folder.parts[-2:]) if folder.parts[-1:] != ("..",) else folder.name


def read_levels(path: Path, channels: Literal[1, 3] | None) -> Levels:
    """A picture as a network with `channels` sees it, or with the file's own; alpha is left out.

    Luma of a grey file is what it holds, in the full range, as in the papers' protocol.

    Raises:
        ImageError: the file is no picture that can be read.
    """
    pixels = read(path).pixels.transpose(2, 0, 1).astype(np.float64)
    if channels == 1 and len(pixels) == 3:
        pixels = luma(pixels)[None]
    elif channels == 3 and len(pixels) == 1:
        pixels = np.repeat(pixels, 3, axis=0)
    return levels(pixels).astype(np.uint8)


def unit(levels: Levels) -> NDArray[np.float32]:
    """Levels of 8 bits as numbers in [0, 1]."""
    return np.divide(levels, 255, dtype=np.float32)


def split(paths: Sequence[Path], share: float, seed: int) -> tuple[list[Path], list[Path]]:
    """Pictures to learn from, and `share` of them (at least one) to validate on.

    Whole pictures are drawn, never patches; copies of one file stay on one side.

    Raises:
        DataError: there are not enough pictures for both sides.
    """
    copies: dict[bytes, list[Path]] = {}
    for path in paths:
        copies.setdefault(sha256(path.read_bytes()).digest(), []).append(path)
    groups = list(copies.values())
    held_out = max(round(share * len(groups)), 1)
    if held_out >= len(groups):
        raise DataError(f"{len(groups)} different pictures can't be split: give more, or a smaller share.")
    drawn = set(np.random.default_rng(seed).permutation(len(groups))[:held_out].tolist())
    sides: tuple[list[Path], list[Path]] = ([], [])
    for index, group in enumerate(groups):
        sides[index in drawn].extend(group)
    return sides


def make_pairs(
    paths: Iterable[Path], scales: Sequence[float], channels: Literal[1, 3], teach: Teach | None = None
) -> Iterator[Pair]:
    """Each picture at each scale: cropped, made smaller and enlarged again by MATLAB's bicubic.

    A scale that is named twice gives the same pair twice. With `teach`, hr is what that makes of lr.
    """
    for path in paths:
        hr = read_levels(path, channels)
        made: dict[float, Pair] = {}
        for scale in scales:
            if scale not in made:
                cropped = modcrop(hr, scale)
                if 0 in cropped.shape:
                    raise DataError(f"{path} is too small for scale {scale:g}.")
                made[scale] = pair(path, scale, degrade(unit(cropped), scale), cropped, teach)
            yield made[scale]


def match_pairs(
    hr_paths: Iterable[Path], lr_folder: Path, channels: Literal[1, 3], teach: Teach | None = None
) -> Iterator[Pair]:
    """Each original with the file of its name in `lr_folder`: `a.png` with `a.png`, or `ax2.png`, `a_x2.png`.

    With `teach`, hr is what that makes of lr.

    Raises:
        DataError: an original has no such file, or several, or the sizes are no enlargement.
    """
    named, scaled = defaultdict[str, list[Path]](list), defaultdict[str, list[Path]](list)
    for path in pictures_in([lr_folder]):
        named[path.stem].append(path)
        scaled[SCALED.sub("", path.stem)].append(path)
    for path in hr_paths:
        partners = named.get(path.stem) or scaled.get(path.stem)  # the very name goes first: ax2.png may be an original
        if not partners:
            raise DataError(f"{path} has no partner in {lr_folder}. Expected {path.stem}.png or {path.stem}x2.png.")
        if len(partners) > 1:
            several = ", ".join(partner.name for partner in partners)
            raise DataError(f"{path} has several partners in {lr_folder}: {several}. Leave one there.")
        hr, lr = read_levels(path, channels), read_levels(partners[0], channels)
        scale = hr.shape[1] / lr.shape[1]
        if scale <= 1 or abs(hr.shape[2] / lr.shape[2] / scale - 1) > 0.02:
            raise DataError(
                f"{path} is {hr.shape[2]}x{hr.shape[1]} and its lr {lr.shape[2]}x{lr.shape[1]}: one is no enlargement "
                "of the other."
            )
        yield pair(path, scale, unit(lr), hr, teach)


def pair(path: Path, scale: float, lr: NDArray[np.float32], hr: Levels, teach: Teach | None) -> Pair:
    """`lr` (channels, h, w) in [0, 1], enlarged to the size of `hr`, and `hr` or what `teach` makes in its place."""
    height, width = hr.shape[1:]
    ilr = imresize(lr, height, width)
    if teach:
        hr = teach(path, lr, scale, hr)
    return Pair(path.stem, scale, lr.astype(np.float16), ilr.astype(np.float16), hr)
