"""Hybrid logical time: stamps that look like wall time and order like a logical clock.

After Kulkarni et al., "Logical physical clocks" (2014), with the counter folded into the nanoseconds:
``at = max(now, last + 1)``. Laws: stamps strictly increase, whatever the wall clock does; a stamp is greater than every
stamp that was observed before it, so an effect is stamped after its cause even across machines whose clocks differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable

MAX_SKEW = 10_000_000_000  # ns; a stamp further ahead than this is a broken clock, not a late message


class HybridClock:
    """Hand out stamps in UTC nanoseconds.

    Args:
        now: the wall clock, ns since 1970; injected, so that the past can be replayed in its own time.
        max_skew: how far ahead of it a stamp may be, in ns, to be taken over by `observe`.
    """

    __slots__ = ("_now", "ignored", "last", "max_skew")

    def __init__(self, now: Callable[[], int] = time.time_ns, max_skew: int = MAX_SKEW) -> None:
        self._now = now
        self.max_skew = max_skew
        self.last = 0
        self.ignored = 0  # stamps from too far ahead

    def now(self) -> int:
        """Return the wall clock as it is, without handing out a stamp."""
        return self._now()

    def latest(self) -> int:
        """Return what "now" means in a question: the wall clock, or the last stamp if that is ahead of it."""
        return max(self._now(), self.last)

    def stamp(self) -> int:
        """Return a stamp greater than all before it."""
        at = self._now()
        if at <= self.last:
            at = self.last + 1
        self.last = at
        return at

    def observe(self, stamp: int) -> bool:
        """Advance past a stamp from elsewhere; tell whether it was taken over, or was too far ahead and was counted."""
        if stamp <= self.last:
            return True
        if stamp > self._now() + self.max_skew:
            self.ignored += 1
            return False
        self.last = stamp
        return True

    def resume(self, stamp: int) -> None:
        """Advance past the last stamp of an earlier life, however far ahead it is: our own word comes first."""
        self.last = max(self.last, stamp)
