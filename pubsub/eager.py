"""P1, eager: single records on the topic, while the topic is quiet.

Gossipsub is quick and dear: it carries a record as long as all peers together publish no more than `Eager.rate` a
second. Above that links carry it, which are slower and cheaper by far. Nothing relies on its delivery.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

WINDOW = 1_000_000  # us over which the topic's rate is counted
MAX_PASSED = 1024  # headers that were passed on with a body that was not looked at
MAX_RATE = 10  # unique messages/s of a topic, of which a core of a processor can take 110 to 190


@dataclass(slots=True)
class Eager:
    """What one peer knows of the topic's traffic.

    Attributes:
        rate: unique messages/s up to which records are published.
        published, heard: how many of its own, and of others.
        held_back: records that links had to carry, because the topic was busy.
    """

    rate: int = MAX_RATE
    published: int = 0
    heard: int = 0
    held_back: int = 0
    _times: list[int] = field(default_factory=list)
    _passed: dict[bytes, None] = field(default_factory=dict)

    def may_pass(self, signature: bytes) -> bool:
        """Tell whether a header, whose body nobody has looked at, may be passed on: once.

        Its signature names it. With other bodies, or none, one header makes as many messages as somebody likes.
        """
        if signature in self._passed:
            return False
        self._passed[signature] = None
        if len(self._passed) > MAX_PASSED:
            del self._passed[next(iter(self._passed))]
        return True

    def note(self, now: int) -> None:
        """Count a message of somebody else, at its first sight."""
        self.heard += 1
        self._times.append(now)
        self._forget(now)

    def may_publish(self, now: int) -> bool:
        """Tell whether the topic is quiet enough for one more record, and count it if so."""
        self._forget(now)
        if len(self._times) >= self.rate:
            self.held_back += 1
            return False
        self.published += 1
        self._times.append(now)
        return True

    def _forget(self, now: int) -> None:
        times = self._times
        if times and (times[0] <= now - WINDOW or len(times) > 4 * self.rate):
            old = bisect_right(times, now - WINDOW)
            del times[: max(old, len(times) - 4 * self.rate)]
