"""P5, the owner's side: rows of this peer's own machines, for neighbours that ask. See `pubsub.pull` for the protocol.

The application is told of an ask when the rate of whoever asks has room for a page, and answers it with what it has.
Nothing else is kept of a neighbour than its asks that are open, a few at a time, and how much it had lately.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pubsub.boundary import HISTORY, NEVER, NOTIFY, SECOND, SEND, Output
from pubsub.errors import ExposeError
from pubsub.messages import MAX_PAGE, MAX_ROW, MAX_ROWS, Place, PulledRow, Reason, Rows, RowsAsk, RowsEnd, size_of_row

P = TypeVar("P", bound=Hashable)

ANSWER_TIMEOUT = 10 * SECOND  # for the application to answer an ask
MAX_SESSIONS = 4  # asks of one neighbour at a time, each way
MAX_ASKS = 64  # of all neighbours at a time
RATE = 512 * 1024  # bytes/s to one neighbour: 8 pages, of which each takes the application some 20 ms of a processor
BURST = 512 * 1024  # bytes
LEAST = 8192  # bytes that an ask costs at least: each is a query of a database
_ROOM = MAX_PAGE - 16  # bytes of the rows of a page, beside its head


@dataclass(frozen=True, slots=True)
class RowsAsked(Generic[P]):
    """An event: a neighbour asks for rows of a machine of this peer's own. Answer with `Serving.answer` or `refuse`.

    ``peer`` is whoever asks: the application decides whether it may. See `RowsAsk` for the rest.
    """

    peer: P
    stream: int
    machine: str
    after: Place
    until: Place | None


@dataclass(slots=True)
class ServingCounts:
    """What neighbours asked for, got, and did not get."""

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
class _Ask(Generic[P]):
    """A question of a neighbour. ``told``: the application knows of it, and has until the deadline."""

    event: RowsAsked[P]
    told: bool = False
    deadline: int = NEVER


class Serving(Generic[P]):
    """What others pull from this peer. Methods return outputs of the core; see `pubsub.boundary`.

    Attributes:
        due: when `timer` is to be called, us.
    """

    def __init__(self) -> None:
        self.counts = ServingCounts()
        self.due = NEVER
        self._asks: dict[tuple[P, int], _Ask[P]] = {}
        self._paid: dict[P, int] = {}  # until when a neighbour has used up its rate, us; see `_charge`

    def take(self, now: int, peer: P, stream: int, ask: RowsAsk) -> list[Output[P]]:
        """Take an ask of a neighbour."""
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

    def refuse(self, now: int, asked: RowsAsked[P], reason: Reason = Reason.REFUSED) -> list[Output[P]]:
        """Answer an ask with a refusal: these rows are not for whoever asks; or (`BUSY`) it may ask again later."""
        if not self._close(now, asked, LEAST):
            return []
        self.counts.refused += 1
        return [(SEND, asked.peer, HISTORY, asked.stream, RowsEnd(reason)), *self._tell(now)]

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

    def timer(self, now: int) -> list[Output[P]]:
        """Do what is due."""
        for ask in list(self._asks.values()):
            if ask.deadline <= now:
                self.counts.unanswered += 1
                self._close(now, ask.event, LEAST)
        return self._tell(now)

    def unlinked(self, now: int, peer: P) -> None:
        """Drop the asks of a neighbour that is gone."""
        self._paid.pop(peer, None)
        for key in [key for key in self._asks if key[0] == peer]:
            del self._asks[key]
        self._schedule(now)

    def _schedule(self, now: int) -> None:
        """Find out when there is something to do next."""
        due = min(
            [ask.deadline if ask.told else self._ready(peer) for (peer, _), ask in self._asks.items()], default=NEVER
        )
        self.due = max(due, now)
