"""Judge the very `Upscaler` that users call, by the protocol of the papers (`drrn.core.metrics`)."""

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
from drrn.evaluation.timing import measure
from drrn.media.image import Image
from drrn.upscaling.upscaler import Upscaler

Planes = NDArray[np.float32]
Enlarge = Callable[[Image, int, int], Image]
"""(lr, width, height) -> sr."""


@dataclass(frozen=True)
class ImageScore:
    """The score of one picture."""

    name: str
    psnr: float
    ssim: float
    seconds: float
    ms_ssim: float | None = None
    """Of luma rounded to 8 bits, the whole picture; None where it was not asked for or the picture is too small."""
    flip: float | None = None
    """Of the colours, the whole picture, lower being better; None where it was not asked for."""


@dataclass(frozen=True)
class Row:
    """A line of the table: one model on one set at one scale."""

    model: str
    """bicubic for MATLAB's, a paper's name for it, or what the user calls the weights."""
    source: Literal["measured", "published"]
    data: str
    scale: float
    psnr: float
    """dB, the mean over pictures."""
    ssim: float
    seconds: float | None = None
    """For all pictures together, enlarging alone. None for what is published, as the next."""
    peak_mb: float | None = None
    """Of the whole process, the largest over pictures."""
    images: list[ImageScore] = field(default_factory=list)


def evaluate(
    upscalers: Sequence[Upscaler],
    folders: Sequence[Path],
    scales: Sequence[float],
    *,
    note: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Row]:
    """Bicubic, then what is published where the pictures are a known set, then each of `upscalers`.

    A set is named after its folder, or by its path if two folders share a name.

    Args:
        upscalers: their weights must have distinct names, see `drrn.evaluation.naming.load_models`.
        note: told what a reader of the rows must know.

    Raises:
        DataError: a folder is missing or empty, a picture is too small, or two folders are one known set.
        DRRNError: a picture can't be read, a scale is out of range, or a folder is named twice.
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
            known = published.recognise(len(paths), scale, bicubic.psnr)
            if known is None and published.rows(folder.name, scale):
                note(
                    f"{folder} has {len(paths)} pictures and bicubic {bicubic.psnr:.2f} dB at x{scale:g}, which is not "
                    f"the published {folder.name}: its published rows are left out."
                )
            data = known or name
            if (other := folder_of.setdefault(data, folder)) != folder:
                raise DataError(f"{other} and {folder} would both be called {data}. Leave one out, or rename it.")
            yield replace(bicubic, data=data)
            for model, cell in published.rows(data, scale).items() if known else ():
                if model != BICUBIC:
                    yield Row(model, "published", data, scale, cell.psnr, cell.ssim)
            for upscaler in upscalers:
                yield replace(score(upscaler, paths, scale), data=data)


def score(upscaler: Upscaler, paths: Sequence[Path], scale: float, *, perceptual: bool = False) -> Row:
    """A row for `upscaler`, its `data` left empty. A model of luma is given luma, one of RGB the picture.

    Args:
        perceptual: MS-SSIM and FLIP, too.

    Raises:
        DataError, DRRNError: as `evaluate`.
    """

    def enlarge(lr: Image, width: int, height: int) -> Image:
        return upscaler.upscale(lr, size=(width, height))

    channels: Literal[1] | None = 1 if upscaler.weights.config.channels == 1 else None
    return _row(upscaler.weights.name, enlarge, channels, paths, scale, perceptual)


def score_bicubic(paths: Sequence[Path], scale: float, channels: Literal[1] | None, *, perceptual: bool = False) -> Row:
    """The same for MATLAB's bicubic, on luma (1) or on the picture as it is (None)."""
    return _row(BICUBIC, _bicubic, channels, paths, scale, perceptual)


def _row(
    model: str, enlarge: Enlarge, channels: Literal[1] | None, paths: Sequence[Path], scale: float, perceptual: bool
) -> Row:
    images, peak = [], 0.0
    for path in paths:
        hr = modcrop(unit(read_levels(path, channels)), scale)
        shave = round(scale)
        if min(hr.shape[1:]) <= 2 * shave:
            raise DataError(f"{path} is too small to be judged at scale {scale:g}.")
        height, width = hr.shape[1:]
        lr = Image(pixels=degrade(hr, scale).transpose(1, 2, 0))  # not rounded, and not clipped
        sr, cost = measure(partial(enlarge, lr, width, height))
        score = measure_quality(_luma(sr.pixels.transpose(2, 0, 1)), _luma(hr), shave)
        image = ImageScore(path.stem, score.psnr, score.ssim, cost.seconds)
        images.append(_looked_at(image, sr.pixels, hr.transpose(1, 2, 0)) if perceptual else image)
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


def _looked_at(image: ImageScore, sr: Planes, hr: Planes) -> ImageScore:
    """With MS-SSIM and FLIP of two pictures (H, W, 1) or (H, W, 3)."""
    ours, theirs = (levels(_luma(each.transpose(2, 0, 1))) for each in (sr, hr))
    similarity = ms_ssim(ours, theirs)
    if sr.shape[2] == 1:
        sr, hr = (np.repeat(each, 3, axis=2) for each in (sr, hr))
    return replace(image, ms_ssim=None if np.isnan(similarity) else similarity, flip=flip(sr, hr))


def _bicubic(lr: Image, width: int, height: int) -> Image:
    return replace(lr, pixels=imresize(lr.pixels.transpose(2, 0, 1), height, width).transpose(1, 2, 0))


def _luma(planes: Planes) -> Planes:
    return planes[0] if len(planes) == 1 else luma(planes)
