"""The application: its routes, its start and end, and the handlers that are about the service itself.

The handlers for pictures and jobs are in `drrn.serving.handlers`. The API is documented in docs/reference/http.md, and
for programs at /openapi.json.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from drrn import __version__
from drrn.errors import DRRNError
from drrn.serving.config import ServeConfig
from drrn.serving.guards import Guards
from drrn.serving.handlers import PRIVATE, Handlers
from drrn.serving.jobs import Jobs
from drrn.serving.metrics import metrics
from drrn.serving.openapi import openapi
from drrn.serving.problems import Handler, HTTPError, not_found, problem, with_problems
from drrn.serving.recipe import FORMATS
from drrn.serving.static import PAGE, static


class Service:
    """The application. An HTTP server runs its `app`."""

    def __init__(self, config: ServeConfig, log: Callable[[str], None] = lambda line: None):
        """Set up the routes and the queue, and take over the folder of `config`.

        Args:
            log: called with lines for whoever started the service.

        Raises:
            UsageError: another service uses the folder, or it can't be written to.
        """
        self.config = config
        self.jobs = Jobs(config, log)
        handlers = Handlers(self.jobs)
        self.routes = [
            *(self._route(f"/{'' if name == 'index.html' else name}", static(name)) for name in PAGE),
            self._route("/api/plan", handlers.plan, "POST"),
            self._route("/api/jobs", handlers.add_job, "POST"),
            self._route("/api/jobs", handlers.list_jobs),
            self._route("/api/jobs/{id}", handlers.show_job),
            self._route("/api/jobs/{id}", handlers.delete_job, "DELETE"),
            self._route("/api/jobs/{id}/result", handlers.result),
            self._route("/api/jobs/{id}/view", handlers.view),
            self._route("/api/upscale", handlers.upscale, "POST"),
            self._route("/api/preview", handlers.preview, "POST"),
            self._route("/api/results.zip", handlers.archive),
            self._route("/api/events", handlers.events),
            self._route("/api/about", self.about),
            self._route("/api/session", self.session, "POST"),
            self._route("/healthz", self.healthz),
            self._route("/readyz", self.readyz),
            self._route("/metrics", self.metrics),
            self._route("/openapi.json", self.openapi),
        ]
        on_errors: dict[Any, Any] = {HTTPException: not_found}
        starlette = Starlette(routes=self.routes, exception_handlers=on_errors, lifespan=self._lifespan)
        self.guards = Guards(starlette, config)
        self.app = self.guards
        self.end: Callable[[], None] = lambda: None
        """Ends the server; called once the service has been idle for `config.idle` seconds."""
        self._tasks: list[asyncio.Task[None]] = []

    def stop(self) -> None:
        """End all jobs and all event streams."""
        for task in self._tasks:
            task.cancel()
        self.jobs.stop()

    async def about(self, request: Request) -> Response:
        """Version, models, kinds of files and limits."""
        config = self.config
        limits = {
            "upload_bytes": config.max_upload,
            "pixels": config.max_pixels,
            "seconds": config.max_seconds,
            "keep_seconds": config.keep,
        }
        about = {
            "version": __version__,
            "models": self.jobs.viewer.about.get("models", []),
            "kinds": list(config.kinds),
            "formats": list(FORMATS),
            "limits": limits,
        }
        return JSONResponse(about, headers=PRIVATE)

    async def session(self, request: Request) -> Response:
        """Exchange the token for a cookie, which browsers also send for images and downloads."""
        if not self.config.token:
            return Response(status_code=204, headers=PRIVATE)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self.guards.is_valid(token.strip()):
            raise HTTPError(401, "The token is wrong. Use the one that drrn serve printed.")
        response = Response(status_code=204, headers=PRIVATE)
        secure = request.scope["scheme"] == "https"
        response.set_cookie(
            self.guards.cookie, self.config.token, httponly=True, samesite="strict", secure=secure, path="/"
        )
        return response

    async def healthz(self, request: Request) -> Response:
        """Answers as long as the service runs."""
        return Response("ok\n", media_type="text/plain")

    async def readyz(self, request: Request) -> Response:
        """200 once the models are loaded, 503 before."""
        if self.jobs.is_ready:
            return Response("ready\n", media_type="text/plain")
        return problem(503, str(self.jobs.failure or "The models are still loading."), {"Retry-After": "2"})

    async def metrics(self, request: Request) -> Response:
        return Response(metrics(self.jobs, self.guards.answers), media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(openapi(self.config))

    def _route(self, path: str, handler: Handler, method: str = "GET") -> Route:
        return Route(path, with_problems(handler), methods=[method])

    async def _end_when_idle(self) -> None:
        """End the service once it has been idle for `config.idle` seconds."""
        idle = self.config.idle
        while self._is_busy() or time.monotonic() - self.guards.last_used < idle:
            await asyncio.sleep(min(idle / 4, 10))
        self.end()

    def _is_busy(self) -> bool:
        """Whether the service is starting, answering a request or working on a job."""
        return not self.jobs.is_ready or self.guards.open_requests > 0 or self.jobs.seconds_left() > 0

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async def start() -> None:
            try:
                await self.jobs.start()
            except DRRNError as error:
                self.jobs.failure = error

        self._tasks = [asyncio.create_task(start()), asyncio.create_task(self._end_when_idle())]
        try:
            yield
        finally:
            self.stop()
