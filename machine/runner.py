"""Run one transition: negotiation, clocks, final handlers, and what happens when a handler fails.

    relations accept → negotiation (exits, enters, self, state-state, AnyEnter) → clocks → finals (ends, states,
    AnyState) → the auto mutation is put in front of the queue

Until the clocks are applied the machine shows the old states; after that the new ones. A refusal in negotiation
changes nothing. A failure in the finals deactivates again the states whose activation it interrupted, and whatever
requires them. In a transition of auto states a refusal strikes the auto state that it concerns, and the rest goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

from machine.automaton import Plan
from machine.errors import HandlerTimeoutError
from machine.event import Event
from machine.mutation import Mutation, Result
from machine.resolver import MutationType
from machine.transition import Transition

if TYPE_CHECKING:
    from machine.handlers import Handler, HandlerTable
    from machine.queue import Queue

logger = logging.getLogger("asyncmachine.machine")

CAUSE: ContextVar[Transition | None] = ContextVar("asyncmachine_cause", default=None)
"""The transition whose handlers, or whose background tasks, are running: the source of the mutations they ask for."""


def run(machine: Queue, mutation: Mutation) -> Transition:
    """Carry a mutation out as far as it gets, and return its transition, completed."""
    config = machine._config
    if not mutation.is_auto:
        plan = config.plan(mutation.type, mutation.states, mutation.called)
    elif config.auto_called == mutation.called and (auto := config.find_auto()) is not None:
        plan = auto
    else:
        plan = Plan(config, mutation.type, mutation.called, auto=True)
    before = machine._time
    after = before if mutation.is_check else plan.apply(before)
    tx = Transition(machine, plan, before, after, machine._seq, mutation)
    if (
        mutation.is_check
        and not tx.accepted
        and any(plan.before.automaton.schema.multi >> i & 1 for i in mutation.called)
    ):
        tx.accepted, tx.canceled_by = True, ""  # a multi state may be asked for any time
    machine._seq += 1
    machine._transition = tx
    hooks = machine._hooks
    if hooks.transition_init:
        hooks.tell(hooks.transition_init, tx)
    if hooks.transition_start:
        hooks.tell(hooks.transition_start, tx)
    table = machine._table
    token = CAUSE.set(tx)
    try:
        if tx.accepted and table is not None:
            _negotiate(tx, table)
        if not mutation.is_check:
            if tx.accepted:
                _apply(tx)
                if table is not None or (machine._waits is not None and machine._waits.special):
                    _finalise(tx, table)
            _conclude(tx)
    finally:
        CAUSE.reset(token)
        tx.ticks_after = machine._time
        tx.completed = True
    mutation.result = verdict(tx)
    if hooks.transition_end:
        hooks.tell(hooks.transition_end, tx)
    return tx


def _conclude(tx: Transition) -> None:
    """After all handlers: record the failure, tell the change callback, ask for the auto states."""
    machine = tx.machine
    tx.ticks_after = machine._time
    if tx.error is not None:
        _fail(tx)
    if machine._options.on_change is not None:
        machine._call_back(machine._options.on_change, machine, tx.time_before, tx.time_after)
    if tx.accepted and tx.plan.triggers_auto:
        auto = machine._config.find_auto()
        if auto is not None:
            source = tx.as_source()
            machine._prepend(Mutation(auto.kind, auto.called, auto.states, {}, is_auto=True, source=source))


def _fail(tx: Transition) -> None:
    """Turn what a handler raised into the Exception state, unless it was handling that very state."""
    machine, error = tx.machine, tx.error
    assert error is not None
    if isinstance(error, HandlerTimeoutError):
        machine._overran(error)
        return
    machine._counts.errors += 1
    machine._last_error = error
    if machine._schema.exception in tx.mutation.called:
        logger.error("%s: %s failed while it handled an error", machine.id, tx.canceled_by, exc_info=error)
        return
    logger.error("%s: %s failed", machine.id, tx.canceled_by, exc_info=error)
    if machine._options.on_error is not None:
        machine._call_back(machine._options.on_error, machine, error)
    machine._prepend(machine._error_mutation((), error, {"transition": tx}, tx.as_source()))


# -- negotiation


def _negotiate(tx: Transition, table: HandlerTable) -> None:
    """Ask every handler that may refuse. Auto states may drop out; what then newly appears is asked too."""
    seen: set[tuple[str, int, int]] = set()
    while True:
        struck = _ask(tx, table, seen)
        if not tx.accepted:
            return
        if not struck:
            break
        plan = tx.plan
        called = tuple(i for i in plan.called if not struck >> i & 1)
        tx.plan = Plan(plan.before, plan.kind, called, auto=True, banned=plan.banned | struck)
        tx.ticks_after = tx.plan.apply(tx.ticks_before)
        if not tx.plan.accepted:
            tx.accepted = False
            return
    tx.canceled_by = ""
    for handler in table.any_enter:
        if not _permits(tx, handler):
            tx.accepted = False
            return


def _ask(tx: Transition, table: HandlerTable, seen: set[tuple[str, int, int]]) -> int:
    """Ask once through a plan; return the mask of the auto states that were struck."""
    plan, auto, struck = tx.plan, tx.is_auto, 0
    schema = plan.before.automaton.schema

    def refused(phase: str, i: int, j: int, handlers: tuple[Handler, ...]) -> bool:
        if auto:
            if (phase, i, j) in seen:
                return False
            seen.add((phase, i, j))
        return not all(_permits(tx, h) for h in handlers)

    def stops(strikable: int) -> bool:
        """Strike what a refusal concerns; without anything to strike, or after an error, it ends the transition."""
        nonlocal struck
        tx.accepted = tx.accepted and auto and strikable != 0
        struck |= strikable
        return not tx.accepted

    for i in plan.exits:
        if i in table.exit and refused("exit", i, -1, table.exit[i]) and stops(_blame(plan, i) & ~struck):
            return struck
    entering = schema.auto & ~plan.before.mask
    for i in plan.enters:
        asked = i in table.enter and not struck >> i & 1
        if asked and refused("enter", i, -1, table.enter[i]) and stops(entering & 1 << i):
            return struck
    if table.pair:
        for i, j in _pairs(plan, table):
            if not struck >> j & 1 and refused("pair", i, j, table.pair[i][j]) and stops(entering & 1 << j):
                return struck
    return struck


def _pairs(plan: Plan, table: HandlerTable) -> Iterator[tuple[int, int]]:
    """Yield the bound pairs of (active, target): a state with itself first, then the others by the order before."""
    if plan.kind is not MutationType.REMOVE:
        yield from ((i, i) for i in plan.targets if plan.before.mask >> i & 1 and i in table.pair.get(i, ()))
    for i in plan.before.order:
        if row := table.pair.get(i):
            yield from ((i, j) for j in plan.targets if j in row and j != i)


def _blame(plan: Plan, exited: int) -> int:
    """Return the mask of the called autos because of which a state would be deactivated.

    Walks from the state to the targets that remove it, to the required states that go with it, and from implied states
    to those that add them.
    """
    schema, called = plan.before.automaton.schema, sum(1 << i for i in plan.called)
    targets = sum(1 << i for i in plan.targets)
    gone = plan.before.mask & ~targets
    blamed, seen, waiting = 0, 0, [exited]
    while waiting:
        i = waiting.pop()
        if seen >> i & 1:
            continue
        seen |= 1 << i
        if called >> i & 1:
            blamed |= 1 << i
        causes = (schema.removed_by[i] & targets) | (schema.require[i] & gone)
        if targets >> i & 1:
            causes = sum(1 << k for k in plan.enters if schema.add[k] >> i & 1)
        waiting.extend(k for k in range(len(schema.names)) if causes >> k & 1)
    return blamed


def _permits(tx: Transition, handler: Handler) -> bool:
    """Call a negotiation handler; tell whether it lets the transition go on."""
    try:
        permitted = _call(tx, handler) is not False
    except HandlerTimeoutError as exc:
        tx.machine._overran(exc)
        permitted = False
    except Exception as exc:
        tx.error, tx.accepted, permitted = exc, False, False
    if not permitted:
        tx.canceled_by = handler.name
    return permitted


# -- clocks and final handlers


def _apply(tx: Transition) -> None:
    machine, plan = tx.machine, tx.plan
    machine._time = tx.ticks_after
    machine._config = plan.after
    if machine._scopes:
        machine._expire(i for i, _ in plan.deltas)
    hooks = machine._hooks
    if hooks.transition_finals:
        hooks.tell(hooks.transition_finals, tx)


def _finalise(tx: Transition, table: HandlerTable | None) -> None:
    machine, plan = tx.machine, tx.plan
    if table is not None:
        for i in plan.exits:
            if i in table.end and not _all_run(tx, table.end[i], i):
                return _recover(tx, plan.enters)
    waits = machine._waits if machine._waits is not None and machine._waits.special else None
    for at, i in enumerate(plan.enters):
        done = table is None or i not in table.state or _all_run(tx, table.state[i], i)
        if waits is not None and (done or not isinstance(tx.error, HandlerTimeoutError)):
            waits.settle_args(machine, i, tx.mutation.args)
        if not done:
            return _recover(tx, plan.enters[at:])
    if table is not None:
        _all_run(tx, table.any_state, -1)


def _all_run(tx: Transition, handlers: tuple[Handler, ...], state: int) -> bool:
    for handler in handlers:
        try:
            _call(tx, handler, state)
        except Exception as exc:
            tx.accepted, tx.canceled_by, tx.error = False, handler.name, exc
            return False
    return True


def _recover(tx: Transition, interrupted: tuple[int, ...]) -> None:
    """Deactivate the states whose activation did not complete, and all that require them. Exits stay exited."""
    machine = tx.machine
    schema = machine._schema
    config = machine._config
    alive = config.mask & ~sum(1 << i for i in interrupted)
    while lost := [i for i in config.order if alive >> i & 1 and schema.require[i] & ~alive]:
        alive &= ~sum(1 << i for i in lost)
    fallen = [i for i in config.order if not alive >> i & 1]
    ticks = list(machine._time)
    for i in fallen:
        ticks[i] += 1
    machine._time = tuple(ticks)
    machine._config = schema.automaton.config([i for i in config.order if alive >> i & 1])
    if machine._scopes:
        machine._expire(fallen)


def _call(tx: Transition, handler: Handler, state: int = -1) -> object:
    """Call one handler and return what it returned.

    Raises:
        HandlerTimeoutError: it took longer than the machine's budget; its answer does not count.
    """
    machine = tx.machine
    hooks = machine._hooks
    if tx._handled is None:
        tx._handled = []
    tx._handled.append(handler.name)
    if hooks.handler_start:
        hooks.tell(hooks.handler_start, tx, handler.binding, handler.name)
    event = Event(handler.name, tx, tx.mutation.args)
    budget, now = machine._options.handler_timeout, machine._options.clock
    try:
        if handler.is_async:
            machine._start_handler(handler, event, state)
            return None
        if budget is None:
            return handler.call(event)
        started = now()
        answer = handler.call(event)
        spent = now() - started
    finally:
        if hooks.handler_end:
            hooks.tell(hooks.handler_end, tx, handler.binding, handler.name)
    if spent > budget:
        raise HandlerTimeoutError(
            f"{machine.id}: {handler.name} held the machine for {spent:.3f} s, budget {budget:g} s; "
            f"it counts as refused: move long work into an async handler, or raise handler_timeout"
        )
    return answer


def verdict(tx: Transition) -> Result:
    """Return what the caller of the mutation is told."""
    return Result.EXECUTED if tx.accepted else Result.CANCELED
