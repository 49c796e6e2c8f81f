"""Scales between whole ones: networks for any scale against those for the next whole scale, made smaller.

    python docs/log/2026-11-29-between/between.py PICTURES NETWORK...

PSNR in dB of luma, rounded to 8 bits, as many pixels shaved off as the scale, rounded up. `reduced 0` is the result of
the network of 2026-11-29-tiny for the next whole scale, made smaller by MATLAB's bicubic; `reduced 1` and `2` correct
it once and twice by what its own lr differs from the lr. Writes scores.csv beside this file.
"""

import csv
import sys
from math import ceil
from pathlib import Path

import numpy as np

from drrn import Weights, load
from drrn.core.color import levels
from drrn.core.resize import degrade, imresize, modcrop
from drrn.data.pairs import pictures_in, read_levels, unit
from drrn.engines.native import NativeEngine

tiny = load("docs/log/2026-11-29-tiny/tiny.safetensors")
whole = {scale: NativeEngine(weights, threads=1) for scale, weights in tiny.exact.items()}
networks: dict[str, Weights] = {name: load(name) for name in sys.argv[2:]}
engines = {name: NativeEngine(weights, threads=1) for name, weights in networks.items()}


def psnr(sr, hr, scale):
    edge = ceil(scale)
    inside = (slice(None), slice(edge, -edge), slice(edge, -edge))
    return 10 * np.log10(255**2 / np.mean((levels(sr)[inside] - hr[inside].astype(float)) ** 2))


rows = []
for scale in (1.2, 1.5, 1.8, 2.2, 2.5, 3.5):
    found: dict[str, list[float]] = {}
    for path in pictures_in([Path(sys.argv[1])]):
        hr = modcrop(read_levels(path, 1), scale)
        lr, size = degrade(unit(hr), scale), hr.shape[1:]
        ilr, next_scale = imresize(lr, *size), ceil(scale)
        results = {"bicubic": ilr} | {name: engine.run(ilr) for name, engine in engines.items()}
        large = whole[next_scale].run(imresize(lr, lr.shape[1] * next_scale, lr.shape[2] * next_scale))
        result = imresize(large, *size)
        for times in range(3):
            results[f"reduced {times}"] = result
            result = result + imresize(lr - imresize(result, *lr.shape[1:]), *size)
        for name, sr in results.items():
            found.setdefault(name, []).append(psnr(sr, hr, scale))
    rows.append({"scale": scale} | {name: f"{np.mean(values):.2f}" for name, values in found.items()})
with (Path(__file__).parent / "scores.csv").open("w", newline="") as file:
    writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
