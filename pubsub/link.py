"""P2, links: all records, batched for each neighbour.

What a peer commits gathers in its *outbox*: owner's number -> the state before the first news. When that is flushed,
one batch of deltas is made for all links; each link leaves out what came from its neighbour. There is no queue:
memory is bounded by the number of owners, and the newest always wins. Grants bound what is under way: a link without
one keeps a backlog of its own, of the same kind, and goes on merging. What the neighbour cannot apply it asks for as a
whole. Of owners that it has pruned it is only told which record there is; see `pubsub.lazy`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pubsub.boundary import NEVER, SECOND
from pubsub.identity import short_of
from pubsub.lazy import Marks
from pubsub.ledger import Order
from pubsub.messages import (
    MAX_FRAME,
    MAX_HAVES,
    MAX_PRUNES,
    MAX_WANTS,
    Frame,
    Have,
    Notice,
    Parcel,
    size_of_have,
)
from pubsub.state import OwnerState

FIRST = 1_000  # us that the first news waits for company, where it need not wait for longer
PACE = 750  # us; see `Outbox.pace`: so there are about a dozen flushes a second at most
MIN_PAUSE = 10_000  # us between two flushes
WINDOW = 256 * 1024  # bytes under way to one receiver
HAVING = 100_000  # us that a have waits for a frame to go with
PRUNING = 100_000  # us that a prune waits for a frame to go with
MAX_ASKED = 8192
MAX_NOTICES = 64  # in one frame
MAX_UNTOLD = 4096  # notices that wait

Item = tuple[int, OwnerState | None, Parcel]
"""An owner's number, the state that a delta starts from, and the delta."""


@dataclass(slots=True)
class LinkCounts:
    """What one link has done."""

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    records_in: int = 0
    records_out: int = 0
    haves_out: int = 0
    held: int = 0
    """Flushes that had to wait for a grant."""
    untold: int = 0
    """Notices that were dropped, as too many waited."""


@dataclass(slots=True)
class Outbox:
    """What a peer's links have to be told, and when.

    How often it is flushed follows from how much there is to say: where records are few, each goes on at once. Where
    they are many, many share a frame.

    Attributes:
        tau: the longest pause between two flushes, us.
        pace: how much longer it gets with each record a second, us.
        dirty: number of an owner -> the state that neighbours are taken to have; None: nothing of it.
        due: when to flush, us; NEVER if there is nothing to say.
        pause: between the last flush and the next one, us.
    """

    tau: int
    pace: int = PACE
    dirty: dict[int, OwnerState | None] = field(default_factory=dict)
    due: int = NEVER
    last_flush: int = -NEVER
    pause: int = MIN_PAUSE
    _lately: float = 0.0  # owners that had news in about the last second

    def mark(self, number: int, before: OwnerState | None, now: int) -> None:
        """Note that an owner has news, which start from a state."""
        dirty = self.dirty
        if not dirty:
            self.due = max(now + FIRST, self.last_flush + self.pause)
        if number not in dirty:
            dirty[number] = before

    def take(self, now: int, parcel_of: Callable[[int, OwnerState | None], Parcel | None]) -> list[Item]:
        """Empty it, and return a delta for each owner that has news."""
        dirty, self.dirty = self.dirty, {}
        if dirty:
            self._lately = self._lately * SECOND / (SECOND + now - self.last_flush) + len(dirty)
            self.pause = min(self.tau, max(MIN_PAUSE, round(self._lately * self.pace)))
        self.due, self.last_flush = NEVER, now
        batch: list[Item] = []
        for number, before in dirty.items():
            parcel = parcel_of(number, before)
            if parcel is not None:
                batch.append((number, before, parcel))
        return batch

    def forget(self, number: int) -> None:
        """Drop an owner's news."""
        if number in self.dirty:
            del self.dirty[number]
            if not self.dirty:
                self.due = NEVER


@dataclass(slots=True)
class Link:
    """One neighbour.

    Attributes:
        backlog: what it still has to be told beside the outbox: number of an owner -> as in `Outbox.dirty`.
        said: numbers of owners in the outbox -> the newest (epoch, version) that came from this neighbour.
        lazy: numbers of owners that it gets enough of elsewhere.
        haves: what it is to be told of those, by their numbers.
        prunes: short forms of owners that this peer gets enough of elsewhere, and has not told it so yet.
        wants, asked: short forms of owners to ask it for, and of those that it was asked for and has not sent yet.
        notices: suspicions and proofs to tell it.
        due: when to flush the backlog, wants, notices and answers, us; NEVER if there is nothing to say.
        heard: when anything was last received from it.
        pulled: when a log was last sent along it, one way or the other.
        parting: it was asked to end the connection, as there are neighbours enough.
    """

    tau: int
    heard: int
    parting: bool = False
    pulled: int = -NEVER
    backlog: dict[int, OwnerState | None] = field(default_factory=dict)
    said: dict[int, Order] = field(default_factory=dict)
    lazy: Marks = field(default_factory=Marks)
    haves: dict[int, Have] = field(default_factory=dict)
    prunes: dict[bytes, None] = field(default_factory=dict)
    haves_due: int = NEVER
    wants: dict[bytes, None] = field(default_factory=dict)
    asked: dict[bytes, None] = field(default_factory=dict)
    notices: dict[Notice, None] = field(default_factory=dict)
    due: int = NEVER
    counts: LinkCounts = field(default_factory=LinkCounts)
    last_flush: int = -NEVER
    _sent: int = 0  # bytes of parcels and haves, ever
    _granted: int = WINDOW  # bytes of them that the neighbour takes, ever
    _received: int = 0  # and what was lost before it
    _advertised: int = WINDOW
    _ping: bool = False
    _part: bool = False
    _owing: bool = False  # an answer, or a grant

    def mark(self, number: int, before: OwnerState | None, now: int) -> None:
        """Note that this neighbour alone has to be told of an owner, from a state on."""
        if number not in self.backlog or before is None:
            self.backlog[number] = before
        self.schedule(now)

    def want(self, short: bytes, now: int) -> None:
        """Ask the neighbour for an owner's whole state."""
        self.wants[short] = None
        self.asked[short] = None
        if len(self.asked) > MAX_ASKED:
            del self.asked[next(iter(self.asked))]
        self.schedule(now)

    def prune(self, short: bytes, now: int) -> None:
        """Have the neighbour send no more records of an owner, only which ones there are. It is in no hurry."""
        self.prunes[short] = None
        if self.due == NEVER:
            self.due = now + PRUNING

    def unprune(self, number: int) -> None:
        """Send this neighbour the records of an owner again: it has asked for them."""
        self.lazy.discard(number)
        self.haves.pop(number, None)

    def forget(self, number: int) -> None:
        """Drop what is to be told of an owner, and how: its number may soon be another owner's."""
        self.backlog.pop(number, None)
        self.said.pop(number, None)
        self.unprune(number)

    def tell(self, notice: Notice, now: int) -> None:
        """Have the neighbour told of something beside records; once, if it waits already."""
        self.notices[notice] = None
        if len(self.notices) > MAX_UNTOLD:
            del self.notices[next(iter(self.notices))]
            self.counts.untold += 1
        self.schedule(now)

    def ping(self, now: int) -> None:
        """Have the neighbour answer, if only with an empty frame."""
        self._ping = True
        self.schedule(now)

    def part(self, now: int) -> None:
        """Ask the neighbour to end the connection."""
        self.parting = self._part = True
        self.schedule(now)

    def schedule(self, now: int) -> None:
        """Flush soon, but not right after the last time."""
        if self.due == NEVER:
            self.due = max(now + FIRST, self.last_flush + MIN_PAUSE)

    def flush(
        self, now: int, batch: list[Item], total: int, parcel_of: Callable[[int, OwnerState | None], Parcel | None]
    ) -> Frame | None:
        """Return the frame that is due; None if it has to wait for a grant, or there is nothing to say.

        Args:
            now: us.
            batch: what was in the outbox, for all links.
            total: bytes of its parcels.
            parcel_of: makes the delta of an owner from a state to the newest one; None if that is no news.
        """
        fits = total <= MAX_FRAME and self._sent + total <= self._granted
        parcels: list[Parcel] = []
        waiting = False
        if fits and not self.backlog:
            if batch:
                parcels = self._news(batch, now)
        else:
            self._take_in(batch, now)
            parcels, waiting = self._from_backlog(parcel_of)
        return self._frame(now, parcels, waiting)

    def _news(self, batch: list[Item], now: int) -> list[Parcel]:
        """Return what the neighbour has not said itself, but for what it has pruned: that is among the haves then."""
        said, lazy = self.said, self.lazy
        if not said and not lazy:
            return [parcel for _, _, parcel in batch]
        parcels = []
        for number, _, parcel in batch:
            order = said.get(number)
            if order is not None and order >= parcel.record.header.order:
                continue
            if number in lazy and not parcel.record.full:
                self._have(number, parcel, now)
            else:
                parcels.append(parcel)
        return parcels

    def _have(self, number: int, parcel: Parcel, now: int) -> None:
        if not self.haves:
            self.haves_due = now + HAVING
        header = parcel.record.header
        self.haves[number] = (short_of(header.owner), header.epoch, header.version)

    def _take_in(self, batch: list[Item], now: int) -> None:
        """Let the backlog have what the neighbour has not said itself, nor pruned."""
        for number, before, parcel in batch:
            if number in self.said and self.said[number] >= parcel.record.header.order:
                self.backlog.pop(number, None)
            elif number in self.lazy and number not in self.backlog and not parcel.record.full:
                self._have(number, parcel, now)
            elif number not in self.backlog:
                self.backlog[number] = before

    def _from_backlog(self, parcel_of: Callable[[int, OwnerState | None], Parcel | None]) -> tuple[list[Parcel], bool]:
        """Take as much from the backlog as a frame and the grant hold; tell whether more could go at once."""
        parcels: list[Parcel] = []
        size = 0
        for number, before in list(self.backlog.items()):
            parcel = parcel_of(number, before)
            if parcel is None:
                del self.backlog[number]
                continue
            if parcels and size + parcel.size > MAX_FRAME:
                return parcels, True
            if self._sent + size + parcel.size > self._granted:
                self.counts.held += not parcels
                return parcels, False  # the grant that comes back schedules the rest
            parcels.append(parcel)
            size += parcel.size
            del self.backlog[number]
        return parcels, False

    def _frame(self, now: int, parcels: list[Parcel], waiting: bool) -> Frame | None:
        wants: tuple[bytes, ...] = ()
        if self.wants:
            wants = tuple(list(self.wants)[:MAX_WANTS])
            for short in wants:
                del self.wants[short]
        notices: tuple[Notice, ...] = ()
        if self.notices:
            notices = tuple(list(self.notices)[:MAX_NOTICES])
            for notice in notices:
                del self.notices[notice]
        haves: tuple[Have, ...] = ()
        if self.haves and (parcels or wants or notices or self._ping or self._owing or self.haves_due <= now):
            haves = self._due_haves(parcels)
            if not haves:
                self.haves_due = now + self.tau  # or when a grant comes
        prunes: tuple[bytes, ...] = ()
        if self.prunes:
            prunes = tuple(list(self.prunes)[:MAX_PRUNES])
            for short in prunes:
                del self.prunes[short]
        if not (parcels or haves or wants or notices or prunes or self._ping or self._part or self._owing):
            self.due = now + self.tau if waiting else self.haves_due if self.haves else NEVER
            return None
        self._advertised = grant = self._received + WINDOW
        frame = Frame(tuple(parcels), grant, wants, self._ping, notices, self._sent, self._part, prunes, haves)
        self._ping = self._part = self._owing = False
        self._sent += frame.load
        self.last_flush = now
        self.due = now + self.tau if waiting or self.wants or self.notices or self.prunes or self.haves else NEVER
        self.haves_due = self.due
        counts = self.counts
        counts.frames_out += 1
        counts.bytes_out += frame.size
        counts.records_out += len(parcels)
        counts.haves_out += len(haves)
        return frame

    def _due_haves(self, parcels: list[Parcel]) -> tuple[Have, ...]:
        """Take as many haves as the frame and the grant hold beside parcels; a later one goes in their place."""
        room = self._granted - self._sent - sum([parcel.size for parcel in parcels])
        haves: list[Have] = []
        for number, have in list(self.haves.items())[:MAX_HAVES]:
            room -= size_of_have(have)
            if room < 0:
                break
            haves.append(have)
            del self.haves[number]
        return tuple(haves)

    def take(self, frame: Frame, now: int) -> bool:
        """Account for a frame of the neighbour; its records are the core's business.

        Returns:
            Whether frames before it were lost, with records in them; on a stream, none ever is.
        """
        self.heard = now
        counts = self.counts
        counts.frames_in += 1
        counts.bytes_in += frame.size
        parcels = frame.parcels
        if parcels:
            counts.records_in += len(parcels)
        is_torn = frame.sent > self._received
        received = frame.sent + frame.load
        if received > self._received:  # on a stream it always is where the frame before ended
            self._received = received
        if frame.grant > self._granted:
            self._granted = frame.grant
            if self.backlog or self.haves:
                self.haves_due = now
                self.schedule(now)
        if frame.ping or self._received + WINDOW - self._advertised >= WINDOW // 2:
            self._owing = True
            self.schedule(now)
        return is_torn
