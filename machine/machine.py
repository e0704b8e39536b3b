"""The machine: what people call.

All of it is plain synchronous code in one thread; only waiting and background tasks need trio. The floors below:
`Reader` (queries and waits, the same for replicas), `Background` (tasks), `Queue` (what becomes of a mutation).
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from machine.clock import Clock
from machine.compiled import Compiled, compile_schema
from machine.errors import BindError, MisuseError, NestedEvalError
from machine.handlers import Binding, HandlerTable, read_handlers
from machine.mutation import Mutation, Result
from machine.options import read_options
from machine.queue import Queue
from machine.resolver import MutationType
from machine.schema import Schema, SchemaLike
from machine.snapshot import Snapshot, check_fit
from machine.tracer import Tracer

logger = logging.getLogger("asyncmachine.machine")
ADD, REMOVE, SET = MutationType
T = TypeVar("T")


class Machine(Queue):
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

    __slots__ = ("schema_version",)

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
        super().__init__(compiled, id or secrets.token_hex(8), parent, _tags(tags), read_options(options))
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


def _tags(tags: str | Iterable[str]) -> tuple[str, ...]:
    found = (tags,) if isinstance(tags, str) else tuple(tags)
    for tag in found:
        if not isinstance(tag, str):
            raise MisuseError(f"the tag {tag!r} is no string")
    return tuple(dict.fromkeys(found))
