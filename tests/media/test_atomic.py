"""A file is written completely, or not at all."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from drrn.atomic import atomic, write_bytes, write_text
from drrn.errors import DRRNError


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic(path) as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".txt" and not temporary.exists()
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [ValueError("a bug"), KeyboardInterrupt(), DRRNError("a sentence.")])
def test_a_failing_block_leaves_the_old_file_unchanged(failure: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(failure)) as met, atomic(path) as temporary:
        temporary.write_text("half of the n")
        raise failure
    assert met.value is failure
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_killed_program_leaves_the_old_file_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    script = f"""
import os, signal
from pathlib import Path
from drrn.atomic import atomic
with atomic(Path({str(path)!r})) as temporary:
    temporary.write_text("half of the n")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert path.read_text() == "old"


def test_an_existing_file_is_replaced_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with (
        pytest.raises(DRRNError, match=r"a\.txt exists\. Give another name, or --overwrite\.$"),
        atomic(path, overwrite=False) as temporary,
    ):
        temporary.write_text("new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    write_text(path, "neü")
    assert path.read_bytes() == "neü".encode()


@pytest.mark.parametrize("links", [True, False])
def test_of_many_concurrent_writers_exactly_one_wins(links: bool, tmp_path: Path, monkeypatch: Any) -> None:
    """Also on file systems without links."""
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no links here")))
    path, outcomes = tmp_path / "a.txt", []
    first = threading.Event()

    def work(name: str, wait: bool) -> None:
        try:
            with atomic(path, overwrite=False) as temporary:
                temporary.write_text(name)
                if wait:
                    first.wait(5)
            outcomes.append(name)
        except DRRNError as error:
            outcomes.append(str(error))
        first.set()

    threads = [threading.Thread(target=work, args=(name, name == "late")) for name in ("late", "early")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes[0] == "early" and "exists" in outcomes[1]
    assert path.read_text() == "early" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["missing/a.txt", "file/a.txt", "a" * 300, "a." + "b" * 300])
def test_a_missing_folder_is_reported_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DRRNError, match=r"can't be written: .*\.$") as met:
        write_bytes(tmp_path / name, b"new")
    assert str(tmp_path / name) in str(met.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_read_only_folder_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("root may write everywhere")
    with pytest.raises(DRRNError, match="can't be written: Permission denied"):
        write_bytes(tmp_path / "a.txt", b"new")


def test_a_full_disk_leaves_only_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    script = f"""
import resource, signal
from pathlib import Path
from drrn.atomic import write_bytes
from drrn.errors import DRRNError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_bytes(Path({str(path)!r}), bytes(5000))
except DRRNError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == f"{path} can't be written: File too large.\n" and run.stderr == ""
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_error_at_any_step_is_reported(call: str, number: int, tmp_path: Path, monkeypatch: Any) -> None:
    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(DRRNError, match=f"can't be written: {os.strerror(number)}"):
        write_bytes(path, b"new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
