"""The HTTP server around the application: its socket, signals, and timeouts for slow clients."""

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
"""Seconds within which the head of a request must arrive."""
CONNECTIONS: Final = 500
"""Most connections at the same time."""
GRACE_SECONDS: Final = 2
"""Seconds for responses that are being sent when a signal ends the service."""


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection if the head of a request does not arrive in time. It logs no requests."""

    _timer: TimerHandle | None = None
    seconds = HEAD_SECONDS

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.access_log = False  # uvicorn would set it if the process has a handler for it

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._update_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._update_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _update_timer(self) -> None:
        """Start the timer if the connection waits for a request, and stop it otherwise."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.seconds, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        self._timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class Server(uvicorn.Server):
    """A server that ends event streams and jobs at the first signal.

    Args:
        started: called once clients can connect.
    """

    def __init__(self, config: uvicorn.Config, service: Service, started: Callable[[], None]):
        super().__init__(config)
        self.service, self.on_started = service, started
        service.end = lambda: setattr(self, "should_exit", True)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.loop = asyncio.get_running_loop()
        if not self.should_exit:
            self.on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.loop.call_soon_threadsafe(self.service.stop)


def bind(host: str, port: int) -> socket.socket:
    """Make a socket that is bound to an address; port 0 takes a free port.

    Raises:
        UsageError: there is no such address, or another program uses it.
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
    """Run the service until a signal arrives, which is then raised again.

    Args:
        listening: from `bind`.
        log: called with lines for whoever started the service.
        started: called once clients can connect.

    Raises:
        UsageError: the folder can't be used.
        DRRNError: the worker processes did not start.
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
    """The configuration of uvicorn."""
    return uvicorn.Config(
        service.app,
        http=ImpatientProtocol,
        ws="none",
        loop="asyncio",
        log_config=None,
        log_level="critical",  # its tracebacks may reveal pictures; the application logs errors
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=16 << 10,
    )
