"""What can be asked: the parameters of each question, and how the text of an address becomes one.

A parameter that does not exist, is given twice, or is not what it should be, is refused with its name, and what would
work.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from machine.errors import AsyncMachineError, did_you_mean

LONGEST: Final = 4000  # characters of a parameter
MOST: Final = 10_000  # machines of an answer
PAGE: Final = 500  # records of one
BUCKETS: Final = 2000  # parts of a window

When = Annotated[str, Meta(description="A moment: ns since 1970, ISO 8601, '5m ago', now, or @N for a machine's own.")]
Window = Annotated[str, Meta(description="Ask a file that was opened, instead: its id.")]
MachineName = Annotated[str, Meta(description="Its name, or its key (owner/name).")]
OwnerName = Annotated[str, Meta(description="Whose machine; needed where several owners have one of this name.")]
Form = Annotated[
    Literal["full", "brief"], Meta(description="brief: numbers instead of names, for whoever has asked for all once.")
]
StateName = Annotated[str, Meta(description="Its name.")]


class WrongError(AsyncMachineError, ValueError):
    """Report what cannot be answered as it was asked. ``status``: of HTTP."""

    def __init__(self, text: str, parameter: str | None = None, status: int = 400) -> None:
        super().__init__(text)
        self.parameter = parameter
        self.status = status


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """Be the base of all questions."""

    window: Window | None = None


class AskInfo(Ask, frozen=True, kw_only=True):
    """Tell what this page is about."""


class AskNetwork(Ask, frozen=True, kw_only=True):
    """Return how each machine was at a moment."""

    at: When | None = None
    owner: OwnerName | None = None
    tag: Annotated[str, Meta(description="Only machines with this tag.")] | None = None
    state: Annotated[str, Meta(description="Only machines in which this state is active.")] | None = None
    observer: Annotated[str, Meta(description="What this one believed, instead of what was so.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST, description="How many machines at most.")] = MOST
    form: Form = "full"


class AskGraph(Ask, frozen=True, kw_only=True):
    """Return what was connected to what at a moment."""

    at: When | None = None
    kinds: Annotated[str, Meta(description="Only edges of these kinds, with commas between them.")] | None = None
    name: Annotated[str, Meta(description="Of the recorded graph; all, if it is left out.")] | None = None
    machine: Annotated[str, Meta(description="Its states and their relations, and what leads there.")] | None = None
    owner: OwnerName | None = None
    form: Form = "full"
    pipes: Annotated[str, Meta(description="In brief: all pipes of this machine, too, by its key.")] | None = None


class AskMachine(Ask, frozen=True, kw_only=True):
    """Return all about a machine at a moment."""

    machine: MachineName
    owner: OwnerName | None = None
    at: When | None = None


class AskLog(Ask, frozen=True, kw_only=True):
    """Return a page of transitions."""

    machine: MachineName | None = None
    owner: OwnerName | None = None
    since: When | None = None
    until: When | None = None
    state: Annotated[str, Meta(description="Only those in which this state changed.")] | None = None
    order: Annotated[Literal["newest", "oldest"], Meta(description="Which ones come first.")] = "newest"
    limit: Annotated[int, Meta(ge=1, le=PAGE, description="How many at most.")] = 50
    after: Annotated[str, Meta(description="Where the page before ended.")] | None = None


class AskIntervals(Ask, frozen=True, kw_only=True):
    """Return when the states of a machine were active."""

    machine: MachineName
    owner: OwnerName | None = None
    since: When | None = None
    until: When | None = None
    states: Annotated[str, Meta(description="Only these, with commas between them.")] | None = None


class AskStep(Ask, frozen=True, kw_only=True):
    """Return the moment of the next, or the previous, transition, minute, or change of a state."""

    at: When | None = None
    to: Annotated[Literal["next", "previous"], Meta(description="In which direction.")] = "next"
    by: Annotated[Literal["transition", "minute", "change"], Meta(description="By what.")] = "transition"
    machine: MachineName | None = None
    owner: OwnerName | None = None
    state: Annotated[str, Meta(description="Whose changes; for by=change.")] | None = None


class AskDiff(Ask, frozen=True, kw_only=True):
    """Return what is different between two moments."""

    t1: When
    t2: When | None = None


class AskDensity(Ask, frozen=True, kw_only=True):
    """Return how many transitions there were in each part of a window."""

    since: When | None = None
    until: When | None = None
    buckets: Annotated[int, Meta(ge=1, le=BUCKETS, description="How many parts.")] = 200
    machine: MachineName | None = None
    owner: OwnerName | None = None
    state: Annotated[str, Meta(description="Only changes of this state of the machine.")] | None = None


class AskExport(Ask, frozen=True, kw_only=True):
    """Return a window of the history as a file that the page can open again."""

    since: When | None = None
    until: When | None = None
    format: Annotated[Literal["json", "sqlite"], Meta(description="Of the file.")] = "json"


class AskFeed(Ask, frozen=True, kw_only=True):
    """Tell what happens, as it happens: server-sent events."""

    since: When | None = None


A = TypeVar("A", bound=Ask)

_PLACE = re.compile(r" - at `\$\.(\w+)`$")
_RANGE = re.compile(r"Expected `int` (>=|<=) (-?\d+)")


def read(kind: type[A], pairs: Iterable[tuple[str, str]]) -> A:
    """Return the question that an address asks.

    Raises:
        WrongError: it cannot be asked like this. Names the parameter.
    """
    known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, str] = {}
    for name, text in pairs:
        if name not in known:
            raise WrongError(f"there is no parameter {name[:80]!r} here{did_you_mean(name[:80], known)}", name[:80])
        if name in values:
            raise WrongError(f"{name} is given twice: give it once", name)
        if len(text) > LONGEST:
            raise WrongError(f"{name} has {len(text)} characters, and {LONGEST} are the most", name)
        if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
            raise WrongError(f"{name}={text[:80]!r} has a null or half a character in it: no name has", name)
        if text or name == "owner":  # an empty owner is this program itself; all else that is empty is left out
            values[name] = text
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(str(error), values, known) from None


def _explained(problem: str, values: dict[str, str], known: dict[str, msgspec.structs.FieldInfo]) -> WrongError:
    missing = re.search(r"missing required field `(\w+)`", problem)
    if missing:
        name = missing[1]
        return WrongError(f"{name} is missing: {_description(known[name])}", name)
    place = _PLACE.search(problem)
    name = place[1] if place else "?"
    told = f"{name}={values.get(name, '')[:80]!r}"
    bound = _RANGE.search(problem)
    if bound:
        return WrongError(f"{told}: give {'at least' if bound[1] == '>=' else 'at most'} {bound[2]}", name)
    choices = _choices(known[name].type) if name in known else ()
    if choices:
        return WrongError(f"{told} is none of {', '.join(choices)}{did_you_mean(values[name][:80], choices)}", name)
    wanted = "true or false" if "bool" in problem else "a whole number" if "int" in problem else "something else"
    return WrongError(f"{told} should be {wanted}", name)


def _description(field: msgspec.structs.FieldInfo) -> str:
    for meta in getattr(field.type, "__metadata__", ()):
        if isinstance(meta, Meta) and meta.description:
            return meta.description
    return "give one"


def _choices(kind: object) -> tuple[str, ...]:
    if getattr(kind, "__origin__", None) is Literal:
        return tuple(map(str, kind.__args__))  # type: ignore[attr-defined]
    for inner in getattr(kind, "__args__", ()):
        if found := _choices(inner):
            return found
    return ()
