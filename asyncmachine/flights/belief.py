"""What an airport believes of the others: it is kept in a history of its own, and told from there.

Beside what happened at an airport, which is its log, this is what another one knew of it, and when it came to know. A
history of its own, as it has a clock of its own: the airport's stands at the event that it carries out, however late
that is, and what others do has other times.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal

import trio

import asyncmachine as am
from asyncmachine.flights.model import Clock
from asyncmachine.flights.replay import CLOCK, Plan
from history.log import START, LogRow, Place
from machine.beside import beside
from pubsub.replica import Replica

PAUSE: Final = 1.0  # s between two tells
PAGE: Final = 1000  # rows, at most, of one
INSTANT: Final = 1_000_000  # ns; what happens at the end of a step is stamped some ns one after the other

Kept = Literal["all", "airports", "off"]
Tell = Callable[[str, Sequence[LogRow]], Awaitable[None]]


class HearsayClock:
    """The replayed time at which one hears of something, in ns since 1970: never before it happened elsewhere.

    All processes share a clock, so that it is as late as that says; but not later than the step after those of which
    anybody has told, as a replay may be late. At full speed, where only steps say how late it is, it is the end of that
    step.

    Args:
        plan: the steps of all.
        speed, began: see `ReplayClock`.
        steps: returns how many steps anybody is known to have done.
        monotonic: seconds.
    """

    def __init__(
        self,
        plan: Plan,
        speed: float | None,
        began: float,
        steps: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._speed = speed
        self._began = began
        self._steps = steps
        self._monotonic = monotonic

    def __call__(self) -> int:
        """Return it."""
        limit = self._plan.end_of(self._steps() + 1) + INSTANT
        if self._speed is None:
            return limit
        return min(self._plan.start + int((self._monotonic() - self._began) * self._speed * 1e9), limit)


def told_steps(peer: am.Peer) -> int:
    """Return the most steps that anybody whom a peer hears of has done."""
    return max((am.activations(clock.tick(Clock.Step)) for clock in peer.replicas(id=CLOCK)), default=0)


def is_airport(replica: Replica) -> bool:
    """Tell whether a machine is an airport, or tells how far one is."""
    return replica.id == CLOCK or "airport" in replica.tags


class Believing:
    """Tells what is kept. Made by `open_believing`.

    Attributes:
        rows: that were told.
    """

    def __init__(self, history: am.History, owners: Sequence[str], tell: Tell) -> None:
        self.rows = 0
        self._history = history
        self._tell = tell
        self._places: dict[str, Place] = dict.fromkeys(owners, START)
        self._lock = trio.Lock()

    async def run(self) -> None:
        """Tell it now and then, for ever."""
        while True:
            await trio.sleep(PAUSE)
            await self.flush()

    async def finish(self) -> None:
        """Tell all that there is."""
        await self._history.sync()
        await self.flush()

    async def flush(self) -> None:
        """Tell what has been stored since the last time."""
        async with self._lock:
            for owner in self._places:
                is_last = False
                while not is_last:
                    rows, is_last = await self._history.journals.rows(self._places[owner], limit=PAGE, owner=owner)
                    if rows:
                        await self._tell(owner, rows)
                        self._places[owner] = rows[-1][:2]
                        self.rows += len(rows)


async def _keep_clock_first(peer: am.Peer, owner: str) -> None:
    """Have a replica of an airport's clock before those of its other machines, for ever.

    Replicas move one after the other, as they were made; and when the others do, it has to be known how late it is.
    """
    while True:
        clock = await peer.replica(CLOCK, owner)
        try:
            await clock.when(Clock.Done)
        except am.DisposedError:
            continue  # it is beginning anew
        return


@asynccontextmanager
async def open_believing(
    url: str, peer: am.Peer, others: Sequence[str], now: Callable[[], int], kept: Kept, tell: Tell
) -> AsyncIterator[Believing]:
    """Keep, and tell, what a peer believes for as long as the block lasts.

    Args:
        url: of the history in which it is kept; of an earlier life, it is told once more.
        peer: whose replicas these are.
        others: peer ids of whose machines it is about.
        now: see `HearsayClock`.
        kept: of which machines: of all, or of airports only.
        tell: takes rows of an owner, ``updates of … by …``.
    """
    owners = [f"updates of {other} by {peer.id}" for other in others]
    wants = is_airport if kept == "airports" else None
    async with am.open_history(url, now=now) as history, beside() as nursery:
        believing = Believing(history, owners, tell)
        for other in others:
            with trio.move_on_after(0):  # one that is known already
                await peer.replica(CLOCK, other)
            nursery.start_soon(_keep_clock_first, peer, other)
        with am.record_beliefs(history, peer, wants=wants):
            nursery.start_soon(believing.run)
            yield believing
