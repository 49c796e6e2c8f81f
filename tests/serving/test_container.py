"""The steps of the Containerfile, as far as they can be tested without a container engine."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT
from tests.serving.conftest import PATIENCE, Running, picture

TEXT = re.sub(r"\\\n", " ", (ROOT / "Containerfile").read_text())
LINES = [line.split(maxsplit=1) for line in TEXT.splitlines() if line and not line.startswith("#")]
USER = 10001
READS_ALL = "-all,+dac_read_search"
AS_USER = [
    *("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"),
    *(f"--inh-caps={READS_ALL}", f"--ambient-caps={READS_ALL}", f"--bounding-set={READS_ALL}", "--"),
]
"""Runs a command as that user. This installation may be in a folder that only root can read, so it keeps the right to
read all files, and no other right of root."""


def test_the_container_copies_existing_files_and_installs_an_existing_extra() -> None:
    copied = [words.split()[:-1] for step, words in LINES if step == "COPY" and "--from" not in words]
    assert copied and all((ROOT / name).exists() for names in copied for name in names)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"'\.\[(\w+)\]'", TEXT)) == {"serve"} <= set(extras)


def test_the_container_runs_as_an_unprivileged_user() -> None:
    users = [words for step, words in LINES if step == "USER"]
    assert users == [str(USER)] and [step for step, _ in LINES].index("USER") < [step for step, _ in LINES].index("CMD")


@pytest.mark.slow
def test_the_health_check_detects_whether_a_service_runs(running: Running) -> None:
    check = json.loads(TEXT.split("HEALTHCHECK", 1)[1].splitlines()[0].partition("CMD ")[2])
    code = check[2].replace("8640", str(running.config.port))
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    nobody = code.replace(str(running.config.port), "9")
    assert subprocess.run([sys.executable, "-c", nobody], stderr=subprocess.DEVNULL).returncode != 0


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("setpriv") or os.geteuid() != 0, reason="needs root, to become another user")
def test_the_container_command_writes_only_to_its_folder(tmp_path: Path) -> None:
    command = json.loads(next(words for step, words in LINES if step == "CMD"))
    data = Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp") / f"drrn-{secrets.token_hex(8)}"
    data.mkdir(mode=0o700)
    os.chown(data, USER, USER)
    words = [data / "served" if word == "/data/served" else word for word in command[1:]]
    line = [sys.executable, "-m", "drrn", *words, "--port", "0", "--models", "tiny", "--threads", "1"]
    environment = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(data),
        "DRRN_TOKEN": "a-long-secret",
        "HOME": "/nonexistent",
    }
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
    can = [*AS_USER, sys.executable, "-c", "import drrn.serving.server"]
    if subprocess.run(can, cwd="/", env=environment, capture_output=True).returncode:
        pytest.skip("this machine lets nobody become another user")
    before = _owned()
    try:
        with subprocess.Popen(
            [*AS_USER, *line], cwd="/", env=environment, stdout=subprocess.PIPE, text=True
        ) as service:
            try:
                assert service.stdout
                address = service.stdout.readline().partition("#")[0]
                picture(30, 20).save(tmp_path / "photo.png")
                bearer = {"Authorization": "Bearer a-long-secret"}
                end = time.monotonic() + PATIENCE
                while httpx.get(f"{address}readyz", timeout=PATIENCE).status_code != 200:
                    assert time.monotonic() < end
                    time.sleep(0.1)
                content = (tmp_path / "photo.png").read_bytes()
                answer = httpx.post(
                    f"{address}api/upscale?check=true", content=content, headers=bearer, timeout=PATIENCE
                )
                assert answer.status_code == 200
                assert httpx.post(f"{address}api/upscale", content=content).status_code == 401
                assert [path for path in _owned() - before if not path.startswith(str(data))] == []
            finally:
                service.terminate()
                assert service.wait(PATIENCE) == 143
    finally:
        subprocess.run(["rm", "-rf", data], check=True)


def _owned() -> set[str]:
    """The files owned by the user of the container, in the folders that programs write to."""
    find = ["find", "/tmp", "/var", "/home", "/dev/shm", "-xdev", "-uid", str(USER)]
    return set(subprocess.run(find, capture_output=True, text=True).stdout.splitlines())
