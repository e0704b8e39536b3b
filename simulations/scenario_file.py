"""Scenarios in files: TOML, or Python with a `SCENARIO`; what `--set` changes; and what is wrong, by the key's name.

A study (the table `[study]` of a file) says which variants of the scenario are to be run, see `simulations.study`. All
that is wrong ends in a `KeyFault` whose message names the file and the key, and says what would work.
"""

from __future__ import annotations

import json
import re
import runpy
import tomllib
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from machine.errors import did_you_mean
from simulations.errors import SetupError
from simulations.scenario import Scenario
from simulations.scenario_check import check
from simulations.scenario_keys import explain
from simulations.scenario_parts import KeyFault

SHIPPED = Path(__file__).parent / "experiments"


def shipped() -> dict[str, Path]:
    """Return the files of this package, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}


def find(name: str) -> Path:
    """Return the file that is meant: a path, or the name of one that is shipped.

    Raises:
        SetupError: there is none.
    """
    path = Path(name)
    if path.is_file():
        return path
    if name in shipped():
        return shipped()[name]
    raise SetupError(f"there is no file {name}, and no experiment of this name{did_you_mean(name, shipped())}")


def read(path: Path) -> tuple[Scenario, dict[str, Any]]:
    """Read a file; return its scenario, and its study as it stands there (empty: it has none).

    Raises:
        SetupError: it cannot be read, or is none.
    """
    if path.suffix == ".py":
        return _of_python(path), {}
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} is no TOML: {error}") from error
    study = data.pop("study", {})
    if not isinstance(study, dict):
        raise KeyFault("study", "is a table, as in [study.over]")
    data.setdefault("name", path.stem)
    try:
        return scenario_of(data), study
    except KeyFault as fault:
        raise SetupError(f"{path}: {fault}") from fault


def _of_python(path: Path) -> Scenario:
    try:
        found = runpy.run_path(str(path)).get("SCENARIO")
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from error
    except SetupError as error:
        raise SetupError(f"{path}: {error}") from error
    except Exception as error:  # it is the user's program
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f", line {last.lineno}" if last.filename == str(path) else ""
        raise SetupError(f"{path}{where} raises {type(error).__name__}: {error}") from error
    if not isinstance(found, Scenario):
        has = "has no SCENARIO" if found is None else f"has a SCENARIO that is a {type(found).__name__}"
        raise SetupError(f"{path} {has}: it needs `SCENARIO = Scenario(…)`, from simulations.scenario")
    named = found if found.name else msgspec.structs.replace(found, name=path.stem)
    try:
        return scenario_of(named.to_dict())
    except KeyFault as fault:
        raise SetupError(f"{path}: {fault}") from fault


def scenario_of(data: Mapping[str, Any]) -> Scenario:
    """Return a scenario from plain values; the names of keys are those of a file.

    Raises:
        KeyFault: a key is unknown, or its value is none that it can have.
    """
    try:
        scenario = msgspec.convert(data, Scenario, strict=True)
    except msgspec.ValidationError as error:
        raise explain(str(error), data, Scenario) from error
    check(scenario)
    return scenario


def changed(scenario: Scenario, settings: Mapping[str, Any]) -> Scenario:
    """Return a scenario with other values under some keys, as `network.loss` or `faults.0.at`.

    Where a `kind` changes, the other keys of its table have their defaults, unless they are given as well.

    Raises:
        KeyFault: a key is unknown, or its value is none that it can have.
    """
    if not settings:
        return scenario
    data = scenario.to_dict()
    for key in sorted(settings, key=lambda key: (not key.endswith("kind"), key.count("."))):
        _put(data, key, settings[key])
    return scenario_of(data)


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    at: Any = data
    for depth, part in enumerate(path):
        at = _step(at, part, ".".join(path[: depth + 1]))
    if isinstance(at, list):
        _step(at, last, key)
        at[int(last)] = value
        return
    if not isinstance(at, dict):
        raise KeyFault(key, f"{'.'.join(path)} is a value and no table")
    if last == "kind" and at.get("kind") != value:
        kept = {name: at[name] for name in ("at", "who", "lasts") if name in at}
        at.clear()
        at.update(kept)
    at[last] = value


def _step(at: Any, part: str, key: str) -> Any:
    if isinstance(at, dict):
        if part not in at:
            raise KeyFault(key, f"there is no such key{did_you_mean(part, at)}")
        return at[part]
    if isinstance(at, list):
        if not part.isdecimal() or int(part) >= len(at):
            there = f"0 to {len(at) - 1}" if at else "none at all"
            raise KeyFault(key, f"{part!r} is no place in a list of which there is {there}")
        return at[int(part)]
    raise KeyFault(key, "the key before it holds a value and no table")


def parse_setting(text: str) -> tuple[str, Any]:
    """Read `key=value` as `--set` takes it: the value is TOML, and a word that is none is text.

    Raises:
        SetupError: there is no key, or no value.
    """
    key, found, value = text.partition("=")
    if not found or not re.fullmatch(r"[\w.-]+", key.strip()):
        raise SetupError(f"{text!r} sets nothing: give a key and a value, such as --set network.loss=0.1")
    return key.strip(), parsein_toml(value.strip())


def parsein_toml(text: str) -> Any:
    """Read a value."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def parse_over(text: str) -> tuple[str, list[Any]]:
    """Read `key=a,b,c` as `--over` takes it.

    Raises:
        SetupError: there is no key, or no value.
    """
    key, found, values = text.partition("=")
    if not found or not key.strip() or not values.strip():
        raise SetupError(f"{text!r} goes over nothing: give a key and values, such as --over network.loss=0,0.1,0.2")
    try:
        listed = tomllib.loads(f"v = [{values}]")["v"]
    except tomllib.TOMLDecodeError:
        listed = [parsein_toml(value.strip()) for value in values.split(",")]
    assert isinstance(listed, list)
    return key.strip(), listed


def to_toml(scenario: Scenario, *, comment: Sequence[str] = ()) -> str:
    """Return a scenario as a file that says only what is not the default."""
    defaults = Scenario().to_dict()
    lines = [f"# {line}".rstrip() for line in comment]
    tables: list[str] = []
    for name, value in scenario.to_dict().items():
        if value == defaults[name]:
            continue
        if isinstance(value, dict):
            tables += ["", f"[{name}]", *_pairs(value, defaults[name])]
        elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
            for entry in value:
                tables += ["", f"[[{name}]]", *_pairs(entry, {})]
        else:
            lines.append(f"{name} = {in_toml(value)}")
    return "\n".join([*lines, *tables, ""])


def _pairs(table: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    same = table.get("kind") == defaults.get("kind")
    return [
        f"{name} = {in_toml(value)}"
        for name, value in table.items()
        if value is not None and (name == "kind" or not same or value != defaults.get(name))
    ]


def in_toml(value: Any) -> str:
    """Return a value as a file has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {in_toml(inner)}" for name, inner in value.items() if inner is not None) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(in_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)  # texts, numbers and truth are written alike in TOML


__all__ = ["changed", "find", "in_toml", "parse_over", "parse_setting", "read", "scenario_of", "shipped", "to_toml"]
