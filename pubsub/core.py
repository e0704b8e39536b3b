"""The core: one peer's whole protocol, sans-IO. Inputs come with the time, outputs are told to the caller.

The core owns the ledger of all owners' states, the publisher of this peer's own machines, and a `Link` for each
connection; see `pubsub.boundary` for what it is called with and returns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import Concatenate, Generic, ParamSpec, TypeVar

from machine import Reader
from pubsub.accept import Acceptor, Verdict
from pubsub.boundary import (
    CATALOG,
    DIAL,
    HANG_UP,
    HISTORY,
    LINK,
    NEVER,
    NOTIFY,
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
from pubsub.events import Linked, Unlinked
from pubsub.exposing import Exposing
from pubsub.hearsay import Hearsay
from pubsub.hlc import HybridClock
from pubsub.identity import Domain, Identity
from pubsub.ledger import Ledger
from pubsub.links import Links, parcel_of
from pubsub.liveness import Liveness
from pubsub.members import Member
from pubsub.membership import Membership
from pubsub.messages import (
    Announcement,
    Bodies,
    Entries,
    Exchange,
    Frame,
    Notice,
    Parcel,
    Rows,
    RowsAsk,
    RowsEnd,
    SchemaAsk,
    Summary,
)
from pubsub.numbers import Numbers
from pubsub.parameters import CoreCounts, Parameters
from pubsub.pull import Pulls
from pubsub.record import Header, Record
from pubsub.repair import Repair
from pubsub.replica import Replica, Replicas
from pubsub.state import OwnerState, merge
from pubsub.suspicion import Suspicion

P = TypeVar("P", bound=Hashable)
A = ParamSpec("A")
MAX_DIAL_KNOWN = 8  # one repair in so many is with a known peer that is not connected


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
        self.counts = CoreCounts()
        self.clock = HybridClock(host.wall)
        self.ledger = Ledger(numbers=numbers)
        self.acceptor = Acceptor(domain, self.ledger, self.clock, identity.owner, allowed, is_signed, merge)
        self.catalog: Catalog[P] = Catalog(host.random, self._needed_schemas)
        self._replicas = Replicas(self.ledger, self.catalog.find, host.wall, identity.owner)
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
        self.links: Links[P] = Links(
            self.ledger, self.parameters.tau, self.parameters.pace, owner_of, lazy=self.parameters.lazy
        )
        self.repair = Repair(self.ledger, host.random, parcel_of, host.wall, self.parameters.repair_period)
        self.eager = Eager(self.parameters.eager_rate)
        self.pulls: Pulls[P] = Pulls(host.random, self.links.peer_of, self.links.open_stream)
        self.dialling: Dialling[P] = Dialling(host.random)
        self.exposing: Exposing[P] = Exposing(
            host,
            identity,
            domain,
            self.clock,
            parameters=self.parameters,
            counts=self.counts,
            ledger=self.ledger,
            links=self.links,
            eager=self.eager,
            liveness=self.liveness,
            hash_of=self.catalog.own,
        )
        self.publisher, self.epochs = self.exposing.publisher, self.exposing.epochs
        self.hearsay: Hearsay[P] = Hearsay(
            rng=host.random,
            parameters=self.parameters,
            counts=self.counts,
            ledger=self.ledger,
            acceptor=self.acceptor,
            membership=self.membership,
            liveness=self.liveness,
            links=self.links,
            eager=self.eager,
            catalog=self.catalog,
            replicas=self._replicas,
            exposing=self.exposing,
            dialling=self.dialling,
        )
        self._wake = NEVER

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
        out: list[Output[P]] = []
        self.exposing.start()
        if self.parameters.repair:
            self.repair.schedule(now, fast=True)
        self.exposing.publish(now, out)
        return self._finish(now, out)

    def link_up(self, now: int, peer: P, dialed_by_us: bool) -> list[Output[P]]:
        """Begin to talk to a neighbour; who dialled also begins a repair session, so that both know the same."""
        out: list[Output[P]] = []
        link = self.links.up(peer, now, dialed_by_us)
        out.append((NOTIFY, Linked(peer, dialed_by_us)))
        if self.parameters.liveness:
            self.liveness.link_up(peer, now)
        notices: list[Notice] = [*self.membership.active(), *self.acceptor.proofs.values()]
        for notice in notices:
            link.tell(notice, now)
        self.links.look(link)
        self.dialling.linked(peer, dialed_by_us)
        self.catalog.linked(now)
        if self.parameters.repair:  # whoever is new may know what others have missed, too
            self.repair.schedule(now, fast=True)
        if self.parameters.repair and dialed_by_us:
            self._begin_session(peer, now, out)
        return self._finish(now, out)

    def link_down(self, now: int, peer: P) -> list[Output[P]]:
        """Forget a neighbour and the sessions with it, and dial it again in a while; or the next time, if it failed."""
        out: list[Output[P]] = []
        link = self.links.get(peer)
        if link is not None and link.parting:
            self._part_from(peer, now, out)
            return self._finish(now, out)
        self._lose(peer, now, out)
        self._drop(self.dialling.lost(peer, now))
        if self.parameters.liveness:
            suspicion = self.liveness.link_down(peer, now)
            if suspicion is not None:
                self.hearsay.announce(suspicion, None, now, out)
        return self._finish(now, out)

    def _lose(self, peer: P, now: int, out: list[Output[P]]) -> None:
        """Clear up behind a link that is gone."""
        if peer in self.links:
            out.append((NOTIFY, Unlinked(peer)))
        self.links.down(peer)
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
            if link.take(message, now):
                self.repair.schedule(now, fast=True)
            if not self.hearsay.frame(message, peer, link, now, out):
                self._accuse(peer, now, out)
            elif message.parting:
                self.counts.left += 1
                self._part_from(peer, now, out)
                out.append((HANG_UP, peer))
        elif channel == SYNC and isinstance(message, Summary | Entries | Exchange):
            self._take_session(peer, stream, message, now, out)
        elif channel == CATALOG and isinstance(message, SchemaAsk):
            out += [(SEND, peer, CATALOG, stream, page) for page in self.catalog.answer(peer, message, now)]
        elif channel == CATALOG and isinstance(message, Bodies):
            for known in self.catalog.learn(peer, stream, message, now):
                out.append((NOTIFY, known))
                self._replicas.learned(known.hash)
        elif channel == HISTORY and isinstance(message, RowsAsk | Rows | RowsEnd):
            link.pulled = now
            out += self.pulls.take(now, peer, stream, message)
        else:
            self.counts.misplaced += 1
        return self._finish(now, out)

    def topic(self, now: int, peer: P, message: Message) -> list[Output[P]]:
        """Take a message of the topic. It is passed on only if its signature was looked at, and if it is news to some.

        What is old goes no further: to look at its signature would cost more than it is worth to others.
        """
        if not isinstance(message, Announcement) and not (isinstance(message, Parcel) and self.parameters.eager):
            self.counts.misplaced += 1
            return [(REFUSE, "no record")]
        out: list[Output[P]] = []
        self.hearsay.topic(message, now, out)
        return self._finish(now, out)

    def timer(self, now: int) -> list[Output[P]]:
        """Do what is due."""
        self._wake = NEVER
        out: list[Output[P]] = []
        if self.liveness.deny_due <= now:
            self.liveness.deny_due = NEVER
            self.publisher.touch()
            self.exposing.due = now
        if self.exposing.due <= now:
            self.exposing.publish(now, out)
        if self.liveness.due <= now:
            self._look(now, out)
        if self.links.lazy.due <= now:
            self._graft(now)
        out += self.links.flush(now)
        if self.parameters.repair and self.repair.due <= now:
            self._repair(now, out)
        if self.pulls.due <= now:
            out += self.pulls.timer(now)
        if self.dialling.due <= now:
            out += [(DIAL, peer) for peer in self.dialling.overdue(now)]
        if self.epochs.due <= now:
            self.exposing.restart(now, out)
        if self.ledger.expire_due <= now:
            self.ledger.expire(now)
        return self._finish(now, out)

    # -- this peer's own machines

    def expose(self, now: int, machine: Reader) -> list[Output[P]]:
        """Publish a machine, and all its changes, from now on, or from the start on.

        Raises:
            ExposeError: it cannot be published. Nothing has changed.
        """
        out: list[Output[P]] = []
        self.exposing.expose(now, machine, out)
        return self._finish(now, out) if self.exposing.has_started else out

    def unexpose(self, now: int, machine: Reader) -> list[Output[P]]:
        """Take a machine back.

        Raises:
            ExposeError: it is not exposed.
        """
        out: list[Output[P]] = []
        self.exposing.unexpose(now, machine, out)
        return self._finish(now, out)

    def changed(self, now: int) -> list[Output[P]]:
        """Look after this peer's own machines: to be called after any of them may have changed.

        An idle peer publishes at once, a busy one in a while, and then all that came together.
        """
        out: list[Output[P]] = []
        self.exposing.changed(now, out)
        return self._finish(now, out)

    def leave(self, now: int) -> list[Output[P]]:
        """Say goodbye: sign a last record, and tell it to all neighbours at once. Nothing is published after it."""
        out: list[Output[P]] = []
        self.exposing.leave(now, out)
        return self._finish(now, out)

    # -- links

    def part(self, now: int, peer: P) -> list[Output[P]]:
        """Ask a neighbour to end the connection, as there are enough; asked again, end it from here.

        So both know that nobody is gone: neither suspects the other, nor dials it.
        """
        out: list[Output[P]] = []
        link = self.links.get(peer)
        if link is not None and link.parting:
            self._part_from(peer, now, out)
            out.append((HANG_UP, peer))
        elif link is not None:
            self.counts.parted += 1
            link.part(now)
            self.links.look(link)
        return self._finish(now, out)

    def _part_from(self, peer: P, now: int, out: list[Output[P]]) -> None:
        self.liveness.hung_up(peer)
        self._lose(peer, now, out)
        self._drop(self.dialling.left(peer))

    def _accuse(self, peer: P, now: int, out: list[Output[P]]) -> None:
        """Leave a neighbour that passed on what no honest one would have taken: each one costs a verification."""
        self.counts.accused += 1
        self._part_from(peer, now, out)
        out.append((HANG_UP, peer))

    def _graft(self, now: int) -> None:
        """Ask for records that neighbours have, and that did not come any other way."""

        def want(number: int, peer: P) -> bool:
            link = self.links.get(peer)
            if link is None:
                return False
            link.want(self.ledger.numbers.shorts[number], now)
            self.links.look(link)
            return True

        self.links.lazy.overdue(now, self.links.outbox.pause, want)

    # -- members

    def members(self) -> list[Member]:
        """Return what all owners that are known are held for."""
        return list(self.membership.members())

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
                self.hearsay.announce(suspicion, None, now, out)
        self.membership.expire(now)

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
        peer = self.repair.choose(self.links, now)
        if peer is not None:
            self._begin_session(peer, now, out)

    def _begin_session(self, peer: P, now: int, out: list[Output[P]]) -> None:
        stream = self.links.open_stream(peer)
        out.append((SEND, peer, SYNC, stream, self.repair.begin(peer, stream, now)))
        link = self.links[peer]
        for suspicion in self.membership.some(self.host.random):
            link.tell(suspicion, now)
        self.links.look(link)

    def _take_session(
        self, peer: P, stream: int, message: Summary | Entries | Exchange, now: int, out: list[Output[P]]
    ) -> None:
        def consider(parcel: Parcel, limited: bool) -> Verdict:
            return self.hearsay.record(parcel, peer, now, out, limited=limited)

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
            stream = self.links.open_stream(peer)
            self.catalog.begin(peer, stream, ask, now)
            out.append((SEND, peer, CATALOG, stream, ask))

    # -- the logs of machines

    def of_logs(
        self, now: int, do: Callable[Concatenate[int, A], list[Output[P]]], *args: A.args, **options: A.kwargs
    ) -> list[Output[P]]:
        """Call a method of `pulls`, or of `pulls.serving`, as an input of this core. It raises what that raises."""
        return self._finish(now, do(now, *args, **options))

    # -- time

    def _finish(self, now: int, out: list[Output[P]]) -> list[Output[P]]:
        """Ask to be woken for what is due next."""
        if self._replicas.heard_of:
            self._replicas.settle()
        if self.catalog.due <= now:
            self._ask_schemas(now, out)
        if self.repair.ended:
            out += [(NOTIFY, event) for event in self.repair.ended]
            self.repair.ended.clear()
        if self.membership.events or self.membership.spread:
            self.hearsay.settle(now, out)
        due = min(
            self.links.outbox.due,
            self.links.due_alone,
            self.links.lazy.due,
            self.catalog.due,
            self.exposing.due,
            self.repair.due if self.parameters.repair else NEVER,
            self.liveness.detectors.due,
            self.membership.due,
            self.liveness.deny_due,
            self.pulls.ask_due,
            self.pulls.serving.due,
            self.dialling.due,
            self.epochs.due,
            self.ledger.expire_due,
        )
        if due < self._wake:
            self._wake = due
            out.append((WAKE, max(due, now)))
        return out
