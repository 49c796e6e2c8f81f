"""The OpenAPI description at /openapi.json: written by hand, and tested by requests that are generated from it."""

from typing import Any

from drrn import __version__
from drrn.serving.config import ServeConfig
from drrn.serving.recipe import FORMATS
from drrn.serving.schemas import schemas
from drrn.upscaling.size import MAX_SCALE

ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "Id of the job: SHA-256 of the picture, the options and drrn's version.",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
}
SIDE = {
    "name": "side",
    "in": "query",
    "description": "before is enlarged by bicubic, after by drrn.",
    "schema": {"type": "string", "enum": ["before", "after"]},
}
PICTURE = {"description": "The picture file itself, not a form. Omitted if `source` is given."}
PNG = {"image/png": {"schema": {"type": "string", "format": "binary"}}}


def openapi(config: ServeConfig) -> dict[str, Any]:
    """The description as JSON values, with the models and limits of this service."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "drrn",
            "version": __version__,
            "description": "Enlarges pictures with the Deep Recursive Residual Network.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": config.prefix or "/"}],
        "security": [{"token": []}] if config.token else [],
        "paths": _paths(config),
        "components": {
            "schemas": schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths(config: ServeConfig) -> dict[str, Any]:
    recipe = _recipe(config)
    return _picture_paths(recipe) | _job_paths(recipe) | _result_paths() | _service_paths()


def _picture_paths(recipe: list[dict[str, Any]]) -> dict[str, Any]:
    """Requests with a picture that are not jobs."""
    crop = {"type": "string", "pattern": r"^[1-9][0-9]{0,3}x[1-9][0-9]{0,3}\+[0-9]{1,4}\+[0-9]{1,4}$"}
    return {
        "/api/plan": {
            "post": _operation(
                "Store a picture, and describe its result: size, model, time, memory.",
                {200: _json("Plan"), **_refusals(400, 401, 403, 404, 408, 413, 415, 422, 500, 503, 507)},
                parameters=recipe,
                body=True,
            )
        },
        "/api/upscale": {
            "post": _operation(
                "Enlarge a picture, and wait for the result.",
                {
                    200: {"description": "The enlarged picture.", "content": {"*/*": {}}},
                    **_refusals(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503, 507),
                },
                parameters=recipe,
                body=True,
            )
        },
        "/api/preview": {
            "post": _operation(
                "A crop of the result, with the same pixels that the whole result will have there.",
                {
                    200: {"description": "A PNG.", "content": PNG},
                    **_refusals(400, 401, 403, 404, 408, 413, 415, 422, 500, 503, 507),
                },
                parameters=[
                    {
                        **_query("crop", crop, "Width, height, left and top in pixels of the result: 160x120+200+40."),
                        "required": True,
                    },
                    SIDE,
                    *recipe,
                ],
                body=True,
            )
        },
    }


def _job_paths(recipe: list[dict[str, Any]]) -> dict[str, Any]:
    """Jobs and their events."""
    return {
        "/api/jobs": {
            "post": _operation(
                "Add a job. The same request for the same picture gives the same job.",
                {
                    200: _json("Job"),
                    202: _json("Job"),
                    **_refusals(400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 507),
                },
                parameters=recipe,
                body=True,
            ),
            "get": _operation(
                "All jobs.",
                {
                    200: {
                        "description": "Jobs, the oldest first.",
                        "content": {
                            "application/json": {
                                "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Job"}}
                            }
                        },
                    },
                    **_refusals(401),
                },
            ),
        },
        "/api/jobs/{id}": {
            "get": _operation("One job.", {200: _json("Job"), **_refusals(401, 404)}, parameters=[ID]),
            "delete": _operation(
                "Cancel a job, or delete one that is over.",
                {204: {"description": "Done."}, **_refusals(401, 403, 404)},
                parameters=[ID],
            ),
        },
        "/api/events": {
            "get": _operation(
                "Server-sent events: queued, progress, done, failed, canceled (each with its job), gone (with its id).",
                {200: {"description": "A stream.", "content": {"text/event-stream": {}}}, **_refusals(401)},
            )
        },
    }


def _result_paths() -> dict[str, Any]:
    """Results of jobs that are done."""
    region = {"type": "string", "pattern": "^[0-9]{1,4},[0-9]{1,4},[1-9][0-9]{0,3},[1-9][0-9]{0,3}$"}
    width = {"type": "integer", "minimum": 1, "maximum": 99999}
    return {
        "/api/jobs/{id}/result": {
            "get": _operation(
                "The enlarged picture.",
                {
                    200: {"description": "The file.", "content": {"*/*": {}}},
                    206: {"description": "A part of it."},
                    304: {"description": "The client has the current file."},
                    **_refusals(401, 404, 409),
                },
                parameters=[ID],
            )
        },
        "/api/jobs/{id}/view": {
            "get": _operation(
                "A PNG of a region of the result.",
                {200: {"description": "A PNG.", "content": PNG}, **_refusals(400, 401, 404, 409, 422, 500)},
                parameters=[
                    ID,
                    SIDE,
                    _query("region", region, "left,top,width,height in pixels of the result; by default all of it."),
                    _query("width", width, "Width of the PNG in pixels; by default that of the region."),
                ],
            )
        },
        "/api/results.zip": {
            "get": _operation(
                "Several results as one ZIP archive.",
                {200: {"description": "A ZIP file.", "content": {"application/zip": {}}}, **_refusals(400, 401, 404)},
                parameters=[
                    _query("id", {"type": "array", "items": ID["schema"]}, "Ids of jobs; by default all results.")
                ],
            )
        },
    }


def _service_paths() -> dict[str, Any]:
    """The service itself."""
    return {
        "/api/about": {
            "get": _operation("Version, models and limits.", {200: _json("About"), **_refusals(401)}),
        },
        "/api/session": {
            "post": _operation(
                "Exchange the token for a cookie.", {204: {"description": "Done."}, **_refusals(401, 403)}
            )
        },
        "/healthz": {"get": _operation("Whether the service is running.", {200: _text()})},
        "/readyz": {"get": _operation("Whether the models are loaded.", {200: _text(), **_refusals(503)})},
        "/metrics": {"get": _operation("Counters for Prometheus.", {200: _text(), **_refusals(401)})},
        "/openapi.json": {"get": _operation("This description.", {200: {"description": "JSON."}})},
    }


def _recipe(config: ServeConfig) -> list[dict[str, Any]]:
    return [
        _query(
            "scale",
            {"type": "number", "exclusiveMinimum": 1, "maximum": MAX_SCALE, "multipleOf": 0.01},
            "How many times larger; 2 by default.",
        ),
        _query(
            "size",
            {"type": "string", "pattern": r"^[1-9][0-9]{0,4}$"},
            "Instead of scale: 4000 is the longer side, 2000x the width, x1000 the height, 1920x1080 both, 1920x1080+ "
            "at least.",
        ),
        _query("model", {"type": "string", "enum": ["auto", *config.models]}, "auto chooses for each picture."),
        _query(
            "units", {"type": "integer", "minimum": 0, "maximum": 1000}, "Residual units to run; needs a named model."
        ),
        _query("format", {"type": "string", "enum": list(FORMATS)}, "keep is the format of the picture."),
        _query("quality", {"type": "integer", "minimum": 1, "maximum": 100}, "Quality of JPEG and WebP."),
        _query("lossless", {"type": "boolean"}, "Lossless WebP."),
        _query("metadata", {"type": "string", "enum": ["keep", "drop"]}, "drop removes EXIF, XMP and text."),
        _query("check", {"type": "boolean"}, "Reduce the result to the size of the picture again, and compare them."),
        _query("source", {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "SHA-256 of a picture that was sent before."),
        {
            "name": "X-Name",
            "in": "header",
            "description": "Name of the client's file, percent-encoded.",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9._%-]{1,100}$"},
        },
    ]


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _operation(
    summary: str, responses: dict[int, Any], *, parameters: list[dict[str, Any]] | None = None, body: bool = False
) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": summary, "responses": {str(key): value for key, value in responses.items()}}
    if parameters:
        operation["parameters"] = parameters
    if body:
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {**PICTURE, "content": content}
    return operation


def _refusals(*statuses: int) -> dict[int, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    common = (405, 421)
    return {
        status: {"description": "A problem, described in one sentence.", "content": content}
        for status in (*statuses, *common)
    }


def _json(name: str) -> dict[str, Any]:
    return {
        "description": name,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}},
    }


def _text() -> dict[str, Any]:
    return {"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
