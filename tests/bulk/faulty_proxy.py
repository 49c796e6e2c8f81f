"""A proxy of HTTP on this machine that answers a share of the requests by faults."""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SINGLE = {"connection", "transfer-encoding", "content-length", "date", "server"}
"""Headers of one connection, which are written anew."""


class FaultyProxy(ThreadingHTTPServer):
    """Passes requests on to a port of this machine."""

    daemon_threads = True

    def __init__(self, port: int):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = port
        self.share = 0.0
        """Of the requests that meet a fault."""
        self.rng, self.lock = random.Random(0), threading.Lock()
        self.met = Counter[str]()
        """The faults so far: `busy` is answered by 503, `lost` is done and not answered, of `cut` half an answer comes,
        and `slow` is late."""
        self.created: list[str] = []
        """The paths that a conditional put has made."""
        self.replaced: list[str] = []
        """The paths that a put without a condition has made."""

    def fault(self) -> str:
        with self.lock:
            if self.rng.random() >= self.share:
                return ""
            fault = self.rng.choice(["busy", "lost", "cut", "slow"])
            self.met[fault] += 1
            return fault


@contextmanager
def faulty_proxy(port: int) -> Iterator[FaultyProxy]:
    server = FaultyProxy(port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault()
        if fault == "busy":
            self.answer(503, {"Content-Type": "application/xml"}, b"<Error><Code>SlowDown</Code></Error>")
            return
        if fault == "slow":
            time.sleep(0.3)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if self.command == "PUT" and answer.status == 200:
            puts = self.server.created if self.headers.get("If-None-Match") == "*" else self.server.replaced
            puts.append(self.path)
        if fault == "lost" or (fault == "cut" and len(content) < 2):
            self.close_connection = True
            return
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in SINGLE}
        if self.command == "HEAD":
            headers["Content-Length"] = answer.getheader("Content-Length") or "0"
        self.answer(answer.status, headers, content, cut=fault == "cut")

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = pass_on  # noqa: N815

    def answer(self, status: int, headers: dict[str, str], content: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True
