"""The lazily built automaton behind a schema.

Relations, order and auto states depend only on (schema, active states in order, mutation). So the outcome of each
mutation is computed once, as a `Plan` that leads from one `Config` to another, and shared by all machines of the schema
— as regular-expression engines build their automaton while they match. A machine's step is then one look-up. What is
known is bounded: when the table is full it is emptied, and machines go on from where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from machine.resolver import MutationType, mask_of, resolve

if TYPE_CHECKING:
    from machine.compiled import Compiled

MAX_PLANS = 8192  # about 10 MB for schemas of 50 states
ADD, REMOVE, SET = MutationType


class Plan:
    """What one mutation does in one configuration, as far as relations decide. Frozen.

    Attributes:
        kind, called, called_mask, states, auto: the mutation; `called` holds indexes, `states` the names.
        accepted: whether relations let it through.
        targets: the states that will be active, in order. Of a rejected plan: those it would have had.
        exits, enters: states that run deactivation and activation handlers, in order.
        deltas: (index, growth of its tick) for each state whose tick changes; empty if rejected.
        changed: the mask of these.
        after: the configuration it leads to; the same one if rejected.
        triggers_auto: whether an auto mutation may follow.
        memo: for recorders, who see the same plan again and again: whatever they derive from it alone.
    """

    __slots__ = (
        "accepted",
        "after",
        "auto",
        "banned",
        "before",
        "called",
        "called_mask",
        "changed",
        "deltas",
        "enters",
        "exits",
        "kind",
        "memo",
        "single",
        "states",
        "targets",
        "triggers_auto",
    )

    def __init__(
        self, before: Config, kind: MutationType, called: tuple[int, ...], auto: bool = False, banned: int = 0
    ) -> None:
        schema, active = before.automaton.schema, before.mask
        self.before, self.kind, self.called, self.auto, self.banned = before, kind, called, auto, banned
        self.states = tuple([schema.names[i] for i in called])
        self.called_mask = called_mask = mask_of(called)
        if before.settled and kind is not SET and not called_mask & ~schema.plain:
            # no relation is concerned, and what is active is in order: nothing to resolve or to sort
            rest = [i for i in before.order if not called_mask >> i & 1]
            self.targets = (*called, *rest) if kind is ADD else tuple(rest)
            targets = active | called_mask if kind is ADD else active & ~called_mask
        else:
            listed, targets = resolve(schema, kind, called, before.order, active, banned)
            self.targets = schema.sort(listed)
        if kind is REMOVE:
            self.accepted = True
        elif auto:
            self.accepted = called_mask & targets != 0
        else:
            self.accepted = called_mask & ~targets == 0
        reentered = schema.multi & active & called_mask if kind is not REMOVE else 0
        leaving, entering = active & ~targets, targets & (~active | reentered)
        self.exits = schema.sort([i for i in before.order if leaving >> i & 1]) if leaving else ()
        self.enters = tuple([i for i in self.targets if entering >> i & 1]) if entering else ()
        if self.accepted:
            self.after = before.automaton.config(self.targets, targets)
            self.deltas = (*[(i, 1) for i in self.exits], *[(i, 1 + (reentered >> i & 1)) for i in self.enters])
        else:
            self.after, self.deltas = before, ()
        self.changed = leaving | entering if self.accepted else 0
        self.single = self.deltas[0] if len(self.deltas) == 1 else None
        health = kind is ADD and len(called) == 1 and schema.health >> called[0] & 1
        self.memo: Any = None
        self.triggers_auto = bool(self.deltas) and not auto and not health

    def apply(self, time: tuple[int, ...]) -> tuple[int, ...]:
        """Return the tick vector after this plan; the same object if it changes nothing."""
        if not self.deltas:
            return time
        ticks = list(time)
        for index, growth in self.deltas:
            ticks[index] += growth
        return tuple(ticks)


class Config:
    """One ordered set of active states, and the plans that are known to start from it.

    ``settled``: a plan led here, so that relations hold and the order is that of handlers.
    """

    __slots__ = (
        "adds",
        "auto_called",
        "auto_known",
        "auto_plan",
        "automaton",
        "mask",
        "order",
        "removes",
        "sets",
        "settled",
    )

    def __init__(self, automaton: Automaton, order: tuple[int, ...], mask: int) -> None:
        schema = automaton.schema
        self.automaton = automaton
        self.order: Final = order
        self.mask = mask
        self.settled = not order
        self.auto_called: tuple[int, ...] = ()
        if candidates := schema.auto & ~mask:
            for bit, removed in schema.removing:
                if mask & bit:
                    candidates &= ~removed
            self.auto_called = tuple([i for i in schema.auto_list if candidates >> i & 1])
        self.forget()

    def forget(self) -> None:
        """Drop all known plans."""
        # by the names of a call, exactly as the caller wrote them
        self.adds: dict[tuple[Any, ...], Plan] = {}
        self.removes: dict[tuple[Any, ...], Plan] = {}
        self.sets: dict[tuple[Any, ...], Plan] = {}
        self.auto_plan: Plan | None = None
        self.auto_known = not self.auto_called

    def known(self, kind: MutationType) -> dict[tuple[Any, ...], Plan]:
        """Return the known plans of one type of mutation, by the called states."""
        return self.adds if kind is ADD else self.removes if kind is REMOVE else self.sets

    def plan(self, kind: MutationType, states: tuple[str, ...], called: tuple[int, ...]) -> Plan:
        """Return the plan of a mutation, computed at the first call.

        Args:
            kind: its type.
            states: the called states, as the caller names them.
            called: their indexes, without duplicates.
        """
        known = self.known(kind)
        plan = known.get(states)
        if plan is None:
            plan = known[states] = Plan(self, kind, called)
            self.automaton.count()
        return plan

    def find_auto(self) -> Plan | None:
        """Return the plan of the auto mutation that follows a change into this configuration, if there is one."""
        if not self.auto_known:
            plan = Plan(self, ADD, self.auto_called, auto=True)
            self.automaton.count()
            self.auto_plan, self.auto_known = plan, True
        return self.auto_plan


class Automaton:
    """The configurations of one schema that are known so far; see the module."""

    __slots__ = ("_known", "_plans", "schema")

    def __init__(self, schema: Compiled) -> None:
        self.schema = schema
        self._known: dict[tuple[int, ...], Config] = {}
        self._plans = 0

    def config(self, order: Sequence[int], mask: int | None = None) -> Config:
        """Return the one configuration with these active states in this order; a plan gives their `mask` too."""
        key = tuple(order)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Config(self, key, mask_of(key) if mask is None else mask)
        if mask is not None:
            found.settled = True
        return found

    def count(self) -> None:
        """Note that one more plan is known; empty the table when it is full."""
        self._plans += 1
        if self._plans >= MAX_PLANS:
            known, self._known, self._plans = self._known, {}, 0
            for config in known.values():
                config.forget()
