"""The programs and the command of docs/how-to/clusters.md do all parts of a plan."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from drrn.apps import cli
from drrn.bulk.plan import load_plan
from drrn.bulk.run import read_status
from drrn.bulk.storage import Folder
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.weights import store
from tests.conftest import ROOT
from tests.small_weights import small_weights

PAGE = (ROOT / "docs/how-to/clusters.md").read_text()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan of 7 pictures in 4 parts, one of which is damaged."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    store.save(small_weights(width=4), tmp_path / "tiny.safetensors")
    (tmp_path / "photos").mkdir()
    for number in range(6):
        write(Image(pixels=np.full((9, 9, 3), number / 6, np.float32)), tmp_path / f"photos/{number}.png")
    (tmp_path / "photos/6.png").write_bytes(b"no picture")
    with pytest.raises(SystemExit) as error:
        cli.main(("bulk", "plan", "photos", "larger", "-m", "tiny.safetensors", "--part-files", "2"))
    assert not error.value.code
    return tmp_path


def done() -> tuple[int, int, int]:
    """Files that are done, failed and left."""
    target = Folder(Path("larger"))
    status = read_status(load_plan(target), target)
    return status.done, status.failed, status.left


def run_program(heading: str, *launcher: str) -> None:
    block = re.search(rf"## {heading}\n.*?```python\n(.*?)```", PAGE, re.DOTALL)
    assert block
    Path("program.py").write_text(block[1])
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    process = subprocess.run([*launcher, "program.py"], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


@pytest.mark.slow
def test_the_command_of_kubernetes_runs_every_part(here: Path) -> None:
    command = re.search(r'command: \[sh, -c, "(.*?)"\]', PAGE)
    assert command and "--parts-per-task 5" in command[1]
    (here / "bin").mkdir()
    (here / "bin/drrn").write_text(f'#!/bin/sh\nexec {sys.executable} -m drrn "$@"\n')
    (here / "bin/drrn").chmod(0o755)
    path = f"{here / 'bin'}{os.pathsep}{os.environ['PATH']}"
    for index, code in (("0", 0), ("1", 2)):
        line = command[1].replace("--parts-per-task 5", "--parts-per-task 4")
        environment = {**os.environ, "PATH": path, "JOB_COMPLETION_INDEX": index}
        process = subprocess.run(["sh", "-c", f"{line} || exit $?"], env=environment, capture_output=True, text=True)
        assert bool(process.returncode) == bool(code), process.stderr
    assert done() == (6, 1, 0)


@pytest.mark.full
@pytest.mark.skipif(not find_spec("distributed"), reason="Dask is not installed: pip install 'dask[distributed]'")
def test_the_program_for_dask_runs_every_part(here: Path) -> None:
    run_program("Dask", sys.executable)
    assert done() == (6, 1, 0)


@pytest.mark.full
@pytest.mark.skipif(not find_spec("pyspark"), reason="Spark is not installed: pip install pyspark, and a Java runtime")
def test_the_program_for_spark_runs_every_part(here: Path) -> None:
    run_program("Spark", sys.executable)
    assert done() == (6, 1, 0)
