"""The queue in front of a clock: what becomes of a mutation between its call and its verdict.

A mutation that finds the machine idle is carried out at once, with all that follows from it, before the call returns;
one that comes from a handler is queued. Appended ones are first in, first out; autos, errors of handlers and dry runs
are put in front. Mutations never nest.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from machine.automaton import Config, Plan
from machine.backlog import Backlog
from machine.compiled import Compiled
from machine.errors import DisposedError
from machine.handlers import Binding, HandlerTable
from machine.mutation import Mutation, Result, Source, Ticket
from machine.options import Counts, Options, Statistics
from machine.pipes import deliver, forget_pipes
from machine.resolver import MutationType
from machine.runner import CAUSE, run, verdict
from machine.state import EXCEPTION
from machine.transition import Transition

if TYPE_CHECKING:
    from machine.machine import Machine
    from machine.reader import Reader

logger = logging.getLogger("asyncmachine.machine")
ADD, REMOVE, SET = MutationType
ERROR_RESERVE = 64  # places of the queue beyond its limit that only mutations of Exception may take
T = TypeVar("T")


class Queue(Backlog):
    """The part of a machine that takes mutations, works them off, and ends."""

    __slots__ = (
        "_appended",
        "_bindings",
        "_config",
        "_counts",
        "_disposing",
        "_draining",
        "_last_error",
        "_on_dispose",
        "_options",
        "_queue_tick",
        "_quiet",
        "_seq",
        "_table",
        "_transition",
        "machine_tick",
    )

    def __init__(
        self, schema: Compiled, id: str, parent: Reader | None, tags: tuple[str, ...], options: Options
    ) -> None:
        super().__init__(schema, id, parent, tags)
        self._options = options
        self._config: Config = schema.automaton.config(())
        self._queue_tick = 1
        self._appended = 0
        self._seq = 0
        self._counts = Counts()
        self._bindings: tuple[Binding, ...] = ()
        self._table: HandlerTable | None = None
        self._transition: Transition | None = None
        self._last_error: BaseException | None = None
        self._on_dispose: tuple[Callable[[Machine], object], ...] = ()
        self._draining = self._disposing = False
        self.machine_tick = 0
        self._observers_changed()

    # -- what it is doing

    @property
    def transition(self) -> Transition | None:
        """The transition in progress, or the last one while the queue is being worked off; None when idle."""
        return self._transition

    @property
    def last_error(self) -> BaseException | None:
        """The newest error; it stays when Exception is removed."""
        return self._last_error

    @property
    def queue_tick(self) -> int:
        """The logical clock of the queue: 1 more for each appended mutation that was taken."""
        return self._queue_tick

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self._draining and not self._queue

    @property
    def options(self) -> Options:
        """The options of this machine."""
        return self._options

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """The named groups of states of the schema."""
        return self.schema.groups

    def statistics(self) -> Statistics:
        """Return all counters."""
        c = self._counts
        return Statistics(
            transitions=self._seq,
            canceled=c.canceled,
            dropped=c.dropped,
            duplicates=c.duplicates,
            errors=c.errors,
            handler_timeouts=c.handler_timeouts,
            drain_pauses=c.drain_pauses,
            callback_errors=c.callback_errors,
            tracer_errors=self._hooks.errors,
            queued=len(self._queue),
            waits=self._waits.count if self._waits is not None else 0,
            tasks=self._task_count(),
        )

    # -- disposal

    @property
    def is_disposing(self) -> bool:
        """Whether disposal has begun: mutations are canceled."""
        return self._disposing

    def on_dispose(self, callback: Callable[[Machine], object]) -> None:
        """Have a function called with the machine when it is disposed of."""
        self._alive()
        self._on_dispose = (*self._on_dispose, callback)

    def _finish_disposal(self) -> None:
        last = self.clock()
        for mutation in self._queue:
            self._drop(mutation)
        self._queue, self._appended = (), 0
        self._expire(range(len(self._time)))
        forget_pipes(self)
        hooks = self._hooks
        self._disposed = True
        self._time, self._config = self._schema.zero, self._schema.automaton.config(())
        self._bindings, self._table, self._transition = (), None, None
        if hooks.machine_dispose:
            hooks.tell(hooks.machine_dispose, self)
        if self._waits is not None:
            self._waits.dispose(self, last)
        callbacks, self._on_dispose = self._on_dispose, ()
        for callback in callbacks:
            self._call_back(callback, self)
        self._cancel_tasks()

    # -- the queue

    def _step(self, plan: Plan) -> Result:
        """Carry out a plan on an idle machine without handlers: the short form of `_submit`."""
        self._queue_tick += 1
        self._advance(plan)
        if plan.triggers_auto and self._config.auto_called and not self._disposing:
            auto = self._config.find_auto()
            assert auto is not None
            self._advance(auto)
        if self._queue or self._mail or self._disposing:  # by tracers
            self._drain()
        return Result.EXECUTED if plan.accepted else Result.CANCELED

    def _advance(self, plan: Plan) -> None:
        before = self._time
        if (single := plan.single) is not None:
            ticks = list(before)
            ticks[single[0]] += single[1]
            self._time = tuple(ticks)
        elif plan.deltas:
            self._time = plan.apply(before)
        elif not plan.accepted:
            self._counts.canceled += 1
        self._config = plan.after
        self._seq += 1
        hooks = self._hooks
        methods = hooks.changed if plan.accepted else hooks.transition_end
        if methods:
            cause = CAUSE.get()
            source = None if cause is None else cause.as_source()
            tx = Transition(self, plan, before, self._time, self._seq - 1, None, source)
            self._transition = tx
            self._quiet = False
            self._draining = True
            try:
                for method in methods:
                    try:
                        method(tx)
                    except Exception:
                        hooks.failed(method)
            finally:
                self._transition = None
                self._draining = False
                if self._queue or hooks is not self._hooks:
                    self._observers_changed()
                else:
                    self._quiet = True
        if self._waits is not None and self._waits.watched & plan.changed:
            self._waits.settle(self, [i for i, _ in plan.deltas])

    def _mutate(self, kind: MutationType, states: tuple[str, ...], args: Mapping[str, Any]) -> Result:
        if self._draining:  # its plan will start from another configuration
            called = self._called(states)
            return self._submit(Mutation(kind, called, self._names(called), args, source=self._cause()))
        config = self._config
        try:
            plan = config.known(kind).get(states)
        except TypeError:  # not even names; the next line says so
            plan = None
        if plan is None:
            plan = config.plan(kind, states, self._called(states))
        if self._quiet and not args:
            return self._step(plan)
        return self._submit(Mutation(kind, plan.called, plan.states, args, source=self._cause()))

    def _check(self, kind: MutationType, states: tuple[str, ...], args: Mapping[str, Any]) -> Result:
        called = self._called(states)
        self._alive()
        if self._disposing:
            return self._drop()
        mutation = Mutation(kind, called, self._names(called), args, is_check=True, source=self._cause())
        self._prepend(mutation)
        return self._settle_caller(mutation)

    def _submit(self, mutation: Mutation) -> Result:
        """Append a mutation unless there is a reason not to, and work the queue off unless that goes on already."""
        self._alive()
        if self._disposing:
            return self._drop()
        room = self._options.queue_limit + (ERROR_RESERVE if self._schema.exception in mutation.called else 0)
        if len(self._queue) >= room:
            logger.warning("%s: the queue is full (%d), %r is canceled", self.id, len(self._queue), mutation)
            return self._drop()
        if self._draining and self._is_needless(mutation):
            self._counts.duplicates += 1
            return Result.EXECUTED
        if isinstance(self._queue, tuple):  # an empty deque is 600 bytes; most machines never queue anything
            self._queue = deque()
        self._appended += 1
        mutation.queue_tick = self._queue_tick + self._appended
        self._queue.append(mutation)
        if self._hooks.mutation_queued:
            self._hooks.tell(self._hooks.mutation_queued, self, mutation)
        return self._settle_caller(mutation)

    def _settle_caller(self, mutation: Mutation) -> Result:
        if not self._draining:
            self._drain()
            if mutation.done:
                return mutation.result
        mutation.ticket = Ticket(mutation.queue_tick or None)
        return mutation.ticket

    def _prepend(self, mutation: Mutation) -> None:
        if isinstance(self._queue, tuple):  # an empty deque is 600 bytes; most machines never queue anything
            self._queue = deque()
        self._queue.appendleft(mutation)
        if self._hooks.mutation_queued:
            self._hooks.tell(self._hooks.mutation_queued, self, mutation)

    def _is_needless(self, mutation: Mutation) -> bool:
        """Tell whether a mutation from a handler has nothing to add to what is queued or active."""
        queue = self._queue
        if mutation.type is REMOVE and not queue and not any(self._time[i] & 1 for i in mutation.called):
            return True
        if mutation.args or any(self._schema.multi >> i & 1 for i in mutation.called):
            return False
        called = frozenset(mutation.called)
        for queued in reversed(queue):
            if not queued.is_check and queued.touches(called):
                return queued.type is mutation.type and not queued.args and frozenset(queued.called) == called
        return False

    def _drain(self) -> None:
        """Work the queue off. What a handler raises stays inside; a budget keeps one machine from starving the rest."""
        if self._draining:
            return
        self._draining = True
        self._quiet = False
        budget, failure = self._options.drain_budget, None
        try:
            while self._queue and not self._disposing:
                if budget <= 0:
                    self._counts.drain_pauses += 1
                    break
                budget -= 1
                mutation = self._queue.popleft()
                if mutation.queue_tick:
                    self._queue_tick += 1
                    self._appended -= 1
                failure = self._process(mutation) or failure
        finally:
            self._draining = False
            self._transition = None
            if self._disposing and not self._disposed:
                self._finish_disposal()
            self._observers_changed()
        if self._queue:
            self._resume_later()
        elif not self._disposed:
            if self._hooks.queue_end:
                self._hooks.tell(self._hooks.queue_end, self)
            if self._waits is not None:
                self._waits.settle_idle(self)
        if not deliver(self, self._options.drain_budget):
            self._counts.drain_pauses += 1
            self._resume_later()
        if failure is not None:
            raise failure

    def _process(self, mutation: Mutation) -> BaseException | None:
        """Run one mutation, wake whom it concerns, tell its caller; return the error that is to leave the call."""
        before, result = self._time, Result.CANCELED
        try:
            tx = run(self, mutation)
            result = verdict(tx)
        finally:
            if result is Result.CANCELED:
                self._counts.canceled += 1
            if self._waits is not None and self._time is not before:
                self._waits.settle(self, [i for i, t in enumerate(before) if t != self._time[i]])
            mutation.finish(result)
        return tx.error if self._options.raise_errors else None

    def _drop(self, mutation: Mutation | None = None) -> Result:
        self._counts.dropped += 1
        if mutation is not None:
            mutation.finish(Result.CANCELED)
        return Result.CANCELED

    # -- small parts

    def _called(self, states: tuple[str, ...]) -> tuple[int, ...]:
        called = self._indexes(states)
        return called if len(called) < 2 else tuple(dict.fromkeys(called))

    def _names(self, indexes: Iterable[int]) -> tuple[str, ...]:
        names = self._schema.names
        return tuple(names[i] for i in indexes)

    def _error_mutation(
        self, extra: tuple[str, ...], error: BaseException, args: Mapping[str, Any], source: Source | None
    ) -> Mutation:
        called = self._called((*extra, EXCEPTION))
        return Mutation(ADD, called, self._names(called), {**args, "error": error}, source=source)

    def _cause(self) -> Source | None:
        cause = CAUSE.get()
        return cause.as_source() if cause is not None else None

    def _overran(self, error: BaseException) -> None:
        self._counts.handler_timeouts += 1
        logger.warning("%s", error)

    def _call_back(self, callback: Callable[..., T], *args: Any) -> T | None:
        try:
            return callback(*args)
        except Exception:
            self._counts.callback_errors += 1
            logger.exception("%s: callback %r failed", self.id, callback)
            return None

    async def _call_back_async(self, callback: object, answer: Awaitable[object]) -> None:
        try:
            await answer
        except Exception:
            self._counts.callback_errors += 1
            logger.exception("%s: callback %r failed", self.id, callback)

    def _alive(self) -> None:
        if self._disposed:
            raise DisposedError(f"{self.id} is disposed of: build a new machine, or restore one from its snapshot")

    def _active_order(self) -> Iterator[int]:
        return iter(self._config.order)

    def _waits_changed(self) -> None:
        self._observers_changed()

    def _observers_changed(self) -> None:
        """Decide whether mutations may take the short way: nobody is watching, nothing is queued."""
        self._quiet = (
            self._table is None
            and not self._hooks.inner
            and not self._queue
            and not self._draining
            and not self._disposing
            and not self._disposed
            and not self._scopes
            and self._options.on_change is None
            and (self._waits is None or not self._waits.special)
        )
