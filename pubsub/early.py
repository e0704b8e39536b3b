"""Early suspicions: those that cannot be judged yet, as their target or their witness is not known. They wait for it.

Nobody has looked at their signatures, so anybody can make them. There are never more than `MAX_EARLY`.
"""

from __future__ import annotations

from pubsub.suspicion import Suspicion

MAX_EARLY = 1024


class Early:
    """The early suspicions of one peer.

    Attributes:
        evicted: those that had to make room.
    """

    __slots__ = ("_count", "_waiting", "evicted")

    def __init__(self) -> None:
        self.evicted = 0
        self._waiting: dict[bytes, list[Suspicion]] = {}  # by who is not known, the longest waiting first
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, owner: bytes, suspicion: Suspicion) -> bool:
        """Keep a suspicion until an owner is known; False: it is kept already."""
        waiting = self._waiting.get(owner)
        if waiting is not None and suspicion in waiting:
            return False
        self._waiting.setdefault(owner, []).append(suspicion)
        self._count += 1
        if self._count > MAX_EARLY:
            oldest = next(iter(self._waiting))
            self._waiting[oldest].pop(0)
            if not self._waiting[oldest]:
                del self._waiting[oldest]
            self._count -= 1
            self.evicted += 1
        return True

    def take(self, owner: bytes) -> list[Suspicion]:
        """Return what has waited for an owner, and keep it no more."""
        waiting = self._waiting.pop(owner, [])
        self._count -= len(waiting)
        return waiting
