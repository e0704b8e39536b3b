"""The machine: a queue of mutations in front of a clock.

All of it is plain synchronous code in one thread. A mutation that finds the machine idle is carried out at once, with
all that follows from it, before the call returns; one that comes from a handler is queued and gets a `Ticket`.
Mutations never nest.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from machine.automaton import Config, Plan
from machine.background import Background
from machine.clock import Clock, Time
from machine.compiled import Compiled, compile_schema
from machine.errors import BindError, DisposedError, MisuseError, NestedEvalError
from machine.handlers import Binding, HandlerTable, read_handlers
from machine.mutation import Mutation, Result, Source, Ticket
from machine.pipes import deliver, forget_pipes
from machine.resolver import MutationType
from machine.runner import CAUSE, run, verdict
from machine.schema import EXCEPTION, Schema, SchemaLike
from machine.snapshot import Snapshot, check_fit
from machine.tracer import Tracer
from machine.transition import Transition

if TYPE_CHECKING:
    pass

logger = logging.getLogger("asyncmachine.machine")
ADD, REMOVE, SET = MutationType
ERROR_RESERVE = 64  # places of the queue beyond its limit that only mutations of Exception may take
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """How a machine behaves. One object is shared by all machines that are built with the same options.

    Attributes:
        queue_limit: mutations that may wait at once; more are canceled and counted.
        handler_timeout: seconds that one handler may hold the machine before it counts as refused; None: any time.
        drain_budget: mutations that are processed in one go before other tasks get a turn.
        raise_errors: let what a handler raises leave the mutation call too, for debugging.
        on_change: called with (machine, time before, time after) after every transition, canceled ones included.
        on_error: called with (machine, error) when an error becomes the Exception state.
        clock: seconds from anywhere, monotonic; measures handlers.
    """

    queue_limit: int = 1000
    handler_timeout: float | None = 0.1
    drain_budget: int = 10_000
    raise_errors: bool = False
    on_change: Callable[[Machine, Time, Time], object] | None = None
    on_error: Callable[[Machine, BaseException], object] | None = None
    clock: Callable[[], float] = time.perf_counter


_DEFAULTS = Options()


@dataclass(slots=True)
class _Counts:
    canceled: int = 0
    dropped: int = 0
    duplicates: int = 0
    errors: int = 0
    handler_timeouts: int = 0
    drain_pauses: int = 0
    callback_errors: int = 0


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a machine has done and refused so far; every number only grows but the last three.

    ``transitions`` counts all processed mutations, of which ``canceled`` were refused. ``dropped`` mutations never ran
    (full queue, disposal); ``duplicates`` were found to be in the queue already.
    """

    transitions: int
    canceled: int
    dropped: int
    duplicates: int
    errors: int
    handler_timeouts: int
    drain_pauses: int
    callback_errors: int
    tracer_errors: int
    queued: int
    waits: int
    tasks: int


class Machine(Background):
    """A clock-based state machine.

    Args:
        schema: a `Schema`, its class form, or a mapping from name to `State`.
        id: its name, unique where its clock is shared; 16 random hex digits by default.
        parent: the machine that this one belongs to; its tracers are told.
        tags: free words, by convention ``key`` or ``key:value``.
        handlers: one set of handlers, or several in a list; see `bind`.
        tracers: tracers that see the machine from its birth.
        **options: see `Options`.

    Raises:
        SchemaError: the schema contradicts itself.
        BindError: handlers do not fit the schema.
    """

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
        "_queue",
        "_queue_tick",
        "_quiet",
        "_seq",
        "_table",
        "_transition",
        "machine_tick",
        "schema_version",
    )

    def __init__(
        self,
        schema: SchemaLike,
        *,
        id: str | None = None,
        parent: Machine | None = None,
        tags: str | Iterable[str] = (),
        handlers: object = None,
        tracers: Iterable[Tracer] = (),
        **options: Any,
    ) -> None:
        compiled = compile_schema(Schema.of(schema))
        if id is not None and (not id or type(id) is not str):
            raise MisuseError(f"id={id!r} is no name: give a string, or leave it out")
        if parent is not None and not isinstance(parent, Machine):
            raise MisuseError(f"parent={parent!r} is no Machine")
        super().__init__(compiled, id or secrets.token_hex(8), parent, _tags(tags))
        self._options = _options(options) if options else _DEFAULTS
        self._config: Config = compiled.automaton.config(())
        self._queue: deque[Mutation] | tuple[()] = ()
        self._queue_tick = 1
        self._appended = 0
        self._seq = 0
        self._counts = _Counts()
        self._bindings: tuple[Binding, ...] = ()
        self._table: HandlerTable | None = None
        self._transition: Transition | None = None
        self._last_error: BaseException | None = None
        self._on_dispose: tuple[Callable[[Machine], object], ...] = ()
        self._draining = self._disposing = False
        self.machine_tick = 0
        self.schema_version = 1
        for tracer in tracers:
            self._hooks = self._hooks.adding(tracer)
        self._observers_changed()
        for one in handlers if isinstance(handlers, list | tuple) else [handlers] if handlers is not None else []:
            self.bind(one)
        if self._hooks.machine_init:
            self._hooks.tell(self._hooks.machine_init, self)
        if parent is not None and parent._hooks.new_submachine:
            parent._hooks.tell(parent._hooks.new_submachine, parent, self)

    # -- mutations

    def add(self, *states: str, **args: Any) -> Result:
        """Activate states, on top of those that are active.

        Returns:
            The verdict; from inside a handler, a `Ticket` for it. `args` reach the handlers as ``event.args``.

        Raises:
            UnknownStateError: a name is no state. DisposedError: the machine is gone.
        """
        if self._quiet and not args:
            try:
                plan = self._config.adds.get(states)
            except TypeError:
                plan = None
            if plan is not None:
                return self._step(plan)
        return self._mutate(ADD, states, args)

    def remove(self, *states: str, **args: Any) -> Result:
        """Deactivate states. Never refused by relations: what requires them goes with them. See `add`."""
        if self._quiet and not args:
            try:
                plan = self._config.removes.get(states)
            except TypeError:
                plan = None
            if plan is not None:
                return self._step(plan)
        return self._mutate(REMOVE, states, args)

    def set(self, *states: str, **args: Any) -> Result:
        """Activate exactly these states (and what they add), and deactivate all others. See `add`."""
        if self._quiet and not args:
            try:
                plan = self._config.sets.get(states)
            except TypeError:
                plan = None
            if plan is not None:
                return self._step(plan)
        return self._mutate(SET, states, args)

    def toggle(self, *states: str, **args: Any) -> Result:
        """Remove the states if all of them are active now, else add them all. See `add`."""
        return self.remove(*states, **args) if self.is_active(*states) else self.add(*states, **args)

    def add_error(self, error: BaseException | None, state: str | None = None, **args: Any) -> Result:
        """Activate Exception, and `state` with it, because of `error`.

        The error is kept as `last_error` and reaches handlers as ``event.args["error"]``. None, and the cancellation of
        a trio task, are no errors: `Result.CANCELED`, nothing recorded. So is an error from a handler of Exception
        itself, which is logged.
        """
        if error is None or type(error).__name__ == "Cancelled":
            return Result.CANCELED
        if not isinstance(error, BaseException):
            raise MisuseError(f"{error!r} is no exception: give one, such as RuntimeError({str(error)!r})")
        extra = () if state is None else (state,)
        self._indexes(extra)
        self._alive()
        if self._disposing:
            return self._drop()
        self._counts.errors += 1
        self._last_error = error
        if (
            self._draining
            and self._transition is not None
            and self._schema.exception in self._transition.mutation.called
        ):
            logger.error("%s: an error while it handled an error", self.id, exc_info=error)
            return Result.CANCELED
        if self._options.on_error is not None:
            self._call_back(self._options.on_error, self, error)
        return self._submit(self._error_mutation(extra, error, args, self._cause()))

    def can_add(self, *states: str, **args: Any) -> Result:
        """Ask relations and negotiation handlers whether `add` would be accepted; nothing changes.

        From a handler it has to wait for its turn: await the ticket. A multi state may be called at any time, so
        relations alone do not refuse one.
        """
        return self._check(ADD, states, args)

    def can_remove(self, *states: str, **args: Any) -> Result:
        """Ask negotiation handlers whether `remove` would be accepted; nothing changes. See `can_add`."""
        return self._check(REMOVE, states, args)

    def prepend(self, type: MutationType, *states: str, **args: Any) -> Result:
        """Put a mutation in front of all that waits in the queue; on an idle machine, carry it out. See `add`."""
        called = self._called(states)
        self._alive()
        if self._disposing:
            return self._drop()
        mutation = Mutation(MutationType(type), called, self._names(called), args, source=self._cause())
        self._prepend(mutation)
        return self._settle_caller(mutation)

    # -- eval

    def eval(self, function: Callable[[], T]) -> T:
        """Run a function between transitions and return its value; mutations that it makes are carried out after it.

        Raises:
            NestedEvalError: from a handler or another eval, which already have the machine to themselves.
        """
        self._alive()
        if self._draining:
            raise NestedEvalError(
                f"{self.id} is busy: a handler or an eval has the machine to itself already, call the function"
            )
        self._draining = True
        self._quiet = False
        try:
            return function()
        finally:
            self._draining = False
            self._drain()

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

    def queue(self) -> tuple[Mutation, ...]:
        """Return the mutations that wait, first one first."""
        return tuple(self._queue)

    @property
    def queue_len(self) -> int:
        """How many mutations wait."""
        return len(self._queue)

    def is_queued(
        self,
        type: MutationType,
        states: Iterable[str],
        *,
        without_args: bool = False,
        exact: bool = False,
        is_check: bool = False,
        min_queue_tick: int = 0,
        position: Literal["any", "first", "last"] = "any",
    ) -> Mutation | None:
        """Return the first waiting mutation that calls at least (or exactly) these states; None if there is none."""
        wanted = frozenset(self._indexes(tuple(states)))
        queue = list(self._queue)
        chosen = {"any": queue, "first": queue[:1], "last": queue[-1:]}[position]
        return next(
            (m for m in chosen if _matches(m, type, wanted, without_args, exact, is_check, min_queue_tick)),
            None,
        )

    def is_queued_above(self, count: int, type: MutationType, states: Iterable[str], **conditions: Any) -> bool:
        """Tell whether at least `count` waiting mutations match; for rate limits. See `is_queued`."""
        wanted = frozenset(self._indexes(tuple(states)))
        options = {
            "without_args": False,
            "exact": False,
            "is_check": False,
            "min_queue_tick": 0,
            **conditions,
        }
        return sum(_matches(m, type, wanted, **options) for m in self._queue) >= count

    def will_be(self, *states: str, position: Literal["any", "first", "last"] = "any") -> bool:
        """Tell whether a waiting mutation adds all these states."""
        return self.is_queued(ADD, states, position=position) is not None

    def will_be_removed(self, *states: str, position: Literal["any", "first", "last"] = "any") -> bool:
        """Tell whether a waiting mutation removes all these states."""
        return self.is_queued(REMOVE, states, position=position) is not None

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

    # -- handlers

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The bound sets of handlers, in the order in which they are called."""
        return self._bindings

    def bind(self, handlers: object, *, id: str | None = None, prefix: str = "") -> Binding:
        """Let the methods of an object, or the functions of a mapping, handle the events of their names.

        Args:
            handlers: see the module `machine.handlers`.
            id: the name of the set.
            prefix: read ``OpenState`` as ``DoorOpenState``, for one set of handlers on several groups of states.

        Raises:
            BindError: a name is misspelt, ambiguous or cannot be called; nothing was bound.
        """
        self._alive()
        name = id or f"{type(handlers).__name__}-{len(self._bindings)}"
        if any(b.id == name for b in self._bindings):
            raise BindError(f"handlers with the id {name!r} are bound already: give another id, or unbind those first")
        binding = read_handlers(handlers, self._schema, name, prefix)
        self._bindings = (*self._bindings, binding)
        self._rebuild_table()
        if len(self._bindings) == 1 and self.is_error and self._last_error is not None:
            self.add_error(self._last_error)  # so that the first ExceptionState learns of it
        return binding

    def unbind(self, binding: Binding | str) -> None:
        """Take off a set of handlers, given what `bind` returned or its id."""
        kept = tuple(b for b in self._bindings if b is not binding and b.id != binding)
        if len(kept) == len(self._bindings):
            raise BindError(f"{binding!r} is not bound; there are: {[b.id for b in self._bindings]}")
        self._bindings = kept
        self._rebuild_table()

    def _rebuild_table(self) -> None:
        self._table = HandlerTable(self._bindings) if self._bindings else None
        self._observers_changed()

    # -- waiting

    async def when_args(self, state: str, **args: Any) -> Clock:
        """Wait for the next activation (or re-entry) of a state with at least these args, compared by equality."""
        from machine.waiting import ARGS, Wait, wait_for

        need = tuple((i, 0) for i in self._indexes((state,)))
        return await wait_for(self, Wait(ARGS, need, args=args))

    async def when_idle(self) -> Clock:
        """Wait until the queue is worked off."""
        from machine.waiting import IDLE, TICKS, Wait, wait_for

        return await wait_for(self, Wait(TICKS if self.is_idle else IDLE))

    # -- schema, snapshot

    def verify_states(self, names: Iterable[str]) -> None:
        """Fix the order of the states, which is the order of time vectors. Without a call: the schema's own."""
        schema = compile_schema(self.schema.ordered(names))
        self._replace_schema(schema, [self._index[n] for n in schema.names])
        self._hooks.tell(self._hooks.verify_states, self)

    def set_schema(self, schema: SchemaLike) -> None:
        """Replace the schema between transitions: other relations, or more states. Ticks and active states stay.

        The old states must all be there; they keep their places and new ones follow. New relations apply from the
        next transition on. A schema that does not fit changes nothing.
        """
        new, old = Schema.of(schema), self.schema
        missing = [n for n in old.names if n not in new]
        if missing:
            raise MisuseError(f"the new schema lacks {', '.join(missing)}: a running machine may only gain states")
        order = [*old.names, *(n for n in new.names if n not in old)]
        compiled = compile_schema(new if list(new.names) == order else new.ordered(order))
        self._replace_schema(compiled, range(len(old.names)))
        self.schema_version += 1
        self._hooks.tell(self._hooks.schema_change, self, old)

    def _replace_schema(self, compiled: Compiled, sources: Iterable[int]) -> None:
        self._alive()
        if self._draining:
            raise MisuseError(f"{self.id} is in a transition: change its schema from outside of handlers")
        if self._bindings and compiled.names[: len(self.state_names)] != self.state_names:
            raise MisuseError(f"{self.id} has handlers bound: fix the order of its states before binding")
        if (
            self._waits is not None
            and self._waits.count
            and compiled.names[: len(self.state_names)] != self.state_names
        ):
            raise MisuseError(f"{self.id} has tasks waiting: fix the order of its states before they do")
        ticks = [self._time[i] for i in sources]
        order = [compiled.index[n] for n in self.active_states()]
        self._time = (*ticks, *([0] * (len(compiled.names) - len(ticks))))
        self._schema, self._index = compiled, compiled.index
        self._config = compiled.automaton.config(order)

    def export(self) -> Snapshot:
        """Return the clock as a value that `restore` and JSON take."""
        return Snapshot(self.id, self.state_names, self._time, self._queue_tick, self.machine_tick)

    def restore(self, snapshot: Snapshot) -> None:
        """Take over the clock, and the order of states, of an earlier life of this machine.

        For a machine that has just been built. Its machine tick becomes the snapshot's + 1. No handlers run; then
        MachineRestored is added, where it is declared.

        Raises:
            SnapshotError: another id, other states, or an earlier moment than the present. Nothing was changed.
        """
        self._alive()
        if self._draining:
            raise MisuseError(f"{self.id} is in a transition: restore it from outside of handlers")
        check_fit(self, snapshot)
        if snapshot.state_names != self.state_names:
            self.verify_states(snapshot.state_names)
        self._time = tuple(snapshot.time)
        self._config = self._schema.automaton.config([i for i, t in enumerate(self._time) if t & 1])
        self.machine_tick = snapshot.machine_tick + 1
        self._hooks.tell(self._hooks.machine_restored, self)
        if self._waits is not None:
            self._waits.settle(self, range(len(self._time)))
        if self.has("MachineRestored"):
            self.add("MachineRestored")

    def set_tags(self, *tags: str) -> None:
        """Replace the tags."""
        self.tags = _tags(tags)

    # -- disposal

    @property
    def is_disposing(self) -> bool:
        """Whether disposal has begun: mutations are canceled."""
        return self._disposing

    def on_dispose(self, callback: Callable[[Machine], object]) -> None:
        """Have a function called with the machine when it is disposed of."""
        self._alive()
        self._on_dispose = (*self._on_dispose, callback)

    def dispose(self) -> None:
        """Stop for good: remove Start, drop what is queued, cancel tasks, release waits, cut pipes. Twice is once.

        From a handler: at the end of its transition.
        """
        if self._disposed or self._disposing:
            return
        if not self._draining and self.has("Start") and self.is_active("Start"):
            self.remove("Start")
        self._disposing = True
        self._quiet = False
        if not self._draining:
            self._drain()

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
        if plan.triggers_auto and self._config.auto_called:
            auto = self._config.find_auto()
            assert auto is not None
            self._advance(auto)
        if self._queue or self._mail:  # from tracers
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
        if hooks.transition_end:
            cause = CAUSE.get()
            source = None if cause is None else cause.as_source()
            tx = Transition(self, plan, before, self._time, self._seq - 1, None, source)
            self._transition = tx
            self._quiet = False
            self._draining = True
            try:
                for method in hooks.transition_end:
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
        config = self._config
        known = (config.adds, config.removes, config.sets)[kind]
        try:
            plan = known.get(states)
        except TypeError:
            plan = None
        if plan is None:
            called = self._called(states)
            if self._draining:  # its plan will start from another configuration
                return self._submit(Mutation(kind, called, self._names(called), args, source=self._cause()))
            plan = known[states] = config.plan(kind, called)
            config.automaton.count()
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
        deliver(self)
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


def _matches(
    mutation: Mutation,
    type: MutationType,
    wanted: frozenset[int],
    without_args: bool,
    exact: bool,
    is_check: bool,
    min_queue_tick: int,
) -> bool:
    called = frozenset(mutation.called)
    return (
        mutation.type is type
        and mutation.is_check is is_check
        and (called == wanted if exact else called >= wanted)
        and not (without_args and mutation.args)
        and mutation.queue_tick >= min_queue_tick
    )


def _tags(tags: str | Iterable[str]) -> tuple[str, ...]:
    found = (tags,) if isinstance(tags, str) else tuple(tags)
    for tag in found:
        if not isinstance(tag, str):
            raise MisuseError(f"the tag {tag!r} is no string")
    return tuple(dict.fromkeys(found))


def _options(options: dict[str, Any]) -> Options:
    try:
        made = Options(**options)
    except TypeError:
        from machine.errors import did_you_mean

        wrong = next(o for o in options if o not in Options.__slots__)
        raise MisuseError(f"{wrong!r} is no option of Machine{did_you_mean(wrong, Options.__slots__)}") from None
    if made.queue_limit < 1 or made.drain_budget < 1:
        raise MisuseError("queue_limit and drain_budget must be at least 1")
    return made
