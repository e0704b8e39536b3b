"""One state: its properties and relations, and its name in a class-form schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from machine.errors import SchemaError

EXCEPTION = "Exception"
RELATIONS = ("require", "add", "remove", "after")

F = TypeVar("F", bound=Callable[..., Any])


class StateName(str):
    """The name of a state of a class-form schema: a plain string that can also mark methods as its handlers."""

    __slots__ = ()

    def enter(self, handler: F) -> F:
        """Mark a method as a negotiation handler that may refuse the activation of this state."""
        return _mark(handler, "enter", self)

    def exit(self, handler: F) -> F:
        """Mark a method as a negotiation handler that may refuse the deactivation of this state."""
        return _mark(handler, "exit", self)

    def state(self, handler: F) -> F:
        """Mark a method as the final handler of this state's activation; an async one is a background task."""
        return _mark(handler, "state", self)

    def end(self, handler: F) -> F:
        """Mark a method as the final handler of this state's deactivation."""
        return _mark(handler, "end", self)

    def to(self, target: str) -> Callable[[F], F]:
        """Mark a method as a negotiation handler for this state being active while `target` is a target state."""
        return lambda handler: _mark(handler, "pair", self, target)


def _mark(handler: F, phase: str, *states: str) -> F:
    marks = (*getattr(handler, "__am_handles__", ()), (phase, *map(str, states)))
    handler.__am_handles__ = marks  # type: ignore[attr-defined]
    return handler


@dataclass(frozen=True, slots=True, init=False)
class State:
    """One state: its properties, and its relations to other states.

    Args:
        auto: the machine tries to activate it by itself after every transition that changed a clock.
        multi: it may be called while active: its handlers run again and its tick grows by 2.
        require: it is active only while all of these are.
        add: when it becomes active, so do these, if they can.
        remove: while it is a target, these are not.
        after: its handlers run after theirs.
        tags: free words, by convention ``key`` or ``key:value``.
    """

    auto: bool
    multi: bool
    require: tuple[str, ...]
    add: tuple[str, ...]
    remove: tuple[str, ...]
    after: tuple[str, ...]
    tags: tuple[str, ...]

    def __init__(
        self,
        *,
        auto: bool = False,
        multi: bool = False,
        require: str | State | Iterable[str | State] = (),
        add: str | State | Iterable[str | State] = (),
        remove: str | State | Iterable[str | State] = (),
        after: str | State | Iterable[str | State] = (),
        tags: str | Iterable[str] = (),
    ) -> None:
        for name, flag in (("auto", auto), ("multi", multi)):
            if not isinstance(flag, bool):
                raise SchemaError([f"{name}={flag!r} is no bool: write {name}=True"])
        put = object.__setattr__
        put(self, "auto", auto)
        put(self, "multi", multi)
        for name, value in zip(RELATIONS, (require, add, remove, after), strict=True):
            put(self, name, _names(name, value))
        put(self, "tags", _names("tags", tags))

    if TYPE_CHECKING:  # what `Door.Open` is, once the class Door exists

        def __get__(self, instance: object, owner: type | None = None) -> StateName: ...

    def with_(self, **changes: Any) -> State:
        """Return a copy with these fields replaced."""
        fields = {f: getattr(self, f) for f in ("auto", "multi", *RELATIONS, "tags")}
        return State(**{**fields, **changes})

    def __repr__(self) -> str:
        parts = [f"{flag}=True" for flag in ("auto", "multi") if getattr(self, flag)]
        parts += [f"{f}={' '.join(map(str, v))!r}" for f in (*RELATIONS, "tags") if (v := getattr(self, f))]
        return f"State({', '.join(parts)})"


class Group:
    """A named list of states inside a class-form schema; organisational only. ``Conn = Group(A, B)``."""

    def __init__(self, *states: str | State) -> None:
        self.states = states

    if TYPE_CHECKING:  # what `Door.Both` is, once the class Door exists

        def __get__(self, instance: object, owner: type | None = None) -> tuple[StateName, ...]: ...


def _names(field: str, value: Any) -> tuple[Any, ...]:
    one = isinstance(value, str | State)
    if not one and not isinstance(value, Iterable):
        raise SchemaError([f"{field}={value!r} is no state: give a name or several names"])
    names = (value,) if one else tuple(value)
    for name in names:
        if not isinstance(name, str) and not (isinstance(name, State) and field != "tags"):
            raise SchemaError([f"{field} holds {name!r}, a {type(name).__name__}: give names as strings"])
    return names if any(isinstance(n, State) for n in names) else tuple(dict.fromkeys(str(n) for n in names))
