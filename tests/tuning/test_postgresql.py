"""Machines share a search through a PostgreSQL server, here a process on the loopback interface."""

import csv
import json
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.training.small_training import make_images

PROGRAMS = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(PROGRAMS is None, reason="PostgreSQL is not installed, as by `apt install postgresql`"),
    pytest.mark.skipif(not find_spec("psycopg"), reason="psycopg is not installed: pip install 'psycopg[binary]'"),
]
LEASE = 20.0
"""Seconds."""
SLOWLY = f"""
import time
from drrn.apps import cli, tune
from drrn.tuning import search, trials
step = tune.TuningProgress.step
tune.TuningProgress.step = lambda *args: (step(*args), time.sleep(0.3))
trials.LEASE_SECONDS = {LEASE}
search.RENEW_SECONDS = 1.0
cli.main()
"""
"""A program that runs the command with steps of a third of a second and a short lease."""
TRIALS = 5


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of a new server. PostgreSQL refuses to run as root; then it runs as the user postgres."""
    assert PROGRAMS
    who: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    name = "postgres" if who else pwd.getpwuid(os.getuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="drrn-postgresql-"))
    if who:
        shutil.chown(folder, "postgres", "postgres")
    port = free_port()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **who}
    data = folder / "data"
    subprocess.run([PROGRAMS / "initdb", "-D", data, "-A", "trust", "-U", name, "--no-sync"], check=True, **quiet)
    words = [str(PROGRAMS / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-F"]
    process = subprocess.Popen(words, **quiet)
    try:
        deadline = time.monotonic() + 120
        while subprocess.run([PROGRAMS / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], **quiet).returncode:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        yield f"postgresql://{name}@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        shutil.rmtree(folder)


def start(folder: str, url: str) -> subprocess.Popen[str]:
    """Start the search on one machine."""
    words = shlex.split(
        f"tune --data photos --run {folder} --storage {url} --trials {TRIALS} --widths 4 8 --blocks 1 2 --units 1 2 "
        "--scales 2 --patch 16 --stride 8 --batch-size 8 --epochs 2 --epoch-steps 6 --sheet-every 0 --device cpu "
        "--threads 1"
    )
    paths = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *words], env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip


def trials_of(folder: str) -> set[str]:
    return {path.name for path in Path(folder, "trials").glob("*")}


def table(folder: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(folder, "trials.csv").read_text().splitlines()))


def test_a_search_of_two_machines_loses_no_trial_with_one_of_them(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_images(tmp_path / "photos", count=3)
    lost, other = start("lost", server), start("other", server)
    deadline = time.monotonic() + 300
    while not (trials_of("lost") and trials_of("other")) and time.monotonic() < deadline:
        for machine in (lost, other):
            if machine.poll() is not None:
                pytest.fail(machine.communicate()[1])
        time.sleep(0.1)
    lost.kill()
    lost.communicate()
    assert other.communicate(timeout=600)[1] and other.returncode == 0
    taken = len(table("other"))
    time.sleep(LEASE)
    again = start("other", server)
    printed = again.communicate(timeout=600)[1]
    assert again.returncode == 0, printed

    rows = table("other")
    complete = [row for row in rows if row["state"] == "complete"]
    failed = [row for row in rows if row["state"] == "failed"]
    assert len(complete) == TRIALS and taken >= TRIALS
    assert [row["reason"] for row in failed] == ["Its machine stopped responding"]
    assert len({row["trial"] for row in rows}) == len(rows)
    assert not trials_of("lost") & trials_of("other"), "no trial was run twice"
    assert trials_of("other") == {f"{int(row['trial']):04}" for row in complete} - trials_of("lost")
    assert json.loads(Path("other/best.json").read_text())
