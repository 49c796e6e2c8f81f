"""A Ray cluster on the loopback interface makes the bytes of `drrn upscale`, whatever is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drrn.bulk.part import read_rows
from drrn.bulk.plan import load_plan
from drrn.bulk.run import read_status
from drrn.bulk.storage import Folder
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.upscaling.fingerprint import sha256
from drrn.weights import store
from tests.command_line import run as drrn
from tests.small_weights import small_weights

pytestmark = [
    pytest.mark.skipif(not find_spec("ray"), reason="Ray is not installed: pip install 'drrn[ray]'"),
    pytest.mark.skipif(sys.platform != "linux", reason="children of a process are looked up in /proc"),
]
MB = 1 << 20
SECONDS = 900
"""After which a test gives up."""


class Cluster:
    """A head without CPUs, and machines of one CPU each, as processes here."""

    def __init__(self, machines: int):
        cluster_utils: Any = import_module("ray.cluster_utils")
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 100 * MB, "memory": 500 * MB}
        self.cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        self.machines = [self.add() for _ in range(machines)]

    def add(self) -> Any:
        return self.cluster.add_node(num_cpus=1, object_store_memory=100 * MB, memory=2000 * MB)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "RAY_ADDRESS": self.cluster.address}

    def kill_machine(self) -> None:
        self.cluster.remove_node(self.machines.pop(), allow_graceful=False)

    def kill_task(self) -> bool:
        """Kill a process that runs a part of some machine; False if none does just now."""
        for machine in self.machines:
            for pid in self.pids(machine):
                if "ray::_run_part" in command_of(pid):
                    os.kill(pid, signal.SIGKILL)
                    return True
        return False

    def pids(self, machine: Any) -> list[int]:
        """The processes of tasks: children of Ray's daemon."""
        (daemon,) = (each.process.pid for each in machine.all_processes["raylet"])
        return [int(pid) for pid in Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()]

    def is_idle(self) -> bool:
        return not any("ray::_run_part" in command_of(pid) for each in self.machines for pid in self.pids(each))


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """As many machines as the test asks for."""
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # all of it on 127.0.0.1
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # by default 15, which takes all time from it on a busy machine
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    running = Cluster(request.param)
    try:
        yield running
    finally:
        running.cluster.shutdown()


def make_photos(here: Path, count: int, *part: str) -> None:
    """Pictures of random size in photos, what `drrn upscale` makes of them in expected, and a plan in large."""
    store.save(small_weights(width=4), here / "tiny.safetensors")
    rng = np.random.default_rng(0)
    for number in range(count):
        path = here / f"photos/{number % 7}/{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        height, width = rng.integers(8, 40, 2)
        write(Image(pixels=rng.random((height, width, 3), np.float32)), path)
    model = ("-m", "tiny.safetensors")
    assert drrn("upscale", "photos", "-r", "-o", "expected", *model, "--threads", "1", "--jobs", "2") == 0
    assert drrn("bulk", "plan", "photos", "large", *model, *part) == 0


def start(cluster: Cluster, *options: str) -> subprocess.Popen[str]:
    """The driver."""
    command = [sys.executable, "-m", "drrn", "bulk", "run", "large", "--on", "ray", "--max-memory", "500", *options]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=cluster.environment, **pipes)


class Watch:
    """Looks at a run again and again: what the status says is true, and no result is half-written."""

    def __init__(self, here: Path):
        self.target = Folder(here / "large")
        self.plan = load_plan(self.target)
        self.expected = {
            path.relative_to(here / "expected").as_posix(): sha256(path) for path in (here / "expected").rglob("*.png")
        }
        self.checked: set[int] = set()
        self.whole: set[str] = set()
        self.done = 0

    def look(self) -> int:
        """The files that are done."""
        status = read_status(self.plan, self.target)
        assert (status.files, status.failed) == (len(self.expected), 0)
        assert status.done >= self.done and status.done + status.left == status.files
        self.done = status.done
        recorded = 0
        for part in self.plan.parts:
            if part.number not in self.checked and (rows := read_rows(self.target, part) or []):
                assert all(self.is_whole(row.target) and row.sha256 == self.expected[row.target] for row in rows)
                self.checked.add(part.number)
            recorded += part.count * (part.number in self.checked)
        assert recorded >= status.done
        for entry in self.target.list():
            assert self.is_whole(entry.name), f"{entry.name} is half-written"
        return status.done

    def is_whole(self, name: str) -> bool:
        if name not in self.whole and sha256(self.target.path / name) == self.expected[name]:
            self.whole.add(name)
        return name in self.whole

    def wait(self, files: int, driver: subprocess.Popen[str]) -> None:
        """Look until so many files are done, or the driver has ended."""
        deadline = time.monotonic() + SECONDS
        while self.look() < files and driver.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def finish(self, driver: subprocess.Popen[str]) -> str:
        """Look until the driver ends; return what it has printed."""
        self.wait(len(self.expected) + 1, driver)
        printed, errors = driver.communicate()
        assert driver.returncode == 0, errors
        assert self.look() == len(self.whole) == len(self.expected)
        assert not list(self.target.list(".drrn/begun/"))
        return printed


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [1], indirect=True)
def test_a_cluster_makes_the_bytes_of_drrn_upscale(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path, 9, "--part-files", "2")
    printed = Watch(tmp_path).finish(start(cluster, "--workers", "1", "2"))
    assert printed.splitlines()[-1] == "all done" and printed.count("part ") == 5
    target = Folder(tmp_path / "large")
    shutil.rmtree(tmp_path / "large/.drrn/done")
    (tmp_path / "large/.drrn/weights.safetensors").write_bytes(b"broken")
    driver = start(cluster)
    assert "The weights in " in driver.communicate()[1] and driver.returncode == 2
    assert read_status(load_plan(target), target).done == 0


@pytest.mark.full
@pytest.mark.parametrize("cluster", [2], indirect=True)
def test_2000_files_are_made_though_a_machine_and_a_task_are_killed(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path, 2000, "--part-files", "20")
    watch, driver = Watch(tmp_path), start(cluster)
    watch.wait(500, driver)
    assert driver.poll() is None
    cluster.kill_machine()
    watch.wait(1000, driver)
    while not cluster.kill_task():
        assert driver.poll() is None
        time.sleep(0.01)
    watch.finish(driver)


@pytest.mark.full
@pytest.mark.parametrize("cluster", [2], indirect=True)
def test_2000_files_are_made_though_the_driver_is_killed_twice(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path, 2000, "--part-files", "20")
    watch = Watch(tmp_path)
    for files in (500, 1000):
        driver = start(cluster)
        watch.wait(files, driver)
        assert driver.poll() is None
        driver.kill()
        driver.communicate()
        watch.look()
    watch.finish(start(cluster))


@pytest.mark.full
@pytest.mark.parametrize("cluster", [1], indirect=True)
def test_a_stopped_driver_leaves_no_kill_to_a_file(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path, 400, "--part-files", "200")
    watch, driver = Watch(tmp_path), start(cluster)
    while not list(watch.target.list(".drrn/begun/")):
        time.sleep(0.05)
    driver.send_signal(signal.SIGTERM)
    _, printed = driver.communicate()
    assert driver.returncode == 143, printed
    assert "stopped; the same command continues" in printed
    notes = [json.loads(watch.target.read(entry.name) or b"") for entry in watch.target.list(".drrn/begun/")]
    assert all(note["starts"] == 0 and not note["kills"] for note in notes)
    watch.finish(start(cluster))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--on", "ray", "--jobs", "2"), "leave out --part and --jobs"),
        (("--on", "ray", "--workers", "3", "2"), "a minimum of at least 1 and a maximum, got 3 2"),
        (("--workers", "1", "2"), "--workers only works with --on ray"),
    ],
)
def test_options_of_ray_and_of_one_machine_are_not_mixed(
    options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drrn("bulk", "run", "large", *options) == 2
    assert message in capsys.readouterr().err
