"""The reading side of a machine: queries, waits and tracers over a vector of ticks.

`Machine` and every replica of one are readers, so what reads, waits for or records a machine works on both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from machine.clock import Clock, Time, format_states
from machine.errors import MisuseError, UnknownStateError
from machine.schema import Schema
from machine.state import EXCEPTION, RELATIONS
from machine.tracer import NO_HOOKS, Hooks, Tracer

if TYPE_CHECKING:
    from machine.compiled import Compiled
    from machine.machine import Machine
    from machine.pipes import Pipe
    from machine.waiting import Waits


class Reader:
    """Read the clock of a machine, and wait for it.

    States are named by strings. An unknown name raises `UnknownStateError` (a `LookupError`) everywhere but in `has`
    and `index`. On a disposed machine every query answers False, 0 or empty.
    """

    __slots__ = (
        "__weakref__",
        "_disposed",
        "_driven",
        "_hooks",
        "_index",
        "_mail",
        "_pipes_in",
        "_pipes_out",
        "_schema",
        "_time",
        "_waits",
        "id",
        "parent",
        "tags",
    )

    def __init__(self, schema: Compiled, id: str, parent: Reader | None, tags: tuple[str, ...]) -> None:
        self.id = id
        self.parent = parent
        self.tags = tags
        self._schema = schema
        self._index = schema.index
        self._time: tuple[int, ...] = schema.zero
        self._hooks: Hooks = NO_HOOKS
        self._waits: Waits | None = None
        self._disposed = False
        self._pipes_out: tuple[Pipe, ...] = ()
        self._pipes_in: tuple[Pipe, ...] = ()
        self._mail: tuple[Machine, ...] = ()  # machines that pipes from here have posted to
        self._driven = False  # whether a delivery loop further up takes care of that mail

    # -- what it is

    @property
    def schema(self) -> Schema:
        """The schema of this machine."""
        return self._schema.schema

    @property
    def state_names(self) -> tuple[str, ...]:
        """All states in the order of the schema, which is the order of every time vector."""
        return self._schema.names

    @property
    def parent_id(self) -> str | None:
        """The id of the machine that this one belongs to; also where that machine itself is not at hand."""
        return self.parent.id if self.parent is not None else None

    @property
    def is_disposed(self) -> bool:
        """Whether this machine is gone."""
        return self._disposed

    @property
    def pipes_out(self) -> tuple[Pipe, ...]:
        """The pipes that lead from here to other machines."""
        return self._pipes_out

    @property
    def pipes_in(self) -> tuple[Pipe, ...]:
        """The pipes that lead here."""
        return self._pipes_in

    def has(self, *states: str) -> bool:
        """Tell whether all these states are declared."""
        return not self._disposed and all(s in self._index for s in states)

    def index(self, *states: str) -> tuple[int, ...]:
        """Return the place of each state in the time vector, -1 for an unknown one."""
        return tuple(-1 if self._disposed else self._index.get(s, -1) for s in states)

    # -- what is active

    def is_active(self, *states: str) -> bool:
        """Tell whether all these states are active. No states: True."""
        time, index = self._time, self._index
        try:
            for state in states:
                if not time[index[state]] & 1:
                    if len(states) > 1:
                        self._indexes(states)  # an unknown name further right is an error too
                    return False
        except (KeyError, TypeError):
            self._indexes(states)
        return not self._disposed

    def is_inactive(self, *states: str) -> bool:
        """Tell whether none of these states is active. No states: True."""
        time = self._time
        return not self._disposed and not any(time[i] & 1 for i in self._indexes(states))

    def any_active(self, *states_or_groups: str | Iterable[str]) -> bool:
        """Tell whether one of these states is active, or one of these groups wholly. Nothing given: False."""
        groups = [(g,) if isinstance(g, str) else tuple(g) for g in states_or_groups]
        time = self._time
        held = [all(time[i] & 1 for i in self._indexes(g)) for g in groups]  # all of them: an unknown name is an error
        return any(held) and not self._disposed

    def active_states(self, subset: Iterable[str] | None = None) -> tuple[str, ...]:
        """Return the active states; or the active part of `subset`, in its order."""
        time = self._time
        if subset is None:
            return tuple(self._schema.names[i] for i in self._active_order())
        names = tuple(subset)
        return tuple(n for n, i in zip(names, self._indexes(names), strict=True) if time[i] & 1)

    def switch(self, *groups: Iterable[str]) -> str | None:
        """Return the first active state, looking through the groups from left to right; None if there is none."""
        names = [n for g in groups for n in ((g,) if isinstance(g, str) else g)]
        return next(iter(self.active_states(names)), None)

    @property
    def is_error(self) -> bool:
        """Whether the Exception state is active."""
        return self.is_active(EXCEPTION)

    # -- what time it is

    def tick(self, state: str) -> int:
        """Return the counter of a state."""
        try:
            return self._time[self._index[state]]
        except (KeyError, TypeError):
            return self._indexes((state,))[0]  # raises

    def time(self, states: Iterable[str] | None = None) -> Time:
        """Return the ticks of all states in schema order, or of `states` in their order."""
        if states is None:
            return Time(() if self._disposed else self._time)
        return Time(self._time[i] for i in self._indexes(tuple(states)))

    def clock(self, states: Iterable[str] | None = None) -> Clock:
        """Return the clock: a frozen mapping from state to tick, for all states or for `states`."""
        if self._disposed:
            return Clock((), ())
        if states is None:
            return Clock(self._schema.names, self._time)
        names = tuple(dict.fromkeys(states))
        return Clock(names, self.time(names))

    @property
    def time_sum(self) -> int:
        """The machine time as one number: the sum of all ticks."""
        return sum(self._time)

    def is_time(self, time: Sequence[int], states: Iterable[str] | None = None) -> bool:
        """Tell whether every listed tick equals the current one."""
        return self._compare(time, states, lambda then, now: then == now)

    def was_time(self, time: Sequence[int], states: Iterable[str] | None = None) -> bool:
        """Tell whether that moment has been: every listed tick is at most the current one."""
        return self._compare(time, states, lambda then, now: then <= now)

    def is_clock(self, clock: Mapping[str, int]) -> bool:
        """Tell whether every listed tick equals the current one."""
        return self.is_time(tuple(clock.values()), clock)

    def was_clock(self, clock: Mapping[str, int]) -> bool:
        """Tell whether that moment has been: every listed tick is at most the current one."""
        return self.was_time(tuple(clock.values()), clock)

    def _compare(self, time: Sequence[int], states: Iterable[str] | None, op: Callable[[int, int], bool]) -> bool:
        names = self.state_names if states is None else tuple(states)
        if len(time) != len(names):
            raise MisuseError(f"{len(time)} ticks for {len(names)} states: give one tick for each state")
        return not self._disposed and all(op(t, self._time[i]) for t, i in zip(time, self._indexes(names), strict=True))

    # -- text

    def __str__(self) -> str:
        return str(self.clock()) if not self._disposed else ""

    def describe(self) -> str:
        """Return all states as ``(A:1 B:3) [C:0]``: the active ones, then the others."""
        if self._disposed:
            return ""
        rest = [(n, t) for n, t in self.clock().items() if not t & 1]
        return f"{self} {format_states(rest, '[]')}"

    def inspect(self, states: Iterable[str] | None = None) -> str:
        """Return a report: a line a state with its tick, and below it the properties and relations it has."""
        names = self.state_names if states is None else tuple(states)
        lines = []
        for name, i in zip(names, self._indexes(names), strict=True):
            state, tick = self.schema[name], self._time[i]
            lines.append(f"{'*' if tick & 1 else ' '} {name}: {tick}")
            lines += [f"    {flag}" for flag in ("auto", "multi") if getattr(state, flag)]
            lines += [f"    {f}: {' '.join(v)}" for f in (*RELATIONS, "tags") if (v := getattr(state, f))]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id!r} {'disposed' if self._disposed else self}>"

    # -- waiting

    async def when(self, *states: str) -> Clock:
        """Wait until all these states are active at the same time; return the clock of that moment."""
        from machine.waiting import ACTIVE

        return await self._wait(ACTIVE, [(i, 0) for i in self._indexes(states)])

    async def when_not(self, *states: str) -> Clock:
        """Wait until all these states are inactive at the same time; return the clock of that moment."""
        from machine.waiting import INACTIVE

        return await self._wait(INACTIVE, [(i, 0) for i in self._indexes(states)])

    async def when_time(self, states: Iterable[str], ticks: Sequence[int]) -> Clock:
        """Wait until each state has reached its tick; return the clock of the moment when the last one did."""
        from machine.waiting import TICKS

        names = (states,) if isinstance(states, str) else tuple(states)
        if not names or len(names) != len(ticks):
            raise MisuseError(f"{len(ticks)} ticks for {len(names)} states: give one tick for each state")
        return await self._wait(TICKS, list(zip(self._indexes(names), ticks, strict=True)))

    async def when_ticks(self, state: str, ticks: int) -> Clock:
        """Wait until the counter of a state has grown by `ticks` from now."""
        return await self.when_time((state,), (self.tick(state) + ticks,))

    async def when_next_active(self, state: str) -> Clock:
        """Wait for the next activation of a state; a current one does not count."""
        return await self.when_ticks(state, 2 if self.tick(state) & 1 else 1)

    async def when_query(self, query: Callable[[Clock], bool]) -> Clock:
        """Wait until `query` says True of the clock after a later change. It is not asked about the present."""
        from machine.waiting import QUERY, Wait, wait_for

        return await wait_for(self, Wait(QUERY, query=query))

    async def when_error(self) -> Clock:
        """Wait until the Exception state is active."""
        return await self.when(EXCEPTION)

    async def when_disposed(self) -> Clock:
        """Wait until this machine is disposed of; return its last clock."""
        from machine.waiting import DISPOSED

        return await self._wait(DISPOSED, [])

    async def _wait(self, kind: int, need: list[tuple[int, int]]) -> Clock:
        from machine.waiting import Wait, wait_for

        return await wait_for(self, Wait(kind, tuple(need)))

    # -- tracing

    @property
    def tracers(self) -> tuple[Tracer, ...]:
        """The tracers of this machine."""
        return self._hooks.tracers

    def add_tracer(self, tracer: Tracer) -> Tracer:
        """Let a tracer see everything from now on; return it."""
        self._hooks = self._hooks.adding(tracer)
        self._observers_changed()
        return tracer

    def remove_tracer(self, tracer: Tracer | str) -> None:
        """Detach a tracer, given itself or its id."""
        self._hooks = self._hooks.removing(tracer)
        self._observers_changed()

    # -- for subclasses

    def _observers_changed(self) -> None:
        """Be told that tracers came or went."""

    def _waits_changed(self) -> None:
        """Be told that a wait came or went."""

    def _active_order(self) -> Iterable[int]:
        return [i for i, tick in enumerate(self._time) if tick & 1]

    def _indexes(self, states: Sequence[Any]) -> tuple[int, ...]:
        """Return the index of each state, or raise an error that names the first unknown one."""
        index = self._index
        for state in states:
            if not isinstance(state, str):
                hint = (
                    "write the names one by one: f('A', 'B')"
                    if isinstance(state, list | tuple | set)
                    else "give a string"
                )
                raise MisuseError(f"{state!r} is no name of a state: {hint}")
            if state not in index:
                raise UnknownStateError(state, self.state_names, self.id)
        return tuple(index[s] for s in states)
