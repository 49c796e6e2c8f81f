"""PSNR on spoilt lr: bicubic, and what models gain over it.

    python docs/log/2026-11-29-photo/spoilt.py PICTURES MODEL...

Twice as large; the lr of each picture by MATLAB's bicubic, rounded to 8 bits, then spoilt. Luma by the protocol, and
the mean over R, G and B, in dB. Writes scores.csv beside this file.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from drrn import Image
from drrn.core.color import levels, luma
from drrn.core.resize import degrade, imresize, modcrop
from drrn.data.degradations import add_noise, compress_jpeg
from drrn.data.pairs import pictures_in, read_levels, unit
from drrn.upscaling.upscaler import Upscaler

rng = np.random.default_rng(0)
DAMAGES = {
    "none": lambda lr: lr,
    "JPEG 90": lambda lr: compress_jpeg(lr, quality=90),
    "JPEG 75": lambda lr: compress_jpeg(lr, quality=75),
    "JPEG 50": lambda lr: compress_jpeg(lr, quality=50),
    "noise 5": lambda lr: add_noise(lr, sigma=5, rng=rng),
    "noise 10": lambda lr: add_noise(lr, sigma=10, rng=rng),
    "noise 5, JPEG 75": lambda lr: compress_jpeg(add_noise(lr, sigma=5, rng=rng), quality=75),
}
upscalers = {name: Upscaler(name, threads=1) for name in sys.argv[2:]}


def psnr(one, other):
    return 10 * np.log10(1 / np.mean((one - other) ** 2))


def scores(sr, hr):
    inside = (slice(None), slice(2, -2), slice(2, -2))
    return psnr(levels(luma(sr[inside])) / 255, levels(luma(hr[inside])) / 255), psnr(sr[inside], hr[inside])


rows = []
for damage, spoil in DAMAGES.items():
    found: dict[str, list[tuple[float, float]]] = {}
    for path in pictures_in([Path(sys.argv[1])]):
        pixels = modcrop(read_levels(path, 3), 2)
        lr = spoil(levels(degrade(unit(pixels), 2)).astype(np.uint8))
        ilr = imresize(unit(lr), *pixels.shape[1:]).clip(0, 1)
        found.setdefault("bicubic", []).append(scores(ilr, unit(pixels)))
        for name, upscaler in upscalers.items():
            result = upscaler.upscale(Image.from_array(np.ascontiguousarray(lr.transpose(1, 2, 0))), 2).to_array()
            found.setdefault(name, []).append(scores(unit(result.transpose(2, 0, 1)), unit(pixels)))
    for name, each in found.items():
        y, colors = np.mean(each, axis=0)
        rows.append({"damage": damage, "model": name, "luma": f"{y:.2f}", "rgb": f"{colors:.2f}"})
with (Path(__file__).parent / "scores.csv").open("w", newline="") as file:
    writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
