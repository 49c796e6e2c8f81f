"""Check values from untrusted JSON against the types they should have."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_PLAIN = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}
"""Names for messages of the types without parts."""


def parse_value(kind: Any, value: Any, name: str = "it") -> Any:
    """Check that `value`, from `json.loads`, is a `kind`, and convert it.

    Args:
        kind: a dataclass or NamedTuple (only fields with defaults may be missing); list[X], tuple[X, ...] or
            Mapping[str, X]; a Literal; X | None; bool, int, float (ints are accepted), str; or Any. A class with a
            `from_dict` is built by it.
        name: how error messages refer to the value.

    Raises:
        ValueError: it is something else. The message names the wrong part.
    """
    if kind is Any or (kind in _PLAIN and type(value) is kind):  # not isinstance: True is not a number
        return value
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Literal:
        if value not in inside or isinstance(value, bool) not in {isinstance(each, bool) for each in inside}:
            raise _wrong(name, f"one of {', '.join(map(str, inside))}", value)
        return value
    if origin in (Union, UnionType):
        if value is None and NoneType in inside:
            return None
        (kind,) = (each for each in inside if each is not NoneType)
        return parse_value(kind, value, name)
    if origin in (list, tuple, Sequence):
        if not isinstance(value, list):
            raise _wrong(name, "a list", value)
        parsed = [parse_value(inside[0], each, f"{name}[{place}]") for place, each in enumerate(value)]
        return tuple(parsed) if origin is tuple else parsed
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _wrong(name, "an object", value)
        return {key: parse_value(inside[1], each, f"{name}.{key:.50}") for key, each in value.items()}
    if hasattr(kind, "from_dict"):
        return kind.from_dict(value)
    if is_dataclass(kind) or hasattr(kind, "_fields"):
        return parse_record(kind, value, name)
    if kind is float and type(value) is int:
        return value
    raise _wrong(name, _PLAIN[kind], value)


def parse_record(kind: Any, value: Any, name: str = "it") -> Any:
    """`parse_value` for a dataclass or NamedTuple, ignoring its `from_dict`."""
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    kinds, needed = _fields(kind)
    if missing := ", ".join(sorted(needed - value.keys())):
        raise ValueError(f"`{name}` lacks {missing}.")
    if unknown := ", ".join(sorted(value.keys() - kinds.keys())):
        raise ValueError(f"`{name}` has unknown fields: {unknown[:200]!r}.")
    inside = "" if name == "it" else f"{name}."
    return kind(**{key: parse_value(kinds[key], each, inside + key) for key, each in value.items()})


@cache
def _fields(kind: Any) -> tuple[Mapping[str, Any], frozenset[str]]:
    """The types of a record's fields, and the names of those without a default."""
    if is_dataclass(kind):
        needed = {each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING}
    else:
        needed = {*kind._fields} - {*kind._field_defaults}
    return get_type_hints(kind), frozenset(needed)


def _wrong(name: str, wanted: str, value: Any) -> ValueError:
    return ValueError(f"`{name}` must be {wanted}, got {value!r:.100}.")
