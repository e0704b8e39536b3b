"""A log of a machine: structured records, and the text that is a view of them; and breakpoints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from machine.errors import MisuseError
from machine.reader import Reader
from machine.resolver import MutationType
from machine.tracer import Tracer
from machine.transition import Transition
from machine.update import Update

if TYPE_CHECKING:
    from machine.machine import Machine
    from machine.mutation import Mutation

logger = logging.getLogger("asyncmachine.machine")


def as_record(transition: Transition) -> dict[str, Any]:
    """Return a transition as plain values, ready for JSON."""
    source = transition.source
    return {
        "machine": transition.machine.id,
        "transition": transition.id,
        "mutation": "update" if isinstance(transition, Update) else transition.type.name.lower(),
        "called": list(transition.called),
        "auto": transition.is_auto,
        "check": transition.is_check,
        "accepted": transition.accepted,
        "canceled_by": transition.canceled_by,
        "added": list(transition.added),
        "removed": list(transition.removed),
        "time": list(transition.ticks_after),
        "error": repr(transition.error) if transition.error is not None else None,
        "source": source.transition_id if source is not None else None,
        "steps": [str(s) for s in transition.steps],
    }


def as_text(record: dict[str, Any]) -> str:
    """Return a record as one line: ``door:0:3 add Open: +Open -Closed``."""
    kind = ("auto " if record["auto"] else "") + ("can " if record["check"] else "") + record["mutation"]
    head = f"{record['transition']} {kind} {' '.join(record['called'])}".rstrip()
    if not record["accepted"]:
        why = (
            [s for s in record["steps"] if "lacks" in s or "removed by" in s]
            if record["canceled_by"] == "relations"
            else []
        )
        return f"{head}: canceled by {record['canceled_by']}" + (f" ({', '.join(why)})" if why else "")
    changes = [f"+{n}" for n in record["added"]] + [f"-{n}" for n in record["removed"]]
    return f"{head}: {' '.join(changes) or 'no change'}"


class Breakpoint(Tracer):
    """Call a function, or stop in the debugger, when a mutation is queued that calls exactly these states.

    Args:
        added, removed: what an add (or set), or a remove, must call.
        action: called with the mutation; Python's ``breakpoint`` by default, with the caller a few frames up.
        strict: pass over mutations that would change nothing.
    """

    def __init__(
        self,
        *,
        added: Iterable[str] = (),
        removed: Iterable[str] = (),
        action: Callable[[Mutation], object] | None = None,
        strict: bool = False,
    ) -> None:
        self.id = "breakpoint"
        self._wanted = {True: frozenset(added), False: frozenset(removed)}
        self._action = action
        self._strict = strict
        if not any(self._wanted.values()):
            raise MisuseError("a breakpoint needs states: Breakpoint(added=['Open'])")

    def mutation_queued(self, machine: Machine, mutation: Mutation) -> None:
        """Act, if this is the one."""
        adds = mutation.type is not MutationType.REMOVE
        wanted = self._wanted[adds]
        if not wanted or wanted != frozenset(mutation.states):
            return
        if self._strict and (machine.is_active(*wanted) if adds else machine.is_inactive(*wanted)):
            return
        if self._action is not None:
            self._action(mutation)
        else:
            breakpoint()


class LogTracer(Tracer):
    """Log every transition: as text, with the record in the log record's attribute ``transition``.

    Args:
        log: a logger; ``asyncmachine.machine`` by default.
        level: of accepted transitions; canceled ones come one step higher.
    """

    def __init__(self, log: logging.Logger = logger, level: int = logging.INFO) -> None:
        self.id = "log"
        self._log = log
        self._level = level

    def transition_end(self, transition: Transition) -> None:
        """Log one transition."""
        level = self._level if transition.accepted else self._level + 10
        if self._log.isEnabledFor(level):
            record = as_record(transition)
            self._log.log(level, "%s", as_text(record), extra={"transition": record})

    def machine_dispose(self, machine: Reader) -> None:
        """Log the end."""
        self._log.log(self._level, "%s disposed", machine.id)
