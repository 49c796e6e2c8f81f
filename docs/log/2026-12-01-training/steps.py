"""Seconds of a training step by PyTorch and by the native engine, in turn, medians of 9, as CSV.

OMP_WAIT_POLICY=passive python docs/log/2026-12-01-training/steps.py THREADS
With DRRN_KERNELS=avx2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 as on a CPU without AVX-512.
"""

import sys
import time
from copy import deepcopy
from statistics import median

import torch

from drrn.core.config import DRRNConfig
from drrn.engines.native import kernels_here
from drrn.network.model import DRRN
from drrn.training.convolutions import use_native
from drrn.training.machine import keep_memory

NETWORKS = {
    "B2U2, width 32, unshuffle 2": (DRRNConfig(blocks=2, units=2, width=32, unshuffle=2), 16, 64),
    "B3U2, width 64, unshuffle 2, RGB": (DRRNConfig(blocks=3, units=2, width=64, unshuffle=2, channels=3), 6, 96),
    "B3U2, width 96, unshuffle 2, RGB": (DRRNConfig(blocks=3, units=2, width=96, unshuffle=2, channels=3), 6, 96),
    "B1U9, width 64": (DRRNConfig(units=9, width=64), 16, 32),
}

threads = int(sys.argv[1])
keep_memory()
torch.set_num_threads(threads)
for name, (config, patches, side) in NETWORKS.items():
    torch.manual_seed(0)
    net = DRRN(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.init_weights()
    native = deepcopy(net)
    use_native(native)
    ilr = torch.rand(patches, config.channels, side, side).to(memory_format=torch.channels_last)
    seconds: dict[str, list[float]] = {"torch": [], "native": []}
    for _ in range(10):
        for engine, network in (("torch", net), ("native", native)):
            began = time.perf_counter()
            network.zero_grad()
            network(ilr).square().mean().backward()
            seconds[engine].append(time.perf_counter() - began)
    whole, taken = (median(each[1:]) for each in seconds.values())
    row = f'{kernels_here()[0]},{threads},"{name}",{patches} of {side},{whole:.3f},{taken:.3f},{whole / taken:.2f}'
    sys.stdout.write(row + "\n")
