"""Background work: tasks that live as long as a state stays as it is, and the nursery that owns them.

A *scope* belongs to one tick of one state. When that tick changes (the state is activated, deactivated or re-entered)
the scope is cancelled, before the final handlers of that transition run. An expired scope is not an error: its tasks
just end. What a task raises becomes the Exception state and never reaches the nursery.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from machine.errors import MisuseError, NotOpenError
from machine.reader import Reader
from machine.schema import SchemaLike

if TYPE_CHECKING:
    import trio

    from machine.compiled import Compiled
    from machine.event import Event
    from machine.handlers import Handler
    from machine.machine import Machine

logger = logging.getLogger("asyncmachine.machine")

AsyncFunction = Callable[..., Awaitable[object]]


class StateScope:
    """The time during which one state keeps its tick. As a context manager, cancels its body when that time is over.

    ``with machine.scope("Connected") as scope: ...`` ends quietly as soon as Connected changes.
    """

    __slots__ = ("_cancel", "_index", "_machine", "state", "tick")

    def __init__(self, machine: Background, index: int) -> None:
        self._machine = machine
        self._index = index
        self.state = machine.state_names[index]
        self.tick = machine._time[index]
        self._cancel: trio.CancelScope | None = None

    @property
    def expired(self) -> bool:
        """Whether the state has changed since, or the machine is gone."""
        machine = self._machine
        return machine._disposed or machine._time[self._index] != self.tick

    def cancel(self) -> None:
        """End the body, as if the state had changed."""
        if self._cancel is not None:
            self._cancel.cancel()

    def enter_early(self) -> None:
        """Register the scope before its task has started, so that no change is missed. For the machine only."""
        import trio

        if self._cancel is not None:
            return
        self._cancel = trio.CancelScope()
        if self.expired:
            self._cancel.cancel()
        else:
            self._machine._register(self._index, self)

    def __enter__(self) -> StateScope:
        self.enter_early()
        assert self._cancel is not None
        self._cancel.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._machine._unregister(self._index, self)
        assert self._cancel is not None
        return self._cancel.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"<StateScope {self._machine.id} {self.state}:{self.tick}{' expired' if self.expired else ''}>"


class Background(Reader):
    """The part of a machine that runs tasks. Needs `open_machine`; without it, machines are purely synchronous."""

    __slots__ = ("_nursery", "_pool_limits", "_pools", "_scopes", "_tasks")

    def __init__(self, schema: Compiled, id: str, parent: Reader | None, tags: tuple[str, ...]) -> None:
        super().__init__(schema, id, parent, tags)
        self._nursery: trio.Nursery | None = None
        self._scopes: dict[int, dict[StateScope, None]] = {}
        self._tasks = 0
        self._pools: dict[str, int] = {}
        self._pool_limits: dict[str | None, int] = {}

    @property
    def is_open(self) -> bool:
        """Whether background tasks can be started: inside ``async with open_machine(…)``."""
        return self._nursery is not None

    def scope(self, state: str) -> StateScope:
        """Return the scope of a state's current tick, active or not. On a disposed machine it is expired."""
        return StateScope(self, self._indexes((state,))[0])

    def fork(self, owner: Event | str, function: AsyncFunction, *args: Any, delay: float = 0) -> bool:
        """Start ``function(*args)`` in the scope of a state, and return at once.

        Args:
            owner: the state's name; or the event of one of its handlers, if the state is still as that left it.
            function: an async function.
            delay: seconds to wait before it.

        Returns:
            Whether it was started; not so if the state has changed since the event.

        Raises:
            NotOpenError: the machine has no nursery.
        """
        if not isinstance(owner, str):
            state = self._state_of(owner)
            if not owner.is_valid() and self.tick(state) != owner.transition.ticks_after[self._index[state]]:
                return False
            owner = state
        self._start(self.scope(owner), function, args, delay)
        return True

    def go(self, function: AsyncFunction, *args: Any, delay: float = 0) -> None:
        """Start ``function(*args)`` in the background for as long as the machine is open. See `fork`."""
        self._start(None, function, args, delay)

    def set_pool_limit(self, handler: str | None, limit: int) -> None:
        """Allow at most `limit` tasks of `pool_fork` at once: per handler, or (None) over all handlers."""
        if limit < 1:
            raise MisuseError(f"a pool of {limit} tasks can never run one: give at least 1")
        self._pool_limits[handler] = limit

    def pool_fork(self, event: Event, function: AsyncFunction, *args: Any) -> bool:
        """Fork, unless the pool of this handler, or all pools together, are full; tell whether it was started."""
        limits, pools = self._pool_limits, self._pools
        if pools.get(event.name, 0) >= limits.get(event.name, 1 << 62):
            return False
        if sum(pools.values()) >= limits.get(None, 1 << 62):
            return False

        async def pooled() -> None:
            try:
                await function(*args)
            finally:
                pools[event.name] -= 1
                if not pools[event.name]:
                    del pools[event.name]

        if not self.fork(event, pooled):
            return False
        pools[event.name] = pools.get(event.name, 0) + 1
        return True

    # -- for the machine

    def _state_of(self, event: Event) -> str:
        for suffix in ("State", "End", "Enter", "Exit"):
            state = event.name.removesuffix(suffix)
            if state != event.name and state in self._index:
                return state
        raise MisuseError(f"{event.name} belongs to no single state: give the name of the state whose scope is meant")

    def _start_handler(self, handler: Handler, event: Event, state: int) -> None:
        self._start(StateScope(self, state), handler.call, (event,), 0)

    def _start(self, scope: StateScope | None, function: AsyncFunction, args: tuple[Any, ...], delay: float) -> None:
        if self._nursery is None:
            name = getattr(function, "__qualname__", function)
            raise NotOpenError(f"{self.id} cannot run {name} in the background: use `async with open_machine(…)`")
        if scope is not None:
            scope.enter_early()
        self._tasks += 1
        self._nursery.start_soon(self._run_task, scope, function, args, delay, name=function)

    async def _run_task(
        self, scope: StateScope | None, function: AsyncFunction, args: tuple[Any, ...], delay: float
    ) -> None:
        import trio

        try:
            with scope or trio.CancelScope():
                if delay:
                    await trio.sleep(delay)
                await function(*args)
        except* Exception as group:  # noqa: BLE001 - reported: becomes the Exception state
            for error in group.exceptions if len(group.exceptions) == 1 else (group,):
                self._report(error)
        finally:
            self._tasks -= 1

    def _report(self, error: BaseException) -> None:
        machine = cast("Machine", self)
        if self._disposed or machine.is_disposing:
            logger.error("%s: a task failed while the machine was going away", self.id, exc_info=error)
        else:
            logger.error("%s: a task failed", self.id, exc_info=error)
            machine.add_error(error)

    def _register(self, index: int, scope: StateScope) -> None:
        self._scopes.setdefault(index, {})[scope] = None
        self._observers_changed()

    def _unregister(self, index: int, scope: StateScope) -> None:
        scopes = self._scopes.get(index)
        if scopes is not None and scope in scopes:
            del scopes[scope]
            if not scopes:
                del self._scopes[index]
            self._observers_changed()

    def _expire(self, indexes: Iterable[int]) -> None:
        """Cancel the scopes of states whose tick has changed."""
        for index in indexes:
            for scope in self._scopes.pop(index, ()):
                scope.cancel()

    def _task_count(self) -> int:
        return self._tasks

    def _cancel_tasks(self) -> None:
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def _resume_later(self) -> None:
        """Go on with the queue when other tasks have had their turn; without a nursery, at the next call."""
        if self._nursery is not None:
            self._nursery.start_soon(self._resume)

    async def _resume(self) -> None:
        import trio

        await trio.lowlevel.checkpoint()
        cast("Machine", self)._drain()


@asynccontextmanager
async def open_machine(schema: SchemaLike | Machine, *, grace: float = 1.0, **options: Any) -> AsyncIterator[Machine]:
    """Open a machine that can run background tasks, and dispose of it at the end.

    Leaving: the state Disposing is added where it is declared, and the machine is given `grace` seconds to dispose of
    itself; then what is left is dropped, tasks are cancelled, waits released, callbacks called. All of it happens even
    if the body is cancelled.

    Args:
        schema: of a new machine; or a machine that was built before.
        grace: seconds.
        **options: of a new machine, see `Machine`.
    """
    import trio

    from machine.machine import Machine

    if isinstance(schema, Machine):
        if options:
            raise MisuseError(f"{', '.join(options)}: a machine that was built before takes no options here")
        machine = schema
    else:
        handlers = options.pop("handlers", None)
        machine = Machine(schema, **options)
        for one in handlers if isinstance(handlers, list | tuple) else [handlers] if handlers is not None else []:
            machine.bind(one)
    machine._alive()
    if machine._nursery is not None:
        raise MisuseError(f"{machine.id} is open already")
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        machine._nursery = nursery
        try:
            yield machine
        except BaseException as error:  # noqa: BLE001 - raised again below; the nursery would wrap it into a group
            failure = error
        nursery.cancel_scope.shield = True  # the tasks that Disposing starts outlive the body's cancellation
        with trio.move_on_after(grace, shield=True):
            await _wind_up(machine)
        machine.dispose()
        nursery.cancel_scope.cancel()
    machine._nursery = None
    if failure is not None:
        raise failure


async def _wind_up(machine: Machine) -> None:
    if machine._disposed or not machine.has("Disposing"):
        return
    machine.add("Disposing")
    await machine.when_disposed()
