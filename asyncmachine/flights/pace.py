"""How those who replay together wait for each other: by replicas of their clocks, and by nothing else.

There is no message for it and nobody in the middle. Whoever is slow, frozen or dead is waited for, and whoever was
killed is waited for until it is back.
"""

from __future__ import annotations

from collections.abc import Collection

import asyncmachine as am
from asyncmachine.flights.model import Clock
from asyncmachine.flights.replay import CLOCK


async def reached(peer: am.Peer, owner: str, steps: int) -> None:
    """Wait until somebody's clock says that so many steps are done; through restarts of its owner, too."""
    if steps < 1:
        return
    tick = am.next_active(0) + 2 * (steps - 1)
    while True:
        clock = await peer.replica(CLOCK, owner)
        try:
            await clock.when_time([Clock.Step], [tick])
        except am.DisposedError:
            continue  # its owner is beginning anew: there will be another replica
        return


async def finished(peer: am.Peer, owner: str) -> None:
    """Wait until somebody's clock says that all is done."""
    while True:
        clock = await peer.replica(CLOCK, owner)
        try:
            await clock.when(Clock.Done)
        except am.DisposedError:
            continue
        return


class Pace:
    """Holds a replay up while it is too far ahead.

    Args:
        peer: that has the replicas.
        others: peer ids of who replays, too.
        observer: peer id of who has to hear of it all.
        ahead: so many steps it may be ahead of each of the others; None: any number.
        ahead_of_observer: so many of the observer.
    """

    def __init__(
        self, peer: am.Peer, others: Collection[str], observer: str, *, ahead: int | None, ahead_of_observer: int
    ) -> None:
        self._peer = peer
        self._limits = [(observer, ahead_of_observer)]
        if ahead is not None:
            self._limits += [(other, ahead) for other in others]

    async def before(self, step: int) -> None:
        """Return when it is time for a step; they count from 1."""
        for owner, ahead in self._limits:
            await reached(self._peer, owner, step - ahead)
