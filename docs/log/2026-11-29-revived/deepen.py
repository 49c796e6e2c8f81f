"""Put blocks before the last convolution that change nothing yet: deepen.py FROM TO BLOCKS.

All that is read of a block's features h is relu(h). So a block that enters by an identity and whose units add nothing
leaves the network as it was.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from drrn.network.model import DRRN
from drrn.weights.store import load, save

old = load(sys.argv[1])
config = replace(old.config, blocks=int(sys.argv[3]))
torch.manual_seed(0)
net = DRRN(config)
net.initialise("he", 0.3, 0.1, centred=True)
net.load_state_dict(net.state_dict() | {name: torch.from_numpy(tensor.copy()) for name, tensor in old.tensors.items()})
with torch.no_grad():
    for block in net.blocks[old.config.blocks :]:
        torch.nn.init.dirac_(block.enter.conv.weight)
        block.second[0].weight.zero_()
state = net.state_dict()
save(replace(old, config=config, tensors={name: state[name].numpy() for name in config.tensors()}), Path(sys.argv[2]))
