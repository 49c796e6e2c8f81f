"""The figures of a study: the report's 1 to 7 again, and those it lacks.

Each is a pure function of `Results`, and None if the experiments it compares were not run.
"""

from collections.abc import Callable
from typing import NamedTuple

from matplotlib.figure import Figure

from drrn.study.comparisons import grid, losses, trade_off
from drrn.study.curves import blocks_curves, gradients, residual_curves, units_curves
from drrn.study.examples import residual_images, sheets
from drrn.study.experiments import BASE
from drrn.study.result import Results


class Drawing(NamedTuple):
    """A figure, its title, and a description for readers who can't see it."""

    title: str
    alt: str
    draw: Callable[[Results], Figure | None]


FIGURES: dict[str, Drawing] = {
    "sheets": Drawing(
        "Enlarged pictures (the report's figures 1 to 3)",
        f"Parts of test pictures, one per row: made smaller, enlarged by bicubic and by {BASE.name}, and the original.",
        sheets,
    ),
    "residual_curves": Drawing(
        "With and without residuals (the report's figure 4)",
        "Loss and accuracy by epoch, in training and in validation, with all residuals, without the local ones, "
        "without the global one and with none; a dotted line shows a network that learned one constant color.",
        residual_curves,
    ),
    "residual_pictures": Drawing(
        "Pictures with and without residuals (the report's figure 5)",
        "The same parts of test pictures, one per row: the original, and enlarged with all residuals, without the "
        "local ones, without the global one and with none.",
        residual_images,
    ),
    "units_curves": Drawing(
        "Residual units (the report's figure 6)",
        "Validation accuracy and loss by epoch, one line per number of units in one block; below, PSNR on test "
        "pictures by the number of units, with bicubic as a dotted line.",
        units_curves,
    ),
    "blocks_curves": Drawing(
        "Recursive blocks (the report's figure 7)",
        "Validation accuracy and loss by epoch, one line per number of blocks of three units; below, PSNR on test "
        "pictures by the number of blocks, with bicubic as a dotted line.",
        blocks_curves,
    ),
    "grid": Drawing(
        "Blocks and units together",
        "A table of PSNR on test pictures: one row per number of blocks, one column per number of units.",
        grid,
    ),
    "trade_off": Drawing(
        "Cost and gain of blocks and units (the report's section 4.4)",
        "PSNR on test pictures by CPU seconds of training, by multiply-adds a pixel and by parameters, one dot per "
        "number of blocks and units; a line joins the best at each cost.",
        trade_off,
    ),
    "gradients": Drawing(
        "How much of the gradient reaches each layer",
        "The gradient norm at each layer, before and after training, with all residuals, without the local ones, "
        "without the global one and with none. A line that drops to the bottom is a gradient of 0.",
        gradients,
    ),
    "losses": Drawing(
        "Losses other than MSE",
        "PSNR, SSIM, MS-SSIM and FLIP of networks trained with other losses, relative to the one trained with MSE.",
        losses,
    ),
}


def draw(results: Results) -> dict[str, Figure]:
    """The figures that these results allow, by their names in `FIGURES`, in that order."""
    return {name: figure for name, drawing in FIGURES.items() if (figure := drawing.draw(results))}
