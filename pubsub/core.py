"""The core: one peer's whole protocol, sans-IO. Inputs come with the time, outputs are told to the caller.

The core owns the ledger of all owners' states, the publisher of this peer's own machines, and a `Link` for each
connection; see `pubsub.boundary` for what it is called with and returns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from machine import Reader, Tracer, Transition
from pubsub.accept import Acceptor, Verdict
from pubsub.boundary import (
    CATALOG,
    DIAL,
    HANG_UP,
    HISTORY,
    LINK,
    NEVER,
    NOTIFY,
    PUBLISH,
    REFUSE,
    SEND,
    SYNC,
    WAKE,
    Host,
    Message,
    Output,
)
from pubsub.catalog import Catalog
from pubsub.dialling import Dialling
from pubsub.eager import Eager
from pubsub.epochs import Epochs
from pubsub.errors import ExposeError, IdentityError
from pubsub.events import Committed, Convicted, KeyInUse, Published
from pubsub.hlc import HybridClock
from pubsub.identity import Domain, Identity, short_of
from pubsub.ledger import Ledger
from pubsub.link import Link
from pubsub.links import Links, parcel_of
from pubsub.liveness import Liveness
from pubsub.members import Hearing, Member, MemberForgotten, MemberHidden
from pubsub.membership import Membership
from pubsub.messages import (
    Announcement,
    Bodies,
    Entries,
    Exchange,
    Frame,
    Notice,
    Parcel,
    Place,
    PulledRow,
    Reason,
    Rows,
    RowsAsk,
    RowsEnd,
    SchemaAsk,
    Summary,
)
from pubsub.numbers import Numbers
from pubsub.parameters import CoreCounts, Parameters
from pubsub.proof import Proof
from pubsub.publisher import Exposure, Publisher
from pubsub.pull import START, Pulls
from pubsub.record import Header, Record
from pubsub.repair import Repair
from pubsub.replica import Replica, Replicas
from pubsub.serve import RowsAsked
from pubsub.state import OwnerState, merge
from pubsub.suspicion import Suspicion

P = TypeVar("P", bound=Hashable)
OWN_PAUSE = 100_000  # us between two records of this peer: half of the rate at which others take them
MAX_DIAL_KNOWN = 8  # one repair in so many is with a known peer that is not connected

# What a message of the topic must have come to, to be passed on: then its signature is valid.
CHECKED = (Verdict.GAP, Verdict.BACKWARDS, Verdict.EQUIVOCATION, Verdict.OWN)
HEARD = (Hearing.NEW, Hearing.WAITING, Hearing.OURSELVES, Hearing.AHEAD)


class Core(Generic[P]):
    """One peer.

    Args:
        host: randomness, wall clock and disk.
        identity: who this peer is.
        domain: the topic.
        parameters: see there.
        allowed: the owners of a closed topic; None: anybody.
        is_signed, merge, numbers: verify what is signed, compute states, number owners; a simulation shares all three
            among its peers.
        owner_of: returns the key of a neighbour, as the connection with it has proven; None: not known.
    """

    def __init__(
        self,
        host: Host,
        identity: Identity,
        domain: Domain,
        *,
        parameters: Parameters | None = None,
        allowed: Collection[bytes] | None = None,
        is_signed: Callable[[Header | Suspicion], bool] | None = None,
        merge: Callable[[OwnerState | None, Record], OwnerState | None] = merge,
        numbers: Numbers | None = None,
        owner_of: Callable[[P], bytes | None] | None = None,
    ) -> None:
        self.host = host
        self.identity = identity
        self.parameters = parameters or Parameters()
        self.clock = HybridClock(host.wall)
        self.epochs = Epochs(host.disk, host.wall)
        self.owner_of = owner_of
        self.ledger = Ledger(numbers=numbers)
        self.acceptor = Acceptor(domain, self.ledger, self.clock, identity.owner, allowed, is_signed, merge)
        self.catalog: Catalog[P] = Catalog(host.random, self._needed_schemas)
        self._replicas = Replicas(self.ledger, self.catalog.find, host.wall, identity.owner)
        self.publisher = Publisher(identity, domain, self.clock, 0, hash_of=self.catalog.own)
        self.membership = Membership(
            identity,
            domain,
            self.ledger,
            host.wall,
            is_signed=is_signed,
            is_allowed=lambda owner: allowed is None or owner in allowed,
            forget_after=self.parameters.forget_after,
        )
        self.liveness: Liveness[P] = Liveness(self.membership, self.ledger.order_of, owner_of)
        self.links: Links[P] = Links(self.ledger, self.parameters.tau, self.parameters.pace)
        self.repair = Repair(self.ledger, host.random, parcel_of, host.wall)
        self.eager = Eager(self.parameters.eager_rate)
        self.pulls: Pulls[P] = Pulls(host.random, self._peer_of, self._open_stream)
        self.dialling: Dialling[P] = Dialling(host.random)
        self.counts = CoreCounts()
        self._streams: dict[P, int] = {}
        self._own_due = NEVER
        self._last_flush = -NEVER
        self._wake = NEVER
        self._watchers: dict[int, _Watcher] = {}
        self._started = False
        self._has_left = False

    def adopt(self, known: Ledger) -> None:
        """Take over all that somebody else knows, as if by a repair before this peer has any neighbour.

        A simulation begins with it. The ledgers must share their numbers, and `known` hold what this peer published.
        """
        self.ledger.adopt(known)

    # -- inputs

    def start(self, now: int) -> list[Output[P]]:
        """Begin a new life, in an epoch above all earlier ones.

        Raises:
            IdentityError: this key has used up all epochs. Nothing was written.
        """
        epoch, has_lived = self.epochs.first()
        self.publisher.epoch = epoch
        self.epochs.save(epoch)
        self._started = True
        if has_lived:
            self.publisher.touch()  # a record without machines, if there are none, ends what others have of that life
        out: list[Output[P]] = []
        if self.parameters.repair:
            self.repair.schedule(now, fast=True)
        self._publish(now, out)
        return self._finish(now, out)

    def link_up(self, now: int, peer: P, dialed_by_us: bool) -> list[Output[P]]:
        """Begin to talk to a neighbour; who dialled also begins a repair session, so that both know the same."""
        out: list[Output[P]] = []
        link = self.links.up(peer, now)
        if self.parameters.liveness:
            self.liveness.link_up(peer, now)
        notices: list[Notice] = [*self.membership.active(), *self.acceptor.proofs.values()]
        for notice in notices:
            link.tell(notice, now)
        self.links.look(link)
        self.dialling.linked(peer, dialed_by_us)
        self._streams[peer] = -1 if dialed_by_us else 0
        self.catalog.linked(now)
        if self.parameters.repair:  # whoever is new may know what others have missed, too
            self.repair.schedule(now, fast=True)
        if self.parameters.repair and dialed_by_us:
            self._begin_session(peer, now, out)
        return self._finish(now, out)

    def link_down(self, now: int, peer: P) -> list[Output[P]]:
        """Forget a neighbour and the sessions with it, and dial it again in a while; or the next time, if it failed."""
        out: list[Output[P]] = []
        self._lose(peer, now, out)
        self._drop(self.dialling.lost(peer, now))
        if self.parameters.liveness:
            suspicion = self.liveness.link_down(peer, now)
            if suspicion is not None:
                self._announce(suspicion, None, now, out)
        return self._finish(now, out)

    def _lose(self, peer: P, now: int, out: list[Output[P]]) -> None:
        """Clear up behind a link that is gone."""
        self.links.down(peer)
        self._streams.pop(peer, None)
        self.repair.unlinked(peer)
        self.catalog.unlinked(peer, now)
        out += self.pulls.unlinked(now, peer)

    def _drop(self, peer: P | None) -> None:
        """Forget a peer that had to make room for others that are gone."""
        if peer is not None:
            self.liveness.forget(peer)

    def receive(self, now: int, peer: P, channel: int, stream: int, message: Message) -> list[Output[P]]:
        """Take a message of a neighbour."""
        out: list[Output[P]] = []
        link = self.links.get(peer)
        if link is not None and self.parameters.liveness:
            self.liveness.detectors.heard(peer, now)
        if link is None:
            self.counts.misplaced += 1
        elif channel == LINK and isinstance(message, Frame):
            self._take_frame(peer, link, message, now, out)
        elif channel == SYNC and isinstance(message, Summary | Entries | Exchange):
            self._take_session(peer, stream, message, now, out)
        elif channel == CATALOG and isinstance(message, SchemaAsk):
            out += [(SEND, peer, CATALOG, stream, page) for page in self.catalog.answer(peer, message, now)]
        elif channel == CATALOG and isinstance(message, Bodies):
            for known in self.catalog.learn(peer, stream, message, now):
                out.append((NOTIFY, known))
                self._replicas.learned(known.hash)
        elif channel == HISTORY and isinstance(message, RowsAsk | Rows | RowsEnd):
            out += self.pulls.take(now, peer, stream, message)
        else:
            self.counts.misplaced += 1
        return self._finish(now, out)

    def topic(self, now: int, peer: P, message: Message) -> list[Output[P]]:
        """Take a message of the topic. It is passed on only if its signature was looked at, and if it is news to some.

        What is old goes no further: to look at its signature would cost more than it is worth to others.
        """
        out: list[Output[P]] = []
        if isinstance(message, Announcement):
            hearing = self._notice(message.notice, None, now, out)
            if hearing not in HEARD:
                out.append((REFUSE, hearing.value))
            return self._finish(now, out)
        if not isinstance(message, Parcel) or not self.parameters.eager:
            self.counts.misplaced += 1
            return [(REFUSE, "no record")]
        verdict, header = self._consider(message, None, now, out, limited=True), message.record.header
        known = self.ledger.get(header.owner) if verdict is Verdict.DUPLICATE else None
        is_signed = verdict in CHECKED or (known is not None and known.header == header)
        if verdict is Verdict.COMMITTED or (is_signed and self.eager.may_pass(header.signature)):
            self.eager.note(now)
        else:
            out.append((REFUSE, verdict.value))
        return self._finish(now, out)

    def timer(self, now: int) -> list[Output[P]]:
        """Do what is due."""
        self._wake = NEVER
        out: list[Output[P]] = []
        if self.liveness.deny_due <= now:
            self.liveness.deny_due = NEVER
            self.publisher.touch()
            self._own_due = now
        if self._own_due <= now:
            self._publish(now, out)
        if self.liveness.due <= now:
            self._look(now, out)
        out += self.links.flush(now)
        if self.parameters.repair and self.repair.due <= now:
            self._repair(now, out)
        if self.pulls.due <= now:
            out += self.pulls.timer(now)
        if self.dialling.due <= now:
            out += [(DIAL, peer) for peer in self.dialling.overdue(now)]
        if self.epochs.due <= now:
            self._restart(now, out)
        if self.ledger.expire_due <= now:
            self.ledger.expire(now)
        return self._finish(now, out)

    # -- this peer's own machines

    def expose(self, now: int, machine: Reader) -> list[Output[P]]:
        """Publish a machine, and all its changes, from now on, or from the start on.

        Raises:
            ExposeError: it cannot be published. Nothing has changed.
        """
        exposure = self.publisher.expose(machine)
        watcher = self._watchers[exposure.index] = _Watcher(self.publisher, exposure)
        machine.add_tracer(watcher)
        return self.changed(now) if self._started else []

    def unexpose(self, now: int, machine: Reader) -> list[Output[P]]:
        """Take a machine back."""
        exposure = next((e for e in self.publisher.exposures if e.reader is machine), None)
        self.publisher.unexpose(machine)
        assert exposure is not None
        machine.remove_tracer(self._watchers.pop(exposure.index))
        return self.changed(now)

    def changed(self, now: int) -> list[Output[P]]:
        """Look after this peer's own machines: to be called after any of them may have changed.

        An idle peer publishes at once, a busy one in a while, and then all that came together.
        """
        out: list[Output[P]] = []
        if self.publisher.has_news and self._own_due == NEVER:
            ready = self._last_flush + min(self.parameters.tau, OWN_PAUSE)
            if ready <= now:
                self._publish(now, out)
            else:
                self._own_due = ready
        return self._finish(now, out)

    def leave(self, now: int) -> list[Output[P]]:
        """Say goodbye: sign a last record, and tell it to all neighbours at once. Nothing is published after it."""
        out: list[Output[P]] = []
        before = self.publisher.state
        if not self._has_left and self._flush_own(out, bye=True):
            self._has_left = True
            self._commit_own(before, now, out)
            out += self.links.flush(now, all_at_once=True)
        return self._finish(now, out)

    def _publish(self, now: int, out: list[Output[P]]) -> None:
        self._own_due = NEVER
        before = self.publisher.state
        if not self._has_left and self._flush_own(out):
            self._commit_own(before, now, out)

    def _commit_own(self, before: OwnerState | None, now: int, out: list[Output[P]]) -> None:
        self._last_flush = now
        state = self.publisher.state
        assert state is not None
        self.liveness.published(now, state.order)
        number = self.ledger.commit(state)
        out.append((NOTIFY, Published(state)))
        is_eager = bool(self.parameters.eager and self.links and self.eager.may_publish(now))
        if is_eager:
            out.append((PUBLISH, parcel_of(state, before)))
        if self.parameters.links and self.links and (self._has_left or not is_eager):
            self.links.outbox.mark(number, before, now)

    def _flush_own(self, out: list[Output[P]], *, bye: bool = False) -> bool:
        """Sign what is new; tell whether there was anything. What cannot be published is told, once a change."""
        while bye or self.publisher.has_news:
            try:
                return self.publisher.flush(bye=bye) is not None
            except ExposeError as error:
                self.counts.unpublished += 1
                out.append((NOTIFY, error))
        return False

    # -- records

    def _consider(self, parcel: Parcel, peer: P | None, now: int, out: list[Output[P]], *, limited: bool) -> Verdict:
        """Judge a record from a neighbour, or (None) from the topic; pass on what is new and not on the topic."""
        accepted = self.acceptor.consider(parcel.record, now, limited=limited)
        verdict, state = accepted.verdict, accepted.state
        if state is not None:
            out.append((NOTIFY, Committed(state, accepted.before)))
            self.membership.heard(state, now, is_new=accepted.before is None)
            self._replicas.heard(state, now)
            if parcel.schemas:
                self.catalog.want(parcel.schemas, peer, now)
            if peer is not None and self.parameters.links:
                number = accepted.number
                self.links.outbox.mark(number, accepted.before, now)
                self.links[peer].said[number] = state.header
            if verdict is Verdict.COMMITTED:
                return verdict
        if accepted.proof is not None and self.acceptor.is_new(accepted.proof):
            out.append((NOTIFY, Convicted(accepted.proof)))
            self._announce(accepted.proof, None, now, out)
        torn = verdict is Verdict.EQUIVOCATION and state is None and accepted.proof is not None
        if torn and accepted.proof is not None:  # the larger rank is to win everywhere, and we have not all of it
            torn = accepted.proof.larger == parcel.record.header
        if (verdict is Verdict.GAP or torn) and self.links:
            self.counts.gaps += 1
            peer = self.host.random.choice(list(self.links)) if peer is None else peer  # the topic answers nobody
            link = self.links[peer]
            link.want(short_of(parcel.record.header.owner), now)
            self.links.look(link)
        elif verdict is Verdict.OWN:
            self._outlive(parcel.record.header, now, out)
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

    def _outlive(self, header: Header, now: int, out: list[Output[P]]) -> None:
        """Somebody has records of this very peer, from a life that the disk forgot: see to it that it is over."""
        if header.epoch < self.publisher.epoch:
            if self.publisher.state is None:  # nothing was published in this life that would end that one
                self.publisher.touch()
                self._publish(now, out)
        elif self.epochs.outlive(header.epoch, now):
            self._restart(now, out)

    def _restart(self, now: int, out: list[Output[P]]) -> None:
        """Begin an epoch above all that others have shown of this peer."""
        self.counts.restarts += 1
        if not self.epochs.begun(now):
            out.append((NOTIFY, KeyInUse(self.epochs.above)))
        try:
            self.publisher.restart(self.epochs.above + 1)
        except IdentityError as error:  # no epoch is left above it: this key can never speak again
            out.append((NOTIFY, error))
            return
        self.epochs.save(self.publisher.epoch)
        self._publish(now, out)

    # -- links

    def _take_frame(self, peer: P, link: Link, frame: Frame, now: int, out: list[Output[P]]) -> None:
        if link.take(frame, now):
            self.repair.schedule(now, fast=True)
        states, dirty, said, backlog = self.ledger.states, self.links.outbox.dirty, link.said, link.backlog
        find = self.ledger.numbers.by_owner.get
        known_already = 0
        for parcel in frame.parcels:
            header = parcel.record.header
            number = find(header.owner)
            state = states[number] if number is not None and number < len(states) else None
            # most of what neighbours say has been said by another one: this is the inner loop of the network
            if state is not None and (
                state.header is header or (header.repeats(state.header) and state.order == header.order)
            ):
                known_already += 1
                if number in dirty:
                    said[number] = header  # it has what we would have told it
                if backlog and number in backlog:
                    del backlog[number]
                continue
            asked = parcel.record.full and link.asked.pop(short_of(header.owner), self) is None
            if self._consider(parcel, peer, now, out, limited=not asked) is Verdict.BAD_SIGNATURE:
                self._accuse(peer, now, out)
                return
        self.acceptor.counts[Verdict.DUPLICATE] += known_already
        for notice in frame.notices:
            if self._notice(notice, peer, now, out) is Hearing.BAD_SIGNATURE:
                self._accuse(peer, now, out)
                return
        for short in frame.wants:
            state = self.ledger.buckets.find(short)
            if state is None:
                self.counts.wants_unknown += 1
            else:
                self.counts.wants_served += 1
                link.mark(self.ledger.numbers.of(state.owner), None, now)
        self.links.look(link)

    def _accuse(self, peer: P, now: int, out: list[Output[P]]) -> None:
        """Leave a neighbour that passed on what no honest one would have taken: each one costs a verification."""
        self.counts.accused += 1
        self.liveness.hung_up(peer)
        self._lose(peer, now, out)
        self._drop(self.dialling.left(peer))
        out.append((HANG_UP, peer))

    # -- members

    def members(self) -> list[Member]:
        """Return what all owners that are known are held for."""
        return list(self.membership.members())

    def _notice(self, notice: Notice, peer: P | None, now: int, out: list[Output[P]]) -> Hearing:
        """Take a notice, and pass it on if it is new; BAD_SIGNATURE: it is one that no honest neighbour passes on."""
        self.counts.notices += 1
        if isinstance(notice, Suspicion):
            if not self.parameters.liveness:
                return Hearing.EARLY
            hearing = self.liveness.hear(notice, now)
            if hearing in (Hearing.NEW, Hearing.WAITING):
                self._announce(notice, peer, now, out, topic=False)
            return hearing
        assert isinstance(notice, Proof)
        if notice.owner in self.acceptor.proofs:
            return Hearing.DUPLICATE
        if self.ledger.get(notice.owner) is None:
            return Hearing.EARLY
        if not self.acceptor.convict(notice):
            return Hearing.BAD_SIGNATURE
        out.append((NOTIFY, Convicted(notice)))
        self._announce(notice, peer, now, out, topic=False)
        return Hearing.NEW

    def _announce(
        self, notice: Notice, source: P | None, now: int, out: list[Output[P]], *, topic: bool = True
    ) -> None:
        """Tell all neighbours but the one it came from; and the topic, if it begins here."""
        if topic and self.parameters.eager:
            out.append((PUBLISH, Announcement(notice)))
        self.counts.told += self.links.announce(notice, source, now)

    def _look(self, now: int, out: list[Output[P]]) -> None:
        """See who is silent, and whose time is over."""
        if self.liveness.detectors.due <= now:
            found = self.liveness.look(now)
            for peer in found.ask:
                self.links[peer].ping(now)
                self.links.look(self.links[peer])
            for peer in found.silent:
                self._lose(peer, now, out)
                self._drop(self.dialling.lost(peer, now))
                out.append((HANG_UP, peer))
            for suspicion in found.suspicions:
                self._announce(suspicion, None, now, out)
        self.membership.expire(now)

    def _settle_members(self, now: int, out: list[Output[P]]) -> None:
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
            self._announce(suspicion, None, now, out, topic=False)

    def _forget(self, event: MemberForgotten) -> None:
        """Delete an owner everywhere; the ledger lets go of its number, so it comes last."""
        number = self.ledger.numbers.find(event.owner)
        assert number is not None
        self.links.forget(number)
        self._replicas.forget(event.owner)
        self.acceptor.forget(event.owner)
        self.ledger.forget(event.owner, event.until)
        if self.owner_of is not None:
            for peer in [p for p in self.dialling.known if p not in self.links and self.owner_of(p) == event.owner]:
                self.dialling.forget(peer)
                self.liveness.forget(peer)

    # -- repair

    def _repair(self, now: int, out: list[Output[P]]) -> None:
        self.repair.overdue(now)
        self.repair.schedule(now)
        rng = self.host.random
        if len(self.dialling.known) > len(self.links) and rng.randrange(MAX_DIAL_KNOWN) == 0:
            stranger = self.dialling.stranger(self.links)
            if stranger is not None:
                out.append((DIAL, stranger))  # the session begins when the link is up
                return
        peer = self.repair.choose(self.links)
        if peer is not None:
            self._begin_session(peer, now, out)

    def _begin_session(self, peer: P, now: int, out: list[Output[P]]) -> None:
        stream = self._open_stream(peer)
        out.append((SEND, peer, SYNC, stream, self.repair.begin(peer, stream, now)))
        link = self.links[peer]
        for suspicion in self.membership.some(self.host.random):
            link.tell(suspicion, now)
        self.links.look(link)

    def _open_stream(self, peer: P) -> int:
        self._streams[peer] += 2
        return self._streams[peer]

    def _take_session(
        self, peer: P, stream: int, message: Summary | Entries | Exchange, now: int, out: list[Output[P]]
    ) -> None:
        def consider(parcel: Parcel, limited: bool) -> Verdict:
            return self._consider(parcel, peer, now, out, limited=limited)

        answers = self.repair.take(peer, stream, message, now, consider)
        if answers is None:
            self._accuse(peer, now, out)
        else:
            out += [(SEND, peer, SYNC, stream, answer) for answer in answers]

    # -- replicas, and the schemas that they need

    def replica(self, owner: bytes, machine_id: str) -> Replica | None:
        """Return a machine of another owner as a reader; None if it, or its schema, is not known (yet).

        It moves on at the end of the inputs below: its tracers, and what its pipes reach, must not call this core.
        """
        return self._replicas.get(owner, machine_id)

    def replicas(self) -> list[Replica]:
        """Return all machines of others whose schemas are known."""
        return list(self._replicas)

    def _needed_schemas(self) -> set[bytes]:
        """Return the hashes of all machines' schemas; own ones before they are published, too."""
        published = {machine.schema for _, state in self.ledger.items() for machine in state.values()}
        return published | {exposure.schema for exposure in self.publisher.exposures}

    def _ask_schemas(self, now: int, out: list[Output[P]]) -> None:
        for peer, ask in self.catalog.ask(now, self.links):
            stream = self._open_stream(peer)
            self.catalog.begin(peer, stream, ask, now)
            out.append((SEND, peer, CATALOG, stream, ask))

    # -- the logs of machines

    def pull(
        self, now: int, owner: bytes, machine: str, after: Place = START, until: Place | None = None
    ) -> list[Output[P]]:
        """Pull the log of a machine from its owner, if that is a neighbour; see `Pulls.pull`.

        Raises:
            ValueError: it is being pulled already, or there can be no such machine or row.
        """
        return self._finish(now, self.pulls.pull(now, owner, machine, after, until))

    def pull_more(self, now: int, owner: bytes, machine: str) -> list[Output[P]]:
        """Let the next page of a log come: to be called after each one, when it has been taken."""
        return self._finish(now, self.pulls.more(now, owner, machine))

    def pull_stop(self, now: int, owner: bytes, machine: str) -> list[Output[P]]:
        """End a pull."""
        return self._finish(now, self.pulls.stop(now, owner, machine))

    def answer_rows(
        self, now: int, asked: RowsAsked[P], rows: Iterable[PulledRow], last: bool, *, kept: bool = True
    ) -> list[Output[P]]:
        """Answer a neighbour that asked for rows of a log; see `Serving.answer`.

        Raises:
            ExposeError: a row is too large to be sent.
            ValueError: there are more rows, but not one of them is given.
        """
        return self._finish(now, self.pulls.serving.answer(now, asked, rows, last=last, kept=kept))

    def refuse_rows(self, now: int, asked: RowsAsked[P], reason: Reason = Reason.REFUSED) -> list[Output[P]]:
        """Refuse a neighbour rows that it asked for; with `BUSY`, for now."""
        return self._finish(now, self.pulls.serving.refuse(now, asked, reason))

    def _peer_of(self, owner: bytes) -> P | None:
        """Return the neighbour that an owner is."""
        if self.owner_of is None:
            return None
        return next((peer for peer in self.links if self.owner_of(peer) == owner), None)

    # -- time

    def _finish(self, now: int, out: list[Output[P]]) -> list[Output[P]]:
        """Ask to be woken for what is due next."""
        self._replicas.settle()
        if self.catalog.due <= now:
            self._ask_schemas(now, out)
        if self.membership.events or self.membership.spread:
            self._settle_members(now, out)
        due = min(
            self.links.due,
            self.catalog.due,
            self._own_due,
            self.repair.due if self.parameters.repair else NEVER,
            self.liveness.due,
            self.pulls.due,
            self.dialling.due,
            self.epochs.due,
            self.ledger.expire_due,
        )
        if due < self._wake:
            self._wake = due
            out.append((WAKE, max(due, now)))
        return out


@dataclass(slots=True)
class _Watcher(Tracer):
    """Tells the publisher which machine has changed."""

    publisher: Publisher
    exposure: Exposure
    id: str = field(default="pubsub")

    def transition_end(self, transition: Transition) -> None:
        """Note a change of the clock."""
        if transition.ticks_before != transition.ticks_after:
            self.publisher.changed(self.exposure)

    def machine_dispose(self, machine: Reader) -> None:
        """Note the end, which makes a tombstone."""
        self.publisher.changed(self.exposure)
