"""A plain `pip install drrn`: every command works, or names the extra it needs in one line."""

import json
import os
import shlex
import subprocess
import sys
import tomllib
from dataclasses import replace

import numpy as np
import pytest

from drrn.apps import cli
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.weights import store
from tests.apps import plain_install
from tests.conftest import ROOT
from tests.small_weights import small_weights

DONE = {
    "upscale photo.png --model small.safetensors",
    "upscale photo.png --scale 3 --model small.safetensors --estimate --json",
    "evaluate small.safetensors --data set --scales 2",
    "compare photo.png --model small.safetensors --scale 2 --output sheet.png",
    "bulk plan set large --model small.safetensors",
    "bulk run large",
    "bulk status large",
    "completion bash",
    "models list",
    "models join x2.safetensors x3.safetensors --output joined.safetensors",
    "models show tiny",
    "desktop install",
    "desktop remove",
    "study list",
    "study merge --help",
}
EXTRA = {
    "bulk plan s3://photos large --model small.safetensors": "bulk",
    "upscale photo.png --engine torch --output a.png": "torch",
    "upscale photo.png --engine onnx --output a.png": "onnx",
    "upscale slice.dcm": "dicom",
    "upscale film.mp4": "video",
    "train --data set --run run": "train",
    "tune --data set --run run": "tune",
    "serve": "serve",
    "export small.onnx --model small.safetensors": "onnx",
    "models show tiny --plot plot.png": "plot",
    "models import port.pth --units 2 --output port.safetensors": "torch",
    "study run --data set --budget quick": "study",
    "study report study/quick": "study",
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """The exit code and output of each command line, all run in one process."""
    here = tmp_path_factory.mktemp("plain")
    rng = np.random.default_rng(0)
    (here / "set").mkdir()
    for path in (here / "photo.png", here / "set/0.png", here / "set/1.png"):
        write(Image(pixels=rng.random((40, 44, 3), np.float32)), path)
    (here / "slice.dcm").write_bytes(bytes(128) + b"DICM" + bytes(100))
    (here / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
    (here / "port.pth").write_bytes(b"PK\x03\x04")
    store.save(small_weights(width=4), here / "small.safetensors")
    for scale in (2, 3):
        store.save(replace(small_weights(width=4), scales=(scale,)), here / f"x{scale}.safetensors")
    lines = [*sorted(DONE), *EXTRA]
    (here / "site").mkdir()  # applies to child processes, too
    (here / "site/sitecustomize.py").write_text("from tests.apps.plain_install import block\nblock()\n")
    paths = [str(here / "site"), str(ROOT), *filter(None, sys.path)]
    commands = json.dumps([shlex.split(line) for line in lines])
    done = subprocess.run(
        [sys.executable, plain_install.__file__],
        input=commands,
        cwd=here,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "HOME": str(here),
            "XDG_DATA_HOME": str(here / "share"),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return {line: (code, printed) for line, (code, printed) in zip(lines, json.loads(done.stdout), strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("line", sorted(DONE))
def test_a_command_works_without_extras(ended: dict[str, tuple[int, str]], line: str) -> None:
    code, printed = ended[line]
    assert code == 0, printed


@pytest.mark.slow
@pytest.mark.parametrize("line", EXTRA)
def test_a_command_names_the_extra_it_needs(ended: dict[str, tuple[int, str]], line: str) -> None:
    code, printed = ended[line]
    assert code == 2 and "Traceback" not in printed
    assert f"pip install 'drrn[{EXTRA[line]}]'" in printed


def test_every_command_is_covered() -> None:
    groups = {f"{group} {name}" for group, names in cli.GROUPS.items() for name in names}
    for command in groups | (cli.COMMANDS.keys() - cli.GROUPS.keys()):
        assert any(line.startswith(f"{command} ") or line == command for line in [*DONE, *EXTRA]), command


def test_every_package_of_an_extra_is_blocked() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    packages = {
        line.partition(">=")[0] for name, lines in extras.items() if name not in ("dev", "docs") for line in lines
    }
    missing = {name.replace("_", "-") for name in plain_install.EXTRAS.split()}
    imported_as = {"markdown-it-py": "markdown-it"}
    for package in packages:
        assert package.startswith("drrn[") or imported_as.get(package, package) in missing, package
