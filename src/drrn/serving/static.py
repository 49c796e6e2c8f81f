"""The files of the web page."""

from hashlib import sha256
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from drrn.serving.problems import Handler

PAGE: Final = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "api.js": "text/javascript; charset=utf-8",
    "compare.js": "text/javascript; charset=utf-8",
    "options.js": "text/javascript; charset=utf-8",
    "pictures.js": "text/javascript; charset=utf-8",
    "rows.js": "text/javascript; charset=utf-8",
    "text.js": "text/javascript; charset=utf-8",
    "viewer.js": "text/javascript; charset=utf-8",
    "en.json": "application/json",
    "icon.svg": "image/svg+xml",
}
"""The files of the page and their media types. No others are served."""


def static(name: str) -> Handler:
    """The handler for a file of `PAGE`."""
    content = files("drrn.serving").joinpath("page", name).read_bytes()
    tag = f'"{sha256(content).hexdigest()[:16]}"'

    async def answer(request: Request) -> Response:
        headers = {"etag": tag, "cache-control": "no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=PAGE[name], headers=headers)

    return answer
