"""Peers on libp2p: TCP, noise, yamux, and one stream for each connection.

    async with open_libp2p(identity, topic=Domain("home"), gossip=False) as transport:
        transport.learn("/ip4/127.0.0.1/tcp/4001/p2p/12D3…")

A peer is its owner's key, which noise proves. A connection is one of libp2p with one stream on it, which the dialler
opens; what else libp2p does on it is its own. Its end is the end of both. How it comes about: see `Meeting`.

The topic is gossipsub's, where `gossip` asks for it. Importing this module imports libp2p, which takes a second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Final

import trio
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.utils.address_validation import expand_wildcard_address
from multiaddr import Multiaddr

from pubsub.boundary import TOPIC, Message
from pubsub.codec import decode, encode
from pubsub.errors import WireError
from pubsub.identity import Domain, Identity
from pubsub.transport.addresses import full, owner_of, parse_announced, parse_listen, parse_peer
from pubsub.transport.book import MAX_ADDRESSES
from pubsub.transport.contract import Judge
from pubsub.transport.counts import TransportCounts
from pubsub.transport.door import Door
from pubsub.transport.errors import AddressError, ListenError
from pubsub.transport.gossipsub import Gossip, gossiping
from pubsub.transport.host import abort_all, check_free, make_host, swarm_of
from pubsub.transport.line import Line
from pubsub.transport.meeting import PROTOCOL, Meeting
from pubsub.transport.records import own_record

LOOPBACK: Final = ("/ip4/127.0.0.1/tcp/0",)
BACKLOG: Final = 8 * 1024 * 1024  # bytes that wait at one end: all states of 10,000 owners, which one repair may carry
PATIENCE: Final = 5.0  # s that a connection may be silent for
CLOSING: Final = 1.5  # s that libp2p gets for closing


class Libp2pTransport:
    """One peer's access to the network. See `Transport`; `open_libp2p` makes it."""

    def __init__(
        self,
        identity: Identity,
        topic: Domain,
        is_allowed: Callable[[bytes], bool],
        backlog: int,
        patience: float,
        nursery: trio.Nursery,
        gossip: bool,
        announced: Sequence[str],
    ) -> None:
        self._peer = identity.owner
        self._nursery = nursery
        self._counts = TransportCounts()
        self._meeting = Meeting(self._peer, topic, is_allowed, self._counts, backlog, patience, nursery)
        self._judge: Judge[bytes] | None = None
        self._announced = announced
        self._listening: list[str] = []
        door = Door(self._counts, trio.current_time)
        self._host = make_host(identity, self._meeting.admit, self._note_fault, door)
        self._host.set_stream_handler(PROTOCOL, self._meeting.answer)
        self._swarm = swarm_of(self._host)
        self._gossip = Gossip(self._host, topic.topic, self._validate, self._note_fault) if gossip else None

    def __repr__(self) -> str:
        return f"<Libp2pTransport {self._peer.hex()[:8]}, {len(self._meeting.lines)} connections>"

    @property
    def peer(self) -> bytes:
        """Who this peer is: its owner's key."""
        return self._peer

    @property
    def host(self) -> BasicHost:
        """The host of libp2p below."""
        return self._host

    @property
    def gossip(self) -> Gossip | None:
        """Gossipsub, if there is any."""
        return self._gossip

    @property
    def addresses(self) -> list[str]:
        """Where others can dial this peer: what it announces, or else where it listens."""
        return list(self._announced or self._listening)

    @property
    def listening(self) -> list[str]:
        """Where this peer listens: of each interface one, where it listens on all."""
        return list(self._listening)

    def statistics(self) -> TransportCounts:
        """Return what was done and refused so far."""
        return replace(self._counts, forgotten=self._meeting.book.forgotten)

    # -- who is where

    def learn(self, address: str) -> bytes:
        """Remember an address, and return whose it is. The newest is dialled first, and the oldest is forgotten.

        Raises:
            AddressError: it is none, or does not say whose.
        """
        peer, bare = parse_peer(address)
        self._meeting.book.learn(peer, bare)
        return peer

    def addresses_of(self, peer: bytes) -> list[str]:
        """Return the addresses that were learned of a peer."""
        return [full(address, peer) for address in self._meeting.book.of(peer)]

    def _note_fault(self) -> None:
        self._counts.faults += 1

    # -- connections

    async def accept(self) -> Line:
        """Wait for a connection that somebody else has made, and return it."""
        return await self._meeting.accept()

    async def dial(self, peer: bytes) -> Line:
        """Connect with a peer. See `Transport`."""
        return await self._meeting.dial(self._swarm, peer)

    # -- the topic

    def subscribe(self, judge: Judge[bytes]) -> None:
        """Have messages of the topic judged by this from now on."""
        self._judge = judge

    def publish(self, message: Message) -> None:
        """Publish a message on the topic."""
        if self._meeting.open and self._gossip is not None and self._gossip.say(encode(message)):
            self._counts.published += 1
        else:
            self._counts.unpublished += 1

    @property
    def mesh(self) -> list[bytes]:
        """The neighbours to which gossipsub sends whole messages; see `HasMesh`."""
        return [] if self._gossip is None else self._gossip.mesh

    def watch_mesh(self, callback: Callable[[bytes, bool], object]) -> None:
        """Have each neighbour told that comes into the mesh, or goes; see `HasMesh`."""
        if self._gossip is not None:
            self._gossip.changed_mesh = callback

    def _validate(self, remote: ID, data: bytes) -> bool:
        """Ask the judge about a message of the topic that somebody has passed on."""
        peer = owner_of(remote)
        try:
            message = decode(TOPIC, data)
        except WireError:
            self._counts.undecodable += 1
            return False
        self._counts.heard += 1
        good = False
        if self._meeting.open and self._judge is not None and peer is not None:
            try:
                good = self._judge(peer, message)
            except Exception as error:  # a fault of ours, which gossipsub would swallow
                self._nursery.start_soon(_fail, error)
        self._counts.declined += not good
        return good

    # -- life

    def note_addresses(self, places: Sequence[Multiaddr]) -> None:
        """Note where the host listens, now that it does.

        Raises:
            ListenError: it does not, somewhere.
        """
        found = self._host.get_transport_addrs()
        if len(found) < len(places):
            raise ListenError(f"cannot listen on all of {', '.join(map(str, places))}")
        each = [full(address, self._peer) for place in found for address in _expand(place)]
        self._listening = list(dict.fromkeys(each))

    async def tend(self) -> None:
        """Do what there is to do all the time. `open_libp2p` runs this."""
        gossip = self._gossip
        if gossip is not None:
            self._nursery.start_soon(gossip.speak)
            self._nursery.start_soon(gossip.look_at_mesh)
        await self._meeting.look_after(self._swarm, lambda remote: gossip is not None and remote in gossip.peers)

    async def close(self) -> None:
        """Hang up on everybody and listen no more. `open_libp2p` calls this."""
        self._meeting.close()
        abort_all(self._swarm)
        with trio.CancelScope(shield=True), trio.move_on_after(CLOSING):
            await self._host.close()


def _expand(place: Multiaddr) -> list[Multiaddr]:
    """Return the addresses of the interfaces for one that stands for all; those of loopback, if there are no others."""
    version, port = place.protocols()[0].name, place.value_for_protocol("tcp")
    everywhere, loopback = ("0.0.0.0", "127.0.0.1") if version == "ip4" else ("::", "::1")
    if place.value_for_protocol(version) != everywhere:
        return [place]
    # where there is no interface, libp2p returns none for IPv4, and what it was given for IPv6 (0.8.1)
    found = [each for each in expand_wildcard_address(place) if each.value_for_protocol(version) != everywhere]
    return found or [Multiaddr(f"/{version}/{loopback}/tcp/{port}")]


async def _fail(error: Exception) -> None:
    raise error


@asynccontextmanager
async def open_libp2p(
    identity: Identity,
    *,
    topic: Domain,
    gossip: bool,
    listen: Sequence[str] = LOOPBACK,
    announce: Sequence[str] = (),
    is_allowed: Callable[[bytes], bool] = lambda owner: True,
    backlog: int = BACKLOG,
    patience: float = PATIENCE,
) -> AsyncIterator[Libp2pTransport]:
    """Open a transport, and close it at the end: within 2 s, whatever others do.

    Args:
        identity: who this peer is.
        topic: what it speaks of. Peers of another topic, or with another key of it, are hung up on.
        gossip: whether messages of the topic are sent by gossipsub; else there are none.
        listen: multiaddrs to listen on, TCP only; with port 0 any that is free. If empty, nobody can dial this peer.
        announce: addresses to tell others, instead of those where it listens; as behind a router that forwards a port.
        is_allowed: tells whether a peer may connect, by its owner's key. Asked for each connection.
        backlog: bytes that may wait for one peer.
        patience: s that somebody who connects may take to say hello.

    Raises:
        AddressError: an address to listen on, or to announce, that is none.
        ListenError: one that is in use, or not this machine's.
    """
    places = [parse_listen(text) for text in listen]
    told = [parse_announced(text, identity.owner) for text in announce]
    if len(told) > MAX_ADDRESSES:
        raise AddressError(f"{len(told)} addresses to announce are too many: others keep {MAX_ADDRESSES} of a peer")
    await check_free(places)
    failure: Exception | None = None
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        transport = Libp2pTransport(identity, topic, is_allowed, backlog, patience, nursery, gossip, told)
        if transport.gossip is not None:
            await stack.enter_async_context(gossiping(transport.gossip))
        await stack.enter_async_context(transport.host.run(places))
        try:
            transport.note_addresses(places)
            if gossip:
                own_record(transport.host)  # while it listens: later messages may go out while it closes
            nursery.start_soon(transport.tend)
            yield transport
        except Exception as error:  # raised below, so that the nurseries do not put it into groups
            failure = error
        finally:
            await transport.close()
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
