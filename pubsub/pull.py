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
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from pubsub.boundary import HISTORY, NOTIFY, SEND, Output
from pubsub.errors import ExposeError
from pubsub.messages import MAX_PAGE, MAX_ROW, MAX_ROWS, Place, PulledRow, Reason, Rows, RowsAsk, RowsEnd, size_of_row
from pubsub.record import MAX_ID
from pubsub.wire import U64

P = TypeVar("P", bound=Hashable)
START: Place = (0, 0)  # before all rows

NEVER = 2**62
SECOND = 1_000_000  # us
TIMEOUT = 15 * SECOND  # for a page
ANSWER_TIMEOUT = 10 * SECOND  # for the application to answer an ask of a neighbour
FIRST_RETRY = SECOND // 4  # before the owner that was busy is asked again; doubled each time, and spread by chance
MAX_RETRIES = 8
MAX_SESSIONS = 4  # asks at a time of one neighbour, each way
MAX_PULLS = 256  # of this peer at a time, those that wait for their application included
MAX_ASKS = 64  # of all neighbours at a time
RATE = 256 * 1024  # bytes/s to one neighbour
BURST = 256 * 1024  # bytes
LEAST = 4096  # bytes that an ask costs at least: each is a query of a database
_ROOM = MAX_PAGE - 16  # bytes of the rows of a page, beside its head


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
class RowsAsked(Generic[P]):
    """An event: a neighbour asks for rows of a machine of this peer's own. Answer with `Pulls.answer` or `refuse`.

    ``peer`` is whoever asks: the application decides whether it may. See `RowsAsk` for the rest.
    """

    peer: P
    stream: int
    machine: str
    after: Place
    until: Place | None


@dataclass(frozen=True, slots=True)
class RowsPulled:
    """An event: the next page. Ask for the one after it with `Pulls.more`, unless ``last``: then the end follows.

    ``missing``: how many rows lie between those before and these, or between these, that the owner does not have any
    more. It is known where numbers are left out.
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
    """What has been done on either side, and refused."""

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
    asked: int = 0
    """Asks of neighbours that were given to the application."""
    served_pages: int = 0
    served_rows: int = 0
    served_bytes: int = 0
    delayed: int = 0
    """Asks of neighbours that had to wait because of their rate."""
    crowded: int = 0
    """Asks of neighbours that were sent away, because there were too many."""
    doubled: int = 0
    """Asks of neighbours on a stream whose last one was not answered yet."""
    refused: int = 0
    """By the application."""
    unanswered: int = 0
    """Asks of neighbours that the application did not answer in time."""
    late_answers: int = 0
    """Answers of the application to asks that are over."""


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


@dataclass(slots=True)
class _Ask(Generic[P]):
    """A question of a neighbour. ``told``: the application knows of it, and has until the deadline."""

    event: RowsAsked[P]
    told: bool = False
    deadline: int = NEVER


class Pulls(Generic[P]):
    """All pulls of one peer, and all that others pull from it.

    Methods return outputs of the core; see `pubsub.boundary`.

    Args:
        rng: spreads retries.
        peer_of: returns the neighbour that an owner is, if it is connected.
        open_stream: returns a new number for a stream to a neighbour.

    Attributes:
        due: when `timer` is to be called, us.
    """

    def __init__(
        self, rng: random.Random, peer_of: Callable[[bytes], P | None], open_stream: Callable[[P], int]
    ) -> None:
        self.counts = PullCounts()
        self.due = NEVER
        self._rng = rng
        self._peer_of = peer_of
        self._open_stream = open_stream
        self._pulls: dict[tuple[bytes, str], _Pull[P]] = {}
        self._streams: dict[tuple[P, int], _Pull[P]] = {}
        self._asks: dict[tuple[P, int], _Ask[P]] = {}
        self._paid: dict[P, int] = {}  # until when a neighbour has used up its rate, us; see `_charge`

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
        if len(machine.encode()) > MAX_ID or any(not 0 <= n <= U64 for n in after + (until or START)):
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
            return self._take_ask(now, peer, stream, message)
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
        return missing

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

    # -- this peer is asked

    def _take_ask(self, now: int, peer: P, stream: int, ask: RowsAsk) -> list[Output[P]]:
        if (peer, stream) in self._asks:
            self.counts.doubled += 1
            return []
        if len(self._asks) >= MAX_ASKS or sum([p == peer for p, _ in self._asks]) >= MAX_SESSIONS:
            self.counts.crowded += 1
            return [(SEND, peer, HISTORY, stream, RowsEnd(Reason.BUSY))]
        self._asks[peer, stream] = _Ask(RowsAsked(peer, stream, ask.machine, ask.after, ask.until))
        out = self._tell(now)
        self.counts.delayed += not self._asks[peer, stream].told
        return out

    def _tell(self, now: int) -> list[Output[P]]:
        """Give the application the asks of neighbours whose rate allows it."""
        out: list[Output[P]] = []
        for (peer, _), ask in self._asks.items():
            if not ask.told and self._ready(peer) <= now:
                self._charge(peer, now, MAX_PAGE)  # what is not used of it is given back with the answer
                ask.told, ask.deadline = True, now + ANSWER_TIMEOUT
                self.counts.asked += 1
                out.append((NOTIFY, ask.event))
        self._schedule(now)
        return out

    def _ready(self, peer: P) -> int:
        """Return when a neighbour may have the next page: where it has room for one in its burst."""
        return self._paid.get(peer, 0) - (BURST - MAX_PAGE) * SECOND // RATE

    def _charge(self, peer: P, now: int, size: int) -> None:
        self._paid[peer] = max(self._paid.get(peer, 0), now) + size * SECOND // RATE

    def answer(
        self, now: int, asked: RowsAsked[P], rows: Iterable[PulledRow], *, last: bool, kept: bool = True
    ) -> list[Output[P]]:
        """Answer an ask with rows in order.

        Args:
            now: us.
            asked: the event.
            rows: those that are asked for, from the first one on; as many as there are at hand. What has no room in a
                page is left out, and asked for again.
            last: whether there are no more of them in the range.
            kept: False says that there is no log of that machine.

        Raises:
            ExposeError: a row is too large to be sent. The ask is still open.
            ValueError: there are more rows, but not one of them is given.
        """
        page: list[PulledRow] = []
        size, whole = 0, True
        for row in rows:
            if len(row[2]) > MAX_ROW:
                raise ExposeError(f"row {row[:2]} of {asked.machine!r} has {len(row[2])} bytes, at most {MAX_ROW} go")
            more = size_of_row(row)
            if size + more > _ROOM or len(page) == MAX_ROWS:
                whole = False
                break
            page.append(row)
            size += more
        if kept and not page and not last:
            raise ValueError(f"there are more rows of {asked.machine!r} after {asked.after}: give at least one of them")
        message = Rows(tuple(page), last and whole) if kept else RowsEnd(Reason.NONE_KEPT)
        if not self._close(now, asked, max(LEAST, size)):
            return []
        self.counts.served_pages += kept
        self.counts.served_rows += len(page)
        self.counts.served_bytes += size
        return [(SEND, asked.peer, HISTORY, asked.stream, message), *self._tell(now)]

    def refuse(self, now: int, asked: RowsAsked[P]) -> list[Output[P]]:
        """Answer an ask with a refusal: these rows are not for whoever asks."""
        if not self._close(now, asked, LEAST):
            return []
        self.counts.refused += 1
        return [(SEND, asked.peer, HISTORY, asked.stream, RowsEnd(Reason.REFUSED)), *self._tell(now)]

    def _close(self, now: int, asked: RowsAsked[P], size: int) -> bool:
        """Take an ask out, and count what the answer really costs; False: it is over already."""
        key = (asked.peer, asked.stream)
        ask = self._asks.get(key)
        if ask is None or ask.event is not asked:  # a later one may have the same numbers
            self.counts.late_answers += 1
            return False
        del self._asks[key]
        self._paid[asked.peer] -= (MAX_PAGE - size) * SECOND // RATE
        self._schedule(now)
        return True

    # -- time, and connections

    def timer(self, now: int) -> list[Output[P]]:
        """Do what is due."""
        out: list[Output[P]] = []
        for ask in list(self._asks.values()):
            if ask.deadline <= now:
                self.counts.unanswered += 1
                self._close(now, ask.event, LEAST)
        out += [self._end(pull, Outcome.TIMEOUT) for pull in list(self._pulls.values()) if pull.deadline <= now]
        return [*out, *self._tell(now), *self._ask(now)]

    def unlinked(self, now: int, peer: P) -> list[Output[P]]:
        """Give up what was going on with a neighbour that is gone."""
        self._paid.pop(peer, None)
        for key in [key for key in self._asks if key[0] == peer]:
            del self._asks[key]
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
        for (peer, _), ask in self._asks.items():
            due = min(due, ask.deadline if ask.told else self._ready(peer))
        self.due = max(due, now)
