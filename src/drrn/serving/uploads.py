"""A picture arrives: its bytes are counted and hashed while they stream to the disk."""

import asyncio
import re
from contextlib import suppress
from hashlib import sha256
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request

from drrn.serving.jobs import Jobs
from drrn.serving.problems import HTTPError

SLOWEST = 8 << 10
"""Bytes a second that a client must send on average, so that none holds a connection for ever."""


async def receive_picture(request: Request, jobs: Jobs) -> str:
    """The SHA-256 of the picture that a request is about: of its body, or that which its parameter `source` names.

    Raises:
        HTTPError: it is too large, too slow, empty, incomplete or not known, or the disk is full.
    """
    if sources := request.query_params.getlist("source"):
        if len(sources) > 1 or not re.fullmatch(r"[0-9a-f]{64}", sources[0]):
            raise HTTPError(400, "`source` is the SHA-256 of a picture that was sent before.")
        if not jobs.store.has(sources[0]):
            raise HTTPError(404, "This picture is not there any more. Send it again.")
        return sources[0]
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise HTTPError(415, "The body must be the picture itself (curl --data-binary @photo.jpg), and not a form.")
    most = jobs.config.max_upload
    try:
        announced = int(request.headers.get("content-length") or 0)
    except ValueError:
        announced = 0
    if announced > most:
        raise HTTPError(413, _too_large(most))
    if announced + jobs.store.bytes() > jobs.config.queue_bytes:
        raise HTTPError(507, "The space for pictures is used up. Try again when some were deleted.")
    upload, digest, count = jobs.store.new_upload(), sha256(), 0
    loop = asyncio.get_running_loop()
    end = loop.time() + jobs.config.stall + most / SLOWEST
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
                await asyncio.to_thread(file.write, piece)
        if not count:
            raise HTTPError(400, "The body is empty; a picture was expected.")
        jobs.store.add(upload, digest.hexdigest())
    except TimeoutError as error:
        raise HTTPError(408, "The picture came too slowly.") from error
    except ClientDisconnect as error:
        raise HTTPError(400, "The client left before all of the picture had come.") from error
    except OSError as error:
        raise HTTPError(507, f"The picture can't be kept: {error.strerror or 'the disk is full'}.") from error
    finally:
        with suppress(OSError):
            upload.unlink()
    return digest.hexdigest()


def client_name(request: Request) -> str:
    """Of the client's file: X-Name, in percent-encoded UTF-8. A header, since proxies write addresses into logs."""
    return unquote(request.headers.get("x-name", ""), errors="replace")


def _too_large(most: int) -> str:
    return f"The picture has more than {most:,} bytes, the limit of this service (drrn serve --max-upload)."
