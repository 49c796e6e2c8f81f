"""The drawings of docs/explanation, made by code: the network, bicubic, bands, strips."""

import re
from collections.abc import Callable, Iterator
from math import ceil, floor

import numpy as np

from docs.write import DOCS, Texts, read
from docs.write.svg import INK, LIGHT, OTHERS, OURS, PALE, arrow, box, circle, drawing, line, path, text
from drrn.core.config import DRRNConfig
from drrn.core.resize import imresize

FOLDER = DOCS / "explanation/drawings"
TRAINING = DOCS / "tutorial/first-training.md"


def texts() -> Texts:
    """All drawings."""
    return {FOLDER / f"{name}.svg": draw() for name, draw in DRAWINGS.items()} | {
        TRAINING.parent / "first.svg": learning()
    }


def network() -> str:
    """From ilr to sr."""
    y, high = 105, 60
    return drawing(
        760,
        190,
        "ilr enters a convolution, then recursive blocks, then a last convolution; ilr is added to what comes out: sr.",
        [
            text(36, y, "ilr"),
            arrow((55, y), (95, y)),
            box(95, y - high / 2, 140, high, "recursive\nblock 1", fill=PALE, stroke=OURS),
            arrow((235, y), (275, y)),
            text(300, y, "· · ·", size=20),
            arrow((322, y), (355, y)),
            box(355, y - high / 2, 140, high, "recursive\nblock B", fill=PALE, stroke=OURS),
            arrow((495, y), (535, y)),
            box(535, y - high / 2, 90, high, "last\n3x3"),
            arrow((625, y), (655, y)),
            circle(670, y, 15, "+"),
            arrow((685, y), (715, y)),
            text(735, y, "sr"),
            arrow((75, y), (75, 35), (670, 35), (670, y - 15), stroke=OURS, width=2),
            text(372, 20, "global residual: ilr is added to the end", fill=OURS),
            text(372, 165, "everything between learns only what bicubic lost", size=13),
        ],
    )


def block() -> str:
    """One recursive block, unrolled."""
    y = 120

    def unit(x: float, number: str) -> Iterator[str]:
        yield box(x, y - 38, 100, 76, fill="#ffffff")
        yield box(x + 8, y - 28, 84, 25, "ReLU, 3x3 a", fill=PALE, stroke=OURS, size=13)
        yield box(x + 8, y + 3, 84, 25, "ReLU, 3x3 b", fill=PALE, stroke=OURS, size=13)
        yield text(x + 50, y + 54, f"unit {number}", size=13)
        yield arrow((x + 100, y), (x + 120, y))
        yield circle(x + 133, y, 13, "+")
        yield arrow((x + 133, 45), (x + 133, y - 13), stroke=OURS, width=2)

    shapes = [
        box(40, y - 30, 84, 60, "first 3x3"),
        arrow((10, y), (40, y)),
        arrow((124, y), (190, y)),
        text(147, y + 18, "h0", size=14, fill=OURS),
        line([(147, y), (147, 45), (689, 45)], stroke=OURS, width=2),
        text(415, 25, "h0, the block's first features, is added after every unit", fill=OURS),
        *unit(190, "1"),
        arrow((336, y), (373, y)),
        *unit(373, "2"),
        arrow((519, y), (556, y)),
        *unit(556, "3"),
        arrow((702, y), (745, y)),
        text(
            398, 215, "all units use the same two convolutions, a and b: more units add depth, not parameters", size=14
        ),
    ]
    return drawing(
        760, 240, "A convolution gives h0; each unit is two convolutions, and h0 is added after each.", shapes
    )


def skips() -> str:
    """The three kinds of local residual connections."""
    shapes = []
    kinds = [
        ("source (the paper)", "h_u = F(h_u-1) + h_0"),
        ("chain (the report)", "h_u = F(h_u-1) + h_u-1"),
        ("none (an ablation)", "h_u = F(h_u-1)"),
    ]
    for row, (name, formula) in enumerate(kinds):
        y = 62 + row * 96
        shapes += [text(20, y - 10, name, anchor="start"), text(20, y + 12, formula, anchor="start", size=13)]
        shapes += [text(215, y, "h_0", size=14), arrow((232, y), (270, y))]
        for unit in range(3):
            x = 270 + unit * 160
            shapes += [box(x, y - 18, 62, 36, "F", fill=PALE, stroke=OURS), arrow((x + 62, y), (x + 90, y))]
            if row < 2:
                shapes += [circle(x + 102, y, 12, "+")]
                start = 248 if row == 0 else x - 22
                shapes += [arrow((start, y), (start, y - 36), (x + 102, y - 36), (x + 102, y - 12), stroke=OURS)]
                shapes += [arrow((x + 114, y), (x + 160, y))]
            else:
                shapes += [line([(x + 62, y), (x + 114, y)]), arrow((x + 114, y), (x + 160, y))]
    return drawing(
        760, 300, "Where the output of a unit is added: to h0, to the unit's own input, or to nothing.", shapes
    )


def unshuffle() -> str:
    """Pixel-unshuffle by two, and back."""
    side, shapes = 30, []
    shades = [OURS, OTHERS, "#e8b49c", "#5b6b78"]
    for row in range(4):
        for column in range(4):
            kind = row % 2 * 2 + column % 2
            shapes.append(box(40 + column * side, 50 + row * side, side, side, fill=shades[kind], stroke="#ffffff"))
    for kind, shade in enumerate(shades):
        for row in range(2):
            for column in range(2):
                x, y = 300 + kind * 26 + column * side, 50 + kind * 22 + row * side
                shapes.append(box(x, y, side, side, fill=shade, stroke="#ffffff"))
    shapes += [
        text(100, 30, "4x4 pixels, 1 channel"),
        arrow((180, 110), (280, 110)),
        text(230, 92, "unshuffle", size=13),
        text(345, 30, "2x2 pixels, 4 channels"),
        arrow((450, 110), (500, 110)),
        box(500, 80, 110, 60, "the network", fill=PALE, stroke=OURS),
        arrow((610, 110), (650, 110)),
        text(700, 100, "shuffle", size=13),
        text(700, 120, "back", size=13),
    ]
    return drawing(760, 210, "Each square of two by two pixels becomes one pixel of four channels.", shapes)


def kernel() -> str:
    """What bicubic weighs: when it enlarges, and when it makes smaller."""
    fine = imresize(np.eye(9)[4][None].repeat(9, 0), 9, 9 * 40)[4]
    coarse = imresize(np.eye(27), 9, 27)[4]
    shapes = [
        text(190, 24, "enlarging: two pixels of lr each way"),
        text(570, 24, "three times smaller: six pixels of hr each way"),
    ]
    for left in (30, 410):
        shapes.append(line([(left, 170), (left + 320, 170)], stroke=OTHERS))
    points = [(30 + index * 320 / 359, 170 - value * 125) for index, value in enumerate(fine)]
    shapes.append(line([(round(x, 1), round(y, 1)) for x, y in points], stroke=OURS, width=2))
    for number in range(9):
        x = 30 + (number + 0.5) * 320 / 9
        shapes.append(line([(x, 166), (x, 174)], stroke=INK))
    tall = 125 / coarse.max()
    for index, weight in enumerate(coarse):
        x = 410 + index * 320 / 27
        height = abs(weight) * tall
        shapes.append(
            box(round(x + 1, 1), round(170 - max(weight, 0) * tall, 1), 9.5, round(height, 1), fill=PALE, stroke=OURS)
        )
    shapes += [
        text(190, 205, "the weight of one pixel of lr in the pixels of ilr", size=13),
        text(570, 205, "the weights of hr's pixels in one pixel of lr", size=13),
    ]
    return drawing(760, 225, "The cubic kernel, and the same kernel stretched by the scale.", shapes)


def bands() -> str:
    """Rows of the picture on their way through the layers."""
    left, top, wide, high = 165, 50, 560, 38
    names = ["ilr", "layer 1", "layer 2", "layer 3", "sr"]
    shapes = [text(left + wide / 2, 24, "rows of the picture, from the first to the last")]
    for layer, name in enumerate(names):
        y = top + layer * (high + 14)
        done = left + 330 - layer * 40
        shapes += [
            text(left - 20, y + high / 2, name, anchor="end"),
            box(left, y, wide, high, fill="#ffffff"),
            box(left, y, done - left - 100, high, fill=LIGHT),
            box(done - 100, y, 100, high, "this band", fill=PALE, stroke=OURS, size=13),
        ]
        if layer < len(names) - 1:
            shapes.append(box(done - 116, y, 16, high, fill=OURS, stroke=OURS))
            shapes.append(arrow((done - 60, y + high), (done - 80, y + high + 14)))
    shapes += [
        text(left, 322, "gray: finished and forgotten", anchor="start", size=13),
        text(left + 210, 322, "dark: two rows kept for the next band", anchor="start", size=13, fill=OURS),
        text(
            left, 344, "each layer is a row behind the one before it: it needs one row below", anchor="start", size=13
        ),
    ]
    return drawing(
        760, 365, "A band of rows goes through all layers; each layer lags a row behind the one before.", shapes
    )


def strips() -> str:
    """A strip of columns, with the surroundings it depends on."""
    shapes = [
        box(60, 40, 640, 200, fill=LIGHT),
        box(260, 40, 200, 200, fill=PALE, stroke=OURS),
        line([(212, 40), (212, 240)], stroke=OURS, dashed=True),
        line([(508, 40), (508, 240)], stroke=OURS, dashed=True),
        text(360, 125, "this strip"),
        text(360, 148, "is written", size=13),
        text(236, 125, "halo", size=13, fill=OURS),
        text(484, 125, "halo", size=13, fill=OURS),
        arrow((300, 270), (212, 270), stroke=OURS),
        arrow((420, 270), (508, 270), stroke=OURS),
        text(360, 270, "is read", fill=OURS),
        text(136, 140, "written before", size=13),
        text(604, 140, "comes next", size=13),
        text(380, 20, "ilr"),
    ]
    return drawing(760, 295, "A strip of columns is written; a halo on both sides is read as well.", shapes)


def receptive() -> str:
    """How far a pixel of the result sees, for the networks of the paper and a packaged one."""
    rows = [
        ("B1U9, the paper's smaller network", DRRNConfig(units=9)),
        ("B1U25, the paper's larger network", DRRNConfig(units=25)),
        ("B3U2 with unshuffle 2, small at x2", DRRNConfig(blocks=3, units=2, width=48, unshuffle=2)),
    ]
    shapes = []
    for index, (name, config) in enumerate(rows):
        y, reach = 40 + index * 62, config.halo * 2.6
        shapes += [
            text(20, y - 8, name, anchor="start", size=14),
            text(20, y + 12, f"{config.depth} convolutions, halo {config.halo}", anchor="start", size=13),
            box(round(510 - reach, 1), y - 14, round(2 * reach, 1), 28, fill=PALE, stroke=OURS),
            box(507, y - 3, 6, 6, fill=INK, stroke=INK),
        ]
    shapes.append(text(510, 210, "pixels of ilr that one pixel of the result depends on", size=13))
    return drawing(760, 230, "A pixel depends on its surroundings as far as the halo.", shapes)


def gone() -> str:
    """Two originals that become the same lr."""
    width, count = 300, 15
    x = np.linspace(0, 1, 301)
    shapes = []
    for left, name, wave in [(40, "one original", 0.0), (420, "another original", 30.0)]:
        y = 90 - 30 * np.sin(2 * np.pi * x * 1.5) - wave * np.sin(2 * np.pi * x * count)
        commands = "M" + " L".join(f"{left + a * width:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        shapes += [text(left + width / 2, 16, name), path(commands, width=1.5, stroke=OTHERS if wave else INK)]
        for each in (np.arange(count) + 0.0) / count:
            level = 90 - 30 * np.sin(2 * np.pi * each * 1.5)
            shapes.append(circle(round(left + each * width, 1), round(float(level), 1), 3.5, fill=OURS, stroke=OURS))
    shapes.append(
        text(380, 175, "seen only at the dots, both are the same: no method can tell which one it was", size=14)
    )
    return drawing(760, 200, "Two curves that agree at every sample.", shapes)


def learning() -> str:
    """PSNR by epoch, from what the training printed, as the tutorial shows it."""
    printed = re.findall(r"^epoch +(\d+) .* PSNR ([\d.]+) dB \(bicubic ([\d.]+)\)", read(TRAINING), re.MULTILINE)
    scores, bicubic = [float(psnr) for _, psnr, _ in printed], float(printed[0][2])
    low, high = min(*scores, bicubic) - 0.1, max(scores) + 0.1

    def place(epoch: float, psnr: float) -> tuple[float, float]:
        return round(80 + (epoch - 1) * 560 / (len(scores) - 1), 1), round(190 - (psnr - low) / (high - low) * 170, 1)

    points = [place(epoch, psnr) for epoch, psnr in enumerate(scores, start=1)]
    ends = [place(1, bicubic), place(len(scores), bicubic)]
    shapes = [
        line([(80, 20), (80, 190), (640, 190)], stroke=OTHERS),
        line(ends, stroke=INK, dashed=True),
        text(ends[1][0] + 8, ends[1][1], "bicubic", anchor="start", size=14),
        line(points, stroke=OURS, width=2),
        *(circle(x, y, 3.5, fill=OURS, stroke=OURS) for x, y in points),
        text(points[-1][0] + 8, points[-1][1], "network", anchor="start", size=14, fill=OURS),
        *(text(x, 207, str(epoch), size=13) for epoch, (x, _) in enumerate(points, start=1)),
        text(360, 230, "epoch"),
        text(20, 12, "PSNR, dB", anchor="start", size=13),
    ]
    for level in range(ceil(low * 2), floor(high * 2) + 1):
        shapes.append(text(70, place(1, level / 2)[1], f"{level / 2:g}", anchor="end", size=13))
    return drawing(760, 250, "PSNR of the network by epoch, and bicubic's.", shapes)


DRAWINGS: dict[str, Callable[[], str]] = {
    "network": network,
    "block": block,
    "skips": skips,
    "unshuffle": unshuffle,
    "kernel": kernel,
    "bands": bands,
    "strips": strips,
    "receptive": receptive,
    "gone": gone,
}
