"""`drrn export` on the command line: a checked file, or one line and no file."""

import json
import re
import sys
from pathlib import Path

import onnx
import pytest

from drrn.weights import store
from tests.command_line import run
from tests.small_weights import small_weights, stepped_weights


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, where the command runs."""
    monkeypatch.chdir(tmp_path)
    store.save(small_weights(trained_units=(1, 2)), tmp_path / "tiny.safetensors")
    return tmp_path


def export(*args: str) -> int:
    return run("export", *args, "-m", "tiny.safetensors")


def assert_refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Check that the command exits with 2, and return its one line of output."""
    assert export(*args) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("drrn: ") and printed.out == ""
    return line


def known(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def test_an_export_reports_its_checks(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export("tiny.onnx") == 0
    printed = capsys.readouterr()
    assert re.fullmatch(r"tiny.onnx · ONNX Runtime and \S.* agree on 8x1, 1x9, .*: at most \de-\d\d off\n", printed.out)
    assert printed.err == ""
    assert (known(here / "tiny.onnx")["model"], known(here / "tiny.onnx")["units"]) == ("tiny", "2")


def test_with_a_scale_the_file_is_self_contained(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export("tiny.onnx", "-s", "2.5", "--units", "1") == 0
    assert re.search(r": at most [01] of 255 off, in 0\.\d\d% of the samples$", capsys.readouterr().out)
    assert [value.name for value in onnx.load(here / "tiny.onnx").graph.input] == ["picture"]
    assert (known(here / "tiny.onnx")["scale"], known(here / "tiny.onnx")["units"]) == ("2.5", "1")


def test_an_exported_network_is_that_of_its_scale(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.save(stepped_weights(2, 3), here / "tiny.safetensors")
    line = assert_refused(capsys, "a.onnx")
    assert "tiny.safetensors has a network for each of several scales. Give the --scale to export." in line
    assert export("a.onnx", "-s", "2.5", "--network") == 0
    model = onnx.load(here / "a.onnx")
    assert [value.name for value in model.graph.input] == ["ilr"] and json.loads(known(here / "a.onnx")["scales"]) == [
        3
    ]


def test_nothing_is_overwritten_without_the_option(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "tiny.onnx").write_bytes(b"mine")
    assert "tiny.onnx exists. Give another name, or --overwrite." in assert_refused(capsys, "tiny.onnx")
    assert (here / "tiny.onnx").read_bytes() == b"mine"
    assert export("tiny.onnx", "--overwrite") == 0
    assert known(here / "tiny.onnx")["model"] == "tiny"


BAD = [
    (["tiny.pth"], "tiny.pth must end in .onnx."),
    (["folder/tiny.onnx"], "folder/tiny.onnx can't be written: No such file or directory."),
    (["tiny.onnx", "--scale", "1"], "A scale must be above 1 and at most 8, got 1."),
    (["tiny.onnx", "--scale", "nan"], "A scale must be above 1 and at most 8, got nan."),
    (["tiny.onnx", "--units", "3"], "tiny can't run 3 units: trained for 1 to 2 units."),
]


@pytest.mark.parametrize(("args", "message"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_bad_input_is_refused_in_one_line_with_exit_code_2(
    here: Path, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    assert message in assert_refused(capsys, *args)
    assert [path.name for path in here.iterdir()] == ["tiny.safetensors"]


def test_non_finite_weights_are_refused_in_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.save(small_weights(gain=1e30), here / "tiny.safetensors")
    assert "No file was written." in assert_refused(capsys, "tiny.onnx")
    assert [path.name for path in here.iterdir()] == ["tiny.safetensors"]


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_a_missing_extra_is_named(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for module in ("export", "onnx"):
        monkeypatch.delitem(sys.modules, f"drrn.engines.{module}", raising=False)
        monkeypatch.delattr(f"drrn.engines.{module}", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    assert (
        assert_refused(capsys, "tiny.onnx") == f"drrn: Exporting needs {missing}. Install it: pip install 'drrn[onnx]'."
    )
