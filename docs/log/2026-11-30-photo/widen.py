"""A wider network with the same result: python widen.py NARROW.safetensors WIDTH WIDE.safetensors

The new channels have random filters over the old ones, as strong as theirs, and nothing reads them yet.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from drrn import load
from drrn.weights.store import save

weights, new = load(sys.argv[1]), int(sys.argv[2])
old = weights.config.width
rng = np.random.default_rng(0)
tensors = {}
for name, narrow in weights.tensors.items():
    wide = np.zeros([new if side == old else side for side in narrow.shape], np.float32)
    if len(narrow) == old:  # not over new ones: a unit would feed them to themselves, and they grow
        wide[old:, : narrow.shape[1]] = rng.normal(0, narrow.std(), wide[old:, : narrow.shape[1]].shape)
    wide[: narrow.shape[0], : narrow.shape[1]] = narrow
    tensors[name] = wide
card = {"command": f"widened to {new}"}
save(replace(weights, config=replace(weights.config, width=new), tensors=tensors, card=card), Path(sys.argv[3]))
