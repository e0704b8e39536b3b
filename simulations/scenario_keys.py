"""What is wrong with a key: the words of the decoder, with the key's name as a file has it and what would work.

The decoder says where (`$.faults[0].at`) and what (`Expected `float`, got `str``). From the types of the structs this
finds which keys and kinds there are at that place, and what a good value looks like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from machine.errors import did_you_mean
from simulations.scenario_parts import KeyFault

_PLACE = re.compile(r"(.*?)(?: - at `(.*)`)?", re.DOTALL)


def explain(said: str, data: Mapping[str, Any], root: type[msgspec.Struct]) -> KeyFault:
    """Return the fault of what the decoder said about some data."""
    found = _PLACE.fullmatch(said)
    what, place = (found[1], found[2] or "") if found else (said, "")
    # `[...]` is a key of a table whose keys are anybody's: the decoder does not say which.
    path = [part for part in re.split(r"[.\[\]]+", place.lstrip("$").replace("[...]", ".*")) if part]
    key = ".".join(path)
    if unknown := re.match(r"Object contains unknown field `(.*)`", what):
        table = _at(path, data, root)
        return KeyFault(".".join([*path, unknown[1]]), f"there is no such key{did_you_mean(unknown[1], _keys(table))}")
    if missing := re.match(r"Object missing required field `(.*)`", what):
        full = ".".join([*path, missing[1]])
        kinds = _kinds(_hint(path, data, root))
        if missing[1] == "kind" and kinds:
            return KeyFault(full, f"is missing; there are: {', '.join(kinds)}")
        return KeyFault(full, "is missing, and has no default")
    if path and path[-1] == "kind":
        given = _value(path, data)
        return KeyFault(key, f"{given!r} is no kind{did_you_mean(given, _kinds(_hint(path[:-1], data, root)))}")
    return KeyFault(key, _about(what, path, data, root))


def _about(what: str, path: list[str], data: Mapping[str, Any], root: type[msgspec.Struct]) -> str:
    given = _value(path, data)
    words = _choices(_hint(path, data, root))
    if words:
        return f"{given!r} is none of {', '.join(map(repr, words))}"
    wanted = re.sub(r", got `.*`", "", what).replace("`", "").replace("Expected ", "").replace("Invalid value", "")
    for name, word in (("float", "a number"), ("int", "a whole number"), ("str", "a text"), ("bool", "true or false")):
        wanted = re.sub(rf"\b{name}\b", word, wanted)
    wanted = (
        wanted.replace("object", "a table").replace("array", "a list").replace(" | null", "").replace(" | ", " or ")
    )
    default = _default(path, data, root)
    like = "" if default is None else f", such as {default!r}" if not isinstance(default, bool) else ""
    what = "that" if "*" in path else repr(given)
    return f"{what} does not do: it has to be {wanted.strip()}{like}"


def _value(path: list[str], data: Any) -> Any:
    for part in path:
        data = (
            data[int(part)] if isinstance(data, list | tuple) else data.get(part) if isinstance(data, Mapping) else None
        )
    return data


def _default(path: list[str], data: Mapping[str, Any], root: type[msgspec.Struct]) -> Any:
    if not path or (table := _at(path[:-1], data, root)) is None:
        return None
    for field in msgspec.structs.fields(table):
        if field.name == path[-1] and isinstance(field.default, int | float | str) and field.default != "":
            return field.default
    return None


def _hint(path: list[str], data: Any, hint: Any) -> Any:
    """Return the type of what is at a place; None: nobody knows."""
    for part in path:
        table = _struct_of(hint, data)
        if part == "*":
            hint = next((get_args(arg)[1] for arg in _flat(hint) if get_origin(arg) is dict), None)
        elif table is not None:
            hint = get_type_hints(table, include_extras=True).get(part)
        else:
            hint = next((arg for arg in _flat(hint) if get_origin(arg) in (tuple, list)), None)
            hint = get_args(hint)[0] if hint is not None else None
        data = _value([part], data)
        if hint is None:
            return None
    return hint


def _at(path: list[str], data: Any, root: Any) -> type[msgspec.Struct] | None:
    return _struct_of(_hint(path, data, root), _value(path, data))


def _struct_of(hint: Any, data: Any) -> type[msgspec.Struct] | None:
    """Return the struct that a table is meant to be."""
    structs = [arg for arg in _flat(hint) if isinstance(arg, type) and issubclass(arg, msgspec.Struct)]
    if len(structs) == 1:
        return structs[0]
    kind = data.get("kind") if isinstance(data, Mapping) else None
    return next((struct for struct in structs if _tag(struct) == kind), None)


def _flat(hint: Any) -> Iterator[Any]:
    """Yield the members of a union; of any other type itself."""
    origin = get_origin(hint)
    if origin is Annotated:
        yield from _flat(get_args(hint)[0])
    elif origin in (tuple, list, dict, Literal) or not get_args(hint):
        yield hint
    else:
        for arg in get_args(hint):
            yield from _flat(arg)


def _kinds(hint: Any) -> list[str]:
    return [tag for arg in _flat(hint) if isinstance(arg, type) and (tag := _tag(arg)) is not None]


def _tag(struct: type) -> str | None:
    tag = struct.__struct_config__.tag if issubclass(struct, msgspec.Struct) else None
    return tag if isinstance(tag, str) else None


def _choices(hint: Any) -> list[str]:
    return [word for arg in _flat(hint) if get_origin(arg) is Literal for word in get_args(arg)]


def _keys(table: type[msgspec.Struct] | None) -> list[str]:
    if table is None:
        return []
    names = [field.name for field in msgspec.structs.fields(table)]
    return ["kind", *names] if _tag(table) is not None else names


__all__ = ["explain"]
