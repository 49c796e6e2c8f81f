"""A mean of two networks: python mix.py FIRST.safetensors SECOND.safetensors SHARE MEAN.safetensors

SHARE is that of the second, whose card the result gets, with this command behind the one of its training.
"""

import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from drrn import load
from drrn.weights.store import save

first, second, share = load(sys.argv[1]), load(sys.argv[2]), float(sys.argv[3])
tensors = {
    name: ((1 - share) * first.tensors[name].astype(np.float32) + share * tensor.astype(np.float32))
    for name, tensor in second.tensors.items()
}
command = f"{second.card['command']} && python {shlex.join(sys.argv)}"
save(replace(second, tensors=tensors, card={**second.card, "command": command}), Path(sys.argv[4]))
