"""`drrn serve`."""

import json
import math
import os
import re
import secrets
import sys
import time
import webbrowser
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from tyro.conf import UseAppendAction, arg

from drrn.apps.words import parse_duration
from drrn.cache import cache_folder
from drrn.errors import UsageError, printable

if TYPE_CHECKING:
    from drrn.serving.config import KindName

MISSING = "drrn serve needs {name}. Install it: pip install 'drrn[serve]'."
READY_TRIES, READY_SECONDS = 240, 0.5
"""How often, and how far apart, a service that is being started is asked whether it is ready."""
KINDS = ("image", "animation", "video", "raster", "dicom")


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8640,
    open: Annotated[tuple[Path, ...] | None, arg(metavar="[FILE...]")] = None,
    token: Annotated[str | None, arg(metavar="TOKEN")] = None,
    host_name: Annotated[tuple[str, ...], UseAppendAction, arg(metavar="NAME")] = (),
    prefix: Annotated[str, arg(metavar="PATH")] = "",
    models: tuple[str, ...] = (),
    kinds: Annotated[tuple[str, ...], arg(metavar="KIND...")] = ("image", "animation"),
    max_upload: int = 100,
    max_pixels: int = 100_000_000,
    max_memory: int = 2048,
    max_time: Annotated[str, arg(metavar="TIME")] = "1h",
    keep: Annotated[str, arg(metavar="TIME")] = "1h",
    idle: Annotated[str | None, arg(metavar="TIME")] = None,
    threads: int = 0,
    folder: Annotated[Path | None, arg(metavar="PATH")] = None,
) -> int:
    """Serve a web page and a REST service that enlarge pictures.

    Open the address that is printed, and drop pictures on the page; or POST them from a program
    (docs/reference/http.md). Nothing leaves this machine: the service opens no connection of its own. Results are
    deleted after a while, and when it ends.

    Args:
        host: Address to listen on. Any but a loopback address needs a token.
        port: Port to listen on; 0 is any that is free.
        open: Open the page in the browser, with these pictures on it. A service that runs already at this port is used.
        token: What clients must send; DRRN_TOKEN in the environment does the same. One is made and printed if --host
            can be reached by others.
        host_name: Another name by which clients call this machine; repeat it for several.
        prefix: Path under which a reverse proxy serves it, such as /drrn.
        models: Packaged models to offer. All by default.
        kinds: What may be enlarged: image, animation, video, raster, dicom.
        max_upload: MB of a file.
        max_pixels: Pixels of the largest picture to read or to make.
        max_memory: MB that an enlargement may take.
        max_time: Longest that one picture may take: 90, 30s, 2m or 1.5h.
        keep: How long results are kept.
        idle: End after this long without a request or a job. By default it runs until a signal ends it.
        threads: CPU threads, 0 for all cores.
        folder: Where pictures are kept while they are needed. Everything in it is deleted.
    """
    try:
        from drrn.serving.server import bind, run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("drrn"):
            raise
        raise UsageError(MISSING.format(name=error.name)) from error
    from drrn.serving.config import ServeConfig
    from drrn.weights import DEFAULT
    from drrn.weights.store import names

    _check(port, prefix, models, kinds, open or ())
    token = choose_token(token, host)
    seconds = {
        "max_time": parse_duration(max_time),
        "keep": parse_duration(keep),
        "idle": parse_duration(idle) if idle else math.inf,
    }
    try:
        listening = bind(host, port)
    except UsageError:
        if open is None or not is_service(address_of(host, port, prefix, "")):
            raise
        open_page(address_of(host, port, prefix, token), token, open)
        return 0
    port = listening.getsockname()[1]
    config = ServeConfig(
        folder=folder or default_folder(port),
        host=host,
        port=port,
        token=token,
        host_names=host_name,
        prefix=prefix,
        models=models or (DEFAULT, *(each for each in names() if each != DEFAULT)),
        kinds=kinds_of(kinds),
        threads=threads,
        max_upload=max_upload << 20,
        max_pixels=max_pixels,
        max_memory=max_memory << 20,
        max_seconds=seconds["max_time"],
        keep=seconds["keep"],
        idle=seconds["idle"],
    )
    address = address_of(host, port, prefix, token)

    def started() -> None:
        print(address, flush=True)
        if open is not None:
            Thread(target=open_page, args=(address, token, open), daemon=True).start()

    run(config, listening, log=lambda line: print(f"drrn: {line}", file=sys.stderr, flush=True), started=started)
    return 0


def _check(port: int, prefix: str, models: Sequence[str], kinds: Sequence[str], pictures: Sequence[Path]) -> None:
    """Raise a UsageError for the first option that is out of range."""
    from drrn.weights.store import names

    if not 0 <= port <= 65535:
        raise UsageError(f"--port is from 0 to 65535, got {port}.")
    if prefix and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", prefix):
        raise UsageError(f"--prefix is a path such as /drrn, got {prefix!r}.")
    if unknown := set(models).difference(names()):
        raise UsageError(f"There is no packaged model {min(unknown)!r}. There are {', '.join(names())}.")
    if unknown := set(kinds).difference(KINDS):
        raise UsageError(f"--kinds are {', '.join(KINDS)}, got {min(unknown)!r}.")
    for path in pictures:
        if not path.is_file():
            raise UsageError(f"There is no file {printable(path)}.")


def choose_token(token: str | None, host: str) -> str:
    """The token that clients must send, or nothing where only this machine can reach the service.

    Args:
        token: from the command line; None takes the environment's `DRRN_TOKEN`.
        host: the address to listen on; a new token is made if it is not a loopback address.

    Raises:
        UsageError: a token is too short, or has other characters than a URL may have.
    """
    from drrn.serving.guards import is_loopback

    token = token if token is not None else os.environ.get("DRRN_TOKEN", "")
    if token and not re.fullmatch(r"[A-Za-z0-9._~-]{8,200}", token):
        raise UsageError("A --token is 8 to 200 letters, digits and . _ ~ -.")
    return token or ("" if is_loopback(host) else secrets.token_urlsafe(24))


def is_service(address: str) -> bool:
    """Whether a drrn serve answers there."""
    try:
        with urlopen(f"{address}openapi.json", timeout=5) as answer:
            return bool(json.load(answer)["info"]["title"] == "drrn")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def open_page(address: str, token: str, pictures: Sequence[Path]) -> None:
    """Send the pictures to the service at `address`, and open its page in the browser, which shows them."""
    root, marks = address.partition("#")[0], [f"token={token}"] if token else []
    for path in pictures:
        marks.append(f"picture={_send(root, token, path)}&name={quote(path.name, safe='')}")
    webbrowser.open(root + ("#" + "&".join(marks) if marks else ""))


def _send(root: str, token: str, path: Path) -> str:
    """The SHA-256 by which the service knows the picture from now on, whether it can read it or not."""
    content = path.read_bytes()
    headers = {"X-Name": quote(path.name, safe="")} | ({"Authorization": f"Bearer {token}"} if token else {})
    for _ in range(READY_TRIES):
        try:
            with urlopen(Request(f"{root}api/plan", content, headers), timeout=120):
                break
        except HTTPError as error:
            if error.code != 503:  # the models are being loaded
                break
            time.sleep(READY_SECONDS)
    return sha256(content).hexdigest()


def address_of(host: str, port: int, prefix: str, token: str) -> str:
    """The address to open, with the token after a #, which browsers do not send."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host.strip("[]") else host)
    return f"http://{name.replace('[[', '[').replace(']]', ']')}:{port}{prefix}/" + (f"#token={token}" if token else "")


def default_folder(port: int) -> Path:
    """A folder in the user's cache for the service at this port."""
    return cache_folder() / f"serve-{port}"


def kinds_of(given: tuple[str, ...]) -> "tuple[KindName, ...]":
    kinds: dict[str, KindName] = {
        "image": "image",
        "animation": "animation",
        "video": "video",
        "raster": "raster",
        "dicom": "dicom",
    }
    return tuple(kinds[each] for each in given)
