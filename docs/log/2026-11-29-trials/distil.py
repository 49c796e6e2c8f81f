"""For the trials of distillation: what a teacher makes of the lr of the paper's 291 pictures, to be learnt from.

From the repository's root: python docs/log/2026-11-29-trials/distil.py TEACHER runs/recipe/distil
writes lr, hr (the originals) and teacher (its enlargements), each picture once for x2, x3 and x4; of every 25th
picture the originals into held_out, and nothing into the other two.
"""

import sys
from pathlib import Path

import numpy as np
from drrn.media.files import read, write

import drrn
from drrn.core.resize import degrade

teacher, out = drrn.Upscaler(sys.argv[1], threads=1), Path(sys.argv[2])
for folder in ("lr", "hr", "teacher", "held_out"):
    (out / folder).mkdir(parents=True, exist_ok=True)
for number, path in enumerate(sorted([*Path("data/T91").iterdir(), *Path("data/BSDS500/train").iterdir()])):
    pixels = read(path).pixels
    for scale in (2, 3, 4):
        height, width = (side - side % scale for side in pixels.shape[:2])
        hr = np.ascontiguousarray(pixels[:height, :width].transpose(2, 0, 1))
        lr = drrn.Image(pixels=degrade(hr, scale).clip(0, 1).transpose(1, 2, 0).astype(np.float32))
        name = f"{path.stem}_{scale}.png"
        write(lr, out / "lr" / name, overwrite=True)
        original = drrn.Image(pixels=hr.transpose(1, 2, 0))
        if number % 25 == 0:
            write(original, out / "held_out" / name, overwrite=True)
            continue
        write(original, out / "hr" / name, overwrite=True)
        write(teacher.upscale(read(out / "lr" / name), scale), out / "teacher" / name, overwrite=True)
