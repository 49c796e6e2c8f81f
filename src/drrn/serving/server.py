"""The HTTP server around the application: its socket, its signals, and clients that never finish a request."""

import asyncio
import socket
from asyncio import TimerHandle, Transport
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from drrn.errors import UsageError, printable
from drrn.serving.api import Service
from drrn.serving.config import ServeConfig

HEAD_SECONDS: Final = 10.0
"""In which the head of a request must have come."""
CONNECTIONS: Final = 500
GRACE_SECONDS: Final = 2
"""For answers that are being sent when a signal ends the service."""


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose client does not send a request's head in time, and logs nothing."""

    _timer: TimerHandle | None = None
    seconds = HEAD_SECONDS

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.access_log = False  # whatever handlers the process has

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._rest()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.seconds, self._give_up)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class Server(uvicorn.Server):
    """A server that ends its streams and its work at the first signal."""

    def __init__(self, config: uvicorn.Config, service: Service, started: Callable[[], None]):
        super().__init__(config)
        self.service, self.told = service, started
        service.end = lambda: setattr(self, "should_exit", True)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.loop = asyncio.get_running_loop()
        if not self.should_exit:
            self.told()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.loop.call_soon_threadsafe(self.service.stop)


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        UsageError: there is no such address, or another program has it.
    """
    with ExitStack() as stack:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listening = stack.enter_context(socket.socket(family, kind, protocol))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except (OSError, OverflowError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"{printable(host)}:{port} can't be used: {why}. Give another --port or --host."
            ) from error
        stack.pop_all()
        return listening


def run(
    config: ServeConfig, listening: socket.socket, *, log: Callable[[str], None], started: Callable[[], None]
) -> None:
    """Serve until a signal comes, and then raise it again.

    Args:
        log: told what whoever started it should know, a line each.
        started: called once clients can connect.

    Raises:
        UsageError: the folder can't be used.
    """
    service = Service(config, log)
    server = Server(settings(service), service, started)
    try:
        server.run(sockets=[listening])
    finally:
        service.stop()
    if service.jobs.failure:
        raise service.jobs.failure


def settings(service: Service) -> uvicorn.Config:
    """What uvicorn is told."""
    return uvicorn.Config(
        service.app,
        http=ImpatientProtocol,
        ws="none",
        loop="asyncio",
        log_config=None,
        log_level="critical",  # its tracebacks would name pictures; what goes wrong is logged by the application
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=16 << 10,
    )
