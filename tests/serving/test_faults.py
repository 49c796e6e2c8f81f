"""Faults: the service stays up, leaves no partial files, and ends each job with a result or a reason."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from drrn.media.image import Image
from drrn.serving.process import limit_memory
from drrn.serving.server import GRACE_SECONDS
from drrn.serving.worker import END_SECONDS
from tests.conftest import ROOT
from tests.serving.conftest import PATIENCE, Running, files_below, png, serving

pytestmark = pytest.mark.slow


@contextmanager
def command(folder: Path, *options: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`drrn serve` in a process of its own, once it is ready, and its address."""
    line = [sys.executable, "-m", "drrn", "serve", "--port", "0", "--models", "tiny", "--threads", "1", *options]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as process:
        try:
            assert process.stdout
            address = process.stdout.readline().strip()
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end and process.poll() is None:
                if httpx.get(re.sub("#.*", "", address) + "readyz", timeout=PATIENCE).status_code == 200:
                    break
                time.sleep(0.1)
            yield process, address
        finally:
            process.kill()


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(each) for task in tasks for each in task.read_text().split()]


def test_shutdown_deadlines_leave_a_second_to_spare() -> None:
    """A service has 5 seconds to end. It only waits for responses in progress and for killed processes."""
    assert GRACE_SECONDS + END_SECONDS <= 4


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_streams_and_jobs_at_once_and_leaves_no_files(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with command(tmp_path, "--folder", str(tmp_path / "served")) as (process, address):
        with httpx.stream("GET", f"{address}api/events", timeout=PATIENCE) as events:
            lines = events.iter_lines()
            assert next(lines).startswith("retry")
            job = httpx.post(f"{address}api/jobs?scale=8", content=png(tmp_path, 900, 900), timeout=PATIENCE).json()
            next(line for line in lines if '"running"' in line)
            workers = children(process.pid)
            assert len(workers) >= 2 and job["state"] == "queued"
            for each in workers:
                if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes():
                    os.kill(each, signal.SIGSTOP)  # so that the job never ends
            process.send_signal(number)
            assert process.wait(PATIENCE) == code
            rest = list(lines)  # the stream ended, after the event that the job was stopped
            assert "event: failed" in rest and "drrn serve was stopped." in rest[rest.index("event: failed") + 1]
            assert "event: done" not in rest
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and any(Path(f"/proc/{each}/cmdline").exists() for each in workers):
            time.sleep(0.05)
        assert not [each for each in workers if Path(f"/proc/{each}/cmdline").exists()]
        out, err = process.communicate()
        assert (out, err) == ("", "")
        assert [path for path in (tmp_path / "served").rglob("*") if path.name != "lock"] == []


def test_an_idle_service_ends_if_idle_is_set(tmp_path: Path) -> None:
    with command(tmp_path, "--idle", "3s") as (process, address):
        with httpx.stream("GET", f"{address}api/events", timeout=PATIENCE) as events:
            lines = events.iter_lines()  # keep it: the stream ends when it is deleted
            next(lines)
            time.sleep(4)
            assert process.poll() is None  # a page is open
        assert process.wait(PATIENCE) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_restart_reports_lost_jobs_and_deletes_their_files(tmp_path: Path) -> None:
    folder = tmp_path / "served"
    with command(tmp_path, "--folder", str(folder)) as (process, address):
        sent = {"content": png(tmp_path, 900, 900), "headers": {"X-Name": "lost.png"}}
        job = httpx.post(f"{address}api/jobs?scale=8", timeout=PATIENCE, **sent).json()  # type: ignore[arg-type]
        workers = children(process.pid)
        process.kill()
        process.wait()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and any(Path(f"/proc/{each}/cmdline").exists() for each in workers):
            time.sleep(0.05)
        assert not [each for each in workers if Path(f"/proc/{each}/cmdline").exists()], "orphans"
    assert list(folder.rglob("sources/*"))
    with serving(tmp_path) as service:
        lost = service.client.get(f"/api/jobs/{job['id']}").json()
        assert (lost["state"], lost["name"]) == ("failed", "lost_x8.png")
        assert "was stopped before this result was downloaded" in lost["error"]
        assert service.stored_files() == []


def assert_replaced_when_killed(service: Running, folder: Path, times: int) -> None:
    rng = random.Random(1)
    before = service.stored_files()
    for number in range(times):
        photo = png(folder, 120, 100, number)
        sent = service.send(photo, scale=4)
        assert sent.status_code == 202
        worker = service.service.jobs.engine if number % 4 else service.service.jobs.viewer
        time.sleep(rng.uniform(0, 0.25))
        if worker.pid:
            os.kill(worker.pid, signal.SIGKILL)
        job = service.wait(sent.json()["id"])
        if job["state"] == "failed":
            assert "ended unexpectedly" in str(job["error"])
            again = service.send(photo, scale=4)
            job = service.wait(again.json()["id"])
        assert job["state"] == "done"
        content = service.client.get(f"/api/jobs/{job['id']}/result").content
        path = folder / "result.png"
        path.write_bytes(content)
        assert Image.open(path).to_array().shape == (400, 480, 3)
        service.client.delete(f"/api/jobs/{job['id']}")
    assert service.client.get("/readyz").status_code == 200
    assert [each for each in service.stored_files() if each not in before and not each.startswith("sources/")] == []


def test_a_killed_worker_fails_its_job_and_is_replaced(running: Running, tmp_path: Path) -> None:
    assert_replaced_when_killed(running, tmp_path, 3)


@pytest.mark.full
def test_a_worker_killed_at_twenty_random_moments_is_replaced(running: Running, tmp_path: Path) -> None:
    assert_replaced_when_killed(running, tmp_path, 20)


def test_a_job_that_misses_its_deadline_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drrn.serving.jobs.MIN_DEADLINE", 1.0)
    monkeypatch.setattr("drrn.serving.jobs.DEADLINE_FACTOR", 0.0)
    with serving(tmp_path) as service:
        with service.frozen():
            job = service.wait(service.send(png(tmp_path)).json()["id"])
        assert job["state"] == "failed" and "more than 1 seconds and was stopped" in str(job["error"])
        monkeypatch.undo()
        assert [each for each in service.stored_files() if not each.startswith("sources/")] == []
        assert service.send(png(tmp_path), "/api/upscale", scale=3).status_code == 200


def test_a_worker_is_replaced_after_its_number_of_tasks(tmp_path: Path) -> None:
    with serving(tmp_path, tasks_per_worker=2) as service:
        for seed in range(4):
            assert service.send(png(tmp_path, 20, 20, seed), "/api/upscale").status_code == 200
        assert service.service.jobs.engine.starts >= 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces this limit")
def test_a_worker_can_not_exceed_its_memory_limit() -> None:
    code = (
        "from drrn.serving.process import limit_memory; import numpy as np; limit_memory(100 << 20)\n"
        "np.ones(50 << 20, np.uint8)\n"
        "try: np.ones(200 << 20, np.uint8)\nexcept MemoryError: print('refused')"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "refused\n"
    assert limit_memory.__doc__


def test_a_full_disk_is_reported_and_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path) as service:
        photo = png(tmp_path)

        class Full:
            def __init__(self, path: Path):
                self.file: IO[bytes] = Path.open(path, "xb")

            def __enter__(self) -> "Full":
                return self

            def __exit__(self, *_: object) -> None:
                self.file.close()

            def write(self, piece: bytes) -> int:
                raise OSError(28, "No space left on device")

        real = service.service.jobs.store.new_upload
        monkeypatch.setattr(
            service.service.jobs.store,
            "new_upload",
            lambda: _Refusing(real(), Full),
        )
        answer = service.send(photo)
        assert (answer.status_code, answer.json()["detail"]) == (
            507,
            "The picture can't be stored: No space left on device.",
        )
        assert service.stored_files() == []
        monkeypatch.undo()
        sent = service.send(photo, "/api/plan").json()
        folder = service.config.folder / "jobs"
        folder.rmdir()  # so that no job can be stored
        refused = service.client.post("/api/jobs", params={"source": sent["source"]})
        assert refused.status_code == 429 and "disk is full" in refused.json()["detail"]
        folder.mkdir()
        assert service.send(photo, "/api/upscale").status_code == 200


class _Refusing:
    """A path that can be opened but not written to."""

    def __init__(self, path: Path, opened: Any):
        self.path, self.opened = path, opened

    def open(self, mode: str) -> Any:
        return self.opened(self.path)

    def unlink(self) -> None:
        self.path.unlink()


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a file system")
@pytest.mark.full
def test_a_disk_that_fills_up_while_writing_a_result_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with serving(tmp_path) as service:
            job = service.wait(service.send(png(tmp_path, 500, 500), scale=4).json()["id"])
            assert job["state"] == "failed" and str(job["error"]).startswith("photo.png needs "), job
            assert str(folder) not in str(job["error"]) and "the service's disk has" in str(job["error"])
            assert [each for each in service.stored_files() if not each.startswith("sources/")] == []
            assert service.send(png(tmp_path, 20, 20), "/api/upscale").status_code == 200
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_client_that_disconnects_during_an_upload_leaves_no_files(tmp_path: Path) -> None:
    """Uses its own service, since uploads of other tests may still be arriving."""
    with serving(tmp_path) as service:
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", service.config.port)) as connection:
                connection.sendall(
                    b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000
                )
                end = time.monotonic() + PATIENCE
                while time.monotonic() < end and not service.stored_files():
                    time.sleep(0.01)
                assert service.stored_files(), "it has begun to arrive"
        while time.monotonic() < end and service.stored_files():
            time.sleep(0.05)
        assert not service.stored_files()


def test_a_client_that_disconnects_during_a_download_does_not_disturb_others(running: Running, tmp_path: Path) -> None:
    job = running.wait(running.send(png(tmp_path, 500, 400), scale=4).json()["id"])
    for _ in range(5):
        with running.client.stream("GET", f"/api/jobs/{job['id']}/result") as answer:
            next(answer.iter_raw(1000))
    assert running.client.get(f"/api/jobs/{job['id']}/result").status_code == 200


def test_a_client_that_disconnects_while_waiting_cancels_its_job(running: Running, tmp_path: Path) -> None:
    def leave(name: str) -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{running.address}/api/upscale?scale=8",
                content=png(tmp_path, 40, 30, 7),
                headers={"X-Name": name},
                timeout=httpx.Timeout(PATIENCE, read=1.0),
            )

    with running.frozen():
        leave("left.png")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            jobs = [job for job in running.client.get("/api/jobs").json() if job["name"].startswith("left")]
            if jobs and jobs[0]["state"] == "canceled":
                return
            time.sleep(0.1)
    raise AssertionError(jobs)


TOO_MUCH = (1 << 20) + 1
"""Bytes of an oversized picture: one more than --max-upload 1 allows."""


def resident(pid: int) -> int:
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) << 10


def load(client: Running, folder: Path, requests: int, connections: int) -> None:
    """Send good, broken and oversized requests, and check that each gets its own response."""
    goods = [png(folder, 24 + seed, 20, seed) for seed in range(8)]
    results = [client.send(good, "/api/upscale", f"{seed}.png").content for seed, good in enumerate(goods)]

    def one(number: int) -> str:
        """What is wrong with an answer."""
        seed = number % 8
        match number % 4:
            case 0 | 1:
                name = f"{number}.png"  # a different name, and so a different job
                while (answer := client.send(goods[seed], "/api/upscale", name, scale=2)).status_code == 429:
                    time.sleep(0.05)
                right = answer.status_code == 200 and answer.content == results[seed]
            case 2:
                answer = client.send(goods[seed][: 40 + number], "/api/upscale", f"broken {number}.png")
                right = answer.status_code in (422, 429)
            case _:
                right = (answer := client.send(b"x" * TOO_MUCH, "/api/upscale")).status_code == 413
        return "" if right else f"{number}: {answer.status_code} {answer.text[:200]}"

    with ThreadPoolExecutor(connections) as threads:
        assert [wrong for wrong in threads.map(one, range(requests)) if wrong] == []


def test_concurrent_mixed_requests_get_their_own_responses(tmp_path: Path) -> None:
    with serving(tmp_path, max_upload=TOO_MUCH - 1) as service:
        load(service, tmp_path, 48, 16)
        for job in service.client.get("/api/jobs").json():
            service.client.delete(f"/api/jobs/{job['id']}")
        assert [each for each in service.stored_files() if not each.startswith("sources/")] == []


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_memory_stays_flat_under_load_and_no_files_are_left(tmp_path: Path) -> None:
    folder = tmp_path / "served"
    with command(tmp_path, "--folder", str(folder), "--keep", "20s", "--max-upload", "1") as (process, address):
        client = Running.__new__(Running)
        client.address, client.client = address, httpx.Client(base_url=address, timeout=PATIENCE)
        with client.client:
            load(client, tmp_path, 50, 16)
            processes = [process.pid, *children(process.pid)]
            before = sum(map(resident, processes))
            load(client, tmp_path, 150, 16)
            after = sum(map(resident, processes))
            assert after < before * 1.1, (before, after)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and files_below(folder) != [folder / "lock"]:
            time.sleep(0.5)
        assert files_below(folder) == [folder / "lock"]
