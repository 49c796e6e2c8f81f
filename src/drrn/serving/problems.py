"""Errors as clients get them: a status, and drrn's own sentence, as application/problem+json (RFC 9457)."""

from http import HTTPStatus

from starlette.responses import JSONResponse

from drrn.errors import DRRNError, EngineError, ImageError, printable
from drrn.serving.jobs import BusyError
from drrn.serving.studio import KindError
from drrn.serving.worker import CanceledError, CrashedError


class HTTPError(DRRNError):
    """A request that can't be answered otherwise."""

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status = status


def problem(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    about = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": sentence}
    return JSONResponse(about, status, headers, "application/problem+json")


def problem_of(error: DRRNError, *, otherwise: int = 422) -> JSONResponse:
    """The answer for an error; `otherwise` is the status of what the client asked for in vain."""
    sentence = printable(" ".join(str(error).split()))
    match error:
        case HTTPError():
            return problem(error.status, sentence)
        case BusyError():
            return problem(429, sentence, {"Retry-After": str(error.seconds)})
        case KindError():
            return problem(415, sentence)
        case CrashedError() | CanceledError() | EngineError():
            return problem(500, sentence)
        case ImageError() if "--max-pixels" in sentence:
            return problem(413, sentence)
        case ImageError():
            return problem(422, sentence)
    return problem(otherwise, sentence)
