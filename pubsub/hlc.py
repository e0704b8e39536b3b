"""The hybrid logical clock of records: milliseconds and a counter in one 64-bit number.

After Kulkarni et al., "Logical physical clocks" (2014). The upper 48 bits are UTC milliseconds, the lower 16 a counter.
A stamp never decides a merge; it makes "the network as of T" a cut that holds no effect without its cause.
"""

from __future__ import annotations

from collections.abc import Callable

COUNTER_BITS = 16
MAX_SKEW_MS = 10_000


def stamp_of(wall_ms: int, counter: int = 0) -> int:
    """Return the stamp of a moment."""
    return wall_ms << COUNTER_BITS | counter


def wall_ms_of(stamp: int) -> int:
    """Return the UTC milliseconds of a stamp."""
    return stamp >> COUNTER_BITS


class HybridClock:
    """Hand out stamps that strictly increase and are greater than all that were observed.

    Args:
        wall_ms: the wall clock, UTC milliseconds; it may jump.
        max_skew_ms: how far ahead of it a stamp may be to be taken over.
    """

    __slots__ = ("_wall_ms", "last", "max_skew_ms", "skewed")

    def __init__(self, wall_ms: Callable[[], int], max_skew_ms: int = MAX_SKEW_MS) -> None:
        self._wall_ms = wall_ms
        self.max_skew_ms = max_skew_ms
        self.last = 0
        self.skewed = 0  # stamps from too far ahead, which were not taken over

    def stamp(self) -> int:
        """Return a stamp greater than all before it. A counter that is full runs into the next millisecond."""
        self.last = max(stamp_of(self._wall_ms()), self.last + 1)
        return self.last

    def observe(self, stamp: int) -> bool:
        """Advance past a stamp from elsewhere; tell whether it was taken over, or was too far ahead and was counted."""
        if stamp <= self.last:
            return True
        if wall_ms_of(stamp) > self._wall_ms() + self.max_skew_ms:
            self.skewed += 1
            return False
        self.last = stamp
        return True
