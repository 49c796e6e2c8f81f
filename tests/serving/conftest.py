"""A running service, in a thread of the test process, and pictures to send to it."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import uvicorn

from drrn.media.image import Image
from drrn.serving.api import Service
from drrn.serving.config import ServeConfig
from drrn.serving.server import bind, settings
from tests.serving.browser import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PATIENCE = 300
"""Seconds to wait for anything: the machine may be busy with something else."""


class Running:
    """A running service and a client for it."""

    def __init__(self, service: Service, address: str):
        self.service, self.address, self.config = service, address, service.config
        self.client = httpx.Client(base_url=address, timeout=PATIENCE)

    def send(self, picture: bytes, way: str = "/api/jobs", name: str = "photo.png", **options: Any) -> httpx.Response:
        parameters = {key: str(value).lower() if value is True else str(value) for key, value in options.items()}
        return self.client.post(way, content=picture, params=parameters, headers={"X-Name": name})

    def wait(self, identity: str, seconds: float = PATIENCE) -> dict[str, object]:
        """The job once it is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job = self.client.get(f"/api/jobs/{identity}").json()
            if job.get("state") not in ("queued", "running"):
                return dict(job)
            time.sleep(0.05)
        raise AssertionError(f"{identity} was not over after {seconds} seconds")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Within the block, a job that has begun never ends."""
        pid = self.service.jobs.engine.pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):  # it was replaced meanwhile
                os.kill(pid, signal.SIGCONT)

    def wait_until(self, identity: str, state: str) -> None:
        """Wait until the job is in a state that it stays in."""
        end = time.monotonic() + PATIENCE
        while self.client.get(f"/api/jobs/{identity}").json()["state"] != state:
            assert time.monotonic() < end
            time.sleep(0.02)

    def stored_files(self) -> list[str]:
        """The files in the folder of the service, except its lock."""
        folder = self.config.folder
        found = [path.relative_to(folder).as_posix() for path in files_below(folder)]
        return sorted(each for each in found if each != "lock")


def files_below(folder: Path) -> list[Path]:
    """All files in a folder, even if a service deletes some meanwhile (`rglob` fails when a folder disappears)."""
    return [Path(within) / name for within, _, names in os.walk(folder) for name in names]


@contextmanager
def closing_on_error(listening: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        listening.close()
        raise


@contextmanager
def serving(folder: Path, **changes: object) -> Iterator[Running]:
    listening = bind("127.0.0.1", 0)
    port = listening.getsockname()[1]
    config = ServeConfig(folder=folder / "served", port=port, models=("tiny",), threads=1)
    with closing_on_error(listening):
        service = Service(replace(config, **changes))  # type: ignore[arg-type]
    server = uvicorn.Server(settings(service))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    running = Running(service, f"http://127.0.0.1:{port}{config.prefix}")
    try:
        with running.client:
            end = time.monotonic() + PATIENCE
            while running.client.get("/readyz").status_code != 200:
                assert time.monotonic() < end and not service.jobs.failure, service.jobs.failure
                time.sleep(0.05)
            yield running
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The service for all tests that need no special options."""
    with serving(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    pytest.importorskip("playwright")
    with chromium() as browser:
        yield browser


def picture(width: int = 40, height: int = 30, seed: int = 0, *, channels: int = 3) -> Image:
    """Noise over a gradient, in which no two places are alike."""
    rng = np.random.default_rng(seed)
    steps = np.linspace(0, 160, width)[None, :, None] + np.zeros((height, 1, channels))
    return Image.from_array((steps + rng.integers(0, 90, (height, width, channels))).astype(np.uint8))


@pytest.fixture
def photo(tmp_path: Path) -> bytes:
    return png(tmp_path)


def png(folder: Path, width: int = 40, height: int = 30, seed: int = 0) -> bytes:
    path = folder / f"made_{width}x{height}_{seed}.png"
    if not path.exists():
        picture(width, height, seed).save(path)
    return path.read_bytes()
