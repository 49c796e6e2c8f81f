"""What one, two and three corrections by the lr do to PSNR and to the mean of drawings.

    python docs/log/2026-11-29-tiny/corrected.py PICTURES

Writes corrected.txt beside this file. A line for each scale: the mean PSNR of luma in dB after so many corrections;
then, for the drawings of tests/upscaling/test_saturated_graphics.py, how many levels the mean of luma is off after so
many.
"""

import sys
from pathlib import Path

import numpy as np

from drrn import load
from drrn.core.color import levels, ycbcr
from drrn.core.resize import degrade, imresize, modcrop
from drrn.data.pairs import pictures_in, read_levels, unit
from drrn.engines.native import NativeEngine
from tests.upscaling.test_saturated_graphics import graphics


def psnr(sr, hr, edge):
    inside = (slice(None), slice(edge, -edge), slice(edge, -edge))
    return 10 * np.log10(255**2 / np.mean((levels(sr)[inside] - hr[inside].astype(float)) ** 2))


def corrected(sr, lr, size):
    sr = np.clip(sr, 0, 1)
    return sr + imresize(lr - imresize(sr, *lr.shape[1:]), *size)


lines = []
for scale, weights in load("docs/log/2026-11-29-tiny/tiny.safetensors").exact.items():
    engine = NativeEngine(weights, threads=1)
    found: dict[int, list[float]] = {}
    for path in pictures_in([Path(sys.argv[1])]):
        hr = modcrop(read_levels(path, 1), scale)
        lr, size = degrade(unit(hr), scale), hr.shape[1:]
        sr = engine.run(imresize(lr, *size))
        for times in range(3):
            found.setdefault(times, []).append(psnr(sr, hr, scale))
            sr = corrected(sr, lr, size)
    lines.append(f"x{scale}: " + ", ".join(f"{np.mean(values):.3f}" for values in found.values()))
    for name, drawing in graphics():
        lr = ycbcr(np.ascontiguousarray(np.divide(drawing, 255, dtype=np.float32).transpose(2, 0, 1)))[:1]
        size = (scale * lr.shape[1], scale * lr.shape[2])
        sr, off = engine.run(imresize(lr, *size)), []
        for _ in range(4):
            off.append(f"{255 * float(np.clip(sr, 0, 1).mean() - lr.mean()):+.2f}")
            sr = corrected(sr, lr, size)
        lines.append(f"    {name}: {', '.join(off)}")
Path(__file__).with_suffix(".txt").write_text("\n".join(lines) + "\n")
