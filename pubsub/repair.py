"""P3, repair: find what is missing by fingerprints of buckets, and exchange it. This alone makes all peers agree.

    A  summary: a fingerprint of each bucket of owners                                     → B
    B  entries, in pages: what it knows of the owners in the buckets that differ           → A
    A  exchange, in pages: records that B lacks; with the last, a batch of what A lacks    → B
    B  exchange, in pages: these                                                           → A
    A  exchange: the next batch; the one flagged as the last is the end                    → B

The fingerprints are those of `pubsub.buckets`, each end's part is in `pubsub.sessions`. A session that breaks is simply
tried again. What comes unasked counts for the rates: who cannot take it all asks for it, in a session of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from typing import TypeVar

from pubsub.accept import Verdict
from pubsub.boundary import SECOND, Message
from pubsub.buckets import MAX_BUCKETS, MIN_BUCKETS, Buckets
from pubsub.events import Repaired
from pubsub.hlc import wall_ms_of
from pubsub.ledger import Ledger
from pubsub.messages import Entries, Exchange, Parcel, Summary
from pubsub.record import Header
from pubsub.sessions import Session, answer_to, entry_pages, exchanges
from pubsub.state import OwnerState

PERIOD = 10 * SECOND
FAST = SECOND // 2  # the period after a session that moved what should have been there, or with a new neighbour
FAST_SESSIONS = 4  # one neighbour may lack the same: some more, before the period grows again
SPREAD = 0.25
LATE_MS = 1_500  # a record that is older than this should have been there
MAX_OWN = 2  # sessions at a time that the timer begins
MAX_SESSIONS = 64  # of others; of each neighbour one
FULL_EVERY = 16  # sessions; fingerprints collide once in 2**32, and this finds what they hide
FULL_BUCKETS = 4
TIMEOUT = 5 * SECOND  # without progress
STALL = SECOND  # without progress: then another one may begin beside it

P = TypeVar("P", bound=Hashable)


@dataclass(slots=True)
class RepairCounts:
    """What repair has done. ``moved``: records that a session committed here."""

    started: int = 0
    answered: int = 0
    finished: int = 0
    broken: int = 0
    refused: int = 0
    moved: int = 0
    pushed: int = 0
    unknown: int = 0
    """Messages of sessions that are over, or were never begun."""


@dataclass(slots=True)
class Repair:
    """The rhythm and the sessions of one peer.

    Args:
        ledger: what is known.
        rng: chooses when and with whom.
        parcel_of: makes the parcel of a whole state.
        wall: returns UTC milliseconds.
        longest: what the period grows to while nothing is missing, us.
    """

    ledger: Ledger
    rng: random.Random
    parcel_of: Callable[[OwnerState], Parcel]
    wall: Callable[[], int]
    longest: int = PERIOD
    period: int = PERIOD
    due: int = 0
    counts: RepairCounts = field(default_factory=RepairCounts)
    sessions: dict[tuple[Hashable, int], Session] = field(default_factory=dict)
    ended: list[Repaired] | None = None  # sessions since the last look at it; None: nobody looks
    _fast: int = 0
    _next: dict[Hashable, None] = field(default_factory=dict)  # neighbours that have more for this peer

    @property
    def buckets(self) -> Buckets:
        """The fingerprints of the ledger."""
        return self.ledger.buckets

    def schedule(self, now: int, *, fast: bool = False) -> None:
        """Choose the time of the next session: soon after a sign that something is missing, else later and later."""
        if fast:
            self.period, self._fast = min(FAST, self.longest), FAST_SESSIONS
        elif self._fast > 0:
            self._fast -= 1
        else:
            self.period = min(self.longest, 2 * self.period)
        due = now + round(self.period * (1 + SPREAD * (2 * self.rng.random() - 1)))
        self.due = self.due if fast and now < self.due < due else due

    def choose(self, linked: Collection[P], now: int) -> P | None:
        """Return the neighbour to begin a session with; None: there is none, or this peer is busy with others.

        A session that does not go on, as one of its messages was lost, does not count, but nor does it get another one.
        """
        mine = {peer: session.since for (peer, _), session in self.sessions.items() if session.mine}
        idle = [peer for peer in linked if peer not in mine]
        if not idle or sum([now - since <= STALL for since in mine.values()]) >= MAX_OWN:
            return None
        for peer in idle:
            if peer in self._next:
                del self._next[peer]
                return peer
        return self.rng.choice(idle)

    def begin(self, peer: Hashable, stream: int, now: int) -> Summary:
        """Open a session, and return its first message."""
        count = len(self.buckets)
        self.sessions[peer, stream] = Session(now, True, count)
        self.counts.started += 1
        full: tuple[int, ...] = ()
        if self.counts.started % FULL_EVERY == 0:
            full = tuple(sorted(self.rng.sample(range(count), FULL_BUCKETS)))
        return Summary(tuple(self.buckets.fingerprints), full)

    def answer(self, peer: Hashable, stream: int, summary: Summary, now: int) -> list[Entries]:
        """Take the first message of the other side, and return the entries of what differs; nothing: refused."""
        count = len(summary.fingerprints)
        valid = count.bit_count() == 1 and MIN_BUCKETS <= count <= MAX_BUCKETS
        before = [key for key, session in self.sessions.items() if key[0] == peer and not session.mine]
        theirs = sum(not session.mine for session in self.sessions.values()) - len(before)
        if not valid or theirs >= MAX_SESSIONS or any(not 0 <= at < count for at in summary.full):
            self.counts.refused += 1
            return []
        for key in before:  # it has begun anew, so it has given up the one before
            del self.sessions[key]
            self.counts.broken += 1
        self.counts.answered += 1
        ours = self.buckets.folded(count)
        differ = [at for at in range(count) if ours[at] != summary.fingerprints[at] or at in summary.full]
        if differ:
            self.sessions[peer, stream] = Session(now, False, count)
        return entry_pages(count, [(at, self.buckets.entries(at, count)) for at in differ])

    def take(
        self,
        peer: Hashable,
        stream: int,
        message: Summary | Entries | Exchange,
        now: int,
        consider: Callable[[Parcel, bool], Verdict],
    ) -> list[Message] | None:
        """Take a message of a session; return what to answer on its stream; None: the neighbour is to be left.

        Args:
            peer, stream: which session.
            message: what came.
            now: us.
            consider: judges a record, and commits it; it is told whether the rates count for it.
        """
        if isinstance(message, Summary):
            return list(self.answer(peer, stream, message, now))
        session = self.sessions.get((peer, stream))
        if session is None or (isinstance(message, Entries) and (not session.mine or session.is_read)):
            self.counts.unknown += 1
            return []
        session.since = now
        out: list[Exchange] = []
        if isinstance(message, Entries):
            try:
                push = session.compare(message, self.buckets, self.parcel_of)
            except ValueError:
                self._break(peer, stream)
                return []
            self.counts.pushed += len(push)
            if message.last:
                wants = session.ask()
                if push or wants or not session.is_equal:
                    out = exchanges(push, wants, last=not wants)
                is_over = not wants
            else:
                out = exchanges(push, (), last=False) if push else []
                is_over = False
        else:
            if not self._take_parcels(session, message, consider):
                return None
            if session.mine:
                is_over = False
                if message.last:
                    wants = session.ask()
                    out = [Exchange((), wants, last=not wants)]
                    is_over = not wants
            else:
                if message.wants:
                    out = answer_to(message.wants, self.buckets, self.parcel_of)
                    self.counts.pushed += sum([len(page.parcels) for page in out])
                is_over = message.last
        if is_over:
            self._end(peer, stream, now)
        return list(out)

    def _take_parcels(self, session: Session, message: Exchange, consider: Callable[[Parcel, bool], Verdict]) -> bool:
        for parcel in message.parcels:
            verdict = consider(parcel, not session.was_asked(parcel.record))
            if verdict is Verdict.BAD_SIGNATURE:
                return False
            if verdict is Verdict.COMMITTED:
                self.counts.moved += 1
                session.news += self._is_late(parcel.record.header)
            session.refused += verdict is Verdict.TOO_FAST
        return True

    def _is_late(self, header: Header) -> bool:
        """Tell whether a record should have come by other ways long ago: where there is one, there are more."""
        return self.wall() - wall_ms_of(header.hlc) > LATE_MS

    def _end(self, peer: Hashable, stream: int, now: int) -> None:
        session = self.sessions.pop((peer, stream))
        self.counts.finished += 1
        if self.ended is not None:
            self.ended.append(Repaired(peer, session.mine, session.news))
        if session.refused:
            self._next[peer] = None
        if session.refused or session.news:
            self.schedule(now, fast=True)

    def _break(self, peer: Hashable, stream: int) -> None:
        del self.sessions[peer, stream]
        self.counts.broken += 1

    def unlinked(self, peer: Hashable) -> None:
        """Drop the sessions with a neighbour that is gone."""
        self._next.pop(peer, None)
        for key in [key for key in self.sessions if key[0] == peer]:
            self._break(*key)

    def overdue(self, now: int) -> None:
        """Drop the sessions of which nothing has come for too long; if one is this peer's own, try again soon."""
        late = [key for key, session in self.sessions.items() if now - session.since > TIMEOUT]
        if any(self.sessions[key].mine for key in late):
            self.schedule(now, fast=True)
        for key in late:
            self._break(*key)
