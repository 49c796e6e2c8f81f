"""The JSON schemas of the API's responses, for its OpenAPI description."""

from typing import Any


def schemas() -> dict[str, Any]:
    """The schemas by name."""
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
        "name": {**string, "description": "Name that the command line would give the result."},
        "model": string,
        "why": {**string, "description": "Why this model was chosen."},
        "seconds": {**number, "description": "Expected time."},
        "memory": {**integer, "description": "Expected memory in bytes."},
        "changes": {"type": "array", "items": string, "description": "What must be converted."},
        "warning": {**string, "description": "What users of this kind of file must know."},
        "can_preview": {"type": "boolean"},
    }
    job = {
        "id": sha256,
        **plan,
        "state": {"type": "string", "enum": ["queued", "running", "done", "failed", "canceled"]},
        "place": {**integer, "description": "Position in the queue, from 1."},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "seconds_left": number,
        "error": string,
        "bytes": integer,
        "sha256": sha256,
        "check": {"type": ["object", "null"]},
        "took": {**number, "description": "Seconds of work."},
        "expires": {**integer, "description": "Seconds until the job is deleted."},
    }
    problem = {"type": string, "title": string, "status": {"type": "integer"}, "detail": string}
    return {
        "Plan": {"type": "object", "properties": plan, "required": list(plan)},
        "Job": {"type": "object", "properties": job, "required": ["id", "state"]},
        "About": {"type": "object", "required": ["version", "models", "kinds", "formats", "limits"]},
        "Problem": {"type": "object", "properties": problem, "required": list(problem)},
    }
