"""The commit, command, machine and versions that a result is published with."""

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from drrn import provenance


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A Git checkout of one commit, with a package `drrn` in `src`."""
    source = tmp_path / "src/drrn/provenance.py"
    source.parent.mkdir(parents=True)
    source.write_text("")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "First"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return source


def test_a_commit_is_marked_if_files_have_changed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "__file__", str(checkout))
    find = provenance.commit.__wrapped__  # a process asks once
    clean = find()
    assert len(clean) == 12 and int(clean, 16)
    checkout.write_text("changed")
    assert find() == f"{clean}-dirty"


def test_the_commit_of_another_project_is_not_taken(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = checkout.parents[2] / ".venv/lib/python3.11/site-packages/drrn"
    installed.mkdir(parents=True)
    monkeypatch.setattr(provenance, "__file__", str(installed / "provenance.py"))
    assert provenance.commit.__wrapped__() == ""


def test_a_command_is_quoted_and_keeps_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = "--storage=postgresql+psycopg2://me:secret@host/db"
    monkeypatch.setattr("sys.argv", ["/usr/bin/drrn", "tune", "--data", "my photos", storage])
    assert provenance.command() == "drrn tune --data 'my photos' --storage=URL"
    assert provenance.command("python -m tests.hostile").startswith("python -m tests.hostile tune ")


def test_a_processor_is_named_with_and_without_cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\nflags\t\t: fpu avx2 amx_bf16\n")
    monkeypatch.setattr(provenance, "CPUINFO", cpuinfo)
    assert provenance.machine()["cpu"] == "Fast CPU @ 3 GHz"
    assert provenance.cpu_flags() == ["fpu", "avx2", "amx_bf16"]
    cpuinfo.unlink()
    assert provenance.cpu() and provenance.cpu_flags() == []


def test_only_installed_packages_have_a_version() -> None:
    found = provenance.versions("numpy", "no-such-package")
    assert found.keys() == {"python", "numpy"} and found["numpy"] == version("numpy")
