"""Waits: who is to be woken when the clock reaches what.

A wait is looked at only when the one state changes that it still lacks (the watched literal of satisfiability solvers),
so a transition costs what its own matches cost, however many tasks wait on other states. Waits are settled once after
every transition that changed a clock, before the next queued one: a state that is active only between two queued
transitions is still seen. A wait leaves nothing behind, whether it matched or its task was cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from machine.clock import Clock
from machine.errors import DisposedError

if TYPE_CHECKING:
    import trio

    from machine.reader import Reader

ACTIVE, INACTIVE, TICKS, ARGS, QUERY, IDLE, DISPOSED = range(7)

Bucket = dict["Wait", None]


class Wait:
    """One task's wish. `key` says in which bucket of `Waits` it lies: (kind, state index, tick), None for none."""

    __slots__ = ("args", "clock", "error", "event", "key", "kind", "need", "query")

    def __init__(
        self,
        kind: int,
        need: tuple[tuple[int, int], ...] = (),
        *,
        args: Mapping[str, Any] | None = None,
        query: Callable[[Clock], bool] | None = None,
    ) -> None:
        self.kind = kind
        self.need = need
        self.args = args or {}
        self.query = query
        self.key: tuple[int, int, int] | None = None
        self.event: trio.Event | None = None
        self.clock: Clock | None = None
        self.error: BaseException | None = None

    def lacking(self, time: tuple[int, ...]) -> tuple[int, int] | None:
        """Return the first (state index, value) that is not there yet, or None if the wait is met."""
        if self.kind == ACTIVE:
            return next(((i, 0) for i, _ in self.need if not time[i] & 1), None)
        if self.kind == INACTIVE:
            return next(((i, 0) for i, _ in self.need if time[i] & 1), None)
        return next(((i, tick) for i, tick in self.need if time[i] < tick), None)


class _Thresholds:
    """The waits on one state's tick, by the tick they wait for."""

    __slots__ = ("by_tick", "lowest")

    def __init__(self) -> None:
        self.by_tick: dict[int, Bucket] = {}
        self.lowest: int | None = None  # None: not known since a removal

    def add(self, tick: int, wait: Wait) -> None:
        """Register a wait for `tick`."""
        self.by_tick.setdefault(tick, {})[wait] = None
        if len(self.by_tick) == 1 or (self.lowest is not None and tick < self.lowest):
            self.lowest = tick

    def discard(self, tick: int, wait: Wait) -> bool:
        """Forget a wait; tell whether nobody is left."""
        bucket = self.by_tick[tick]
        del bucket[wait]
        if not bucket:
            del self.by_tick[tick]
            if tick == self.lowest:
                self.lowest = None
        return not self.by_tick

    def take(self, tick: int) -> list[Wait]:
        """Return the waits for `tick` or less, and forget them."""
        if self.lowest is None:
            self.lowest = min(self.by_tick)
        if tick < self.lowest:
            return []
        due = sorted(t for t in self.by_tick if t <= tick)
        self.lowest = None
        return [wait for t in due for wait in self.by_tick.pop(t)]


class Waits:
    """The waits of one machine or replica. Created by the first one."""

    __slots__ = ("_buckets", "_thresholds", "count", "special", "watched")

    def __init__(self) -> None:
        self._buckets: dict[tuple[int, int], Bucket] = {}
        self._thresholds: dict[int, _Thresholds] = {}
        self.count = 0
        self.special = 0  # of these, the waits for args and queries
        self.watched = 0  # mask of the states whose change concerns anybody

    def add(self, wait: Wait, time: tuple[int, ...]) -> None:
        """Register a wait that is not met at `time`, under what it lacks."""
        self.count += 1
        self.special += wait.kind in (ARGS, QUERY)
        self._file(wait, time)

    def _file(self, wait: Wait, time: tuple[int, ...]) -> None:
        lacking = wait.lacking(time) if wait.kind <= TICKS else None
        index, value = lacking or (wait.need[0][0] if wait.need else -1, 0)
        wait.key = (wait.kind, index, value)
        if wait.kind <= TICKS:
            self.watched |= 1 << index
        if wait.kind == TICKS:
            self._thresholds.setdefault(index, _Thresholds()).add(value, wait)
        else:
            self._buckets.setdefault((wait.kind, index), {})[wait] = None

    def discard(self, wait: Wait) -> None:
        """Forget a wait, if it is still there."""
        if wait.key is None:
            return
        kind, index, value = wait.key
        if kind == TICKS:
            if self._thresholds[index].discard(value, wait):
                del self._thresholds[index]
                self._unwatch(index)
        else:
            bucket = self._buckets[kind, index]
            del bucket[wait]
            if not bucket:
                del self._buckets[kind, index]
                self._unwatch(index)
        wait.key = None
        self.count -= 1
        self.special -= kind in (ARGS, QUERY)

    def settle(self, reader: Reader, changed: Iterable[int]) -> None:
        """Wake every wait that is met now that the ticks at `changed` have changed."""
        time = reader._time
        met = []
        for i in changed:
            for wait in self._take(i, time[i]):
                if wait.lacking(time) is None:
                    met.append(wait)
                else:
                    self._file(wait, time)
        queries = self._buckets.get((QUERY, -1))
        if not met and not queries:
            return
        clock = reader.clock()
        met.sort(key=lambda wait: wait.kind)
        for wait in met:
            self.count -= 1  # it left its bucket when it was taken
            _wake(wait, clock)
        for wait in [w for w in queries or () if _answers(w, clock)]:
            self.discard(wait)
            _wake(wait, clock)

    def _take(self, index: int, tick: int) -> list[Wait]:
        """Return, out of their buckets, the waits that lacked just what the state at `index` now has."""
        taken = list(self._buckets.pop((ACTIVE if tick & 1 else INACTIVE, index), ()))
        thresholds = self._thresholds.get(index)
        if thresholds is not None:
            taken += thresholds.take(tick)
            if not thresholds.by_tick:
                del self._thresholds[index]
        for wait in taken:
            wait.key = None
        self._unwatch(index)
        return taken

    def _unwatch(self, index: int) -> None:
        if index >= 0 and not (
            (ACTIVE, index) in self._buckets or (INACTIVE, index) in self._buckets or index in self._thresholds
        ):
            self.watched &= ~(1 << index)

    def settle_args(self, reader: Reader, index: int, args: Mapping[str, Any]) -> None:
        """Wake the waits for an activation of the state at `index` with these args."""
        bucket = self._buckets.get((ARGS, index), ())
        self._wake_all([w for w in bucket if all(k in args and args[k] == v for k, v in w.args.items())], reader.clock)

    def settle_idle(self, reader: Reader) -> None:
        """Wake the waits for the end of the queue."""
        self._wake_all(list(self._buckets.get((IDLE, -1), ())), reader.clock)

    def dispose(self, reader: Reader, clock: Clock) -> None:
        """Wake everybody: those who wait for the disposal with success, all others with `DisposedError`."""
        left = [w for bucket in self._buckets.values() for w in bucket]
        left += [w for t in self._thresholds.values() for bucket in t.by_tick.values() for w in bucket]
        for wait in left:
            if wait.kind != DISPOSED:
                wait.error = DisposedError(f"{reader.id} was disposed of before this could come true")
        self._wake_all(left, lambda: clock)

    def _wake_all(self, waits: list[Wait], clock: Callable[[], Clock]) -> None:
        for wait in waits:
            self.discard(wait)
            _wake(wait, clock())


def _wake(wait: Wait, clock: Clock) -> None:
    wait.clock = clock
    assert wait.event is not None
    wait.event.set()


def _answers(wait: Wait, clock: Clock) -> bool:
    assert wait.query is not None
    try:
        return bool(wait.query(clock))
    except Exception as exc:
        wait.error = exc
        return True


async def wait_for(reader: Reader, wait: Wait) -> Clock:
    """Wait until `wait` is met and return the clock at the match; met already counts, but for args and queries.

    Raises:
        DisposedError: the machine was disposed of first.
    """
    import trio

    if reader._disposed:
        await trio.lowlevel.checkpoint()
        if wait.kind != DISPOSED:
            raise DisposedError(f"{reader.id} is disposed of: nothing will change there any more")
        return reader.clock()
    if wait.kind <= TICKS and wait.lacking(reader._time) is None:
        clock = reader.clock()
        await trio.lowlevel.checkpoint()
        return clock
    wait.event = trio.Event()
    if reader._waits is None:
        reader._waits = Waits()
    waits = reader._waits
    waits.add(wait, reader._time)
    reader._waits_changed()
    try:
        await wait.event.wait()
    finally:
        waits.discard(wait)
        reader._waits_changed()
    if wait.error is not None:
        raise wait.error
    assert wait.clock is not None
    return wait.clock
