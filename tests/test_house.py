"""Imports have no cycles, not even for the sake of types."""

import ast
from pathlib import Path

from tests.conftest import ROOT

SOURCE = ROOT / "src"


def module(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports() -> dict[str, set[str]]:
    """For each module, the modules of drrn that it imports outside functions, including those under TYPE_CHECKING."""
    paths = {module(path): path for path in (SOURCE / "drrn").rglob("*.py")}
    found: dict[str, set[str]] = {}
    for name, path in paths.items():
        found[name] = set()
        waiting: list[ast.AST] = [ast.parse(path.read_text())]
        while waiting:
            node = waiting.pop()
            names: list[str] = []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [each if each in paths else str(node.module) for each in names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif not isinstance(node, ast.FunctionDef):
                waiting += ast.iter_child_nodes(node)
            found[name] |= {each for each in names if each in paths and each != name}
    return found


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of a cycle, in order; empty if there is none."""
    done: set[str] = set()

    def search(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph[name]):
            if found := search(other, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := search(name, []))), [])


def test_imports_have_no_cycles() -> None:
    graph = imports()
    assert len(graph) > 100 and "drrn.upscaling.planes" in graph["drrn.upscaling.upscaler"]
    assert cycle(graph) == []


def test_a_cycle_is_found() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c", "b"]
