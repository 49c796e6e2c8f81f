"""What every request must pass before anything looks at it, and what every answer says.

The service may stand on a machine whose user visits any page of the web at the same time. Such a page can make the
browser send requests here, under another name too, and must get nothing by it.
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
"""Paths that need no token: the page itself, which holds no picture, and what watches over the service."""
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
    """An app in front of another."""

    def __init__(self, app: App, config: ServeConfig):
        self.app, self.config = app, config
        self.answers = Counter[int]()
        """By status."""
        self.open, self.used = 0, time.monotonic()
        """Requests that are being answered, and when the last one ended."""
        self.cookie = f"drrn_{config.port}"  # cookies are those of a host, whatever its ports
        own = [] if _is_any(config.host) else [config.host]
        self.names = {_bare(each) for each in ("localhost", "127.0.0.1", "::1", *own, *config.host_names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                self.answers[message["status"]] += 1
                message["headers"] = [*message["headers"], *(each for each in HEADERS if each[0] not in there)]
            await send(message)

        prefix = self.config.prefix
        if prefix and scope["path"] == prefix:  # where the relative links of the page would lead astray
            await RedirectResponse(f"{prefix}/", 308)(scope, receive, guarded)
            return
        if prefix and (scope["path"] + "/").startswith(prefix + "/"):
            scope["path"] = scope["path"].removeprefix(prefix) or "/"
            scope["raw_path"] = scope["path"].encode()
        refused = self._refuse(scope)
        self.open += 1
        try:
            await (refused or self.app)(scope, receive, guarded)
        finally:
            self.open -= 1
            self.used = time.monotonic()

    def is_known(self, given: str) -> bool:
        """Whether this is the token, found out in a time that says nothing of it."""
        return hmac.compare_digest(given.encode(), self.config.token.encode())

    def _refuse(self, scope: Scope) -> Any:
        """The answer to a request that may not pass."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        name = _bare(re.sub(r":\d*$", "", host))
        # an address in numbers can't be made to mean this machine by whoever runs a name server
        if name not in self.names and name != _bare((scope.get("server") or ("", 0))[0]):
            return problem(
                421, f"This service is not called {name[:80]!r}. Name it with --host-name to let clients call it so."
            )
        if scope["method"] not in SAFE:
            site, origin = headers.get("sec-fetch-site"), headers.get("origin")
            if site not in (None, "same-origin", "none") or origin not in (None, f"http://{host}", f"https://{host}"):
                return problem(403, "This came from a page of another origin.")
        if self.config.token and not OPEN_TO_ALL.fullmatch(scope["path"]) and not self._has_token(headers):
            answer = problem(401, "A token is needed: open the link that drrn serve printed, or send it as a bearer.")
            answer.headers["www-authenticate"] = "Bearer"
            return answer
        return None

    def _has_token(self, headers: dict[str, str]) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.is_known(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return cookie is not None and self.is_known(cookie.value)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return not host


def _bare(host: str) -> str:
    return host.lower().strip("[]").rstrip(".")
