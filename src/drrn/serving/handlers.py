"""The handlers of requests about pictures and jobs. The application around them is in `drrn.serving.api`."""

import asyncio
import re
from contextlib import suppress
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from drrn.serving.archive import stream_zip
from drrn.serving.job import Job
from drrn.serving.jobs import Jobs
from drrn.serving.problems import HTTPError
from drrn.serving.process import Task
from drrn.serving.recipe import Recipe, parse_crop, parse_recipe, parse_region
from drrn.serving.uploads import client_name, receive_picture

MAX_WAIT: Final = 600.0
"""Longest expected time in seconds that POST /api/upscale accepts."""
MAX_IN_ZIP: Final = 500
"""Most results in one archive."""
PRIVATE: Final = {"cache-control": "private, no-store"}
REVALIDATE: Final = {"cache-control": "private, no-cache"}


class ResultResponse(FileResponse):
    """A file response that reads large chunks, since each read takes a thread."""

    chunk_size = 1 << 20


class Handlers:
    """A handler for each route about pictures or jobs.

    They raise a DRRNError for a request that is refused; `drrn.serving.problems` makes the response.
    """

    def __init__(self, jobs: Jobs):
        self.jobs = jobs

    async def plan(self, request: Request) -> Response:
        """Store a picture, and describe its result without enlarging it."""
        source, recipe = await self._read_request(request)
        return JSONResponse({"source": source, **await self.jobs.plan(source, recipe)}, headers=PRIVATE)

    async def add_job(self, request: Request) -> Response:
        """Add a job, or find the one that was added by the same request."""
        source, recipe = await self._read_request(request)
        job, is_new = await self.jobs.add(source, recipe)
        headers = {**PRIVATE, "location": f"jobs/{job.id}"}
        return JSONResponse(self.jobs.describe(job), 202 if is_new else 200, headers)

    async def upscale(self, request: Request) -> Response:
        """Add a job, and respond with its result once it is done."""
        source, recipe = await self._read_request(request)
        job, is_new = await self.jobs.add(source, recipe, within=MAX_WAIT)
        while not job.is_over:
            with suppress(TimeoutError):
                await asyncio.wait_for(job.over.wait(), 0.5)
            if not job.is_over and await request.is_disconnected():
                if is_new:
                    self.jobs.cancel(job)
                raise HTTPError(400, "The client disconnected.")
        if job.state != "done":
            raise HTTPError(422 if job.state == "failed" else 409, job.error or "The job was canceled.")
        return self._file(request, job)

    async def list_jobs(self, request: Request) -> Response:
        """All jobs, the oldest first."""
        return JSONResponse([self.jobs.describe(job) for job in self.jobs.all.values()], headers=PRIVATE)

    async def show_job(self, request: Request) -> Response:
        """One job."""
        return JSONResponse(self.jobs.describe(self._job(request)), headers=PRIVATE)

    async def delete_job(self, request: Request) -> Response:
        """Cancel a job, or delete one that is over."""
        self.jobs.cancel(self._job(request))
        return Response(status_code=204, headers=PRIVATE)

    async def result(self, request: Request) -> Response:
        """The file of a result."""
        return self._file(request, self._finished_job(request))

    async def view(self, request: Request) -> Response:
        """A PNG of a region of a result, or of its source enlarged by bicubic."""
        job = self._finished_job(request)
        parameters = self._parameters(request, "side", "region", "width")
        side = parameters.get("side", "after")
        if side not in ("before", "after"):
            raise HTTPError(400, "`side` must be before or after.")
        width = parameters.get("width")
        if width is not None and not (re.fullmatch(r"\d{1,5}", width, re.ASCII) and int(width)):
            raise HTTPError(400, "`width` must be a whole number of pixels from 1 to 99999.")
        path = self.jobs.store.source(job.source) if side == "before" else self.jobs.result(job)
        region = parse_region(parameters["region"]) if "region" in parameters else None
        size = job.plan["width"], job.plan["height"]
        arguments = {"path": path, "region": region, "size": size, "width": int(width) if width else None}
        return Response(await self._view(Task("view", arguments)), media_type="image/png", headers=REVALIDATE)

    async def preview(self, request: Request) -> Response:
        """A PNG of a crop of the result, before the whole is enlarged."""
        parameters = dict(request.query_params)
        crop = parse_crop(parameters.get("crop", ""))
        side = parameters.get("side", "after")
        if side not in ("before", "after"):
            raise HTTPError(400, "`side` must be before or after.")
        source, recipe = await self._read_request(request, "crop", "side")
        arguments = {"source": self.jobs.store.source(source), "recipe": recipe, "crop": crop, "side": side}
        return Response(await self._view(Task("preview", arguments)), media_type="image/png", headers=PRIVATE)

    async def archive(self, request: Request) -> Response:
        """Several results, or all of them, as one ZIP archive."""
        if set(request.query_params) - {"id"}:
            raise HTTPError(400, "The only parameter is `id`.")
        wanted = request.query_params.getlist("id")
        if len(wanted) > MAX_IN_ZIP:
            raise HTTPError(400, f"An archive may contain at most {MAX_IN_ZIP} results, got {len(wanted)}.")
        chosen = [self.jobs.all.get(each) for each in wanted] if wanted else list(self.jobs.all.values())
        results = [(job.plan["name"], path) for job in chosen if job and (path := self.jobs.result(job))]
        if not results or (wanted and len(results) < len(wanted)):
            raise HTTPError(404, "Some of these results do not exist." if wanted else "There are no results yet.")
        headers = {**PRIVATE, "content-disposition": 'attachment; filename="drrn.zip"'}
        return StreamingResponse(stream_zip(results), media_type="application/zip", headers=headers)

    async def events(self, request: Request) -> Response:
        """A stream of server-sent events."""
        last = request.headers.get("last-event-id", "")
        after = int(last) if re.fullmatch(r"\d{1,9}", last, re.ASCII) else None
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self.jobs.events.stream(after), media_type="text/event-stream", headers=headers)

    async def _read_request(self, request: Request, *others: str) -> tuple[str, Recipe]:
        """Read a request with a picture.

        Args:
            others: parameters that do not belong to the recipe.

        Returns:
            The SHA-256 of the picture, which is now stored, and the recipe, which is checked before the body is read.
        """
        query = [(key, value) for key, value in request.query_params.multi_items() if key not in ("source", *others)]
        recipe = parse_recipe(query, client_name(request), self.jobs.config.models)
        if not self.jobs.is_ready:
            raise HTTPError(503, str(self.jobs.failure or "The models are still loading. Try again in a few seconds."))
        return await receive_picture(request, self.jobs), recipe

    async def _view(self, task: Task) -> bytes:
        content: bytes = await self.jobs.view(task)
        return content

    def _parameters(self, request: Request, *names: str) -> dict[str, str]:
        items = request.query_params.multi_items()
        if len(dict(items)) < len(items) or set(dict(items)) - set(names):
            raise HTTPError(400, f"The parameters are {', '.join(names)}, each at most once.")
        return dict(items)

    def _job(self, request: Request) -> Job:
        job = self.jobs.all.get(request.path_params["id"])
        if job is None:
            raise HTTPError(404, "There is no such job. Jobs and their results are deleted after some time.")
        return job

    def _finished_job(self, request: Request) -> Job:
        job = self._job(request)
        if not job.is_over:
            raise HTTPError(409, "The job is not done yet.")
        if not self.jobs.result(job):
            raise HTTPError(404, job.error or "The job was canceled.")
        return job

    def _file(self, request: Request, job: Job) -> Response:
        path = self.jobs.result(job)
        if path is None:
            raise HTTPError(404, "The result no longer exists.")
        headers = {**REVALIDATE, "etag": f'"{job.result["sha256"]}"', "x-job": job.id}
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        kind = TYPES.get(path.suffix.lower(), "application/octet-stream")
        return ResultResponse(path, headers=headers, media_type=kind, filename=job.plan["name"])


TYPES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bmp": "image/bmp",
    ".mp4": "video/mp4",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".dcm": "application/dicom",
}
