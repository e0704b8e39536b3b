"""Hearsay: what neighbours and the topic say of owners. It is judged, and whatever is new is passed on.

There are records, which the `Acceptor` judges, and notices: suspicions, which `Membership` judges, and proofs. Only
what is signed is passed on, so a neighbour from which anything else comes is to blame.
"""

from __future__ import annotations

import random
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pubsub.accept import COMMITTED, DUPLICATE, Acceptor, Verdict
from pubsub.boundary import NOTIFY, PUBLISH, REFUSE, Output
from pubsub.catalog import Catalog
from pubsub.dialling import Dialling
from pubsub.eager import Eager
from pubsub.events import Committed, Convicted
from pubsub.exposing import Exposing
from pubsub.identity import short_of
from pubsub.ledger import Ledger
from pubsub.link import Link
from pubsub.links import Links
from pubsub.liveness import Liveness
from pubsub.members import Hearing, MemberForgotten, MemberHidden
from pubsub.membership import Membership
from pubsub.messages import MAX_WANTS, Announcement, Frame, Notice, Parcel
from pubsub.parameters import CoreCounts, Parameters
from pubsub.proof import Proof
from pubsub.record import Header
from pubsub.replica import Replicas
from pubsub.suspicion import Suspicion

P = TypeVar("P", bound=Hashable)

BAD_SIGNATURE = Verdict.BAD_SIGNATURE
# What a message of the topic must have come to, to be passed on: then its signature is valid.
CHECKED = (Verdict.GAP, Verdict.BACKWARDS, Verdict.EQUIVOCATION, Verdict.OWN)
HEARD = (Hearing.NEW, Hearing.WAITING, Hearing.OURSELVES, Hearing.AHEAD)


@dataclass(slots=True, kw_only=True)
class Hearsay(Generic[P]):
    """What one peer hears. The attributes are the parts of its core that are asked, or told."""

    rng: random.Random
    parameters: Parameters
    counts: CoreCounts
    ledger: Ledger
    acceptor: Acceptor
    membership: Membership
    liveness: Liveness[P]
    links: Links[P]
    eager: Eager
    catalog: Catalog[P]
    replicas: Replicas
    exposing: Exposing[P]
    dialling: Dialling[P]

    # -- from where it comes

    def frame(self, frame: Frame, peer: P, link: Link, now: int, out: list[Output[P]]) -> bool:
        """Take what a neighbour says on its link; False: no honest one says so, and the rest was not looked at."""
        states, dirty, said, backlog = self.ledger.states, self.links.outbox.dirty, link.said, link.backlog
        haves = link.haves
        find, came_again = self.ledger.numbers.by_owner.get, self.links.lazy.came_again
        known_already = 0
        for parcel in frame.parcels:
            header = parcel.record.header
            number = find(header.owner)
            state = states[number] if number is not None and number < len(states) else None
            # most of what neighbours say has been said by another one: this is the inner loop of the network
            if (
                number is not None
                and state is not None
                and (state.header is header or (state.order == header.order and header.repeats(state.header)))
            ):
                known_already += 1
                if number in dirty:
                    said[number] = header.order  # it has what we would have told it
                if came_again(number) and not parcel.record.full:
                    self._prune(number, link, now)
                if backlog and number in backlog:
                    del backlog[number]
                if haves and number in haves:
                    del haves[number]
                continue
            asked = parcel.record.full and link.asked.pop(short_of(header.owner), self) is None
            if self.record(parcel, peer, now, out, limited=not asked) is BAD_SIGNATURE:
                return False
        if known_already:
            self.acceptor.counts[DUPLICATE] += known_already
        if frame.haves or frame.prunes:
            self._lazy(frame, peer, link, now)
        for notice in frame.notices:
            if self.notice(notice, peer, now, out) is Hearing.BAD_SIGNATURE:
                return False
        for short in frame.wants:
            state = self.ledger.buckets.find(short)
            if state is None:
                self.counts.wants_unknown += 1
            else:
                self.counts.wants_served += 1
                number = self.ledger.numbers.of(state.owner)
                link.unprune(number)
                link.mark(number, None, now)
        if link.due < self.links.due_alone:
            self.links.look(link)
        return True

    def _prune(self, number: int, link: Link, now: int) -> None:
        self.links.lazy.counts.pruned += 1
        link.prune(self.ledger.numbers.shorts[number], now)

    def _lazy(self, frame: Frame, peer: P, link: Link, now: int) -> None:
        """Take what a neighbour has and does not send, and what it does not want to be sent."""
        lazy, numbers, states, dirty = self.links.lazy, self.ledger.numbers, self.ledger.states, self.links.outbox.dirty
        lazy.counts.haves += len(frame.haves)
        lazy.counts.prunes += len(frame.prunes)
        pause = self.links.outbox.pause
        for short, epoch, version in frame.haves:
            order = (epoch, version)
            number = numbers.find_short(short)
            state = states[number] if number is not None and number < len(states) else None
            if number is None or state is None:
                lazy.counts.unknown += 1
                if len(link.wants) < MAX_WANTS and not self.ledger.has_forgotten(short, order):
                    link.want(short, now)
            elif state.order >= order:
                if number in dirty:
                    link.said[number] = order
                if number in link.haves:
                    del link.haves[number]
            else:
                lazy.expect(number, order, peer, now, pause)
        for short in frame.prunes:
            number = numbers.find_short(short)
            if number is None:
                lazy.counts.unknown += 1
            else:
                link.lazy.add(number)

    def topic(self, message: Announcement | Parcel, now: int, out: list[Output[P]]) -> None:
        """Take a message of the topic; see `Core.topic`."""
        if isinstance(message, Announcement):
            hearing = self.notice(message.notice, None, now, out)
            if hearing not in HEARD:
                out.append((REFUSE, hearing.value))
            return
        verdict, header = self.record(message, None, now, out, limited=True), message.record.header
        known = self.ledger.get(header.owner) if verdict is Verdict.DUPLICATE else None
        is_signed = verdict in CHECKED or (known is not None and known.header == header)
        if verdict is Verdict.COMMITTED or (is_signed and self.eager.may_pass(header.signature)):
            self.eager.note(now)
        else:
            out.append((REFUSE, verdict.value))

    # -- what it is

    def record(self, parcel: Parcel, peer: P | None, now: int, out: list[Output[P]], *, limited: bool) -> Verdict:
        """Judge a record from a neighbour, or (None) from the topic; pass on what is new and not on the topic."""
        accepted = self.acceptor.consider(parcel.record, now, limited=limited)
        verdict, state, before = accepted.verdict, accepted.state, accepted.before
        if state is not None:
            out.append((NOTIFY, Committed(state, before)))
            self.membership.heard(state, now, is_new=before is None)
            if self.replicas.followed:
                self.replicas.heard(state, now)
            if parcel.schemas:
                self.catalog.want(parcel.schemas, peer, now)
            if peer is not None and self.parameters.links:
                number = accepted.number
                self.links.lazy.came(number, state.order)
                self.links.outbox.mark(number, before, now)
                self.links[peer].said[number] = state.order
            if verdict is COMMITTED:
                return verdict
        if accepted.proof is not None and self.acceptor.is_new(accepted.proof):
            out.append((NOTIFY, Convicted(accepted.proof)))
            self.announce(accepted.proof, None, now, out)
        torn = verdict is Verdict.EQUIVOCATION and state is None and accepted.proof is not None
        if torn and accepted.proof is not None:  # the larger rank is to win everywhere, and we have not all of it
            torn = accepted.proof.larger == parcel.record.header
        if (verdict is Verdict.GAP or torn) and self.links:
            self.counts.gaps += 1
            peer = self.rng.choice(list(self.links)) if peer is None else peer  # the topic answers nobody
            link = self.links[peer]
            link.want(short_of(parcel.record.header.owner), now)
            self.links.look(link)
        elif verdict is Verdict.OWN:
            self.exposing.outlive(parcel.record.header, now, out)
        elif verdict in (Verdict.DUPLICATE, Verdict.OLDER) and peer is not None:
            is_honest = self._remind(parcel.record.header, self.links[peer], now)
            return verdict if is_honest else Verdict.BAD_SIGNATURE
        return verdict

    def _remind(self, header: Header, link: Link, now: int) -> bool:
        """Tell a neighbour that an owner it offers was forgotten, so that it does so too; False: it is forged."""
        if self.ledger.get(header.owner) is not None or not self.parameters.liveness:
            return True
        if not self.acceptor.verify(header):
            return False
        reminder = self.membership.remind(header.owner, header.order, now)
        self.ledger.renew(header.owner, now + self.parameters.forget_after)
        if reminder is not None:
            link.tell(reminder, now)
            self.links.look(link)
        return True

    def notice(self, notice: Notice, peer: P | None, now: int, out: list[Output[P]]) -> Hearing:
        """Take a notice, and pass it on if it is new; BAD_SIGNATURE: it is one that no honest neighbour passes on."""
        self.counts.notices += 1
        if isinstance(notice, Suspicion):
            if not self.parameters.liveness:
                return Hearing.EARLY
            hearing = self.liveness.hear(notice, now)
            if hearing in (Hearing.NEW, Hearing.WAITING):
                self.announce(notice, peer, now, out, topic=False)
            return hearing
        assert isinstance(notice, Proof)
        if notice.owner in self.acceptor.proofs:
            return Hearing.DUPLICATE
        if self.ledger.get(notice.owner) is None:
            return Hearing.EARLY
        if not self.acceptor.convict(notice):
            return Hearing.BAD_SIGNATURE
        out.append((NOTIFY, Convicted(notice)))
        self.announce(notice, peer, now, out, topic=False)
        return Hearing.NEW

    def announce(self, notice: Notice, source: P | None, now: int, out: list[Output[P]], *, topic: bool = True) -> None:
        """Tell all neighbours but the one it came from; and the topic, if it begins here."""
        if topic and self.parameters.eager:
            out.append((PUBLISH, Announcement(notice)))
        self.counts.told += self.links.announce(notice, source, now)

    # -- what comes of it

    def settle(self, now: int, out: list[Output[P]]) -> None:
        """Do what came of suspicions, byes and time."""
        membership = self.membership
        events, membership.events = membership.events, []
        for event in events:
            if isinstance(event, MemberHidden):
                self.ledger.hide(event.owner)
            elif isinstance(event, MemberForgotten):
                self._forget(event)
            out.append((NOTIFY, event))
        spread, membership.spread = membership.spread, []
        for suspicion in spread:
            self.announce(suspicion, None, now, out, topic=False)

    def _forget(self, event: MemberForgotten) -> None:
        """Delete an owner everywhere; the ledger lets go of its number, so it comes last."""
        number = self.ledger.numbers.find(event.owner)
        assert number is not None
        self.links.forget(number)
        self.replicas.forget(event.owner)
        self.acceptor.forget(event.owner)
        self.ledger.forget(event.owner, event.until)
        if self.links.owner_of is not None:
            owner_of = self.links.owner_of
            for peer in [p for p in self.dialling.known if p not in self.links and owner_of(p) == event.owner]:
                self.dialling.forget(peer)
                self.liveness.forget(peer)
