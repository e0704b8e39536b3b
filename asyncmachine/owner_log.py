"""All that one owner records, kept here: its journal; or, where it keeps none, the updates of its machines.

A journal is pulled from where it is here to its end, whenever its owner has published something new. A pull begins with
the last row that is here. If the owner has another one there, or none, its database is an older one than before, and
the journal is taken from its start, as it is from that of a new database, see `history.journal`; logs of machines that
are here and come again are kept beside these.
"""

from __future__ import annotations

import logging
import random
from contextlib import aclosing
from dataclasses import dataclass, field

import trio

from asyncmachine.history_log import JOURNAL
from asyncmachine.mirror_log import ANEW, AWAY, UNSTORED, Pace
from history import History, HistoryError, LogError
from history.journals import goes_on
from history.log import START, Place, updates_of
from history.recorder import Recorder
from history.store import Mark
from pubsub.errors import PullError
from pubsub.members import Status
from pubsub.names import is_internal, peer_id_of
from pubsub.peer import Peer
from pubsub.pull import Outcome, RowsPulled
from pubsub.replica import Replica
from pubsub.state import OwnerState

logger = logging.getLogger("asyncmachine.observer")
TURN = 10.0  # s that a pull may take before others have their turn: an owner may send pages without end
OVER = "turn over"


@dataclass(slots=True)
class Observed:
    """What was done for all owners together.

    Attributes:
        pulls: of journals, from where they were to their end, or until others had their turn.
        pages, rows: that were stored; a page, if it had any that was not here yet.
        missing: rows that their owner does not have any more.
        refused: times that nothing of a machine in a page was stored, as something was wrong with it.
        refused_pages: of which nothing was stored at all; they are asked for again.
        unstored: pages that the database here did not take; they are asked for again.
        anew: logs of machines that began anew, as their owner has another database.
        rewound: journals that ended before what is here, or with something else, as their owner went back to an older
            database; they were taken from the start.
        fallbacks: machines of which updates were recorded, as the owner keeps no log of them.
        unrecorded: machines of which even these could not be recorded.
        ended: how pulls ended, by name: ``complete``, ``not connected``, and so on.
    """

    pulls: int = 0
    pages: int = 0
    rows: int = 0
    missing: int = 0
    refused: int = 0
    refused_pages: int = 0
    unstored: int = 0
    anew: int = 0
    rewound: int = 0
    fallbacks: int = 0
    unrecorded: int = 0
    ended: dict[str, int] = field(default_factory=dict)


class OwnerLog:
    """Keeps what one owner records. For `Observer`.

    Attributes:
        id: peer id of the owner; under it the rows are in the history.
        keeps_log: whether the owner has a journal; None: it was not asked yet.
        is_away: it left, or is held for dead, so that it is not asked.
        wanted, done: numbers of news, and of the last of these that is here.
    """

    def __init__(
        self,
        history: History,
        peer: Peer,
        owner: bytes,
        counts: Observed,
        turns: trio.Semaphore,
        pace: Pace,
        rng: random.Random,
    ) -> None:
        self.owner = owner
        self.id = peer_id_of(owner)
        self.keeps_log: bool | None = None
        self.is_away = False
        self.wanted = 1
        self.done = 0
        self.scope = trio.CancelScope()
        self._history = history
        self._peer = peer
        self._counts = counts
        self._turns = turns
        self._pace = pace
        self._rng = rng
        self._state: OwnerState | None = None
        self._mark: Mark | None = None
        self._logged: set[str] = set()  # machines of which the owner has a log
        self._recorders: dict[str, Recorder] = {}  # of updates, by machine
        self._given_up: dict[str, Replica] = {}  # that cannot be recorded
        self._is_lacking = False  # a schema, to record a machine's updates
        self._moved = trio.Event()
        self._settled = trio.Event()

    def __repr__(self) -> str:
        how = "away" if self.is_away else "complete" if self.is_complete else "behind"
        return f"<OwnerLog {self.id}: {how}, {len(self._recorders)} by updates>"

    @property
    def is_complete(self) -> bool:
        """Whether all is here that the owner has told of."""
        return self.done >= self.wanted

    @property
    def recorders(self) -> int:
        """Of how many machines updates are recorded."""
        return len(self._recorders)

    def ring(self) -> int:
        """Ask again soon; return the number that `done` will have reached by then."""
        self.wanted += 1
        self._moved.set()
        return self.wanted

    def published(self, state: OwnerState) -> None:
        """Take what the owner published."""
        if self._state is not None and self._state.header.epoch != state.header.epoch:
            self.keeps_log = None  # it may have a log now
        self._state = state
        self.is_away = state.header.is_bye
        self.ring()

    def learned(self) -> None:
        """Note that a schema is known now which a machine may have waited for."""
        if self._is_lacking:
            self._is_lacking = False
            self._moved.set()

    def held_for(self, status: Status) -> None:
        """Take what the owner is held for."""
        was_away, self.is_away = self.is_away, status in (Status.DEAD, Status.LEFT)
        if was_away and not self.is_away:
            self.ring()
        elif self.is_away:
            self._moved.set()
            self._settle()  # nobody is to wait for it

    async def reach(self, number: int) -> None:
        """Wait until `done` has come to a number, or the owner is away."""
        while self.done < number and not self.is_away and not self.scope.cancel_called:
            await self._settled.wait()

    async def run(self) -> None:
        """Keep the log until the scope is cancelled."""
        try:
            with self.scope:
                await self._keep()
        finally:
            self._stop_recording()
            self._settle()

    async def _keep(self) -> None:
        pace, retry = self._pace, self._pace.retry
        while True:
            self._moved = trio.Event()
            if self.is_away:
                await self._moved.wait()
                continue
            async with self._turns:
                wanted, names, began = self.wanted, self._names(), trio.current_time()
                outcome = await self._pull()
            ended = self._counts.ended
            ended[outcome] = ended.get(outcome, 0) + 1
            if outcome == Outcome.COMPLETE.value:
                retry = pace.retry
                await self._record_others(names)
                self._reached(wanted)
                await self._pause(began + pace.floor, began + pace.every)
            elif outcome == Outcome.NONE_KEPT.value:
                retry = pace.retry
                await self._watch(began + pace.probe)
            elif outcome == ANEW:
                await trio.sleep_until(began + pace.floor)
            elif outcome != OVER:
                after = began + max(pace.floor, retry * (0.5 + self._rng.random()))
                # where somebody else passes on what the owner says, the owner itself may be near again
                await self._pause(began + pace.floor if outcome in AWAY else after, after)
                retry = min(2 * retry, pace.max_retry)

    async def _pause(self, least: float, most: float) -> None:
        """Wait until there are news, but not less than until one time, or more than until another one."""
        await trio.sleep_until(min(least, most))
        with trio.move_on_at(most):
            await self._moved.wait()

    def _reached(self, number: int) -> None:
        self.done = max(self.done, number)
        self._settle()

    def _settle(self) -> None:
        settled, self._settled = self._settled, trio.Event()
        settled.set()

    # -- the journal

    async def _pull(self) -> str:
        """Pull once; return how it ended."""
        counts, history = self._counts, self._history
        counts.pulls += 1
        pages, end = 0, trio.current_time() + TURN
        try:
            mark = self._mark = await history.journals.mark(self.id)
            async with aclosing(self._peer.log(self.owner, JOURNAL, _after(mark))) as log:
                async for page in log:
                    if not (pages or goes_on(mark, page.rows)):
                        return await self._rewind()
                    pages += 1
                    await self._take(page)
                    if trio.current_time() > end and not page.last:
                        return OVER
            self.keeps_log = True
            return Outcome.COMPLETE.value if pages or goes_on(mark, ()) else await self._rewind()
        except PullError as error:
            return error.outcome.value
        except LogError as error:
            counts.refused_pages += 1
            logger.warning("%s", error)
            return Outcome.BROKEN.value
        except (HistoryError, ValueError) as error:  # somebody else pulls the same
            counts.unstored += 1
            logger.warning("the journal of %s is not kept just now: %s", self.id, error)
            return UNSTORED

    async def _take(self, page: RowsPulled) -> None:
        counts = self._counts
        if any(recorder.stream.identity.owner == self.id for recorder in self._recorders.values()):
            self._stop_recording()  # the log has that name
            await self._history.sync()
        stored = await self._history.journals.take(self.id, page.rows)
        self._mark = Mark(*page.rows[-1][:2])
        counts.pages += stored.rows > 0  # the first one of a pull has what is here at least
        counts.rows += stored.rows
        counts.missing += stored.missing
        counts.refused += len(stored.refused)
        counts.anew += stored.anew
        self._logged.update(stored.machines)
        for name in stored.machines if self._recorders else ():
            if name in self._recorders:
                self._recorders.pop(name).stop()

    async def _rewind(self) -> str:
        """Let the journal begin anew: its owner has less than what is here, or something else."""
        self._counts.rewound += 1
        logger.warning(
            "the journal of %s does not go on with what is here: its owner went back to an older database, or lost it. "
            "It is taken from its start, and the logs that are here are kept beside it",
            self.id,
        )
        await self._history.rewind(self.id)
        return ANEW

    # -- updates

    def _names(self) -> list[str]:
        """Return the machines of the owner that are known now."""
        if self._state is None:
            return [replica.id for replica in self._peer.replicas(owner=self.owner)]
        return [m.description.id for m in self._state.values() if not is_internal(m.description.id)]

    async def _watch(self, until: float) -> None:
        """Record updates until it is time to ask the owner for its log again, or it is there anew."""
        self.keeps_log = False
        with trio.move_on_at(until):
            while self.keeps_log is False and not self.is_away:
                self._moved = trio.Event()
                self._forget_gone()
                for name in self._names():
                    self._record(name)
                self._reached(self.wanted)
                await self._moved.wait()

    async def _record_others(self, names: list[str]) -> None:
        """Record updates of those machines that were known when a pull began, and are not in the journal."""
        self._forget_gone()
        if len(self._logged) > 2 * len(names) + 1000:
            self._logged &= set(names)
        unknown = [name for name in names if name not in self._logged]
        if unknown:
            self._logged |= await self._history.journals.known(self.id, unknown)
            for name in unknown:
                if name not in self._logged:
                    self._record(name)

    def _record(self, name: str) -> None:
        """Record the updates of a machine, unless that is done already."""
        found = self._peer.replicas(id=name, owner=self.owner)
        recorder = self._recorders.get(name)
        self._is_lacking |= not found
        if recorder is not None and (not found or recorder.machine is not found[0]):
            self._recorders.pop(name).stop()
            recorder = None
        if recorder is not None or not found or self._given_up.get(name) is found[0]:
            return
        try:
            owner = self.id if self._mark is None and not self.keeps_log else updates_of(self.id)
            self._recorders[name] = self._history.record(found[0], owner=owner)
        except HistoryError as error:  # somebody records it already
            self._counts.unrecorded += 1
            self._given_up[name] = found[0]
            logger.warning("the updates of %s of %s are not recorded: %s", name, self.id, error)
            return
        self._counts.fallbacks += 1

    def _forget_gone(self) -> None:
        """Let go of machines that are not published any more; their recorders ended with them."""
        for name, recorder in list(self._recorders.items()):
            if isinstance(recorder.machine, Replica) and recorder.machine.is_gone:
                del self._recorders[name]
        for name, replica in list(self._given_up.items()):
            if replica.is_gone:
                del self._given_up[name]

    def _stop_recording(self) -> None:
        while self._recorders:
            self._recorders.popitem()[1].stop()


def _after(mark: Mark | None) -> Place:
    """Return after which place to ask, so that the row at the mark comes once more."""
    if mark is None:
        return START
    return (mark.life, mark.id - 1 if mark.at else mark.id)
