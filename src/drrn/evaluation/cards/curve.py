"""Plot a model's PSNR and bicubic's by scale."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from drrn.evaluation.cards.card import CurvePoint, curve
from drrn.plotting import INK, OTHERS, OURS, grid, save, style
from drrn.weights.store import Weights


def plot(weights: Weights, path: Path) -> None:
    """Write the plot, in the format given by the suffix of `path`.

    Raises:
        DRRNError: the card has no curve, or the file can't be written.
    """
    data, points = curve(weights)
    save(draw(weights.name, data, points, weights.all_scales), path)


def draw(name: str, data: str, points: Sequence[CurvePoint], trained: Sequence[float]) -> Figure:
    """How much better than bicubic it is at each scale, the scales that it was trained for marked."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    scales = [point.scale for point in points]
    gains = [point.psnr - point.bicubic for point in points]
    axes.axhline(0, color=OTHERS)
    axes.annotate("bicubic", (scales[-1], 0), xytext=(0, 3), textcoords="offset points", ha="right", color=OTHERS)
    axes.plot(scales, gains, color=OURS, marker="o", markersize=4)
    axes.axvspan(min(trained), max(trained), color="#f3e3dc", zorder=-2)
    style(axes, f"{name} on {data}: PSNR against bicubic's")
    axes.set_xlabel("scale (shaded: trained for)", fontsize=8, color=INK)
    axes.set_ylabel("dB", fontsize=8, color=INK)
    grid(axes)
    return figure
