"""The gymnasium: how a network is trained, stopped and resumed."""
