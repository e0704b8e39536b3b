"""What ``FILE.py:NAME`` names: machines, or a function that makes them.

    door = am.Machine(Door, id="door")              one machine
    everything = [door, light]                      a list of them
    def house(): return [door, light]               a function that returns machines
    async def main(peer): …                         a program: it gets the peer, and runs beside it
    async def main(peer, history): …                and the history; None if there is none

What an async function returns are machines too, or nothing. The file is imported once, however many of its names are
asked for, and may import what lies beside it; what is installed comes first.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from asyncmachine.errors import TargetError
from machine import Machine
from machine.errors import did_you_mean

PREFIX: Final = "am_peer_file_"  # of the module's name: a file called machine.py must not replace the package

Program = Callable[..., Awaitable[object]]


@dataclass(slots=True)
class Loaded:
    """What targets came to: machines, and programs with what each is called."""

    machines: list[Machine] = field(default_factory=list)
    programs: list[tuple[str, Program]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Target:
    """A name in a Python file."""

    path: Path
    name: str

    def __str__(self) -> str:
        return f"{self.path}:{self.name}"


def parse_target(text: str, folder: Path) -> Target:
    """Return the target that a text names; a relative path begins in a folder.

    Raises:
        TargetError: it is none, or there is no such file.
    """
    file, _, name = text.rpartition(":")
    if not file or not name.isidentifier():
        raise TargetError(f"{text!r} names no machines: write FILE.py:NAME, such as house.py:door")
    path = folder / Path(file).expanduser()
    if not path.is_file():
        raise TargetError(f"{text!r}: there is no file {path}")
    return Target(path, name)


def load(targets: Sequence[Target]) -> Loaded:
    """Import the files, and return the machines and programs of all targets.

    Raises:
        TargetError: a file cannot be imported, or a name is not there, or gives something else; or two machines have
            one id.
    """
    loaded = Loaded()
    for target in targets:
        value = _value(target)
        if inspect.iscoroutinefunction(value):
            loaded.programs.append((str(target), _program(target, value)))
        else:
            if callable(value) and not isinstance(value, type):
                value = _call(target, value)
            loaded.machines += machines_of(value, str(target))
    ids: dict[str, Machine] = {}
    for machine in loaded.machines:
        if ids.setdefault(machine.id, machine) is not machine:
            raise TargetError(f"two machines are called {machine.id!r}: give each an id of its own")
    loaded.machines = list(ids.values())
    return loaded


def machines_of(value: object, what: str) -> list[Machine]:
    """Return the machines that a value is.

    Raises:
        TargetError: it is no machine, and no list of machines.
    """
    values = list(value) if isinstance(value, list | tuple) else [value]
    for each in values:
        if not isinstance(each, Machine):
            kind = each.__name__ if isinstance(each, type) else f"{type(each).__name__} {each!r:.60}"
            raise TargetError(
                f"{what} gives {kind}: it should be a Machine, a list of them, or a function that returns them"
            )
    return [each for each in values if isinstance(each, Machine)]


def _value(target: Target) -> Any:
    module = _import(target.path)
    if not hasattr(module, target.name):
        raise TargetError(f"{target.path} has no {target.name!r}{did_you_mean(target.name, _offers(module))}")
    return getattr(module, target.name)


def _offers(module: ModuleType) -> list[str]:
    """Return the names in a file that could be meant."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (isinstance(value, Machine) or (inspect.isfunction(value) and value.__module__ == module.__name__))
    ]


def _import(path: Path) -> ModuleType:
    path = path.resolve()
    name = PREFIX + str(path)
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{path} is no Python file: its name should end in .py")
    module = module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last: what is installed comes first
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # somebody else's code
        del sys.modules[name]
        raise TargetError(f"{path}{_line(path, error)}: cannot be imported: {told(error)}") from error
    return module


def _call(target: Target, function: Callable[[], object]) -> object:
    needed = _parameters(function, required=True)
    if needed:
        raise TargetError(
            f"{target} wants {', '.join(needed)}: a function that returns machines takes nothing,"
            " one that gets the peer is an async one"
        )
    try:
        return function()
    except (Exception, SystemExit) as error:  # somebody else's code
        raise TargetError(f"{target} failed{_line(target.path, error)}: {told(error)}") from error


def _program(target: Target, function: Program) -> Program:
    """Return an async function of a peer and a history, whichever of them the one in the file takes."""
    needed, most = _parameters(function, required=True), _parameters(function, required=False)
    if len(needed) > 2 or not most:
        raise TargetError(f"{target} takes ({', '.join(most)}): it gets the peer, or the peer and the history")
    if len(most) >= 2 and (len(needed) == 2 or most[1] == "history"):
        return function
    return lambda peer, history: function(peer)


def _parameters(function: Callable[..., object], *, required: bool) -> list[str]:
    """Return the names of the parameters that are given by place."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in kinds and not (required and parameter.default is not inspect.Parameter.empty)
    ]


def _line(path: Path, error: BaseException) -> str:
    """Return where in a file something went wrong."""
    if isinstance(error, SyntaxError) and error.filename == str(path.resolve()):
        return f", line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path.resolve()]
    return f", line {frames[-1].lineno}" if frames else ""


def told(error: BaseException) -> str:
    """Return an error in one line, with its kind."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return " ".join(f"{type(error).__name__}: {text}".split()).removesuffix(":")
