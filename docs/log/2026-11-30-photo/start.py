"""A network for luma becomes one for RGB with the same result: python start.py LUMA.safetensors RGB.safetensors"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from drrn import load
from drrn.core.color import FROM_RGB
from drrn.weights.store import save

weights = load(sys.argv[1])
shares = FROM_RGB[0] / 255  # of R, G and B in luma
tensors = dict(weights.tensors)
first, last = tensors["blocks.0.enter.conv.weight"], tensors["leave.conv.weight"]
tensors["blocks.0.enter.conv.weight"] = np.concatenate([first * share for share in shares], axis=1).astype(np.float32)
tensors["leave.conv.weight"] = np.concatenate([last / shares.sum()] * 3).astype(np.float32)
config, card = replace(weights.config, channels=3), {"command": f"{Path(sys.argv[1]).name}, spread over R, G and B"}
save(replace(weights, config=config, tensors=tensors, card=card), Path(sys.argv[2]))
