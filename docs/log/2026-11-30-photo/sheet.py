"""Crops of spoilt photographs, enlarged: bicubic, base, photo, original.

    python docs/log/2026-11-30-photo/sheet.py FOLDER SCALE OUTPUT

Each picture of the folder is made smaller by the scale, and then spoilt: in turn by JPEG of quality 90, 75, 50 or 30,
by noise of 5 or 10 levels, or by noise of 5 and JPEG 75. The crop is the one with the most detail around the middle.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from drrn import Image, Upscaler
from drrn.core.color import levels, luma
from drrn.core.resize import degrade, imresize, modcrop
from drrn.data.degradations import add_noise, compress_jpeg
from drrn.data.pairs import pictures_in, read_levels, unit

SIDE, NAMES = 220, ("base", "photo")
DAMAGES = [(90, 0), (75, 0), (50, 0), (30, 0), (None, 5), (None, 10), (75, 5)]

folder, scale, output = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
upscalers = {name: Upscaler(name) for name in NAMES}
rows = []
for number, path in enumerate(pictures_in([folder])):
    quality, sigma = DAMAGES[number % len(DAMAGES)]
    hr = modcrop(read_levels(path, 3), scale)
    lr = levels(degrade(unit(hr), scale)).astype(np.uint8)
    if sigma:
        lr = add_noise(lr, sigma=sigma, rng=np.random.default_rng(0))
    if quality:
        lr = compress_jpeg(lr, quality=quality)
    source = np.ascontiguousarray(unit(lr).transpose(1, 2, 0))
    results = {"bicubic": imresize(unit(lr), *hr.shape[1:])}
    results |= {
        name: each.upscale(Image(pixels=source), scale).pixels.transpose(2, 0, 1) for name, each in upscalers.items()
    }
    results["original"] = unit(hr)
    height, width = hr.shape[1:]
    high, wide = min(SIDE, height), min(SIDE, width)
    detail = np.abs(np.diff(luma(unit(hr)), axis=0))
    places = [
        (y, x)
        for y in range(height // 8, max(height * 7 // 8 - high, height // 8 + 1), 16)
        for x in range(width // 8, max(width * 7 // 8 - wide, width // 8 + 1), 16)
    ]
    y, x = max(places, key=lambda at: detail[at[0] : at[0] + high, at[1] : at[1] + wide].mean())
    row = Pillow.new("RGB", (len(results) * (SIDE + 4), SIDE + 18), "white")
    for column, (name, planes) in enumerate(results.items()):
        crop = levels(planes.clip(0, 1))[:, y : y + high, x : x + wide].astype(np.uint8).transpose(1, 2, 0)
        row.paste(Pillow.fromarray(crop), (column * (SIDE + 4), 18))
        said = " ".join(filter(None, [f"JPEG {quality}" if quality else "", f"noise {sigma}" if sigma else ""]))
        text = f"{path.stem}, {said}: {name}" if not column else name
        ImageDraw.Draw(row).text((column * (SIDE + 4), 2), text, fill="black", font=ImageFont.load_default(size=12))
    rows.append(row)
sheet = Pillow.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
for number, row in enumerate(rows):
    sheet.paste(row, (0, number * row.height))
sheet.save(output, quality=88, subsampling=0)
