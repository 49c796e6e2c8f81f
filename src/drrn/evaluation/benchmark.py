"""Evaluate the `Upscaler` that users call, by the protocol of the papers (`drrn.core.metrics`)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drrn.core.color import levels, luma
from drrn.core.metrics import measure_quality, ms_ssim
from drrn.core.resize import degrade, imresize, modcrop
from drrn.data.pairs import pictures_in, read_levels, unit
from drrn.errors import DataError
from drrn.evaluation import published
from drrn.evaluation.naming import BICUBIC, distinct_names
from drrn.evaluation.perceptual import flip
from drrn.evaluation.timing import measure_cost
from drrn.media.image import Image
from drrn.upscaling.upscaler import Upscaler

Planes = NDArray[np.float32]
Enlarge = Callable[[Image, int, int], Image]
"""(lr, width, height) -> sr."""


@dataclass(frozen=True)
class ImageScore:
    """The scores of one image."""

    name: str
    psnr: float
    ssim: float
    seconds: float
    ms_ssim: float | None = None
    """On the luma of the whole image, rounded to 8 bits; None if not requested or the image is too small."""
    flip: float | None = None
    """On the colors of the whole image, lower is better; None if not requested."""


@dataclass(frozen=True)
class Row:
    """A line of the table: one model on one test set at one scale."""

    model: str
    """`bicubic` for MATLAB's, a paper's name, or the name of the weights."""
    source: Literal["measured", "published"]
    data: str
    scale: float
    psnr: float
    """In dB, the mean over images."""
    ssim: float
    seconds: float | None = None
    """Total over all images, for enlarging alone. None, like the next, for published results."""
    peak_mb: float | None = None
    """Of the whole process, the maximum over images."""
    images: list[ImageScore] = field(default_factory=list)


def evaluate(
    upscalers: Sequence[Upscaler],
    folders: Sequence[Path],
    scales: Sequence[float],
    *,
    note: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Row]:
    """Yield rows for bicubic, for published results if the images are a known set, and for each of `upscalers`.

    A set is named after its folder, or by its path if two folders share a name.

    Args:
        upscalers: their weights must have distinct names, see `drrn.evaluation.naming.load_models`.
        note: called with remarks for readers of the rows.

    Raises:
        DataError: a folder is missing or empty, an image is too small, or two folders are the same known set.
        DRRNError: an image can't be read, a scale is out of range, or a folder is named twice.
    """
    for upscaler in upscalers:
        for sentence in filter(None, map(upscaler.weights.outside, scales)):
            note(f"{sentence}.")
    names = distinct_names(folders, [folder.name or str(folder) for folder in folders])
    folder_of: dict[str, Path] = {}  # by set name
    for folder, name in zip(folders, names, strict=True):
        paths = pictures_in([folder])
        for scale in scales:
            bicubic = score_bicubic(paths, scale, channels=1)
            known = published.recognize(len(paths), scale, bicubic.psnr)
            if known is None and published.rows(folder.name, scale):
                note(
                    f"{folder} has {len(paths)} pictures and bicubic {bicubic.psnr:.2f} dB at x{scale:g}: not the "
                    f"published {folder.name}, so published rows are left out."
                )
            data = known or name
            if (other := folder_of.setdefault(data, folder)) != folder:
                raise DataError(f"{other} and {folder} would both be named {data}. Leave one out, or rename it.")
            yield replace(bicubic, data=data)
            for model, cell in published.rows(data, scale).items() if known else ():
                if model != BICUBIC:
                    yield Row(model, "published", data, scale, cell.psnr, cell.ssim)
            for upscaler in upscalers:
                yield replace(score_model(upscaler, paths, scale), data=data)


def score_model(upscaler: Upscaler, paths: Sequence[Path], scale: float, *, perceptual: bool = False) -> Row:
    """A row for `upscaler`, with an empty `data`. Luma models see luma, RGB models the whole image.

    Args:
        perceptual: add MS-SSIM and FLIP.

    Raises:
        DataError, DRRNError: as `evaluate`.
    """

    def enlarge(lr: Image, width: int, height: int) -> Image:
        return upscaler.upscale(lr, size=(width, height))

    channels: Literal[1] | None = 1 if upscaler.weights.config.channels == 1 else None
    return _row(upscaler.weights.name, enlarge, channels, paths, scale, perceptual)


def score_bicubic(paths: Sequence[Path], scale: float, channels: Literal[1] | None, *, perceptual: bool = False) -> Row:
    """The same for MATLAB's bicubic, on luma (1) or on the image as it is (None)."""
    return _row(BICUBIC, _bicubic, channels, paths, scale, perceptual)


def _row(
    model: str, enlarge: Enlarge, channels: Literal[1] | None, paths: Sequence[Path], scale: float, perceptual: bool
) -> Row:
    images, peak = [], 0.0
    for path in paths:
        hr = modcrop(unit(read_levels(path, channels)), scale)
        shave = round(scale)
        if min(hr.shape[1:]) <= 2 * shave:
            raise DataError(
                f"{path} is too small to be evaluated at scale {scale:g}. Leave it out, or give smaller --scales."
            )
        height, width = hr.shape[1:]
        lr = Image(pixels=degrade(hr, scale).transpose(1, 2, 0))  # neither rounded nor clipped
        sr, cost = measure_cost(partial(enlarge, lr, width, height))
        score = measure_quality(_luma(sr.pixels.transpose(2, 0, 1)), _luma(hr), shave)
        image = ImageScore(path.stem, score.psnr, score.ssim, cost.seconds)
        images.append(_add_perceptual(image, sr.pixels, hr.transpose(1, 2, 0)) if perceptual else image)
        peak = max(peak, cost.peak_mb)
    return Row(
        model,
        "measured",
        "",
        scale,
        psnr=fmean(image.psnr for image in images),
        ssim=fmean(image.ssim for image in images),
        seconds=sum(image.seconds for image in images),
        peak_mb=peak,
        images=images,
    )


def _add_perceptual(image: ImageScore, sr: Planes, hr: Planes) -> ImageScore:
    """`image` with MS-SSIM and FLIP of sr and hr, both (H, W, 1) or (H, W, 3)."""
    ours, theirs = (levels(_luma(each.transpose(2, 0, 1))) for each in (sr, hr))
    similarity = ms_ssim(ours, theirs)
    if sr.shape[2] == 1:
        sr, hr = (np.repeat(each, 3, axis=2) for each in (sr, hr))
    return replace(image, ms_ssim=None if np.isnan(similarity) else similarity, flip=flip(sr, hr))


def _bicubic(lr: Image, width: int, height: int) -> Image:
    return replace(lr, pixels=imresize(lr.pixels.transpose(2, 0, 1), height, width).transpose(1, 2, 0))


def _luma(planes: Planes) -> Planes:
    return planes[0] if len(planes) == 1 else luma(planes)
