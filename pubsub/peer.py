"""A peer: the shell that a program opens to share its machines, and to read those of others.

    async with open_peer("flights", key_file="ewr.key", connect=["/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…"]) as peer:
        peer.expose(machine)
        other = await peer.replica("JFK")
        await other.when("Open")

It owns a transport, the core and its driver, and keeps the number of neighbours up. All of it runs in the tasks of the
`async with`; machines that are exposed belong to the same trio program.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import trio

from machine import Machine, Reader, Schema, Tracer
from pubsub.announcement import MdnsCounts
from pubsub.boundary import NOTIFY, Outputs
from pubsub.catalog import SchemaKnown
from pubsub.core import Core
from pubsub.counters import Counters, counters_of, counters_of_core
from pubsub.driver import Driver
from pubsub.errors import ExposeError, PubsubError
from pubsub.events import Committed, KeyInUse, Linked, Meshed
from pubsub.logs import Log, Logs
from pubsub.members import Status
from pubsub.messages import Place
from pubsub.names import is_internal, owner_of, peer_id_of
from pubsub.neighbours import SELF, Addressed, Neighbours, addresses_in, make_self
from pubsub.pull import START, PullEnded, RowsPulled
from pubsub.replica import Replica
from pubsub.serve import RowsAsked
from pubsub.transport.clock import now
from pubsub.transport.contract import HasMesh, Transport
from pubsub.transport.errors import DialError

logger = logging.getLogger("asyncmachine.pubsub")

Listener = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A member of the network, as this peer sees it.

    Attributes:
        id: its peer id.
        owner: its public key.
        status: alive, suspect, dead or left.
        seen: the stamp of its newest record, ms since 1970 by its own clock.
        connected: whether it is a neighbour.
        witnesses: how many say that they do not hear of it.
    """

    id: str
    owner: bytes
    status: Status
    seen: int
    connected: bool
    witnesses: int


class Peer:
    """See `open_peer`, which makes it.

    What happens, it tells any number of listeners, `notify` of `open_peer` first: each event of `pubsub.events`, and
    those of members, schemas and pulls, in the order in which they come. A listener is called by the task that brought
    the event, after what the core wanted before it was done; so it must not wait. It may call this peer: what is then
    to be done is done as soon as it has returned, and if that is refused, the refusal is an event too. What a listener
    raises ends the peer.

    Attributes:
        id: the peer id, as libp2p writes it.
        owner: the public key.
    """

    def __init__(
        self,
        core: Core[bytes],
        transport: Transport[bytes],
        *,
        log: Log | None,
        notify: Listener | None,
        rng: random.Random,
    ) -> None:
        self.owner = core.identity.owner
        self.id = peer_id_of(self.owner)
        self._core = core
        self._transport = transport
        self._listeners: tuple[Listener, ...] = () if notify is None else (notify,)
        self._driver: Driver[bytes] = Driver(core, transport, notify=self._notified, failed=self._failed)
        self._bells: dict[Reader, _Bell] = {}
        self._waiting: dict[_Waiting, None] = {}
        self._neighbours = Neighbours(core, self._driver, transport, rng)
        self._logs = Logs(core, self._driver, log, self._neighbours.meet)
        core.repair.ended = []
        if isinstance(transport, HasMesh):
            transport.watch_mesh(lambda owner, is_in: self._notified(Meshed(owner, is_in)))

    def __repr__(self) -> str:
        return f"<Peer {self.id}, {len(self._core.links)} neighbours>"

    @property
    def mdns(self) -> MdnsCounts:
        """What was heard on the local network."""
        return self._neighbours.mdns

    @property
    def addresses(self) -> list[str]:
        """Where this peer listens, with its peer id: what others give to `connect`."""
        return list(self._transport.addresses) if isinstance(self._transport, Addressed) else []

    def introduce(self, addresses: Sequence[str]) -> None:
        """Tell others where this peer is; `open_peer` does so."""
        self._neighbours.itself = itself = make_self(addresses)
        self._core.expose(0, itself)

    # -- this peer's machines

    def expose(self, machine: Machine | Reader) -> None:
        """Let all others have the machine, and its changes, from now on.

        Called by a listener, it is done, or refused, as soon as that has returned; a refusal is then an event.

        Raises:
            ExposeError: it cannot be published as it is. Nothing has changed.
        """
        if machine.id == SELF:
            raise ExposeError(f"the id {SELF!r} is that of the machine in which a peer tells where it is")
        self._attempt(self._expose, machine)

    def _expose(self, at: int, machine: Machine | Reader) -> Outputs[bytes]:
        out = self._core.expose(at, machine)
        bell = self._bells[machine] = _Bell(self)
        machine.add_tracer(bell)
        return out

    def unexpose(self, machine: Machine | Reader) -> None:
        """Take a machine back: all others are told that it is gone. Called by a listener, see `expose`.

        Raises:
            ExposeError: it is not exposed.
        """
        self._attempt(self._unexpose, machine)

    def _unexpose(self, at: int, machine: Machine | Reader) -> Outputs[bytes]:
        bell = self._bells.pop(machine, None)
        if bell is None:
            raise ExposeError(f"{machine.id} is not exposed by this peer")
        machine.remove_tracer(bell)
        return self._core.unexpose(at, machine)

    def _attempt(self, do: Callable[[int, Machine | Reader], Outputs[bytes]], machine: Machine | Reader) -> None:
        """Have the driver do what may be refused: who asked for it is still there, or else all listeners are told."""
        is_late = False

        def attempt(at: int) -> Outputs[bytes]:
            try:
                return do(at, machine)
            except ExposeError as error:
                if is_late:
                    return [(NOTIFY, error)]
                raise

        self._driver.call(attempt)
        is_late = True

    def _changed(self) -> None:
        if self._core.publisher.has_news:
            self._driver.call(self._core.changed)

    # -- the machines of others

    async def replica(self, id: str, owner: str | bytes | None = None) -> Replica:
        """Return the machine of another peer with this id, as a reader; wait until it is known.

        Args:
            id: of the machine.
            owner: peer id or public key of whose machine it is; None: of whoever has one, the first that is known.
        """
        waiting = _Waiting(id, None if owner is None else owner_of(owner))
        found = self._find(waiting)
        if found is None:
            self._waiting[waiting] = None
            try:
                await waiting.found.wait()
            finally:
                del self._waiting[waiting]
            found = waiting.replica
        assert found is not None
        return found

    def _find(self, waiting: _Waiting) -> Replica | None:
        owners = [owner for owner, _ in self._core.ledger.items()] if waiting.owner is None else [waiting.owner]
        return next((found for owner in owners if (found := self._core.replica(owner, waiting.id))), None)

    def replicas(
        self,
        *,
        id: str | None = None,
        tag: str | None = None,
        owner: str | bytes | None = None,
        state: str | None = None,
        internal: bool = False,
    ) -> list[Replica]:
        """Return the machines of others that are known: those with an id, a tag, an owner, an active state.

        Machines in which peers tell about themselves, whose ids begin with @, are among them only if they are asked
        for, by `id` or with `internal`.
        """
        key = None if owner is None else owner_of(owner)
        if id is not None and key is not None:
            found = self._core.replica(key, id)
            every = [] if found is None else [found]
        else:
            every = self._core.replicas()
        return [
            replica
            for replica in every
            if (replica.id == id if id is not None else internal or not is_internal(replica.id))
            and (tag is None or tag in replica.tags)
            and (key is None or replica.owner == key)
            and (state is None or (state in replica.state_names and replica.is_active(state)))
        ]

    def staleness(self, replica: Replica) -> float:
        """Return for how long nothing new was heard of the owner of a replica, s."""
        return replica.staleness(now()).since / 1_000_000

    def members(self) -> list[PeerInfo]:
        """Return all peers that are known, this one among them, by public key."""
        links = self._core.links
        found = [
            PeerInfo(peer_id_of(m.owner), m.owner, m.status, m.seen, m.owner in links, m.witnesses)
            for m in self._core.members()
        ]
        return sorted(found, key=lambda member: member.owner)

    def neighbours(self) -> list[bytes]:
        """Return the public keys of those that this peer is connected with, members or not, oldest link first."""
        return list(self._core.links)

    def dialed(self, owner: bytes) -> bool | None:
        """Tell whether this peer has made the connection with a neighbour; None: it is none."""
        return self._driver.dialed(owner)

    @property
    def mesh(self) -> list[bytes]:
        """The neighbours to which the topic sends what is published, where there is a topic."""
        return self._transport.mesh if isinstance(self._transport, HasMesh) else []

    def statistics(self) -> dict[str, Counters]:
        """Return all counters, by part: what was done, refused and dropped since the start."""
        out = counters_of_core(self._core)
        out["driver"] = counters_of(self._driver.statistics())
        out["addresses"] = {"known": self._neighbours.known, "wrong": self._neighbours.misaddressed}
        out["mdns"] = counters_of(self._neighbours.mdns)
        statistics = getattr(self._transport, "statistics", None)
        if statistics is not None:
            out["transport"] = counters_of(statistics())
        return out

    async def stop(self) -> None:
        """End without a word, as if this peer had crashed, but for what is on its way. For `open_peer`."""
        await self._driver.stop()

    async def leave(self) -> None:
        """Say goodbye, so that others hold this peer for left and not for dead, and end. Nothing is shared any more."""
        self._driver.call(self._core.leave)
        await self._driver.stop()

    def log(
        self, owner: str | bytes, id: str, after: Place = START, until: Place | None = None
    ) -> AsyncGenerator[RowsPulled, None]:
        """Pull the log of a machine of another peer from its owner, page by page; see `Logs.pull`."""
        return self._logs.pull(owner_of(owner), id, after, until)

    # -- events of the core

    def listen(self, callback: Listener) -> None:
        """Tell somebody each event from now on, after those who listen already. Who listens twice is told twice."""
        self._listeners = (*self._listeners, callback)

    def unlisten(self, callback: Listener) -> None:
        """Tell somebody no event any more.

        Raises:
            ValueError: it does not listen.
        """
        others = list(self._listeners)
        try:
            others.remove(callback)
        except ValueError:
            raise ValueError(f"{callback!r:.80} does not listen to {self!r}") from None
        self._listeners = tuple(others)

    def _notified(self, event: object) -> None:
        if isinstance(event, Committed):
            if event.before is None or event.before.header.epoch != event.state.header.epoch:
                self._neighbours.learn(event.state.owner, addresses_in(event.state))
            if self._waiting:
                self._look(event.state.owner)
        elif isinstance(event, SchemaKnown):
            if self._waiting:
                self._look(None)
        elif isinstance(event, Linked):
            if isinstance(event.peer, bytes):
                self._neighbours.reached(event.peer)
        elif isinstance(event, RowsAsked | RowsPulled | PullEnded):
            self._logs.notified(event)
        elif isinstance(event, KeyInUse):
            logger.warning("%s: somebody else publishes with this key; give each peer a key of its own", self.id)
        elif isinstance(event, PubsubError):
            logger.error("%s cannot publish: %s", self.id, event)
        for listener in self._listeners:
            listener(event)

    def _failed(self, owner: bytes, error: DialError) -> None:
        self._neighbours.failed(owner, error)

    def _look(self, owner: bytes | None) -> None:
        """See whether somebody waits for a machine that is known now; of one owner, or of any."""
        for waiting in self._waiting:
            if owner is None or waiting.owner is None or waiting.owner == owner:
                where = waiting.owner or owner
                waiting.replica = self._find(waiting) if where is None else self._core.replica(where, waiting.id)
                if waiting.replica is not None:
                    waiting.found.set()

    # -- life

    def found(self, owner: bytes, addresses: Iterable[str]) -> None:
        """Hear where a peer is; see `Neighbours.found`."""
        self._neighbours.found(owner, addresses)

    async def run(
        self, connect: Collection[bytes], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run until `stop` or `leave`; dial these to begin with. For `open_peer`."""
        try:
            async with trio.open_nursery() as nursery:
                self._logs.nursery = nursery
                await nursery.start(self._driver.run)
                self._neighbours.dial_first(connect)
                nursery.start_soon(self._neighbours.run)
                task_status.started()
        finally:
            while self._bells:  # the machines live on
                machine, bell = self._bells.popitem()
                machine.remove_tracer(bell)


class _Bell(Tracer):
    """Calls the core when a machine of this peer has come to rest after a change."""

    id = "pubsub bell"

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def queue_end(self, machine: Machine) -> None:
        """Publish what has changed."""
        self._peer._changed()

    def machine_dispose(self, machine: Reader) -> None:
        """Publish that it is gone."""
        self._peer._bells.pop(machine, None)
        self._peer._changed()

    def machine_restored(self, machine: Machine) -> None:
        """Publish the clock that was restored."""
        self._peer._changed()

    def schema_change(self, machine: Reader, old: Schema) -> None:
        """Publish the new schema."""
        self._peer._changed()


class _Waiting:
    """Somebody waits for a machine."""

    def __init__(self, id: str, owner: bytes | None) -> None:
        self.id = id
        self.owner = owner
        self.found = trio.Event()
        self.replica: Replica | None = None
