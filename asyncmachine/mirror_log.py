"""Keep the log of a machine of another peer complete; see `observer` for those of a whole network.

    async with open_history(url) as history, open_peer("flights", connect=[…]) as peer:
        replica = await peer.replica("JFK")
        async with open_mirror(history, peer, replica):
            …

Gossip says where a machine is now, and leaves out how it came there. A mirror asks the owner for the rest, whenever
its replica moves on, and goes on where it was: after a pause, a partition, or a restart of either side. Where the owner
keeps no log, the updates of the replica are recorded instead, and each row says so.

A pull begins with the last row that is here already. If the owner has another one there, or none, it has lost its
database, or went back to an older one: then its log begins anew, and the one that is here is kept beside it.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import trio

from history import History, HistoryError, LifeError, LogError
from history.log import START, Place, updates_of
from history.recorder import Recorder
from machine import Reader, Tracer, Transition
from machine.beside import beside
from pubsub.errors import PullError
from pubsub.names import owner_of, peer_id_of
from pubsub.peer import Peer
from pubsub.pull import Outcome
from pubsub.replica import Replica

logger = logging.getLogger("asyncmachine.mirror")
# how pulls ended that did not end by themselves
UNSTORED = "unstored"  # the database here did not take a page
ANEW = "anew"  # the log here is of another database than the owner has now: the next pull is from the start
AWAY = {outcome.value for outcome in (Outcome.NOT_CONNECTED, Outcome.LOST, Outcome.TIMEOUT)}


@dataclass(slots=True)
class Mirrored:
    """What a `Mirror` has done.

    Attributes:
        pulls: of the log, from where it was to its end.
        pages, rows: that were stored; a page, if it had any that was not here yet.
        missing: rows that the owner does not have any more.
        refused: pages with something wrong in them; nothing of these was stored.
        unstored: pages that the database did not take; they are asked for again.
        anew: logs that began anew, as the owner has another database.
        ended: how pulls ended, by name: ``complete``, ``not connected``, and so on.
        fallbacks: how often it began to record updates, as the owner kept no log.
    """

    pulls: int = 0
    pages: int = 0
    rows: int = 0
    missing: int = 0
    refused: int = 0
    unstored: int = 0
    anew: int = 0
    fallbacks: int = 0
    ended: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a mirror asks, in seconds.

    Attributes:
        floor: between two pulls; what changes meanwhile comes with the next one.
        every: after which it asks though the replica has not moved: refused mutations move none.
        retry, max_retry: after a pull that failed, doubled each time up to the second, and spread by chance.
        probe: before it asks an owner again that kept no log.
    """

    floor: float = 0.25
    every: float = 60.0
    retry: float = 0.5
    max_retry: float = 60.0
    probe: float = 60.0


class Mirror:
    """Keeps the log of one machine of another peer. Made by `open_mirror`.

    Attributes:
        owner: peer id of whose machine it is; the owner of its rows in the history.
        id: of the machine.
        counts: what was done.
        place: (epoch, seq) of the last row of the log that is here.
        is_complete: whether the last pull came to the end of the log, and the replica has not moved since.
        recorder: of the updates, while the owner keeps no log; else None.
    """

    def __init__(self, history: History, peer: Peer, owner: str, id: str, pace: Pace, rng: random.Random) -> None:
        self.owner = owner
        self.id = id
        self.counts = Mirrored()
        self.place: Place = START
        self.is_complete = False
        self.recorder: Recorder | None = None
        self._history = history
        self._peer = peer
        self._pace = pace
        self._rng = rng
        self._replica: Replica | None = None
        self._moved = trio.Event()
        self._settled = trio.Event()

    def __repr__(self) -> str:
        how = "updates" if self.recorder is not None else "complete" if self.is_complete else "behind"
        return f"<Mirror {self.id} of {self.owner}: {how}, {self.place[0]}:{self.place[1]}>"

    async def complete(self) -> None:
        """Wait until all is here that the owner had when the replica moved last; or, without a log, is recorded."""
        while not self.is_complete and self.recorder is None:
            await self._settled.wait()
        await trio.lowlevel.checkpoint()

    async def run(self) -> None:
        """Keep the log, for ever. For `open_mirror`."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow)
                await self._keep()
        finally:
            self._stop_recording()

    async def _follow(self) -> None:
        """Keep hold of the replica; there is another one after the machine, or its owner, was gone."""
        while True:
            replica = await self._peer.replica(self.id, owner=self.owner)
            bell = _Bell(self._ring)
            replica.add_tracer(bell)
            self._replica = replica
            self._ring()
            try:
                await bell.gone.wait()
            finally:
                if not bell.gone.is_set():
                    replica.remove_tracer(bell)
                self._replica = None

    def _ring(self) -> None:
        self.is_complete = False
        self._moved.set()

    async def _keep(self) -> None:
        pace, retry = self._pace, self._pace.retry
        while True:
            self._moved = trio.Event()
            began = trio.current_time()
            outcome = await self._pull()
            self.counts.ended[outcome] = self.counts.ended.get(outcome, 0) + 1
            if outcome == Outcome.COMPLETE.value:
                self.is_complete = not self._moved.is_set()
                retry = pace.retry
                await self._pause(began + pace.floor, began + pace.every)
            elif outcome == Outcome.NONE_KEPT.value:
                self._record()
                retry = pace.retry
                # the replica may be known only later, or be another one
                await self._pause(began + pace.floor if self.recorder is None else math.inf, began + pace.probe)
            elif outcome == ANEW:
                await trio.sleep_until(began + pace.floor)
            else:
                after = began + max(pace.floor, retry * (0.5 + self._rng.random()))
                # where somebody else passes on what the owner says, the owner itself may be near again
                await self._pause(began + pace.floor if outcome in AWAY else after, after)
                retry = min(2 * retry, pace.max_retry)

    async def _pause(self, least: float, most: float) -> None:
        """Wait until the replica moves, but not less than until one time, or more than until another one."""
        settled, self._settled = self._settled, trio.Event()
        settled.set()
        await trio.sleep_until(min(least, most))
        with trio.move_on_at(most):
            await self._moved.wait()

    async def _pull(self) -> str:
        """Pull once; return how it ended."""
        counts = self.counts
        counts.pulls += 1
        try:
            here = self.place = await self._history.place(self.id, self.owner)
            after = START if here == START else (here[0], here[1] - 1)
            pages = 0
            async with aclosing(self._peer.log(self.owner, self.id, after)) as log:
                async for page in log:
                    await self._make_room()
                    rows = await self._history.store_rows(self.owner, self.id, page.rows)
                    pages += 1
                    counts.pages += rows > 0  # the first one of a pull has what is here at least
                    counts.rows += rows
                    counts.missing += page.missing
                    self.place = page.rows[-1][:2]
            if here != START and not pages:
                raise LifeError(f"the log of {self.id} of {self.owner} ends before what is here of it")
        except LifeError as error:
            return await self._begin_anew(error)
        except PullError as error:
            return error.outcome.value
        except LogError as error:
            counts.refused += 1
            logger.warning("%s", error)
            return Outcome.BROKEN.value
        except (HistoryError, ValueError) as error:  # somebody else pulls the same
            counts.unstored += 1
            logger.warning("the log of %s of %s is not kept just now: %s", self.id, self.owner, error)
            return UNSTORED
        return Outcome.COMPLETE.value

    async def _begin_anew(self, error: LifeError) -> str:
        self.counts.anew += 1
        logger.warning("%s; it is taken from its start, and what is here is kept beside it", error)
        try:
            await self._history.rewind(self.owner, self.id)
        except HistoryError as problem:
            self.counts.unstored += 1
            logger.warning("the log of %s of %s is not kept just now: %s", self.id, self.owner, problem)
            return UNSTORED
        return ANEW

    async def _make_room(self) -> None:
        """End the recording of updates: from now on there is the log."""
        if self.recorder is not None:
            self._stop_recording()
            await self._history.sync()

    def _stop_recording(self) -> None:
        if self.recorder is not None:
            self.recorder.stop()
            self.recorder = None

    def _record(self) -> None:
        """Record updates, unless that is done already."""
        replica, recorder = self._replica, self.recorder
        if recorder is not None and recorder.machine is not replica:
            self._stop_recording()
        if replica is None or replica.is_gone or self.recorder is not None:
            return
        owner = self.owner if self.place == START else updates_of(self.owner)
        try:
            self.recorder = self._history.record(replica, owner=owner)
        except HistoryError as error:  # somebody records it already
            self.counts.unstored += 1
            logger.warning("the updates of %s of %s are not recorded: %s", self.id, self.owner, error)
            return
        self.counts.fallbacks += 1


class _Bell(Tracer):
    """Rings when a replica moves, and tells when it is gone."""

    id = "mirror"

    def __init__(self, ring: Callable[[], None]) -> None:
        self.gone = trio.Event()
        self._ring = ring

    def transition_end(self, transition: Transition) -> None:
        """Ring."""
        self._ring()

    def machine_dispose(self, machine: Reader) -> None:
        """Ring for the last time."""
        self.gone.set()
        self._ring()


@asynccontextmanager
async def open_mirror(
    history: History,
    peer: Peer,
    machine: Replica | tuple[str | bytes, str],
    *,
    pace: Pace | None = None,
    rng: random.Random | None = None,
) -> AsyncIterator[Mirror]:
    """Keep the log of a machine of another peer complete for as long as the block lasts.

    Its rows are those of the owner ``peer id``. As long as the owner keeps no log, they are updates; once there is a
    log, the updates from before are those of ``updates of …``.

    Args:
        history: where it is kept.
        peer: that knows the owner.
        machine: a replica; or the owner (peer id or public key) and the id of a machine that may be known only later.
        pace: how often to ask.
        rng: spreads what is tried again.
    """
    owner, id = (machine.owner, machine.id) if isinstance(machine, Replica) else machine
    mirror = Mirror(history, peer, peer_id_of(owner_of(owner)), id, pace or Pace(), rng or random.Random())
    async with beside() as nursery:
        nursery.start_soon(mirror.run)
        yield mirror
