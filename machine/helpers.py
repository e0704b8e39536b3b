"""Common questions and idioms in one call each."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from machine.clock import Clock
from machine.errors import AsyncMachineError, MisuseError
from machine.machine import Machine
from machine.mutation import Result
from machine.pipes import bind_many, sync
from machine.reader import Reader

if TYPE_CHECKING:
    from machine.schema import SchemaLike

T = TypeVar("T")


class ExceptionStateError(AsyncMachineError):
    """Report that the Exception state came up while something else was awaited. The cause is its ``__cause__``."""


async def add_sync(machine: Machine, *states: str, **args: Any) -> bool:
    """Add states, wait until that is fully processed, and tell whether all are active then."""
    result = await machine.add(*states, **args)
    return result.executed and machine.is_active(*states)


async def remove_sync(machine: Machine, *states: str, **args: Any) -> bool:
    """Remove states, wait until that is fully processed, and tell whether all are inactive then."""
    result = await machine.remove(*states, **args)
    return result.executed and machine.is_inactive(*states)


async def add_async(machine: Machine, wait_for: str, *states: str, **args: Any) -> Clock | None:
    """Add states and wait for the next activation of `wait_for` after that; None if the mutation is canceled."""
    from machine.waiting import TICKS, Wait
    from machine.waiting import wait_for as wait

    tick = machine.tick(wait_for)
    need = ((machine.index(wait_for)[0], tick + (2 if tick & 1 else 1)),)
    if (await machine.add(*states, **args)).canceled:
        return None
    return await wait(machine, Wait(TICKS, need))


def ask_add(machine: Machine, *states: str, **args: Any) -> Result:
    """Add states only if a dry run says that they would be accepted, so that a refusal is only ever a dry run's."""
    verdict = machine.can_add(*states, **args)
    if not verdict.queued and verdict.canceled:
        return verdict
    return machine.add(*states, **args)


def cannot_add(machine: Machine, *states: str, **args: Any) -> bool:
    """Tell whether a dry run refuses these states. Not from a handler, where a dry run has to wait."""
    return not machine.can_add(*states, **args)


def cannot_remove(machine: Machine, *states: str, **args: Any) -> bool:
    """Tell whether a dry run refuses to remove these states. Not from a handler, where a dry run has to wait."""
    return not machine.can_remove(*states, **args)


async def wait_for_all(*waits: Awaitable[T], within: float | None = None, error_of: Reader | None = None) -> list[T]:
    """Wait for all of several waits, such as ``m.when("A")``, and return what they returned, in order.

    Args:
        waits: coroutines.
        within: seconds; None: for ever.
        error_of: give up when this machine gets its Exception state.

    Raises:
        TimeoutError: it took too long. ExceptionStateError: the machine failed.
    """
    results: dict[int, T] = {}
    await _race(waits, len(waits), results, within, error_of)
    return [results[i] for i in range(len(waits))]


async def wait_for_any(
    *waits: Awaitable[T], within: float | None = None, error_of: Reader | None = None
) -> tuple[int, T]:
    """Wait for the first of several waits; return its position and what it returned. See `wait_for_all`."""
    results: dict[int, T] = {}
    await _race(waits, 1, results, within, error_of)
    first = min(results)
    return first, results[first]


async def _race(
    waits: Sequence[Awaitable[T]],
    wanted: int,
    results: dict[int, T],
    within: float | None,
    error_of: Reader | None,
) -> None:
    import trio

    if not waits:
        raise MisuseError("nothing to wait for: give at least one wait, such as machine.when('Ready')")
    failure: BaseException | None = None

    async def one(at: int) -> None:
        nonlocal failure
        try:
            results[at] = await waits[at]
        except Exception as error:  # noqa: BLE001 - raised by the caller of this race
            failure = failure or error
            nursery.cancel_scope.cancel()
        if len(results) >= wanted:
            nursery.cancel_scope.cancel()

    async def watch(reader: Reader) -> None:
        nonlocal failure
        await reader.when_error()
        failure = ExceptionStateError(f"{reader.id} got its Exception state")
        failure.__cause__ = getattr(reader, "last_error", None)
        nursery.cancel_scope.cancel()

    with trio.move_on_after(float("inf") if within is None else within) as limit:
        async with trio.open_nursery() as nursery:
            for at in range(len(waits)):
                nursery.start_soon(one, at)
            if error_of is not None:
                nursery.start_soon(watch, error_of)
    if len(results) >= wanted:
        return
    if failure is not None:
        raise failure
    if limit.cancelled_caught:
        raise TimeoutError(f"only {len(results)} of {wanted} came true within {within:g} s")


async def request(
    mutate: Callable[[], Result],
    *,
    retries: int = 10,
    delay: float = 0.1,
    max_delay: float = 5.0,
    within: float = 5.0,
    jitter: random.Random | None = None,
) -> Result:
    """Repeat a mutation, such as ``lambda: m.add("A")``, until it is not canceled.

    Args:
        mutate: makes the mutation.
        retries: how often to repeat it.
        delay, max_delay: seconds before the first repetition, doubled each time, up to the second.
        within: seconds for all of it.
        jitter: spreads the delays over 50 to 100 %, for many machines that would repeat in step.

    Returns:
        The last result: executed, queued, or canceled if it never went through.
    """
    import trio

    result = mutate()
    with trio.move_on_after(within):
        for _ in range(retries):
            if result.queued or not result.canceled:
                break
            await trio.sleep(delay if jitter is None else delay * jitter.uniform(0.5, 1))
            delay = min(2 * delay, max_delay)
            result = mutate()
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A question about a machine that can be passed around; all given parts must hold.

    Attributes:
        active: all of these are active.
        any_active: at least one of these states, or one of these groups as a whole, is active.
        inactive: none of these is active.
        clock: this moment has been, see `Reader.was_clock`.
    """

    active: Iterable[str] = ()
    any_active: Iterable[str | Iterable[str]] = ()
    inactive: Iterable[str] = ()
    clock: Mapping[str, int] | None = None

    def holds(self, machine: Reader) -> bool:
        """Tell whether it holds now."""
        options = tuple(self.any_active)
        return (
            machine.is_active(*self.active)
            and machine.is_inactive(*self.inactive)
            and (not options or machine.any_active(*options))
            and (self.clock is None or machine.was_clock(self.clock))
        )


class LoopGuard:
    """Stop a state that triggers itself: at most `budget` ticks of it within `window` seconds.

    ``while guard.allows(): …`` or, in the state's own handler, ``if guard.allows(): machine.add(…)``.

    Args:
        machine, state: what is watched; it must be active.
        budget: ticks per window.
        window: seconds.
        clock: seconds from anywhere, monotonic.
        condition: must hold too.
    """

    def __init__(
        self,
        machine: Machine,
        state: str,
        *,
        budget: int = 100,
        window: float = 1.0,
        clock: Callable[[], float] | None = None,
        condition: Callable[[], bool] = lambda: True,
    ) -> None:
        self._machine, self._state = machine, state
        self._budget, self._window = budget, window
        self._clock = clock or machine.options.clock
        self._condition = condition
        self._seen: deque[tuple[float, int]] = deque()
        machine.tick(state)

    def allows(self) -> bool:
        """Tell whether one more round is in order."""
        machine, now = self._machine, self._clock()
        if not machine.is_active(self._state) or not self._condition():
            return False
        tick = machine.tick(self._state)
        while self._seen and self._seen[0][0] <= now - self._window:
            self._seen.popleft()
        if self._seen and tick - self._seen[0][1] >= self._budget:
            return False
        self._seen.append((now, tick))
        return True


def mirror(
    source: Reader, states: Iterable[str], *, id: str | None = None, schema: SchemaLike | None = None
) -> Machine:
    """Return a machine whose `states` follow those of `source`, starting from what they are now.

    Args:
        source: what is mirrored.
        states: which of its states.
        id: of the mirror; the source's and ``-mirror`` by default.
        schema: of the mirror; the bare states by default, so that it accepts whatever the source does.
    """
    from machine.state import State

    states = tuple(states)
    parent = source if isinstance(source, Machine) else None
    bare = {s: State(multi=source.schema[s].multi) for s in states if source.tick(s) >= 0}
    machine = Machine(schema if schema is not None else bare, id=id or f"{source.id}-mirror", parent=parent)
    bind_many(source, states, machine, flat=True)
    sync(source, machine, states)
    return machine
