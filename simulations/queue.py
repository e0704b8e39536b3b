"""The queue of events: a wheel of buckets, one for each tick, and a shelf for what is far away.

* A tick is a whole number of microseconds. An event is put into the first tick at or after its time, never before.
* Within a tick it is first in, first out; what is pushed for the current tick while it is worked off is worked off too.
* A push costs one division and one append: no heap, no comparison. Only times beyond the wheel (by default 0.8 s
  ahead) go to a shelf, whose ticks a heap orders; a bucket moves from there to the wheel before the first direct push
  to its tick, so that the order within the tick is that of the pushes.

`wheel` is open to the one sender that cannot afford the call.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Generic, TypeVar

E = TypeVar("E")

SLOTS = 2**13  # ticks ahead that have a bucket: beyond the latency of a hop, 30-120 ms, at 100 us a tick
SLOT_MASK = SLOTS - 1


class Queue(Generic[E]):
    """Events by the tick at which they happen."""

    __slots__ = ("_far", "_far_ticks", "_served", "tick", "tick_us", "wheel")

    def __init__(self, tick_us: int = 100) -> None:
        self.tick_us = tick_us
        self.tick = 0
        self._served = False  # has the bucket of the current tick been handed out?
        self.wheel: list[list[E]] = [[] for _ in range(SLOTS)]
        self._far: dict[int, list[E]] = {}
        self._far_ticks: list[int] = []

    def push(self, at: int, event: E) -> None:
        """Add an event at this time (us). What is late happens in the current tick."""
        tick = -(-at // self.tick_us)
        if 0 <= tick - self.tick < SLOTS:
            self.wheel[tick & SLOT_MASK].append(event)
        else:
            self._push_oddly(tick, event)

    def _push_oddly(self, tick: int, event: E) -> None:
        if tick < self.tick:
            self.wheel[self.tick & SLOT_MASK].append(event)
        elif tick in self._far:
            self._far[tick].append(event)
        else:
            self._far[tick] = [event]
            heappush(self._far_ticks, tick)

    def advance(self, last: int) -> list[E] | None:
        """Go to the next tick up to `last` that has events, and return them; None, at `last`, if there is none.

        The list is the queue's own: it grows while events are pushed for this tick, and is gone with the next call.
        """
        wheel, far_ticks, tick = self.wheel, self._far_ticks, self.tick
        if self._served:
            wheel[tick & SLOT_MASK] = []
            self._served = False
            tick += 1
        while tick <= last:
            while far_ticks and far_ticks[0] < tick + SLOTS:
                far = heappop(far_ticks)
                wheel[far & SLOT_MASK] = self._far.pop(far)
            bucket = wheel[tick & SLOT_MASK]
            if bucket:
                self.tick = tick
                self._served = True
                return bucket
            tick += 1
        # The bucket of `last` was empty, or is the one that was just cleared: both may be filled again by a late push.
        self.tick = max(self.tick, last)
        return None

    def __iter__(self) -> Iterator[E]:
        """Iterate over what is still to happen, in no particular order of times."""
        for bucket in self.wheel:
            yield from bucket
        for tick in sorted(self._far):
            yield from self._far[tick]
