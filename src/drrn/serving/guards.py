"""Checks that every request must pass first, and the security headers of every response.

The service may run on a machine whose user visits any web page at the same time. Such a page can make the browser send
requests to the service, even under another host name (DNS rebinding), and must not get anywhere with them.
"""

import hmac
import ipaddress
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

from starlette.responses import RedirectResponse

from drrn.serving.config import ServeConfig
from drrn.serving.problems import problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SAFE: Final = ("GET", "HEAD", "OPTIONS")
OPEN_TO_ALL: Final = re.compile(r"/api/session|/healthz|/readyz|/openapi\.json|(?!/api/|/metrics).*")
"""Paths that need no token: the page itself, which contains no pictures, and health checks."""
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
]


class Guards:
    """ASGI middleware with these checks and headers."""

    def __init__(self, app: App, config: ServeConfig):
        self.app, self.config = app, config
        self.answers = Counter[int]()
        """Number of responses by status."""
        self.open_requests = 0
        """Requests that are being answered."""
        self.last_used = time.monotonic()
        """When the last request ended."""
        self.cookie = f"drrn_{config.port}"  # a cookie is shared by all ports of a host
        own = [] if _is_any(config.host) else [config.host]
        self.names = {_bare(each) for each in ("localhost", "127.0.0.1", "::1", *own, *config.host_names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                self.answers[message["status"]] += 1
                message["headers"] = [*message["headers"], *(each for each in HEADERS if each[0] not in present)]
            await send(message)

        prefix = self.config.prefix
        if prefix and scope["path"] == prefix:  # without the slash, relative links of the page would be wrong
            await RedirectResponse(f"{prefix}/", 308)(scope, receive, send_with_headers)
            return
        if prefix and (scope["path"] + "/").startswith(prefix + "/"):
            scope["path"] = scope["path"].removeprefix(prefix) or "/"
            scope["raw_path"] = scope["path"].encode()
        refused = self._refuse(scope)
        self.open_requests += 1
        try:
            await (refused or self.app)(scope, receive, send_with_headers)
        finally:
            self.open_requests -= 1
            self.last_used = time.monotonic()

    def is_valid(self, token: str) -> bool:
        """Whether this is the token of the service, compared in constant time."""
        return hmac.compare_digest(token.encode(), self.config.token.encode())

    def _refuse(self, scope: Scope) -> Any:
        """The response to a request that is refused; None if it may pass."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        name = _bare(re.sub(r":\d*$", "", host))
        # An IP address is safe: no name server can make it point to this machine.
        if name not in self.names and name != _bare((scope.get("server") or ("", 0))[0]):
            return problem(
                421, f"This service does not answer to the name {name[:80]!r}. Add it with drrn serve --host-name."
            )
        if scope["method"] not in SAFE:
            site, origin = headers.get("sec-fetch-site"), headers.get("origin")
            if site not in (None, "same-origin", "none") or origin not in (None, f"http://{host}", f"https://{host}"):
                return problem(403, "Requests from pages of other origins are refused.")
        if self.config.token and not OPEN_TO_ALL.fullmatch(scope["path"]) and not self._has_token(headers):
            answer = problem(
                401, "A token is needed: open the link that drrn serve printed, or send it as a bearer token."
            )
            answer.headers["www-authenticate"] = "Bearer"
            return answer
        return None

    def _has_token(self, headers: dict[str, str]) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_valid(token.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return cookie is not None and self.is_valid(cookie.value)


def is_loopback(host: str) -> bool:
    """Whether only this machine itself can reach the address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _is_any(host: str) -> bool:
    """Whether the address stands for all addresses of this machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return not host


def _bare(host: str) -> str:
    """The host in lower case, without brackets and final dot."""
    return host.lower().strip("[]").rstrip(".")
