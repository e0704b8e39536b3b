"""P3, repair: find what is missing by fingerprints of buckets, and exchange it. This alone makes all peers agree.

    A  summary: a fingerprint of each bucket of owners                       → B
    B  entries: what it knows of the owners in the buckets that differ       → A
    A  exchange: records that B lacks, and which owners A lacks              → B
    B  exchange: these                                                       → A

The fingerprints are those of `pubsub.buckets`. Pages are bounded; a session that breaks is simply tried again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from pubsub.accept import Verdict
from pubsub.boundary import Message
from pubsub.buckets import MAX_BUCKETS, MIN_BUCKETS, Buckets
from pubsub.ledger import Ledger
from pubsub.messages import Entries, Exchange, Parcel, Summary, pages
from pubsub.state import OwnerState

SECOND = 1_000_000
PERIOD = 10 * SECOND
FAST = SECOND // 2  # the period after a session that moved a lot
SPREAD = 0.25
MAX_SESSIONS = 4
FULL_EVERY = 16  # sessions; fingerprints collide once in 2**32, and this finds what they hide
FULL_BUCKETS = 4
TIMEOUT = 10 * SECOND


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
class Session:
    """One session in progress, on either side."""

    since: int
    mine: bool
    moved: int = 0


@dataclass(slots=True)
class Repair:
    """The rhythm and the sessions of one peer.

    Args:
        ledger: what is known.
        rng: chooses when and with whom.
        parcel_of: makes the parcel of a whole state.
    """

    ledger: Ledger
    rng: random.Random
    parcel_of: Callable[[OwnerState], Parcel]
    period: int = PERIOD
    due: int = 0
    counts: RepairCounts = field(default_factory=RepairCounts)
    sessions: dict[tuple[Hashable, int], Session] = field(default_factory=dict)

    @property
    def buckets(self) -> Buckets:
        """The fingerprints of the ledger."""
        return self.ledger.buckets

    def schedule(self, now: int, *, fast: bool = False) -> None:
        """Choose the time of the next session: soon after one that moved a lot, else later and later."""
        self.period = FAST if fast else min(PERIOD, 2 * self.period)
        self.due = now + round(self.period * (1 + SPREAD * (2 * self.rng.random() - 1)))

    def begin(self, peer: Hashable, stream: int, now: int) -> Summary:
        """Open a session, and return its first message."""
        self.sessions[peer, stream] = Session(now, mine=True)
        self.counts.started += 1
        full: tuple[int, ...] = ()
        if self.counts.started % FULL_EVERY == 0:
            full = tuple(sorted(self.rng.sample(range(len(self.buckets)), FULL_BUCKETS)))
        return Summary(tuple(self.buckets.fingerprints), full)

    def answer(self, peer: Hashable, stream: int, summary: Summary, now: int) -> Entries | None:
        """Take the first message of the other side, and return the entries of what differs; None: refused."""
        count = len(summary.fingerprints)
        valid = count.bit_count() == 1 and MIN_BUCKETS <= count <= MAX_BUCKETS
        theirs = sum(not s.mine for s in self.sessions.values())
        if not valid or theirs >= MAX_SESSIONS or any(not 0 <= at < count for at in summary.full):
            self.counts.refused += 1
            return None
        self.counts.answered += 1
        self.sessions[peer, stream] = Session(now, mine=False)
        ours = self.buckets.folded(count)
        differ = [at for at in range(count) if ours[at] != summary.fingerprints[at] or at in summary.full]
        return Entries(count, tuple((at, self.buckets.entries(at, count)) for at in differ))

    def compare(self, entries: Entries) -> list[Exchange]:
        """Take the entries of the other side, and return what it lacks, in pages, and what this side lacks."""
        count = entries.buckets
        push: list[Parcel] = []
        wants: list[bytes] = []
        for at, theirs in entries.entries:
            known = {short: (epoch, version, root) for short, epoch, version, root in theirs}
            for short, *mine in self.buckets.entries(at, count):
                other = known.pop(short, None)
                if other is None or tuple(mine) > other:
                    state = self.buckets.find(short)
                    assert state is not None
                    push.append(self.parcel_of(state))
                elif other > tuple(mine):
                    wants.append(short)
            wants += known
        return _exchanges(push, wants)

    def serve(self, wants: tuple[bytes, ...]) -> list[Exchange]:
        """Return the whole states of owners that the other side lacks, in pages."""
        states = [state for short in wants if (state := self.buckets.find(short)) is not None]
        return _exchanges([self.parcel_of(state) for state in states], [])

    def take(
        self,
        peer: Hashable,
        stream: int,
        message: Summary | Entries | Exchange,
        now: int,
        consider: Callable[[Parcel], Verdict],
    ) -> list[Message] | None:
        """Take a message of a session; return what to answer on its stream; None: the neighbour is to be left.

        Args:
            peer, stream: which session.
            message: what came.
            now: us.
            consider: judges a record, and commits it.
        """
        if isinstance(message, Summary):
            entries = self.answer(peer, stream, message, now)
            if entries is None:
                return []
            if not entries.entries:
                del self.sessions[peer, stream]
            return [entries]
        session = self.sessions.get((peer, stream))
        if session is None or (isinstance(message, Entries) and not session.mine):
            self.counts.unknown += 1
            return []
        if isinstance(message, Entries):
            out = self.compare(message) if message.entries else []
            is_over = not any(page.wants for page in out)
        else:
            for parcel in message.parcels:
                verdict = consider(parcel)
                if verdict is Verdict.BAD_SIGNATURE:
                    return None
                session.moved += verdict is Verdict.COMMITTED
                self.counts.moved += verdict is Verdict.COMMITTED
            out = self.serve(message.wants) if message.wants else []
            is_over = message.last
        self.counts.pushed += sum([len(page.parcels) for page in out])
        if is_over:
            self._end(peer, stream, now)
        return list(out)

    def _end(self, peer: Hashable, stream: int, now: int) -> None:
        session = self.sessions.pop((peer, stream))
        self.counts.finished += 1
        if self.is_large(session.moved):
            self.schedule(now, fast=True)

    def unlinked(self, peer: Hashable) -> None:
        """Drop the sessions with a neighbour that is gone."""
        for key in [key for key in self.sessions if key[0] == peer]:
            del self.sessions[key]
            self.counts.broken += 1

    def is_large(self, moved: int) -> bool:
        """Tell whether a session moved so much that there is likely more to be found."""
        return moved > max(8, len(self.ledger) // 50)

    def overdue(self, now: int) -> list[tuple[Hashable, int]]:
        """Drop the sessions that have taken too long; return them."""
        late = [key for key, session in self.sessions.items() if now - session.since > TIMEOUT]
        for key in late:
            del self.sessions[key]
            self.counts.broken += 1
        return late


def _exchanges(push: list[Parcel], wants: list[bytes]) -> list[Exchange]:
    parts = pages(push) or [()]
    last = len(parts) - 1
    return [Exchange(part, tuple(wants) if at == 0 else (), at == last) for at, part in enumerate(parts)]
