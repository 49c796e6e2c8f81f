"""Pairs of an original and its interpolated lr, from a folder of originals or from two folders.

Levels stay 8 bits, as in the files: hr is exact, unless a teacher makes it. The protocol does not round ilr; half
precision stores it to within 0.06 of a level (1/4096 just below white), and twice that where it overshoots white, which
is precise enough to learn from.
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
"""The suffix of an lr's name compared to its hr's."""

Levels = NDArray[np.uint8]
"""(channels, H, W): rounded luma, or RGB."""
Teach = Callable[[Path, NDArray[np.float32], float, Levels], Levels]
"""Makes the target to learn, given the file of an original, its lr (channels, h, w) in [0, 1] or slightly beyond, the
scale, and the original cropped for it (channels, H, W). Returns the same shape, possibly the original itself."""


class Pair(NamedTuple):
    """The input of a network and its target."""

    name: str
    scale: float
    lr: NDArray[np.float16]  # (channels, h, w)
    ilr: NDArray[np.float16]  # (channels, H, W)
    hr: Levels  # (channels, H, W)


def pictures_in(folders: Iterable[Path]) -> list[Path]:
    """All image files in the folders, sorted within each. Subfolders are not searched.

    A file is recognized by its content, or by a suffix such as .png. System files such as `._a.png` and animations are
    skipped.

    Raises:
        DataError: a folder is missing or has no image.
    """
    paths: list[Path] = []
    for folder in folders:
        try:
            inside = sorted(path for path in folder.iterdir() if is_image(path) and not is_animated(path))
        except OSError as error:
            raise DataError(f"No folder {folder}. Give a folder of pictures.") from error
        if not inside:
            raise DataError(f"No pictures in {folder}. Known: {', '.join(IMAGES)}.")
        paths += inside
    return paths


def pick_evenly(paths: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of the paths, evenly spaced; all if `count` is 0."""
    if not count or len(paths) <= count:
        return list(paths)
    return [paths[index * len(paths) // count] for index in range(count)]


def label(folder: Path) -> str:
    """The last two parts of a folder's path: they identify the data set and reveal nothing about the machine."""
    return "/".join(folder.parts[-2:]) if folder.parts[-1:] != ("..",) else folder.name


def read_levels(path: Path, channels: Literal[1, 3] | None) -> Levels:
    """An image as a network with `channels` sees it, or with the file's own channels if None; without alpha.

    Luma of a gray file is its own values, in the full range, as in the papers' protocol.

    Raises:
        ImageError: the file can't be read as an image.
    """
    pixels = read(path).pixels.transpose(2, 0, 1).astype(np.float64)
    if channels == 1 and len(pixels) == 3:
        pixels = luma(pixels)[None]
    elif channels == 3 and len(pixels) == 1:
        pixels = np.repeat(pixels, 3, axis=0)
    return levels(pixels).astype(np.uint8)


def unit(levels: Levels) -> NDArray[np.float32]:
    """8-bit levels as numbers in [0, 1]."""
    return np.divide(levels, 255, dtype=np.float32)


def split(paths: Sequence[Path], share: float, seed: int) -> tuple[list[Path], list[Path]]:
    """Split images into those to train on and `share` of them (at least one) to validate on.

    Whole images are drawn, never patches; copies of a file stay on the same side.

    Raises:
        DataError: there are not enough images for both sides.
    """
    copies: dict[bytes, list[Path]] = {}
    for path in paths:
        copies.setdefault(sha256(path.read_bytes()).digest(), []).append(path)
    groups = list(copies.values())
    held_out = max(round(share * len(groups)), 1)
    if held_out >= len(groups):
        raise DataError(f"{len(groups)} different pictures can't be split. Give more, or a smaller share.")
    drawn = set(np.random.default_rng(seed).permutation(len(groups))[:held_out].tolist())
    sides: tuple[list[Path], list[Path]] = ([], [])
    for index, group in enumerate(groups):
        sides[index in drawn].extend(group)
    return sides


def make_pairs(
    paths: Iterable[Path], scales: Sequence[float], channels: Literal[1, 3], teach: Teach | None = None
) -> Iterator[Pair]:
    """Each image at each scale: cropped, reduced and enlarged again by MATLAB's bicubic.

    A scale given twice yields the same pair twice. With `teach`, hr is the target that it makes.
    """
    for path in paths:
        hr = read_levels(path, channels)
        pairs: dict[float, Pair] = {}
        for scale in scales:
            if scale not in pairs:
                cropped = modcrop(hr, scale)
                if 0 in cropped.shape:
                    raise DataError(f"{path} is too small for scale {scale:g}.")
                pairs[scale] = make_pair(path, scale, degrade(unit(cropped), scale), cropped, teach)
            yield pairs[scale]


def match_pairs(
    hr_paths: Iterable[Path], lr_folder: Path, channels: Literal[1, 3], teach: Teach | None = None
) -> Iterator[Pair]:
    """Each original with the lr of the same name in `lr_folder`: `a.png` with `a.png`, or `ax2.png`, `a_x2.png`.

    With `teach`, hr is the target that it makes.

    Raises:
        DataError: an original has no lr, or several, or one of another shape.
    """
    named, scaled = defaultdict[str, list[Path]](list), defaultdict[str, list[Path]](list)
    for path in pictures_in([lr_folder]):
        named[path.stem].append(path)
        scaled[SCALED.sub("", path.stem)].append(path)
    for path in hr_paths:
        partners = named.get(path.stem) or scaled.get(path.stem)  # exact names first: ax2.png may be an original
        if not partners:
            raise DataError(f"{path} has no partner in {lr_folder}. Expected {path.stem}.png or {path.stem}x2.png.")
        if len(partners) > 1:
            several = ", ".join(partner.name for partner in partners)
            raise DataError(f"{path} has several partners in {lr_folder}: {several}. Leave one there.")
        hr, lr = read_levels(path, channels), read_levels(partners[0], channels)
        scale = hr.shape[1] / lr.shape[1]
        if scale <= 1 or abs(hr.shape[2] / lr.shape[2] / scale - 1) > 0.02:
            raise DataError(
                f"{path} is {hr.shape[2]}x{hr.shape[1]} and its lr {lr.shape[2]}x{lr.shape[1]}. Expected a smaller "
                "picture of the same shape."
            )
        yield make_pair(path, scale, unit(lr), hr, teach)


def make_pair(path: Path, scale: float, lr: NDArray[np.float32], hr: Levels, teach: Teach | None) -> Pair:
    """Pair `lr` (channels, h, w), in [0, 1], with its ilr at the size of `hr`, and `hr` or the target by `teach`."""
    height, width = hr.shape[1:]
    ilr = imresize(lr, height, width)
    if teach:
        hr = teach(path, lr, scale, hr)
    return Pair(path.stem, scale, lr.astype(np.float16), ilr.astype(np.float16), hr)
