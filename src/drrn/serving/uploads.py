"""Receive pictures: their bytes are counted and hashed while they are written to the disk."""

import asyncio
import re
from contextlib import suppress
from hashlib import sha256
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request

from drrn.serving.jobs import Jobs
from drrn.serving.problems import HTTPError

MIN_RATE = 8 << 10
"""Lowest average rate of an upload in bytes per second, so that no client holds a connection forever."""

CHUNK = 1 << 20
"""Bytes to write at a time, since each write takes a thread."""


async def receive_picture(request: Request, jobs: Jobs) -> str:
    """Store the picture in the body of a request, or look up the one that its parameter `source` names.

    Returns:
        The SHA-256 of the picture.

    Raises:
        HTTPError: the picture is too large, too slow, empty, incomplete or not stored, or the disk is full.
        BusyError: the space for pictures is used up.
    """
    if sources := request.query_params.getlist("source"):
        if len(sources) > 1 or not re.fullmatch(r"[0-9a-f]{64}", sources[0]):
            raise HTTPError(400, "`source` must be the SHA-256 of a picture that was sent before.")
        if not jobs.store.has(sources[0]):
            raise HTTPError(404, "This picture was deleted. Send it again.")
        return sources[0]
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise HTTPError(415, "The body must be the picture itself, not a form: curl --data-binary @photo.jpg.")
    most = jobs.config.max_upload
    try:
        announced = int(request.headers.get("content-length") or 0)
    except ValueError:
        announced = 0
    if announced > most:
        raise HTTPError(413, _too_large(most))
    jobs.check_space(announced)
    upload, digest, count = jobs.store.new_upload(), sha256(), 0
    pending, loop = bytearray(), asyncio.get_running_loop()
    end = loop.time() + jobs.config.stall + most / MIN_RATE
    try:
        with upload.open("xb") as file:
            stream = request.stream().__aiter__()
            while True:
                try:
                    wait = min(jobs.config.stall, end - loop.time())
                    piece = await asyncio.wait_for(stream.__anext__(), max(wait, 0))
                except StopAsyncIteration:
                    break
                count += len(piece)
                if count > most:
                    raise HTTPError(413, _too_large(most))
                digest.update(piece)
                pending += piece
                if len(pending) >= CHUNK:
                    await asyncio.to_thread(file.write, pending)
                    pending = bytearray()
            await asyncio.to_thread(file.write, pending)
        if not count:
            raise HTTPError(400, "The body is empty; a picture was expected.")
        jobs.store.add(upload, digest.hexdigest())
    except TimeoutError as error:
        raise HTTPError(408, "The picture arrived too slowly.") from error
    except ClientDisconnect as error:
        raise HTTPError(400, "The client disconnected before the whole picture arrived.") from error
    except OSError as error:
        raise HTTPError(507, f"The picture can't be stored: {error.strerror or 'the disk is full'}.") from error
    finally:
        with suppress(OSError):
            upload.unlink()
    return digest.hexdigest()


def client_name(request: Request) -> str:
    """The name of the client's file: X-Name, in percent-encoded UTF-8. A header, since proxies log query parameters."""
    return unquote(request.headers.get("x-name", ""), errors="replace")


def _too_large(most: int) -> str:
    return f"The picture has more than {most:,} bytes, the limit of this service (drrn serve --max-upload)."
