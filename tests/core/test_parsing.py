"""Untrusted JSON has the expected types, or the error names the part that does not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import pytest

from drrn.core.config import DRRNConfig
from drrn.core.parsing import parse_value


class Point(NamedTuple):
    x: float
    y: float = 0.0


@dataclass(frozen=True)
class Thing:
    name: str
    kind: Literal["good", "bad"]
    points: tuple[Point, ...]
    sizes: list[int] = field(default_factory=list)
    limit: float | None = None
    flag: bool = False
    notes: Mapping[str, list[str]] = field(default_factory=dict)
    model: DRRNConfig = DRRNConfig()
    rest: Any = None


GOOD: dict[str, Any] = {"name": "a", "kind": "good", "points": [{"x": 1}, {"x": 1.5, "y": 2}]}


def test_valid_json_becomes_a_dataclass() -> None:
    full = GOOD | {"sizes": [1, 2], "limit": 3, "flag": True, "notes": {"n": ["m"]}, "rest": [1, "x"]}
    full["model"] = DRRNConfig(width=8).to_dict()
    assert parse_value(Thing, full) == Thing(
        "a", "good", (Point(1), Point(1.5, 2)), [1, 2], 3, True, {"n": ["m"]}, DRRNConfig(width=8), [1, "x"]
    )
    assert parse_value(Thing, GOOD) == Thing("a", "good", (Point(1), Point(1.5, 2)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([], "`it` must be an object, got []."),
        (GOOD | {"name": 1}, "`name` must be a text, got 1."),
        (GOOD | {"kind": "ugly"}, "`kind` must be one of good, bad, got 'ugly'."),
        (GOOD | {"points": {}}, "`points` must be a list, got {}."),
        (GOOD | {"points": [{"x": 1}, {"x": "a"}]}, "`points[1].x` must be a number, got 'a'."),
        (GOOD | {"points": [{"y": 1}]}, "`points[0]` lacks x."),
        (GOOD | {"points": [{"x": 1, "z": 1}]}, "`points[0]` has unknown fields: 'z'."),
        (GOOD | {"sizes": [1.5]}, "`sizes[0]` must be a whole number, got 1.5."),
        (GOOD | {"sizes": [True]}, "`sizes[0]` must be a whole number, got True."),
        (GOOD | {"limit": "no"}, "`limit` must be a number, got 'no'."),
        (GOOD | {"flag": 1}, "`flag` must be true or false, got 1."),
        (GOOD | {"notes": {"n": [1]}}, "`notes.n[0]` must be a text, got 1."),
        ({"name": "a"}, "`it` lacks kind, points."),
    ],
)
def test_an_error_names_the_wrong_part(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_value(Thing, wrong)
    assert str(refused.value) == message
