"""The description of the API that /openapi.json gives, written by hand and checked by requests made from it."""

from typing import Any

from drrn import __version__
from drrn.serving.config import ServeConfig
from drrn.serving.recipe import FORMATS
from drrn.upscaling.size import MAX_SCALE

ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "SHA-256 of the picture, the recipe and drrn's version.",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
}
SIDE = {
    "name": "side",
    "in": "query",
    "description": "before is bicubic, after is drrn.",
    "schema": {"type": "string", "enum": ["before", "after"]},
}
PICTURE = {"description": "The picture's file itself, not a form. Left out where `source` is given."}
PNG = {"image/png": {"schema": {"type": "string", "format": "binary"}}}


def openapi(config: ServeConfig) -> dict[str, Any]:
    """As JSON values, with the models and limits of this service."""
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
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths(config: ServeConfig) -> dict[str, Any]:
    recipe = _recipe(config)
    return _picture_paths(recipe) | _job_paths(recipe) | _result_paths() | _service_paths()


def _picture_paths(recipe: list[dict[str, Any]]) -> dict[str, Any]:
    """What takes a picture and answers at once, or once it is done."""
    crop = {"type": "string", "pattern": r"^[1-9][0-9]{0,3}x[1-9][0-9]{0,3}\+[0-9]{1,4}\+[0-9]{1,4}$"}
    return {
        "/api/plan": {
            "post": _operation(
                "Keep a picture, and say what it would become, by which model, and in which time.",
                {200: _json("Plan"), **_refusals(400, 401, 403, 404, 408, 413, 415, 422, 500, 503, 507)},
                parameters=recipe,
                body=True,
            )
        },
        "/api/upscale": {
            "post": _operation(
                "Enlarge a picture, and wait for it.",
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
                "A part of the result, to the very levels that the whole will have there.",
                {
                    200: {"description": "A PNG.", "content": PNG},
                    **_refusals(400, 401, 403, 404, 408, 413, 415, 422, 500, 503, 507),
                },
                parameters=[
                    {**_query("crop", crop, "160x120+200+40 in pixels of the result."), "required": True},
                    SIDE,
                    *recipe,
                ],
                body=True,
            )
        },
    }


def _job_paths(recipe: list[dict[str, Any]]) -> dict[str, Any]:
    """The queue."""
    return {
        "/api/jobs": {
            "post": _operation(
                "Enlarge a picture. The same request for the same picture is the same job.",
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
                "Cancel a job, or forget one that is over.",
                {204: {"description": "Done."}, **_refusals(401, 403, 404)},
                parameters=[ID],
            ),
        },
        "/api/events": {
            "get": _operation(
                "Server-sent events: queued, progress, done, failed, canceled (a job each) and gone (its id).",
                {200: {"description": "A stream.", "content": {"text/event-stream": {}}}, **_refusals(401)},
            )
        },
    }


def _result_paths() -> dict[str, Any]:
    """What has become of jobs that are done."""
    region = {"type": "string", "pattern": "^[0-9]{1,4},[0-9]{1,4},[1-9][0-9]{0,3},[1-9][0-9]{0,3}$"}
    width = {"type": "integer", "minimum": 1, "maximum": 99999}
    return {
        "/api/jobs/{id}/result": {
            "get": _operation(
                "The enlarged picture.",
                {
                    200: {"description": "The file.", "content": {"*/*": {}}},
                    206: {"description": "A part of it."},
                    304: {"description": "The client has it."},
                    **_refusals(401, 404, 409),
                },
                parameters=[ID],
            )
        },
        "/api/jobs/{id}/view": {
            "get": _operation(
                "What a part of a result looks like, as PNG.",
                {200: {"description": "A PNG.", "content": PNG}, **_refusals(400, 401, 404, 409, 422, 500)},
                parameters=[
                    ID,
                    SIDE,
                    _query("region", region, "x,y,width,height in pixels of the result; all of it by default."),
                    _query("width", width, "Pixels across; those of the region by default."),
                ],
            )
        },
        "/api/results.zip": {
            "get": _operation(
                "Several results as one archive.",
                {200: {"description": "A ZIP file.", "content": {"application/zip": {}}}, **_refusals(400, 401, 404)},
                parameters=[_query("id", {"type": "array", "items": ID["schema"]}, "Jobs; all results by default.")],
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
        "/healthz": {"get": _operation("Whether it answers.", {200: _text()})},
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
            "Instead: 4000 is the longer side, 2000x the width, x1000 the height, 1920x1080 both, 1920x1080+ at least.",
        ),
        _query("model", {"type": "string", "enum": ["auto", *config.models]}, "auto chooses for each picture."),
        _query("units", {"type": "integer", "minimum": 0, "maximum": 1000}, "Residual units; needs a model."),
        _query("format", {"type": "string", "enum": list(FORMATS)}, "keep is that of the picture."),
        _query("quality", {"type": "integer", "minimum": 1, "maximum": 100}, "Of JPEG and WebP."),
        _query("lossless", {"type": "boolean"}, "WebP without loss."),
        _query("metadata", {"type": "string", "enum": ["keep", "drop"]}, "drop leaves out EXIF, XMP and texts."),
        _query("check", {"type": "boolean"}, "Make the result smaller again, and compare."),
        _query("source", {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "SHA-256 of a picture sent before."),
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
    found: dict[str, Any] = {"summary": summary, "responses": {str(key): value for key, value in responses.items()}}
    if parameters:
        found["parameters"] = parameters
    if body:
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        found["requestBody"] = {**PICTURE, "content": content}
    return found


def _refusals(*statuses: int) -> dict[int, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    common = (405, 421)
    return {status: {"description": "A problem, in a sentence.", "content": content} for status in (*statuses, *common)}


def _json(name: str) -> dict[str, Any]:
    return {
        "description": name,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}},
    }


def _text() -> dict[str, Any]:
    return {"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}}


def _schemas() -> dict[str, Any]:
    string, number, integer = {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 0}
    sha256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    plan = {
        "source": {"type": "string", "pattern": "^([0-9a-f]{64})?$"},
        "kind": {"type": "string", "enum": ["image", "animation", "video", "raster", "dicom"]},
        "format": string,
        "source_width": integer,
        "source_height": integer,
        "frames": integer,
        "width": integer,
        "height": integer,
        "name": {**string, "description": "What the command line would call the result."},
        "model": string,
        "why": {**string, "description": "Why it is that model."},
        "seconds": {**number, "description": "Expected."},
        "memory": {**integer, "description": "Bytes, expected."},
        "changes": {"type": "array", "items": string, "description": "What becomes something else."},
        "warning": {**string, "description": "What users of such files must know."},
        "can_preview": {"type": "boolean"},
    }
    job = {
        "id": sha256,
        **plan,
        "state": {"type": "string", "enum": ["queued", "running", "done", "failed", "canceled"]},
        "place": {**integer, "description": "In the queue, from 1."},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "seconds_left": number,
        "error": string,
        "bytes": integer,
        "sha256": sha256,
        "check": {"type": ["object", "null"]},
        "took": {**number, "description": "Seconds."},
        "expires": {**integer, "description": "Seconds until it is deleted."},
    }
    problem = {"type": string, "title": string, "status": {"type": "integer"}, "detail": string}
    return {
        "Plan": {"type": "object", "properties": plan, "required": list(plan)},
        "Job": {"type": "object", "properties": job, "required": ["id", "state"]},
        "About": {"type": "object", "required": ["version", "models", "kinds", "formats", "limits"]},
        "Problem": {"type": "object", "properties": problem, "required": list(problem)},
    }
