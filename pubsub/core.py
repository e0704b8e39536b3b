"""The core: one peer's whole protocol, sans-IO. Inputs come with the time, outputs are told to the caller.

So far: eager (P1), links (P2) and repair (P3). The core owns the ledger of all owners' states, the publisher of this
peer's own machines, and a `Link` for each connection; see `pubsub.boundary` for what it is called with and returns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from machine import Reader, Tracer, Transition
from pubsub.accept import SECOND, Acceptor, Verdict
from pubsub.boundary import (
    CATALOG,
    DIAL,
    HANG_UP,
    LINK,
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
from pubsub.eager import MAX_RATE, Eager
from pubsub.errors import ExposeError, IdentityError
from pubsub.hlc import HybridClock
from pubsub.identity import Domain, Identity, short_of
from pubsub.ledger import Ledger
from pubsub.link import NEVER, Item, Link, Outbox
from pubsub.messages import Bodies, Entries, Exchange, Frame, Parcel, SchemaAsk, Summary
from pubsub.numbers import Numbers
from pubsub.publisher import Exposure, Publisher
from pubsub.record import Header, Record
from pubsub.repair import Repair
from pubsub.replica import Replica, Replicas
from pubsub.state import OwnerState, merge

P = TypeVar("P", bound=Hashable)
EPOCH = "epoch"  # key of the disk
FIRST_REDIAL, MAX_REDIAL = SECOND, 60 * SECOND  # us; doubled in between, and up to twice that by chance
MAX_DIAL_KNOWN = 8  # one repair in so many is with a known peer that is not connected


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be tuned, and which planes are on. Times in us.

    Attributes:
        tau: the shortest time between two flushes of a link, and of this peer's own news. 100 ms up to 300 peers,
            250 ms above.
        eager, links, repair: planes P1, P2 and P3. The eager one needs a shell with a topic.
        eager_rate: unique messages/s up to which the topic is used.
    """

    tau: int = SECOND // 10
    eager: bool = False
    links: bool = True
    repair: bool = True
    eager_rate: int = MAX_RATE


class Committed(NamedTuple):
    """An event: this peer has accepted a new state of an owner. ``before``: the one it had."""

    state: OwnerState
    before: OwnerState | None


@dataclass(frozen=True, slots=True)
class Published:
    """An event: this peer has published a new state of its own."""

    state: OwnerState


@dataclass(slots=True)
class CoreCounts:
    """What the core has refused or had to ask for. The acceptor, links and repair have counts of their own."""

    gaps: int = 0
    wants_served: int = 0
    wants_unknown: int = 0
    misplaced: int = 0
    """Messages of a kind that does not belong where it came from."""
    accused: int = 0
    """Neighbours that were left because they passed on a record with a bad signature."""
    unpublished: int = 0
    """Flushes that a machine which cannot be published held up; the others went out."""
    restarts: int = 0
    """Epochs that were begun because somebody published under this key."""
    unknown_sessions: int = 0


class Core(Generic[P]):
    """One peer.

    Args:
        host: randomness, wall clock and disk.
        identity: who this peer is.
        domain: the topic.
        parameters: see there.
        allowed: the owners of a closed topic; None: anybody.
        is_signed, merge, numbers: verify headers, compute states, number owners; a simulation shares all three among
            its peers.
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
        is_signed: Callable[[Header], bool] | None = None,
        merge: Callable[[OwnerState | None, Record], OwnerState | None] = merge,
        numbers: Numbers | None = None,
        owner_of: Callable[[P], bytes | None] | None = None,
    ) -> None:
        self.host = host
        self.identity = identity
        self.parameters = parameters or Parameters()
        self.clock = HybridClock(host.wall)
        self.owner_of = owner_of
        self.ledger = Ledger(numbers=numbers)
        self.acceptor = Acceptor(domain, self.ledger, self.clock, identity.owner, allowed, is_signed, merge)
        self.catalog: Catalog[P] = Catalog(host.random, self._needed_schemas)
        self._replicas = Replicas(self.ledger, self.catalog.find, host.wall, identity.owner)
        self.publisher = Publisher(identity, domain, self.clock, 0, hash_of=self.catalog.own)
        self.links: dict[P, Link] = {}
        self.outbox = Outbox(self.parameters.tau)
        self.repair = Repair(self.ledger, host.random, _whole)
        self.eager = Eager(self.parameters.eager_rate)
        self.counts = CoreCounts()
        self._dialed: dict[P, bool] = {}
        self._known_peers: dict[P, None] = {}
        self._streams: dict[P, int] = {}
        self._redials: dict[P, tuple[int, int]] = {}  # peer -> when to dial it again, and the pause before that, us
        self._own_due = NEVER
        self._links_due = NEVER  # the first of all links', or before it
        self._last_flush = -NEVER
        self._wake = NEVER
        self._watchers: dict[int, _Watcher] = {}
        self._started = False

    def adopt(self, known: Ledger) -> None:
        """Take over all that somebody else knows, as if by a repair before this peer has any neighbour.

        A simulation begins with it. The ledgers must share their numbers, and `known` hold what this peer published.
        """
        self.ledger.adopt(known)

    # -- inputs

    def start(self, now: int) -> list[Output[P]]:
        """Begin a new life, in an epoch above all earlier ones."""
        stored = self.host.disk.read(EPOCH)
        epoch = max(int.from_bytes(stored, "big") + 1 if stored else 1, self.host.wall() // 1000)
        self._save_epoch(epoch)
        self.publisher.epoch = epoch
        self._started = True
        out: list[Output[P]] = []
        if self.parameters.repair:
            self.repair.schedule(now, fast=True)
        self._publish(now, out)
        return self._finish(now, out)

    def link_up(self, now: int, peer: P, dialed_by_us: bool) -> list[Output[P]]:
        """Begin to talk to a neighbour; who dialled also begins a repair session, so that both know the same."""
        out: list[Output[P]] = []
        self.links[peer] = Link(self.parameters.tau, now)
        self._dialed[peer] = dialed_by_us
        self._known_peers[peer] = None
        self._redials.pop(peer, None)
        self._streams[peer] = -1 if dialed_by_us else 0
        self.catalog.linked(now)
        if self.parameters.repair and dialed_by_us:
            self._begin_session(peer, now, out)
        return self._finish(now, out)

    def link_down(self, now: int, peer: P) -> list[Output[P]]:
        """Forget a neighbour and the sessions with it, and dial it again in a while; or the next time, if it failed."""
        self.links.pop(peer, None)
        pause = min(2 * self._redials[peer][1], MAX_REDIAL) if peer in self._redials else FIRST_REDIAL
        # who was dialled waits longer: the other end is likely to dial, and if it does not, it may have forgotten us
        patience = pause if self._dialed.get(peer, True) else 3 * pause
        self._redials[peer] = (now + round(patience * (1 + self.host.random.random())), pause)
        self._drop_sessions(peer)
        self.catalog.unlinked(peer, now)
        return self._finish(now, [])

    def receive(self, now: int, peer: P, channel: int, stream: int, message: Message) -> list[Output[P]]:
        """Take a message of a neighbour."""
        out: list[Output[P]] = []
        link = self.links.get(peer)
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
        else:
            self.counts.misplaced += 1
        return self._finish(now, out)

    def topic(self, now: int, peer: P, message: Message) -> list[Output[P]]:
        """Take a message of the topic; one that is no record of its owner is not passed on."""
        if not isinstance(message, Parcel) or not self.parameters.eager:
            self.counts.misplaced += 1
            return [(REFUSE, "no record")]
        self.eager.note(now)
        out: list[Output[P]] = []
        verdict = self._consider(message, None, now, out, limited=True)
        if verdict in (Verdict.BAD_SIGNATURE, Verdict.NOT_ALLOWED, Verdict.TOO_FAST):
            out.append((REFUSE, verdict.value))
        return self._finish(now, out)

    def timer(self, now: int) -> list[Output[P]]:
        """Do what is due."""
        self._wake = NEVER
        out: list[Output[P]] = []
        if self._own_due <= now:
            self._publish(now, out)
        if self.outbox.due <= now:
            self._flush_all(now, out)
        elif self._links_due <= now:
            self._flush_due(now, out)
        if self.parameters.repair and self.repair.due <= now:
            self._repair(now, out)
        for peer, (due, pause) in self._redials.items():
            if due <= now:
                out.append((DIAL, peer))
                self._redials[peer] = (now + MAX_REDIAL, pause)  # if nothing comes of it, not even a failure
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

        An idle peer publishes at once, a busy one not before tau is over, and then all that came together.
        """
        out: list[Output[P]] = []
        if self.publisher.has_news and self._own_due == NEVER:
            ready = self._last_flush + self.parameters.tau
            if ready <= now:
                self._publish(now, out)
            else:
                self._own_due = ready
        return self._finish(now, out)

    def _publish(self, now: int, out: list[Output[P]]) -> None:
        self._own_due = NEVER
        before = self.publisher.state
        if not self._flush_own(out):
            return
        self._last_flush = now
        state = self.publisher.state
        assert state is not None
        number = self.ledger.commit(state)
        out.append((NOTIFY, Published(state)))
        if self.parameters.eager and self.links and self.eager.may_publish(now):
            out.append((PUBLISH, _parcel(state, before)))
        elif self.parameters.links and self.links:
            self.outbox.mark(number, before, now)

    def _flush_own(self, out: list[Output[P]]) -> bool:
        """Sign what is new; tell whether there was anything. What cannot be published is told, once a change."""
        while self.publisher.has_news:
            try:
                return self.publisher.flush() is not None
            except ExposeError as error:
                self.counts.unpublished += 1
                out.append((NOTIFY, error))
        return False

    def _save_epoch(self, epoch: int) -> None:
        self.host.disk.write(EPOCH, epoch.to_bytes(8, "big"))
        self.host.disk.sync()

    # -- records

    def _consider(self, parcel: Parcel, peer: P | None, now: int, out: list[Output[P]], *, limited: bool) -> Verdict:
        """Judge a record from a neighbour, or (None) from the topic; pass on what is new and not on the topic."""
        accepted = self.acceptor.consider(parcel.record, now, limited=limited)
        verdict, state = accepted.verdict, accepted.state
        if state is not None:
            out.append((NOTIFY, Committed(state, accepted.before)))
            self._replicas.heard(state, now)
            if parcel.schemas:
                self.catalog.want(parcel.schemas, peer, now)
            if peer is not None and self.parameters.links:
                number = self.ledger.numbers.of(state.owner)
                self.outbox.mark(number, accepted.before, now)
                self.links[peer].said[number] = state.header
            if verdict is Verdict.COMMITTED:
                return verdict
        torn = verdict is Verdict.EQUIVOCATION and state is None and accepted.proof is not None
        if torn and accepted.proof is not None:  # the larger root is to win everywhere, and we have not all of it
            torn = accepted.proof.larger == parcel.record.header
        if (verdict is Verdict.GAP or torn) and self.links:
            self.counts.gaps += 1
            peer = self.host.random.choice(list(self.links)) if peer is None else peer  # the topic answers nobody
            link = self.links[peer]
            link.want(short_of(parcel.record.header.owner), now)
            self._links_due = min(self._links_due, link.due)
        elif verdict is Verdict.OWN:
            self._outlive(parcel.record.header, now, out)
        return verdict

    def _outlive(self, header: Header, now: int, out: list[Output[P]]) -> None:
        """Somebody has newer records of this very peer, from a life that the disk forgot: begin an epoch above them."""
        if header.epoch < self.publisher.epoch:
            return
        self.counts.restarts += 1
        try:
            self.publisher.restart(header.epoch + 1)
        except IdentityError as error:  # no epoch is left above it: this key can never speak again
            out.append((NOTIFY, error))
            return
        self._save_epoch(self.publisher.epoch)
        self._publish(now, out)

    # -- links

    def _take_frame(self, peer: P, link: Link, frame: Frame, now: int, out: list[Output[P]]) -> None:
        link.take(frame, now)
        states, find, dirty, said = self.ledger.states, self.ledger.numbers.find, self.outbox.dirty, link.said
        known_already = 0
        for parcel in frame.parcels:
            header = parcel.record.header
            number = find(header.owner)
            state = states[number] if number is not None and number < len(states) else None
            # most of what neighbours say has been said by another one: this is the inner loop of the network
            if state is not None and (
                state.header is header or (state.header.root == header.root and state.order == header.order)
            ):
                known_already += 1
                if number in dirty:
                    said[number] = header  # it has what we would have told it
                if number in link.backlog:
                    del link.backlog[number]
                continue
            asked = parcel.record.full and link.asked.pop(short_of(header.owner), self) is None
            if self._consider(parcel, peer, now, out, limited=not asked) is Verdict.BAD_SIGNATURE:
                self._accuse(peer, now, out)
                return
        self.acceptor.counts[Verdict.DUPLICATE] += known_already
        for short in frame.wants:
            state = self.ledger.buckets.find(short)
            if state is None:
                self.counts.wants_unknown += 1
            else:
                self.counts.wants_served += 1
                link.mark(self.ledger.numbers.of(state.owner), None, now)
        if link.due < self._links_due:
            self._links_due = link.due

    def _accuse(self, peer: P, now: int, out: list[Output[P]]) -> None:
        """Leave a neighbour that passed on what no honest one would have taken: each one costs a verification."""
        self.counts.accused += 1
        del self.links[peer]
        self._drop_sessions(peer)
        self.catalog.unlinked(peer, now)
        out.append((HANG_UP, peer))

    def _drop_sessions(self, peer: P) -> None:
        for key in [key for key in self.repair.sessions if key[0] == peer]:
            del self.repair.sessions[key]
            self.repair.counts.broken += 1

    def _flush_all(self, now: int, out: list[Output[P]]) -> None:
        """Tell all neighbours what is in the outbox, and what they alone are to be told."""
        batch = self.outbox.take(now, self._delta)
        total = sum([parcel.size for _, _, parcel in batch])
        self._flush(self.links.items(), now, batch, total, out)
        for link in self.links.values():  # only now: what a neighbour said counts until the outbox is empty
            if link.said:
                link.said = {}

    def _flush_due(self, now: int, out: list[Output[P]]) -> None:
        """Tell single neighbours what they alone are to be told."""
        self._flush([(peer, link) for peer, link in self.links.items() if link.due <= now], now, [], 0, out)

    def _flush(
        self, links: Iterable[tuple[P, Link]], now: int, batch: list[Item], total: int, out: list[Output[P]]
    ) -> None:
        for peer, link in links:
            frame = link.flush(now, batch, total, self._delta)
            if frame is not None:
                out.append((SEND, peer, LINK, 0, frame))
        self._links_due = min([link.due for link in self.links.values()], default=NEVER)

    def _delta(self, number: int, before: OwnerState | None) -> Parcel | None:
        state = self.ledger.states[number]
        if state is None or state is before:
            return None
        return _parcel(state, before)

    # -- repair

    def _repair(self, now: int, out: list[Output[P]]) -> None:
        for peer, _ in self.repair.overdue(now):
            assert peer is not None
        self.repair.schedule(now)
        rng = self.host.random
        strangers = [p for p in self._known_peers if p not in self.links]
        if strangers and rng.randrange(MAX_DIAL_KNOWN) == 0:
            out.append((DIAL, rng.choice(strangers)))  # the session begins when the link is up
            return
        mine = sum(s.mine for s in self.repair.sessions.values())
        if self.links and mine < 2:
            self._begin_session(rng.choice(list(self.links)), now, out)

    def _begin_session(self, peer: P, now: int, out: list[Output[P]]) -> None:
        self._streams[peer] += 2
        stream = self._streams[peer]
        out.append((SEND, peer, SYNC, stream, self.repair.begin(peer, stream, now)))

    def _take_session(
        self, peer: P, stream: int, message: Summary | Entries | Exchange, now: int, out: list[Output[P]]
    ) -> None:
        repair = self.repair
        if isinstance(message, Summary):
            entries = repair.answer(peer, stream, message, now)
            if entries is not None:
                out.append((SEND, peer, SYNC, stream, entries))
                if not entries.entries:
                    del repair.sessions[peer, stream]
            return
        session = repair.sessions.get((peer, stream))
        if session is None or (isinstance(message, Entries) and not session.mine):
            self.counts.unknown_sessions += 1
            return
        if isinstance(message, Entries):
            pages = repair.compare(message) if message.entries else []
            asked = any(page.wants for page in pages)
            for page in pages:
                out.append((SEND, peer, SYNC, stream, page))
                repair.counts.pushed += len(page.parcels)
            if not asked:
                self._end_session(peer, stream, now)
            return
        for parcel in message.parcels:
            verdict = self._consider(parcel, peer, now, out, limited=False)
            if verdict is Verdict.BAD_SIGNATURE:
                self._accuse(peer, now, out)
                return
            session.moved += verdict is Verdict.COMMITTED
            repair.counts.moved += verdict is Verdict.COMMITTED
        if message.wants:
            for page in repair.serve(message.wants):
                out.append((SEND, peer, SYNC, stream, page))
                repair.counts.pushed += len(page.parcels)
        if message.last:
            self._end_session(peer, stream, now)

    def _end_session(self, peer: P, stream: int, now: int) -> None:
        session = self.repair.sessions.pop((peer, stream))
        self.repair.counts.finished += 1
        if self.repair.is_large(session.moved):
            self.repair.schedule(now, fast=True)

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
            self._streams[peer] += 2
            self.catalog.begin(peer, self._streams[peer], ask, now)
            out.append((SEND, peer, CATALOG, self._streams[peer], ask))

    # -- time

    def _finish(self, now: int, out: list[Output[P]]) -> list[Output[P]]:
        """Ask to be woken for what is due next."""
        self._replicas.settle()
        if self.catalog.due <= now:
            self._ask_schemas(now, out)
        repair_due = self.repair.due if self.parameters.repair else NEVER
        due = min(self.outbox.due, self._links_due, self.catalog.due, self._own_due, repair_due)
        if self._redials:
            due = min(due, min(at for at, _ in self._redials.values()))
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


def _parcel(state: OwnerState, before: OwnerState | None) -> Parcel:
    """Return the delta between two states as a parcel; made once for all links and, in a simulation, all peers."""
    known = state.parcels
    key = before.header.root if before is not None and before.header.epoch == state.header.epoch else None
    parcel: Parcel | None = known.get(key)
    if parcel is None:
        parcel = known[key] = Parcel.of(state.record(full=key is None, since=before))
    return parcel


def _whole(state: OwnerState) -> Parcel:
    return _parcel(state, None)
