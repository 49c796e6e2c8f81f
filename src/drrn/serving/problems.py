"""Error responses: a status and drrn's own message, as application/problem+json (RFC 9457)."""

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from drrn.errors import DRRNError, EngineError, ImageError, printable
from drrn.serving.jobs import BusyError
from drrn.serving.kinds import KindError
from drrn.serving.recipe import ParameterError
from drrn.serving.worker import CanceledError, CrashedError

Handler = Callable[[Request], Awaitable[Response]]
LOG: Final = logging.getLogger("drrn.serving")


class HTTPError(DRRNError):
    """An error with an HTTP status."""

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status = status


def problem(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The response with a status, and a sentence as its detail."""
    about = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": sentence}
    return JSONResponse(about, status, headers, "application/problem+json")


def problem_of(error: DRRNError) -> JSONResponse:
    """The response to an error, with status 422 unless its class says otherwise."""
    sentence = printable(" ".join(str(error).split()))
    match error:
        case HTTPError():
            return problem(error.status, sentence)
        case ParameterError():
            return problem(400, sentence)
        case BusyError():
            return problem(429, sentence, {"Retry-After": str(error.seconds)})
        case KindError():
            return problem(415, sentence)
        case CrashedError() | CanceledError() | EngineError():
            return problem(500, sentence)
        case ImageError() if "--max-pixels" in sentence:
            return problem(413, sentence)
    return problem(422, sentence)


def with_problems(handler: Handler) -> Handler:
    """Make a handler respond with a problem when it raises an error.

    The message of an unexpected exception is not logged, since it may quote the contents of a picture.
    """

    @wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except DRRNError as error:
            return problem_of(error)
        except HTTPException:
            raise
        except Exception as error:
            LOG.error("bug: %s in %s", type(error).__name__, handler.__name__)
            return problem(500, "This is a bug in drrn serve; please report it.")

    return answer


async def not_found(request: Request, error: Exception) -> Response:
    """The response to an unknown path or method."""
    assert isinstance(error, HTTPException)
    sentence = (
        "There is nothing at this address. openapi.json lists what there is."
        if error.status_code == 404
        else error.detail
    )
    return problem(error.status_code, sentence, dict(error.headers or {}))
