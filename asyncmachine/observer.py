"""Keep the log of a whole network: every transition of every machine that any owner records.

    async with open_history(url) as history, open_peer("flights", connect=[…]) as peer:
        async with open_observer(history, peer) as observer:
            …
            await observer.complete()

Each owner serves the journal of all its machines (`HistoryLog`), and the observer asks for it whenever the owner has
published something: so a machine that lives for a moment costs its rows and nothing else. Of machines without a log the
updates are recorded that gossip brings. Rows are judged as those of a mirror: what cannot be is refused, and counted.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from asyncmachine.mirror_log import Pace
from asyncmachine.owner_log import Observed, OwnerLog
from history import History
from machine.beside import beside
from pubsub.catalog import SchemaKnown
from pubsub.events import Committed
from pubsub.members import MemberChanged, MemberForgotten
from pubsub.peer import Peer

TURNS = 32  # owners that are asked at a time: so many pages, of 64 KiB, are in memory at most


@dataclass(frozen=True, slots=True)
class ObserverStatistics:
    """How an observer stands, and what it has done; see `Observed` for the counters.

    Attributes:
        owners: that are known.
        complete: those of which all is here that they have told of.
        away: those that left or are held for dead.
        without_log: those that keep no log.
        recorders: machines of which updates are being recorded.
        counts: see there.
    """

    owners: int
    complete: int
    away: int
    without_log: int
    recorders: int
    counts: Observed


class Observer:
    """Keeps the logs of all owners. Made by `open_observer`.

    Attributes:
        counts: what was done.
    """

    def __init__(self, history: History, peer: Peer, pace: Pace, rng: random.Random) -> None:
        self.counts = Observed()
        self._history = history
        self._peer = peer
        self._pace = pace
        self._rng = rng
        self._turns = trio.Semaphore(TURNS)
        self._owners: dict[bytes, OwnerLog] = {}
        self._nursery: trio.Nursery | None = None

    def __repr__(self) -> str:
        return f"<Observer of {len(self._owners)} owners, {len(self.behind())} behind>"

    def behind(self) -> list[str]:
        """Return the peer ids of the owners of which not all is here that they have told of."""
        return [log.id for log in self._owners.values() if not log.is_complete]

    def is_complete(self, owner: bytes) -> bool:
        """Tell whether all is here that an owner has told of. False for one that is not known."""
        log = self._owners.get(owner)
        return log is not None and log.is_complete

    async def complete(self) -> None:
        """Wait until all is here, and durable, that the known owners had recorded and published when this was called.

        Owners that have left or are held for dead are not waited for. One that cannot be reached is, until then, and
        one that serves nonsense for ever: so put a deadline to it, and see who is `behind`.
        """
        waited = [(log, log.ring()) for log in self._owners.values() if not log.is_away]
        for log, number in waited:
            await log.reach(number)
        await self._history.sync()

    def statistics(self) -> ObserverStatistics:
        """Return all counters."""
        logs = self._owners.values()
        return ObserverStatistics(
            owners=len(logs),
            complete=sum(log.is_complete for log in logs),
            away=sum(log.is_away for log in logs),
            without_log=sum(log.keeps_log is False for log in logs),
            recorders=sum(log.recorders for log in logs),
            counts=self.counts,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the logs, for ever. For `open_observer`."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._peer.listen(self._heard)
            try:
                for member in self._peer.members():
                    if member.owner != self._peer.owner:
                        self._log_of(member.owner).held_for(member.status)
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._peer.unlisten(self._heard)
                self._nursery = None

    def _heard(self, event: object) -> None:
        """Take an event of the protocol."""
        if isinstance(event, Committed):
            if event.state.owner != self._peer.owner:
                self._log_of(event.state.owner).published(event.state)
        elif isinstance(event, SchemaKnown):
            for log in self._owners.values():
                log.learned()
        elif isinstance(event, MemberChanged):
            if event.owner in self._owners:
                self._owners[event.owner].held_for(event.status)
        elif isinstance(event, MemberForgotten):
            gone = self._owners.pop(event.owner, None)
            if gone is not None:
                gone.scope.cancel()

    def _log_of(self, owner: bytes) -> OwnerLog:
        found = self._owners.get(owner)
        if found is None:
            assert self._nursery is not None
            found = self._owners[owner] = OwnerLog(
                self._history, self._peer, owner, self.counts, self._turns, self._pace, self._rng
            )
            self._nursery.start_soon(found.run)
        return found


@asynccontextmanager
async def open_observer(
    history: History, peer: Peer, *, pace: Pace | None = None, rng: random.Random | None = None
) -> AsyncIterator[Observer]:
    """Keep the log of all owners that a peer knows complete, for as long as the block lasts.

    The rows of an owner are those of its peer id. What is recorded of machines without a log is, too, until their owner
    has a log; from then on it is that of ``updates of …``.

    Args:
        history: where it is kept.
        peer: that is in the network.
        pace: how often to ask each owner.
        rng: spreads what is tried again.
    """
    observer = Observer(history, peer, pace or Pace(), rng or random.Random())
    async with beside() as nursery:
        await nursery.start(observer.run)
        yield observer
