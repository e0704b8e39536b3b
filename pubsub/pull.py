"""P5, history: pull the log of another peer's machine, row by row, without a gap.

    A  rows ask: the rows of a machine after a place, perhaps up to another one        → B, whose machine it is
    B  rows: one page of them; or rows end: why there is none                          → A
    A  rows ask, after the last row, once the application has taken these              → B
       and so on, until a page is the last one

A row's place is (epoch, seq): the number of a recording and that of the row in it, from 1 on without a gap, which is
what `history` numbers and has an index for. What a row holds is opaque here. Rows are not signed: only the owner is
asked, over a connection that has proved who is at its other end.

* Each ask is a question of its own. Between two of them the owner keeps nothing, so that a slow application, or one
  that never comes back, costs it nothing; and the application that answers needs no cursor.
* Each ask lets one page come: there is never more under way than the application wants.
* What comes is what was asked for: in order, in the range, not too much. Else the pull ends, and that is counted.
* A pull that broke off goes on where it was: the end of it says after which row to ask again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from pubsub.boundary import HISTORY, NEVER, NOTIFY, SECOND, SEND, Output
from pubsub.messages import MAX_PAGE, MAX_PLACE, MAX_ROWS, Place, PulledRow, Reason, Rows, RowsAsk, RowsEnd, size_of_row
from pubsub.record import MAX_ID
from pubsub.serve import MAX_SESSIONS, Serving

P = TypeVar("P", bound=Hashable)
START: Place = (0, 0)  # before all rows
RESERVED = "@"

TIMEOUT = 15 * SECOND  # for a page
FIRST_RETRY = SECOND // 4  # before the owner that was busy is asked again; doubled each time, and spread by chance
MAX_RETRIES = 8
MAX_PULLS = 256  # of this peer at a time, those that wait for their application included


class Outcome(Enum):
    """How a pull ended."""

    COMPLETE = "complete"
    NONE_KEPT = "none kept"  # the owner has no log of that machine
    REFUSED = "refused"
    BUSY = "busy"  # the owner, time after time; or this peer, which has too many pulls already
    TIMEOUT = "timeout"
    NOT_CONNECTED = "not connected"  # to the owner
    LOST = "lost"  # the connection
    BROKEN = "broken"  # what the owner sent was not what was asked for
    STOPPED = "stopped"  # by the application


@dataclass(frozen=True, slots=True)
class RowsPulled:
    """An event: the next page. Ask for the one after it with `Pulls.more`, unless ``last``: then the end follows.

    ``missing``: how many rows lie between those before and these, or between these, that the owner does not have any
    more. It is known where numbers are left out; not for ids that begin with `RESERVED`, which are no machines'.
    """

    owner: bytes
    machine: str
    rows: tuple[PulledRow, ...]
    missing: int
    last: bool


@dataclass(frozen=True, slots=True)
class PullEnded:
    """An event: a pull is over. ``after``: the place of the last row that came, where the next pull goes on."""

    owner: bytes
    machine: str
    outcome: Outcome
    after: Place


@dataclass(slots=True)
class PullCounts:
    """What pulls have done, and refused."""

    pulls: int = 0
    asks: int = 0
    """That this peer sent."""
    pages: int = 0
    rows: int = 0
    missing: int = 0
    retries: int = 0
    """Asks that were sent again because the owner was busy."""
    ended: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    unasked: int = 0
    """Pages and ends that nobody had asked for, or not any more."""
    unordered: int = 0
    """Pages with a row that is not after the one before, or not in the range."""
    oversized: int = 0
    empty: int = 0
    """Pages without a row that were not the last."""


@dataclass(slots=True)
class _Pull(Generic[P]):
    """A log that is being pulled. ``deadline``: for the page that was asked for; NEVER: there is none."""

    owner: bytes
    machine: str
    peer: P
    stream: int
    after: Place
    until: Place | None
    deadline: int = NEVER
    waiting: bool = False  # to ask
    ready: int = 0  # when it may ask, us
    retries: int = 0
    pause: int = FIRST_RETRY


class Pulls(Generic[P]):
    """All pulls of one peer, and all that others pull from it.

    Methods return outputs of the core; see `pubsub.boundary`. The other side of it is `serving`.

    Args:
        rng: spreads retries.
        peer_of: returns the neighbour that an owner is, if it is connected.
        open_stream: returns a new number for a stream to a neighbour.

    Attributes:
        serving: what others pull from here.
        ask_due: when there is something to ask, or to give up, us.
    """

    def __init__(
        self, rng: random.Random, peer_of: Callable[[bytes], P | None], open_stream: Callable[[P], int]
    ) -> None:
        self.counts = PullCounts()
        self.serving: Serving[P] = Serving()
        self.ask_due = NEVER
        self._rng = rng
        self._peer_of = peer_of
        self._open_stream = open_stream
        self._pulls: dict[tuple[bytes, str], _Pull[P]] = {}
        self._streams: dict[tuple[P, int], _Pull[P]] = {}

    @property
    def due(self) -> int:
        """When `timer` is to be called, us."""
        return min(self.ask_due, self.serving.due)

    # -- this peer asks

    def pull(
        self, now: int, owner: bytes, machine: str, after: Place = START, until: Place | None = None
    ) -> list[Output[P]]:
        """Begin to pull the rows of a machine: pages come as `RowsPulled`, the end as `PullEnded`.

        Args:
            now: us.
            owner: whose machine it is.
            machine: its id.
            after: the place of the last row that is here already.
            until: the place of the last row that is wanted; None: all that there are by then.

        Raises:
            ValueError: this machine's log is being pulled already, or it is no id or no place.
        """
        if (owner, machine) in self._pulls:
            raise ValueError(f"the log of {machine!r} is being pulled already: wait for the end, or stop it")
        if len(machine.encode()) > MAX_ID or any(not 0 <= n <= MAX_PLACE for n in after + (until or START)):
            raise ValueError(f"no machine has the id {machine!r}, or no row is after {after} or up to {until}")
        self.counts.pulls += 1
        peer = self._peer_of(owner)
        if peer is None or len(self._pulls) >= MAX_PULLS:
            outcome = Outcome.NOT_CONNECTED if peer is None else Outcome.BUSY
            self.counts.ended[outcome] += 1
            return [(NOTIFY, PullEnded(owner, machine, outcome, after))]
        pull = _Pull(owner, machine, peer, self._open_stream(peer), after, until, waiting=True)
        self._pulls[owner, machine] = self._streams[peer, pull.stream] = pull
        return self._ask(now)

    def more(self, now: int, owner: bytes, machine: str) -> list[Output[P]]:
        """Let the next page come: the application has taken the last one. Without such a pull, nothing happens."""
        pull = self._pulls.get((owner, machine))
        if pull is None or pull.deadline != NEVER:
            return []
        if not pull.waiting:
            pull.waiting, pull.ready = True, now
        return self._ask(now)

    def stop(self, now: int, owner: bytes, machine: str) -> list[Output[P]]:
        """End a pull. Without such a pull, nothing happens."""
        pull = self._pulls.get((owner, machine))
        return [] if pull is None else [self._end(pull, Outcome.STOPPED), *self._ask(now)]

    def _ask(self, now: int) -> list[Output[P]]:
        """Send the asks that may be sent now: a few at a time to each neighbour, the longest waiting first."""
        out: list[Output[P]] = []
        under_way: dict[P, int] = {}
        for pull in self._pulls.values():
            under_way[pull.peer] = under_way.get(pull.peer, 0) + (pull.deadline != NEVER)
        for pull in sorted([p for p in self._pulls.values() if p.waiting and p.ready <= now], key=lambda p: p.ready):
            if under_way[pull.peer] < MAX_SESSIONS:
                under_way[pull.peer] += 1
                pull.waiting, pull.deadline = False, now + TIMEOUT
                self.counts.asks += 1
                out.append((SEND, pull.peer, HISTORY, pull.stream, RowsAsk(pull.machine, pull.after, pull.until)))
        self._schedule(now)
        return out

    def _end(self, pull: _Pull[P], outcome: Outcome) -> Output[P]:
        del self._pulls[pull.owner, pull.machine]
        del self._streams[pull.peer, pull.stream]
        self.counts.ended[outcome] += 1
        return (NOTIFY, PullEnded(pull.owner, pull.machine, outcome, pull.after))

    # -- answers

    def take(self, now: int, peer: P, stream: int, message: RowsAsk | Rows | RowsEnd) -> list[Output[P]]:
        """Take a message of a neighbour."""
        if isinstance(message, RowsAsk):
            return self.serving.take(now, peer, stream, message)
        pull = self._streams.get((peer, stream))
        if pull is None or pull.deadline == NEVER:
            self.counts.unasked += 1
            return []
        pull.deadline = NEVER
        out = self._take_rows(pull, message) if isinstance(message, Rows) else self._take_end(now, pull, message)
        return [*out, *self._ask(now)]

    def _take_rows(self, pull: _Pull[P], page: Rows) -> list[Output[P]]:
        missing = self._judge(pull, page)
        if missing is None:
            return [self._end(pull, Outcome.BROKEN)]
        pull.retries, pull.pause = 0, FIRST_RETRY
        out: list[Output[P]] = []
        if page.rows:
            self.counts.pages += 1
            self.counts.rows += len(page.rows)
            self.counts.missing += missing
            pull.after = page.rows[-1][:2]
            out.append((NOTIFY, RowsPulled(pull.owner, pull.machine, page.rows, missing, page.last)))
        if page.last:
            out.append(self._end(pull, Outcome.COMPLETE))
        return out

    def _judge(self, pull: _Pull[P], page: Rows) -> int | None:
        """Return how many rows are missing in a page; None if it is not what was asked for."""
        if len(page.rows) > MAX_ROWS or sum([size_of_row(row) for row in page.rows]) > MAX_PAGE:
            self.counts.oversized += 1
            return None
        if not page.rows and not page.last:
            self.counts.empty += 1
            return None
        missing, before = 0, pull.after
        for epoch, seq, _ in page.rows:
            if (epoch, seq) <= before or seq < 1 or (pull.until is not None and (epoch, seq) > pull.until):
                self.counts.unordered += 1
                return None
            missing += seq - 1 - (before[1] if epoch == before[0] else 0)
            before = (epoch, seq)
        return 0 if pull.machine.startswith(RESERVED) else missing

    def _take_end(self, now: int, pull: _Pull[P], end: RowsEnd) -> list[Output[P]]:
        if end.reason is not Reason.BUSY:
            return [self._end(pull, Outcome.NONE_KEPT if end.reason is Reason.NONE_KEPT else Outcome.REFUSED)]
        if pull.retries >= MAX_RETRIES:
            return [self._end(pull, Outcome.BUSY)]
        self.counts.retries += 1
        pull.retries += 1
        pull.waiting, pull.ready = True, now + round(pull.pause * (0.5 + self._rng.random()))
        pull.pause *= 2
        return []

    # -- time, and connections

    def timer(self, now: int) -> list[Output[P]]:
        """Do what is due."""
        out: list[Output[P]] = []
        out += [self._end(pull, Outcome.TIMEOUT) for pull in list(self._pulls.values()) if pull.deadline <= now]
        return [*out, *self.serving.timer(now), *self._ask(now)]

    def unlinked(self, now: int, peer: P) -> list[Output[P]]:
        """Give up what was going on with a neighbour that is gone."""
        self.serving.unlinked(now, peer)
        out: list[Output[P]] = []
        out += [self._end(pull, Outcome.LOST) for pull in list(self._pulls.values()) if pull.peer == peer]
        self._schedule(now)
        return out

    def _schedule(self, now: int) -> None:
        """Find out when there is something to do next."""
        due = NEVER
        under_way: dict[P, int] = {}
        for pull in self._pulls.values():
            under_way[pull.peer] = under_way.get(pull.peer, 0) + (pull.deadline != NEVER)
        for pull in self._pulls.values():
            if pull.deadline != NEVER:
                due = min(due, pull.deadline)
            elif pull.waiting and under_way[pull.peer] < MAX_SESSIONS:  # else the next answer makes room
                due = min(due, pull.ready)
        self.ask_due = max(due, now)
