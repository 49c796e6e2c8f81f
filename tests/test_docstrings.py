"""Everything public in `drrn` is documented: every object, parameter and field."""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import docstring_parser
import pytest

import drrn
from drrn import errors
from drrn.apps.help import field_texts
from drrn.core.config import DRRNConfig
from tests.conftest import ROOT

OPAQUE = ("self", "cls")


SHOWN = re.findall(r"^\.\. auto\w+:: drrn\.([\w.]+)", (ROOT / "docs/reference/api.md").read_text(), re.MULTILINE)
"""What the reference of Python shows: everything in `drrn` itself, and what its functions return and raise."""


def public() -> Iterator[tuple[str, Any, type | None]]:
    """The qualified name and value of everything public, with the class that defines it."""
    for name in SHOWN:
        module, _, last = f"drrn.{name}".rpartition(".")
        value = getattr(import_module(module), last)
        yield name, value, None
        if isinstance(value, type) and not issubclass(value, Exception):
            for each, member in vars(value).items():
                if not each.startswith("_") and isinstance(member, property | classmethod | staticmethod | Callable):
                    yield f"{name}.{each}", member, value


def undocumented() -> Iterator[str]:
    for name, value, _ in public():
        if not inspect.getdoc(value if not isinstance(value, classmethod | staticmethod) else value.__func__):
            yield name
        if isinstance(value, type) and is_dataclass(value):
            texts = field_texts(value)
            yield from (f"{name}.{each.name}" for each in fields(value) if not texts.get(each.name))


def unexplained() -> Iterator[str]:
    """Parameters that their docstring does not mention."""
    for name, value, _ in public():
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if isinstance(function, type):
            if is_dataclass(function) or issubclass(function, Exception):
                continue
            function = function.__init__
        if not inspect.isfunction(function):
            continue
        text = inspect.getdoc(function) or ""
        reported = {each.arg_name for each in docstring_parser.parse(text).params}
        for each in inspect.signature(function).parameters:
            if each not in (*OPAQUE, *reported) and f"`{each}`" not in text:
                yield f"{name}({each})"


def test_the_reference_shows_every_public_name() -> None:
    assert set(drrn.__all__) <= set(SHOWN)
    raised = {f"errors.{name}" for name, value in vars(errors).items() if inspect.isclass(value) and "Error" in name}
    assert raised - {"errors.DRRNError"} <= set(SHOWN)


def test_every_public_name_is_documented() -> None:
    assert len(list(public())) > 35
    assert list(undocumented()) == []


def test_every_parameter_of_a_public_function_is_explained() -> None:
    assert list(unexplained()) == []


def test_a_missing_docstring_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DRRNConfig.macs, "__doc__", "Multiply-adds.")
    monkeypatch.setattr(drrn.load, "__doc__", None)
    assert list(undocumented()) == ["load"]
    assert "DRRNConfig.macs(units)" in list(unexplained())


def test_the_module_itself_is_documented() -> None:
    assert isinstance(drrn, ModuleType) and drrn.__doc__
