"""Dialling: who is known, and whom to dial again when; the longer somebody has been gone, the more seldom.

Keys and addresses cost nothing: strangers may come and go without end. So of those that are not connected only so many
are kept. The longest gone ones go first, and whoever has dialled us before anybody that we have dialled ourselves.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Hashable
from typing import Generic, TypeVar

from pubsub.boundary import NEVER, SECOND

FIRST, LONGEST = SECOND, 60 * SECOND  # us, between two dials; up to twice that by chance
SHARE = 16  # in between: one in so many of the time that a peer has been gone
PATIENCE = 3  # times that: the other end is likely to dial, and if it does not, it may have forgotten this one
MAX_GONE = 4096  # peers that are kept and not connected
MAX_DIALS = 64  # in a second

P = TypeVar("P", bound=Hashable)


class Dialling(Generic[P]):
    """The peers that one has been connected with.

    Attributes:
        known: all of them, in the order in which they were met.
        due: when the next one is to be dialled, us; NEVER: none is.
        evicted: peers that were dropped, as too many were gone.
    """

    __slots__ = ("_again", "_gone", "_not_before", "_ours", "_rng", "due", "evicted", "known")

    def __init__(self, rng: random.Random) -> None:
        self.known: dict[P, None] = {}
        self.due = NEVER
        self.evicted = 0
        self._not_before = -NEVER  # us; then there may be dials again
        self._rng = rng
        self._ours: dict[P, bool] = {}
        self._gone: tuple[dict[P, None], dict[P, None]] = {}, {}  # not connected: have dialled us; we have dialled
        self._again: dict[P, tuple[int, int]] = {}  # when to dial, and since when it is gone, us

    def linked(self, peer: P, dialed_by_us: bool) -> None:
        """Note a connection."""
        self.known[peer] = None
        self._ours[peer] = dialed_by_us
        for gone in self._gone:
            gone.pop(peer, None)
        if self._again.pop(peer, None) is not None:
            self._schedule()

    def lost(self, peer: P, now: int) -> P | None:
        """Note that a connection broke, or that a dial failed; return who is dropped for it."""
        since = self._again[peer][1] if peer in self._again else now
        pause = min(max(FIRST, (now - since) // SHARE), LONGEST)
        patience = pause if self._ours.get(peer, True) else PATIENCE * pause
        self._again[peer] = (now + round(patience * (1 + self._rng.random())), since)
        dropped = self.left(peer)
        self._schedule()
        return dropped

    def left(self, peer: P) -> P | None:
        """Note that this side ended a connection: it is not dialled again for now; return who is dropped for it."""
        self._gone[self._ours.get(peer, True)].setdefault(peer)
        if len(self._gone[False]) + len(self._gone[True]) <= MAX_GONE:
            return None
        longest = next(iter(self._gone[False] or self._gone[True]))
        self.evicted += 1
        self.forget(longest)
        return longest

    def overdue(self, now: int) -> list[P]:
        """Return who is to be dialled now; of too many, those that have waited longest."""
        if now < self._not_before:
            return []
        due = sorted(
            [peer for peer, (at, _) in self._again.items() if at <= now], key=lambda peer: self._again[peer][0]
        )
        if len(due) > MAX_DIALS:
            due = due[:MAX_DIALS]
            self._not_before = now + SECOND
        for peer in due:  # if nothing comes of it, not even a failure, it is dialled again
            self._again[peer] = (now + LONGEST, self._again[peer][1])
        self._schedule()
        return due

    def stranger(self, linked: Collection[P]) -> P | None:
        """Return somebody who is known and not connected, by chance; None: there is nobody."""
        if len(self.known) == len(linked):
            return None
        strangers = [peer for peer in self.known if peer not in linked]
        return self._rng.choice(strangers) if strangers else None

    def forget(self, peer: P) -> None:
        """Dial a peer no more."""
        self.known.pop(peer, None)
        self._ours.pop(peer, None)
        for gone in self._gone:
            gone.pop(peer, None)
        if self._again.pop(peer, None) is not None:
            self._schedule()

    def _schedule(self) -> None:
        self.due = max(min([at for at, _ in self._again.values()], default=NEVER), self._not_before)
