"""Handlers: how names become calls.

    FooExit   may refuse  Foo is about to be deactivated
    FooEnter  may refuse  Foo is about to be activated, or re-entered if it is multi
    FooFoo    may refuse  Foo is active and stays a target (not in remove mutations)
    FooBar    may refuse  Foo is active and Bar is a target
    AnyEnter  may refuse  last of the negotiation, in every transition that got this far
    FooEnd    final       Foo was deactivated
    FooState  final       Foo was activated or re-entered; ``async def``: a task in the scope of this activation
    AnyState  final       last of all, in every accepted transition

A handler refuses by returning False. A set of handlers is an object with methods of these names, an object whose
methods are marked with the decorators of a class-form schema (``@Door.Open.enter``), or a mapping from name to
function. A public method in CamelCase, or ending in Enter, Exit, State or End, must be a handler: one that matches no
state, or more than one reading, is refused, so that a typo is an error and not a silence.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from machine.errors import BindError

if TYPE_CHECKING:
    from machine.compiled import Compiled

PHASES = {"Enter": "enter", "Exit": "exit", "State": "state", "End": "end"}
ANY = {"AnyEnter": "any_enter", "AnyState": "any_state"}
_SUFFIX = {phase: suffix for suffix, phase in PHASES.items()}

Key = tuple[str, int, int]
"""(phase, state index, second state index); -1 where there is none."""


@dataclass(frozen=True, slots=True)
class Handler:
    """One bound function. `name` is its event, whatever the function itself is called."""

    name: str
    call: Callable[[Any], Any]
    is_async: bool
    binding: str


@dataclass(frozen=True, slots=True)
class Binding:
    """One bound set of handlers; give it to ``unbind``. ``names`` are the events it handles."""

    id: str
    owner: object
    handlers: tuple[tuple[Key, Handler], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the events this set handles."""
        return tuple(h.name for _, h in self.handlers)

    def __repr__(self) -> str:
        return f"<Binding {self.id!r}: {' '.join(self.names)}>"


def read_name(name: str, schema: Compiled) -> list[Key]:
    """Return every reading of a handler name; none if it is no handler of this schema."""
    index, found = schema.index, []
    if name in ANY:
        found.append((ANY[name], -1, -1))
    for suffix, phase in PHASES.items():
        state = name.removesuffix(suffix)
        if state != name and state in index:
            found.append((phase, index[state], -1))
    for cut in range(1, len(name)):
        if name[:cut] in index and name[cut:] in index:
            found.append(("pair", index[name[:cut]], index[name[cut:]]))
    return found


def event_name(key: Key, schema: Compiled) -> str:
    """Return the conventional name of an event, ``FooEnter`` or ``FooBar``."""
    phase, i, j = key
    if phase == "pair":
        return schema.names[i] + schema.names[j]
    return next((n for n, p in ANY.items() if p == phase), None) or schema.names[i] + _SUFFIX[phase]


def read_handlers(handlers: object, schema: Compiled, binding: str, prefix: str = "") -> Binding:
    """Return the binding of a set of handlers.

    Args:
        handlers: an object with methods, or a mapping from event name to function.
        schema: whose states the names mean.
        binding: the id of the set.
        prefix: consider only states that begin with it, and names without it: ``OpenState`` handles ``DoorOpen``.

    Raises:
        BindError: a name matches nothing or too much, a function cannot take an event, a negotiation handler is async.
    """
    if isinstance(handlers, type):
        raise BindError(f"{handlers.__name__} is a class: bind an instance of it, {handlers.__name__}()")
    found: list[tuple[Key, Handler]] = []
    for name, call in _candidates(handlers):
        for key in _keys(name, call, schema, prefix, strict=isinstance(handlers, Mapping)):
            event = event_name(key, schema)
            is_async = inspect.iscoroutinefunction(call)
            if is_async and key[0] != "state":
                raise BindError(
                    f"{event} is async, but only a FooState handler can be a background task: make it a plain def"
                )
            _check_signature(event, call)
            found.append((key, Handler(event, call, is_async, binding)))
    if not found:
        raise BindError(f"{handlers!r} handles no event of this machine: name its methods like {_example(schema)}")
    return Binding(binding, handlers, tuple(found))


def _candidates(handlers: object) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    if isinstance(handlers, Mapping):
        for name, call in handlers.items():
            if not isinstance(name, str) or not callable(call):
                raise BindError(f"{name!r}: {call!r} is no handler: map names of events to functions")
            yield name, call
        return
    # definition order, base classes first; an override keeps the place of what it overrides
    names = dict.fromkeys(n for c in reversed(type(handlers).__mro__) if c is not object for n in vars(c))
    names.update(dict.fromkeys(getattr(handlers, "__dict__", {})))
    for name in names:
        if name.startswith("_") or isinstance(getattr(type(handlers), name, None), property):
            continue
        call = getattr(handlers, name, None)
        if callable(call) and not isinstance(call, type):
            yield name, call


def _keys(name: str, call: Callable[[Any], Any], schema: Compiled, prefix: str, *, strict: bool) -> list[Key]:
    marks = getattr(call, "__am_handles__", ())
    if marks:
        return [_marked(name, mark, schema) for mark in marks]
    full = name if not prefix or name in ANY else prefix + name
    keys = read_name(full, schema)
    if len(keys) > 1:
        ways = " or ".join(_reading(k, schema) for k in keys)
        raise BindError(
            f"handler {name!r} is ambiguous: {ways}; mark a method of another name with a decorator instead"
        )
    meant = strict or name[0].isupper() or name.endswith(tuple(PHASES))
    if not keys and meant:
        close = get_close_matches(full, _known_names(schema), n=3, cutoff=0.7)
        hint = (
            f"did you mean {' or '.join(map(repr, close))}?"
            if close
            else f"handlers are called like {_example(schema)}"
        )
        raise BindError(f"handler {name!r} matches no state of this machine; {hint}")
    return keys


def _marked(name: str, mark: tuple[str, ...], schema: Compiled) -> Key:
    phase, *states = mark
    for state in states:
        if state not in schema.index:
            raise BindError(f"{name!r} is marked as a handler of {state!r}, which is no state of this machine")
    first = schema.index[states[0]]
    return (phase, first, schema.index[states[1]] if len(states) > 1 else -1)


def _known_names(schema: Compiled) -> list[str]:
    return [*ANY, *(n + suffix for n in schema.names for suffix in PHASES)]


def _example(schema: Compiled) -> str:
    return f"{schema.names[0]}Enter, {schema.names[0]}State, …"


def _reading(key: Key, schema: Compiled) -> str:
    phase, i, j = key
    if phase == "pair":
        return f"state {schema.names[i]} meeting {schema.names[j]}"
    return f"the {phase} handler of {schema.names[i]}" if i >= 0 else f"the {phase} handler"


def _check_signature(event: str, call: Callable[[Any], Any]) -> None:
    try:
        inspect.signature(call).bind(None)
    except TypeError:
        raise BindError(f"{event} cannot be called with an event: write def {event}(self, event)") from None
    except ValueError:  # a builtin without a signature
        return


class HandlerTable:
    """The handlers of all bindings, merged by event, in the order of binding. Replaced as a whole on every change."""

    __slots__ = ("any_enter", "any_state", "end", "enter", "exit", "pair", "state")

    def __init__(self, bindings: tuple[Binding, ...]) -> None:
        self.enter: dict[int, tuple[Handler, ...]] = {}
        self.exit: dict[int, tuple[Handler, ...]] = {}
        self.state: dict[int, tuple[Handler, ...]] = {}
        self.end: dict[int, tuple[Handler, ...]] = {}
        self.pair: dict[int, dict[int, tuple[Handler, ...]]] = {}
        self.any_enter: tuple[Handler, ...] = ()
        self.any_state: tuple[Handler, ...] = ()
        for binding in bindings:
            for (phase, i, j), handler in binding.handlers:
                if i < 0:
                    setattr(self, phase, (*getattr(self, phase), handler))
                    continue
                table, at = (self.pair.setdefault(i, {}), j) if phase == "pair" else (getattr(self, phase), i)
                table[at] = (*table.get(at, ()), handler)
