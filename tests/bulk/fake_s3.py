"""A bucket of S3 on this machine, in a thread, that answers some requests by faults."""

import hashlib
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 7
"""Names that one answer to a listing has, so that small tests need several."""


class FakeS3(ThreadingHTTPServer):
    """Objects of one bucket, and the faults that a share of the requests meets."""

    daemon_threads = True

    def __init__(self, faults: float = 0.0):
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.modified: dict[str, float] = {}
        self.lock = threading.Lock()
        self.faults, self.rng = faults, random.Random(0)
        self.sent = 0
        """Bytes of all answers."""
        self.met: list[str] = []
        """The faults so far."""

    @property
    def environment(self) -> dict[str, str]:
        """Makes obstore find it."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_SKIP_SIGNATURE": "true",
            "AWS_REGION": "us-east-1",
        }

    def fault(self) -> str:
        with self.lock:
            if self.rng.random() >= self.faults:
                return ""
            self.met.append(self.rng.choice(["busy", "cut", "lost", "slow"]))
            return self.met[-1]


@contextmanager
def fake_s3(faults: float = 0.0) -> Iterator[FakeS3]:
    server = FakeS3(faults)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeS3

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault()
        if fault == "busy":
            self.reply(503, b"<Error><Code>SlowDown</Code></Error>")
            return
        if fault == "slow":
            time.sleep(0.3)
        url = urlsplit(self.path)
        key = unquote(url.path).removeprefix("/bucket").removeprefix("/")
        status, content, headers = self.act(key, parse_qs(url.query, keep_blank_values=True), body)
        if fault == "lost" or (fault == "cut" and self.command != "GET"):
            self.close_connection = True  # it is done, and nobody is told
            return
        self.reply(status, content, headers, cut=fault == "cut")

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_any  # noqa: N815

    def act(self, key: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        server = self.server
        with server.lock:
            if "list-type" in query:
                return 200, self.listing(query), {}
            if self.command == "POST" and "delete" in query:
                names = re.findall(r"<Key>(.*?)</Key>", body.decode())
                for name in names:
                    server.objects.pop(name, None)
                deleted = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
                return 200, f"<DeleteResult>{deleted}</DeleteResult>".encode(), {}
            if self.command == "PUT":
                if self.headers.get("If-None-Match") == "*" and key in server.objects:
                    return 412, b"<Error><Code>PreconditionFailed</Code></Error>", {}
                server.objects[key], server.modified[key] = body, time.time()
                return 200, b"", {"ETag": etag(body)}
            if self.command == "DELETE":
                server.objects.pop(key, None)
                return 204, b"", {}
            if key not in server.objects:
                return 404, b"<Error><Code>NoSuchKey</Code></Error>", {}
            fields = {
                "ETag": etag(server.objects[key]),
                "Last-Modified": formatdate(server.modified[key], usegmt=True),
            }
            if requested := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or ""):
                start, end, size = int(requested[1]), int(requested[2]) + 1, len(server.objects[key])
                return (
                    206,
                    server.objects[key][start:end],
                    fields | {"Content-Range": f"bytes {start}-{end - 1}/{size}"},
                )
            return 200, server.objects[key], fields

    def listing(self, query: dict[str, list[str]]) -> bytes:
        prefix, after = (query.get(name, [""])[0] for name in ("prefix", "start-after"))
        after = max(after, query.get("continuation-token", [""])[0])
        names = [
            name for name in sorted(self.server.objects, key=str.encode) if name.startswith(prefix) and name > after
        ]
        items = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(self.server.objects[name])}</Size>"
            f"<ETag>{etag(self.server.objects[name])}</ETag>"
            f"<LastModified>{iso_time(self.server.modified[name])}</LastModified></Contents>"
            for name in names[:PAGE]
        )
        more = len(names) > PAGE
        token = f"<NextContinuationToken>{escape(names[PAGE - 1])}</NextContinuationToken>" if more else ""
        head = f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}<KeyCount>{len(names[:PAGE])}</KeyCount>"
        return f"<ListBucketResult>{head}{items}</ListBucketResult>".encode()

    def reply(self, status: int, content: bytes, headers: dict[str, str] | None = None, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.server.sent += len(content)
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.wfile.flush()
            self.close_connection = True


def iso_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'
