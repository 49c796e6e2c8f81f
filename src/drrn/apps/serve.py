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
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from tyro.conf import OmitArgPrefixes, arg

from drrn.apps.serve_options import AddressOptions, LimitOptions, ServiceOptions, StorageOptions
from drrn.apps.words import parse_duration
from drrn.cache import cache_folder
from drrn.errors import UsageError, printable

if TYPE_CHECKING:
    from drrn.serving.config import ServeConfig

MISSING = "drrn serve needs {name}. Install it: pip install 'drrn[serve]'."
READY_TRIES, READY_SECONDS = 240, 0.5
"""How often, and how many seconds apart, a service that is starting is asked whether it is ready."""


def serve(
    *,
    open: Annotated[tuple[Path, ...] | None, arg(metavar="[FILE...]")] = None,
    idle: Annotated[str | None, arg(metavar="TIME")] = None,
    address: Annotated[AddressOptions, OmitArgPrefixes],
    service: Annotated[ServiceOptions, OmitArgPrefixes],
    limits: Annotated[LimitOptions, OmitArgPrefixes],
    storage: Annotated[StorageOptions, OmitArgPrefixes],
) -> int:
    """Serve a web page and a REST API that enlarge pictures.

    Open the address that is printed, and drop pictures on the page; or POST them from a program
    (docs/reference/http.md). Nothing leaves this machine: the service opens no connection of its own. Results are
    deleted after some time, and when it ends.

    Args:
        open: Open the page in the browser, with these pictures on it. If a service already runs at this port, it is
            used.
        idle: End after this time without a request or a job. By default it runs until a signal ends it.
    """
    try:
        from drrn.serving.server import bind, run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("drrn"):
            raise
        raise UsageError(MISSING.format(name=error.name)) from error

    for path in open or ():
        if not path.is_file():
            raise UsageError(f"There is no file {printable(path)}.")
    token = choose_token(address.token, address.host)
    config = _config(address, service, limits, storage, token, parse_duration(idle) if idle else math.inf)
    try:
        listening = bind(address.host, address.port)
    except UsageError:
        if open is None or not is_service(url_of(config, with_token=False)):
            raise
        open_page(url_of(config), token, open)
        return 0
    port = listening.getsockname()[1]
    config = replace(config, port=port, folder=storage.folder or default_folder(port))

    def started() -> None:
        print(url_of(config), flush=True)
        if open is not None:
            Thread(target=open_page, args=(url_of(config), token, open), daemon=True).start()

    run(config, listening, log=lambda line: print(f"drrn: {line}", file=sys.stderr, flush=True), started=started)
    return 0


def _config(
    address: AddressOptions,
    service: ServiceOptions,
    limits: LimitOptions,
    storage: StorageOptions,
    token: str,
    idle: float,
) -> "ServeConfig":
    """The configuration of the service, before its port is bound."""
    from drrn.serving.config import ServeConfig

    return ServeConfig(
        folder=storage.folder or default_folder(address.port),
        host=address.host,
        port=address.port,
        token=token,
        host_names=address.host_name,
        prefix=address.prefix,
        models=service.model_names(),
        kinds=service.kind_names(),
        threads=limits.threads,
        max_upload=limits.max_upload << 20,
        max_pixels=limits.max_pixels,
        max_memory=limits.max_memory << 20,
        max_seconds=limits.max_seconds,
        keep=parse_duration(storage.keep),
        idle=idle,
    )


def choose_token(token: str | None, host: str) -> str:
    """The token that clients must send; empty if they need none.

    Args:
        token: from the command line; None to use `DRRN_TOKEN` from the environment.
        host: the address to listen on. Without a token, a new one is made if this is not a loopback address.

    Raises:
        UsageError: the token is too short or too long, or contains characters that URLs don't allow.
    """
    from drrn.serving.guards import is_loopback

    token = token if token is not None else os.environ.get("DRRN_TOKEN", "")
    if token and not re.fullmatch(r"[A-Za-z0-9._~-]{8,200}", token):
        raise UsageError("--token must be 8 to 200 letters, digits and . _ ~ -.")
    return token or ("" if is_loopback(host) else secrets.token_urlsafe(24))


def is_service(address: str) -> bool:
    """Whether a drrn serve runs at an address."""
    try:
        with urlopen(f"{address}openapi.json", timeout=5) as answer:
            return bool(json.load(answer)["info"]["title"] == "drrn")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def open_page(address: str, token: str, pictures: Sequence[Path]) -> None:
    """Send pictures to the service at `address`, and open its page in the browser, which shows them."""
    root, marks = address.partition("#")[0], [f"token={token}"] if token else []
    for path in pictures:
        marks.append(f"picture={_send(root, token, path)}&name={quote(path.name, safe='')}")
    webbrowser.open(root + ("#" + "&".join(marks) if marks else ""))


def _send(root: str, token: str, path: Path) -> str:
    """Send a picture to the service, and return the SHA-256 by which its page finds it.

    A picture that the service refuses is no error here: the page shows why.
    """
    content = path.read_bytes()
    headers = {"X-Name": quote(path.name, safe="")} | ({"Authorization": f"Bearer {token}"} if token else {})
    for _ in range(READY_TRIES):
        try:
            with urlopen(Request(f"{root}api/plan", content, headers), timeout=120):
                break
        except HTTPError as error:
            if error.code != 503:  # the models are still loading
                break
            time.sleep(READY_SECONDS)
    return sha256(content).hexdigest()


def url_of(config: "ServeConfig", *, with_token: bool = True) -> str:
    """The URL of the page, with the token after a #, which browsers do not send to servers."""
    host = config.host
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host.strip("[]") else host)
    root = f"http://{name.replace('[[', '[').replace(']]', ']')}:{config.port}{config.prefix}/"
    return f"{root}#token={config.token}" if config.token and with_token else root


def default_folder(port: int) -> Path:
    """The folder of the service at this port, in the user's cache."""
    return cache_folder() / f"serve-{port}"
