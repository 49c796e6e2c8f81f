"""The torch room: the network, what it is trained to minimise, and the reading of other projects' weights."""
