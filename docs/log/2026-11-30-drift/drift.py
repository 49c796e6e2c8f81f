"""How far the mean of each channel of saturated graphics moves, in levels of 255: python drift.py MODEL..."""

import sys

from drrn import Image, Upscaler
from tests.upscaling.test_saturated_graphics import graphics

for model in sys.argv[1:]:
    for scale in (2, 3, 4):
        for what, array in graphics():
            result = Upscaler(model).upscale(Image.from_array(array), scale).to_array()
            drift = (result.mean(axis=(0, 1)) - array.mean(axis=(0, 1))).round(2)
            sys.stdout.write(f"{model.split('/')[-1]} x{scale} {what}: {', '.join(f'{each:+.2f}' for each in drift)}\n")
