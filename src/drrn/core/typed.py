"""Values from a stranger's JSON, as the types that the code goes by."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def typed(kind: Any, value: Any, name: str = "it") -> Any:
    """`value`, as `json.loads` gave it, as a `kind`: it is that, or it is refused.

    Args:
        kind: a dataclass or a NamedTuple, of whose fields only those may be missing that have a default; a list, a
            tuple of one kind, a mapping from str; a Literal, or X | None; bool, int, float (an int will do), str; Any.
            What has a `from_dict` is made by that.
        name: what to call it in an error.

    Raises:
        ValueError: it is something else, with the name of the part that is.
    """
    origin, inside = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is Literal:
        if value not in inside or isinstance(value, bool) not in {isinstance(each, bool) for each in inside}:
            raise _wrong(name, f"one of {', '.join(map(str, inside))}", value)
        return value
    if origin in (Union, UnionType):
        if value is None and NoneType in inside:
            return None
        (kind,) = (each for each in inside if each is not NoneType)
        return typed(kind, value, name)
    if origin in (list, tuple, Sequence):
        if not isinstance(value, list):
            raise _wrong(name, "a list", value)
        each_typed = [typed(inside[0], each, f"{name}[{place}]") for place, each in enumerate(value)]
        return tuple(each_typed) if origin is tuple else each_typed
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _wrong(name, "an object", value)
        return {key: typed(inside[1], each, f"{name}.{key:.50}") for key, each in value.items()}
    if hasattr(kind, "from_dict"):
        return kind.from_dict(value)
    if is_dataclass(kind) or hasattr(kind, "_fields"):
        return record(kind, value, name)
    if type(value) is not kind and not (kind is float and type(value) is int):  # not isinstance: True is no number
        raise _wrong(
            name, {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}[kind], value
        )
    return value


def record(kind: Any, value: Any, name: str = "it") -> Any:
    """The same for a dataclass or a NamedTuple, whether or not it has a `from_dict`."""
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    kinds = get_type_hints(kind)
    if is_dataclass(kind):
        needed = {each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING}
    else:
        needed = {*kind._fields} - {*kind._field_defaults}
    if missing := ", ".join(sorted(needed - value.keys())):
        raise ValueError(f"`{name}` lacks {missing}.")
    if unknown := ", ".join(sorted(value.keys() - kinds.keys())):
        raise ValueError(f"`{name}` has unknown fields: {unknown[:200]!r}.")
    inside = "" if name == "it" else f"{name}."
    return kind(**{key: typed(kinds[key], each, inside + key) for key, each in value.items()})


def _wrong(name: str, wanted: str, value: Any) -> ValueError:
    return ValueError(f"`{name}` must be {wanted}, got {value!r:.100}.")
