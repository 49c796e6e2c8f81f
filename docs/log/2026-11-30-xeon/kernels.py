"""Seconds of the native engine per megapixel, the best of four: python kernels.py MODEL THREADS"""

import sys
import time

import numpy as np

from drrn import Upscaler

upscaler = Upscaler(sys.argv[1], engine="native", threads=int(sys.argv[2]))
ilr = np.random.default_rng(0).random((1, 768, 1024), np.float32)
engine = upscaler.for_size((512, 384), (1024, 768)).engine
engine.run(ilr)
times = []
for _ in range(4):
    start = time.perf_counter()
    engine.run(ilr)
    times.append(time.perf_counter() - start)
sys.stdout.write(f"{min(times) * 1e6 / ilr.size:.3f}\n")
