"""FLIP: how different two color images look, which PSNR and SSIM on luma do not measure."""

import numpy as np
from numpy.typing import NDArray

from drrn.errors import UsageError


def flip(sr: NDArray[np.floating], hr: NDArray[np.floating]) -> float:
    """The mean FLIP of two RGB images, 0 if they are equal, at most 1 (Andersson et al., "FLIP: A Difference
    Evaluator for Alternating Images", 2020), computed by the authors' program at its default viewing distance.

    Args:
        sr, hr: (H, W, 3), sRGB in [0, 1]; values outside are clipped.

    Raises:
        UsageError: flip-evaluator is not installed.
    """
    try:
        from flip_evaluator import evaluate
    except ModuleNotFoundError as error:
        raise UsageError("FLIP needs flip-evaluator. Install it: pip install 'drrn[study]'.") from error
    if sr.shape != hr.shape or sr.shape[2:] != (3,):
        raise ValueError(f"`sr` and `hr` must be (H, W, 3) of one size, got {sr.shape} and {hr.shape}.")
    test, reference = (np.ascontiguousarray(image.clip(0, 1), np.float32) for image in (sr, hr))
    _, mean, _ = evaluate(reference, test, "LDR", applyMagma=False)
    return float(mean)
