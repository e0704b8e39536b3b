"""Transitions: one mutation on its way through a machine, as tracers and handlers see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from machine.clock import Time
from machine.mutation import Mutation, Result, Source
from machine.resolver import MutationType, resolve

if TYPE_CHECKING:
    from machine.automaton import Plan
    from machine.machine import Machine
    from machine.queue import Queue


NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Step:
    """One detail of how a transition came out, as a record.

    ``kind`` is ``called``, ``activate``, ``deactivate``, ``lacks`` (`state` lacks the required `other`), ``removed``
    (`state` is removed by `other`), ``handler`` (`handler` ran) or ``cancel`` (`handler` refused or failed; relations
    did if it is empty).
    """

    kind: str
    state: str = ""
    other: str = ""
    handler: str = ""

    def __str__(self) -> str:
        if self.kind == "lacks":
            return f"{self.state} lacks {self.other}"
        if self.kind == "removed":
            return f"{self.state} removed by {self.other}"
        return f"{self.kind} {self.state or self.handler}".rstrip()


class Transition:
    """One processed mutation. Without a `mutation` it is built, completed, after the fact.

    Attributes:
        machine: whose it is.
        seq: how many transitions this machine processed before it, in this life.
        plan: what relations make of the mutation, in indexes.
        ticks_before: the tick vector before, as a plain tuple.
        ticks_after: the vector after; before the clocks are applied: what it will be if nothing refuses.
        args: what the caller passed along.
        source: what caused it: the transition, of this or another machine, from which the mutation was asked for.
        accepted: not refused by relations, a handler or a failure (so far).
        completed: nothing will change any more.
        canceled_by: the handler that refused or failed, ``"relations"``, or an empty string.
        error: what a handler raised.
    """

    __slots__ = (
        "_handled",
        "_mutation",
        "accepted",
        "args",
        "canceled_by",
        "completed",
        "error",
        "machine",
        "plan",
        "seq",
        "source",
        "ticks_after",
        "ticks_before",
    )

    def __init__(
        self,
        machine: Queue,
        plan: Plan,
        before: tuple[int, ...],
        after: tuple[int, ...],
        seq: int,
        mutation: Mutation | None,
        source: Source | None = None,
    ) -> None:
        self.machine: Machine = machine  # type: ignore[assignment]  # whose inner side Queue is
        self._mutation = mutation
        if mutation is None:  # one question, not three: every traced mutation passes here
            self.args: Mapping[str, Any] = NOTHING
            self.source = source
            self.completed = True
        else:
            self.args = mutation.args
            self.source = mutation.source
            self.completed = False
        self.plan = plan
        self.seq = seq
        self.ticks_before = before
        self.ticks_after = after
        self.accepted = accepted = plan.accepted
        self.canceled_by = "" if accepted else "relations"
        self.error: BaseException | None = None
        self._handled: list[str] | None = None

    @property
    def mutation(self) -> Mutation:
        """What is carried out."""
        if self._mutation is None:  # it never was in a queue: nobody but a tracer wants to see it
            plan = self.plan
            self._mutation = Mutation(plan.kind, plan.called, plan.states, {}, is_auto=plan.auto, source=self.source)
            self._mutation.finish(Result.EXECUTED if self.accepted else Result.CANCELED)
        return self._mutation

    @property
    def id(self) -> str:
        """Unique among all transitions of machines with different ids, across restarts."""
        return f"{self.machine.id}:{self.machine.machine_tick}:{self.seq}"

    @property
    def time_before(self) -> Time:
        """`ticks_before`, with the methods of a time vector."""
        return Time(self.ticks_before)

    @property
    def time_after(self) -> Time:
        """`ticks_after`, with the methods of a time vector."""
        return Time(self.ticks_after)

    @property
    def type(self) -> MutationType:
        """What is done with the called states."""
        return self.plan.kind

    @property
    def is_auto(self) -> bool:
        """Whether the machine made this mutation, for its auto states."""
        return self.plan.auto

    @property
    def is_check(self) -> bool:
        """Whether this is a dry run."""
        return self._mutation is not None and self._mutation.is_check

    @property
    def called(self) -> tuple[str, ...]:
        """The called states."""
        return self._mutation.states if self._mutation is not None else self.plan.states

    @property
    def called_vector(self) -> Time:
        """The called states as a vector of 0 and 1."""
        return Time(int(i in self.plan.called) for i in range(len(self.ticks_before)))

    @property
    def targets(self) -> tuple[str, ...]:
        """The states that will be active, in order."""
        return self._names(self.plan.targets)

    @property
    def enters(self) -> tuple[str, ...]:
        """The states that are activated or re-entered."""
        return self._names(self.plan.enters)

    @property
    def exits(self) -> tuple[str, ...]:
        """The states that are deactivated."""
        return self._names(self.plan.exits)

    @property
    def states_before(self) -> tuple[str, ...]:
        """The states that were active before, in their order."""
        return self._names(self.plan.before.order)

    @property
    def changed(self) -> tuple[str, ...]:
        """The states whose tick changed, or will."""
        pairs = zip(self.ticks_before, self.ticks_after, strict=True)
        return self._names(i for i, (a, b) in enumerate(pairs) if a != b)

    @property
    def added(self) -> tuple[str, ...]:
        """The states that became active or were re-entered."""
        pairs = zip(self.ticks_before, self.ticks_after, strict=True)
        return self._names(i for i, (a, b) in enumerate(pairs) if a != b and b & 1)

    @property
    def removed(self) -> tuple[str, ...]:
        """The states that became inactive."""
        pairs = zip(self.ticks_before, self.ticks_after, strict=True)
        return self._names(i for i, (a, b) in enumerate(pairs) if a & 1 and not b & 1)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Why it came out as it did. Computed at each reading: relations are resolved again, this time out loud."""
        plan, schema = self.plan, self.plan.before.automaton.schema
        names = schema.names
        found: list[Step] = [Step("called", n) for n in self.called]

        def explain(what: str, state: int, other: int) -> None:
            found.append(Step(what, names[state], names[other]))

        resolve(schema, plan.kind, plan.called, plan.before.order, plan.before.mask, plan.banned, explain)
        found += [Step("deactivate", n) for n in self.exits] + [Step("activate", n) for n in self.enters]
        found += [Step("handler", handler=name) for name in self._handled or ()]
        if not self.accepted:
            found.append(Step("cancel", handler="" if self.canceled_by == "relations" else self.canceled_by))
        return tuple(found)

    def as_source(self) -> Source:
        """Return this transition as the cause of another mutation."""
        return Source(self.machine.id, self.id, sum(self.ticks_before))

    def _names(self, indexes: Iterable[int]) -> tuple[str, ...]:
        names = self.plan.before.automaton.schema.names
        return tuple(names[i] for i in indexes)

    def __repr__(self) -> str:
        verdict = "accepted" if self.accepted else f"canceled by {self.canceled_by}"
        return f"<Transition {self.id} {self.mutation!r} {verdict}>"
