"""How long the native engine takes for 512x512 pixels after pauses of some length: laps.py NAME >> laps.csv"""

import sys
import time
from statistics import median

import numpy as np

from drrn.engines.native import NativeEngine
from drrn.weights.store import load

engine = NativeEngine(load("tiny"), threads=2)
ilr = np.random.default_rng(0).random((1, 512, 512), np.float32)
for pause in (0, 0.3):
    laps = []
    for _ in range(21):
        time.sleep(pause)
        began = time.perf_counter()
        engine.run(ilr)
        laps.append(time.perf_counter() - began)
    sys.stdout.write(f"{sys.argv[1]},{pause},{1e3 * median(laps):.1f}\n")
