"""The rules of a schema: what is put right silently, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from machine.errors import SchemaError, did_you_mean
from machine.state import EXCEPTION, RELATIONS, State

MAX_STATES = 4096  # what the gossip catalog accepts in one schema
IMPLICIT_EXCEPTION = State(multi=True)
_SUFFIXES = ("Enter", "Exit", "State", "End")


def checked(states: Mapping[Any, Any]) -> dict[str, State]:
    """Return the states normalised, with `Exception` among them, or raise one error with every problem."""
    if not isinstance(states, Mapping):
        raise SchemaError([f"{states!r} is no mapping of names to State"])
    problems = [p for n, s in states.items() for p in _name_problems(n, s, states)]
    if len(states) > MAX_STATES:
        problems.append(f"{len(states)} states are more than {MAX_STATES}: split the machine into several")
    named = {str(n): s for n, s in states.items() if isinstance(s, State)}
    named.setdefault(EXCEPTION, IMPLICIT_EXCEPTION)
    out = {n: _normalised(n, s) for n, s in named.items()}
    declared = {**states, **out}
    problems += [p for n, s in out.items() for p in _relation_problems(n, s, declared)]
    if problems:
        raise SchemaError(problems)
    return out


def _normalised(name: str, state: State) -> State:
    """Drop a state from its own remove and after, and from remove what it adds: a whole group may be listed."""
    added = frozenset(state.add)  # lists may be long, and come from a peer
    return state.with_(
        remove=[t for t in state.remove if t != name and t not in added],
        after=[t for t in state.after if t != name],
        add=[t for t in state.add if t != name],
    )


def _name_problems(name: object, state: object, states: Mapping[str, State]) -> Iterator[str]:
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        yield f"the name {name!r} cannot be part of a handler's name: use letters and digits, as in 'Connected'"
        return
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            stem = name.removesuffix(suffix)
            other = stem if stem and stem not in states else f"{stem or 'Work'}{suffix.lower()}"
            yield f"the name {name!r} ends with {suffix!r}, as handlers do: call the state {other!r}, say"
    if name.startswith("Any") and not name[3:4].islower():
        other = "Some" + (name[3:] or "one")
        yield f"the name {name!r} begins with 'Any', as the handlers AnyEnter and AnyState do: call it {other!r}, say"
    if not isinstance(state, State):
        yield f"{name} is {state!r}, no State: write State(…)"


def _relation_problems(name: str, state: State, states: Mapping[str, State]) -> Iterator[str]:
    for relation in RELATIONS:
        for target in getattr(state, relation):
            if isinstance(target, State):
                yield f"{name} has a State object in {relation}: outside of a class form, give its name"
            elif target not in states:
                yield f"{name} has {relation}={target!r}, which is not declared{did_you_mean(target, states)}"
    removed = frozenset(state.remove)
    for target in state.require:
        if target in removed:
            yield f"{name} both requires and removes {target}: drop one of the two"
