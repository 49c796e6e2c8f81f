"""A canary server that nothing may connect to."""

import socket
from collections.abc import Iterator
from threading import Thread

import pytest

GOODBYE = b"goodbye"


class Canary:
    """A server on the loopback interface that closes and counts all connections."""

    def __init__(self, server: socket.socket):
        self.server, self.hits = server, 0
        self.port = int(server.getsockname()[1])
        self.thread = Thread(target=self._count, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def calls(self) -> int:
        """Stop the server, and return the number of connections."""
        with socket.create_connection(("127.0.0.1", self.port)) as last:  # earlier connections come first in the queue
            last.sendall(GOODBYE)
            self.thread.join(60)
        assert not self.thread.is_alive()
        return self.hits

    def _count(self) -> None:
        while True:
            connection, _ = self.server.accept()
            with connection:
                connection.settimeout(10)
                try:
                    if connection.recv(len(GOODBYE)) == GOODBYE:
                        return
                except OSError:  # it sent nothing
                    pass
                self.hits += 1


@pytest.fixture
def canary() -> Iterator[Canary]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Canary(server)
