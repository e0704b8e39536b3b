"""Time on trio's clock in whole microseconds, as cores count it.

A time of a core becomes a deadline by a division and comes back by rounding: exact as long as a float of seconds tells
microseconds apart, which is for centuries. So a task that slept until a time never wakes before it, and under a
`MockClock` it wakes at that very microsecond.
"""

from __future__ import annotations

import math

import trio

from pubsub.boundary import NEVER, SECOND


def now() -> int:
    """Return the time, us."""
    return round(trio.current_time() * SECOND)


def deadline(at: int) -> float:
    """Return a time (us) as a deadline of trio; none for `NEVER`."""
    return at / SECOND if at < NEVER else math.inf


async def sleep_until(at: int) -> None:
    """Sleep until a time, us. One that has passed is a checkpoint."""
    await trio.sleep_until(deadline(at))
