"""Peers on libp2p: TCP, noise, yamux, and one stream for each connection.

    async with open_libp2p(identity, topic=Domain("home"), gossip=False) as transport:
        transport.learn("/ip4/127.0.0.1/tcp/4001/p2p/12D3…")

A peer is its owner's key, which noise proves. A connection is one of libp2p with one stream on it, which the dialler
opens; what else libp2p does on it is its own. Its end is the end of both.

Two that dial each other have one connection in the end: the one that the smaller key has dialled, if that comes about.
See `Hello` for how a dial that crossed another is told from one after a connection that has died.

The topic is gossipsub's, where `gossip` asks for it. Importing this module imports libp2p, which takes a second.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Final

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.stream.net_stream import NetStream
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.stream_muxer.yamux.yamux import YamuxStream
from multiaddr import Multiaddr

from pubsub.boundary import TOPIC, Message
from pubsub.codec import decode, encode
from pubsub.errors import WireError
from pubsub.identity import Domain, Identity
from pubsub.transport.addresses import full, id_of, owner_of, parse_listen, parse_peer
from pubsub.transport.contract import Judge
from pubsub.transport.counts import TransportCounts
from pubsub.transport.errors import ConnectionLost, DialError, ListenError
from pubsub.transport.gossipsub import Gossip, gossiping
from pubsub.transport.hello import NONE, TOKEN_BYTES, Hello, decode_hello
from pubsub.transport.host import abort_all, check_free, make_host, swarm_of
from pubsub.transport.line import Line

PROTOCOL: Final = TProtocol("/asyncmachine/1")
LOOPBACK: Final = ("/ip4/127.0.0.1/tcp/0",)
BACKLOG: Final = 8 * 1024 * 1024  # bytes that wait at one end: all states of 10,000 owners, which one repair may carry
DIAL_TIMEOUT: Final = 5.0  # s until a dial that nobody answers fails
HELLO_TIMEOUT: Final = 5.0  # s that a connection may be silent for
CLOSING: Final = 1.5  # s that libp2p gets for closing


class Libp2pTransport:
    """One peer's access to the network. See `Transport`; `open_libp2p` makes it."""

    def __init__(
        self,
        identity: Identity,
        topic: Domain,
        is_allowed: Callable[[bytes], bool],
        backlog: int,
        nursery: trio.Nursery,
        gossip: bool,
    ) -> None:
        self._peer = identity.owner
        self._domain = topic
        self._is_allowed = is_allowed
        self._backlog = backlog
        self._nursery = nursery
        self._counts = TransportCounts()
        self._incarnation = secrets.token_bytes(TOKEN_BYTES)
        self._lines: dict[bytes, Line] = {}  # those that stand
        self._last: dict[bytes, bytes] = {}  # peer -> the newest connection with it that this peer has known
        self._dialing: dict[bytes, trio.Event] = {}  # rung when the dial has ended
        self._accepted: deque[Line] = deque()
        self._acceptor = trio.lowlevel.ParkingLot()
        self._book: dict[bytes, list[Multiaddr]] = {}
        self._judge: Judge[bytes] | None = None
        self._host = make_host(identity, self._admit, self._note_fault)
        self._host.set_stream_handler(PROTOCOL, self._answer)
        self._swarm = swarm_of(self._host)
        self._gossip = Gossip(self._host, topic.topic, self._validate, self._note_fault) if gossip else None
        self._open = True

    def __repr__(self) -> str:
        return f"<Libp2pTransport {self._peer.hex()[:8]}, {len(self._lines)} connections>"

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
        """Where others can dial this peer."""
        return [full(address, self._peer) for address in self._host.get_transport_addrs()]

    def statistics(self) -> TransportCounts:
        """Return what was done and refused so far."""
        return replace(self._counts)

    # -- who is where

    def learn(self, address: str) -> bytes:
        """Remember an address, and return whose it is.

        Raises:
            AddressError: it is none, or does not say whose.
        """
        peer, bare = parse_peer(address)
        known = self._book.setdefault(peer, [])
        if bare not in known:
            known.append(bare)
        return peer

    def addresses_of(self, peer: bytes) -> list[str]:
        """Return the addresses that were learned of a peer."""
        return [full(address, peer) for address in self._book.get(peer, ())]

    def _admit(self, remote: ID, inbound: bool) -> bool:
        """Tell whether somebody who has proven its key may connect."""
        owner = owner_of(remote)
        if owner == self._peer:
            self._counts.twins += 1
        elif not self._open or owner is None or not self._is_allowed(owner):
            self._counts.refused += 1
        else:
            return True
        return False

    def _note_fault(self) -> None:
        self._counts.faults += 1

    # -- connections

    async def accept(self) -> Line:
        """Wait for a connection that somebody else has made, and return it."""
        await trio.lowlevel.checkpoint()
        while not self._accepted:
            await self._acceptor.park()
        return self._accepted.popleft()

    async def dial(self, peer: bytes) -> Line:
        """Connect with a peer. See `Transport`."""
        await trio.lowlevel.checkpoint()
        name = peer.hex()[:8]
        if peer == self._peer:
            raise DialError(f"{name} dials itself")
        if not self._open:
            raise DialError(f"{self._peer.hex()[:8]} has left the network")
        if there := self._lines.get(peer):
            return there
        if (going := self._dialing.get(peer)) is not None:
            await going.wait()
            if there := self._lines.get(peer):
                return there
            raise DialError(f"{name} could not be dialled")
        self._counts.dials += 1
        self._dialing[peer] = trio.Event()
        try:
            with trio.move_on_after(DIAL_TIMEOUT) as patience:
                line = await self._dial(peer)
            if not patience.cancelled_caught:
                return line
            if there := self._lines.get(peer):  # it has dialled this peer in the meantime
                return there
            raise DialError(f"{name} does not answer")
        except DialError:
            self._counts.failed_dials += 1
            raise
        finally:
            self._dialing.pop(peer).set()

    async def _dial(self, peer: bytes) -> Line:
        why: list[str] = []
        for address in self._book.get(peer, ()):
            try:
                # not `connect`: it takes 250 ms at least, and refuses for a minute after a failure
                connection = await self._swarm.dial_addr(address, id_of(peer))
            except Exception as error:
                if there := self._lines.get(peer):
                    return there
                why.append(f"{address}: {_reason(error)}")
                continue
            try:
                assert isinstance(connection, SwarmConn)
                return await self._greet(peer, connection)
            except (ConnectionLost, WireError) as error:
                if there := self._lines.get(peer):
                    return there
                why.append(f"{address}: {error}")
        raise DialError(f"{peer.hex()[:8]} could not be dialled: {'; '.join(why) or 'no address of it is known'}")

    async def _greet(self, peer: bytes, connection: SwarmConn) -> Line:
        """Say hello on a new connection, and return its end when the other side has answered."""
        line: Line | None = None
        try:
            stream = await self._open_stream(connection)
            if there := self._lines.get(peer):
                return there  # made by the other side in the meantime; who is smaller does not matter, it stands
            line = self._make_line(stream, peer, True)
            mine = Hello(self._incarnation, secrets.token_bytes(TOKEN_BYTES), self._last.get(peer, NONE))
            line.say(mine.encode(self._domain, self._peer, peer))
            hello = decode_hello(await line.hear(), self._domain, peer, self._peer)
            if hello.connection != mine.connection:
                raise WireError("an answer to another hello")
            self._stand(line, hello.incarnation, mine.connection)
        except WireError:
            self._counts.strangers += 1
            raise
        finally:
            if line is None or self._lines.get(peer) is not line:
                self._abort(connection)
        line.open()
        return line

    async def _open_stream(self, connection: SwarmConn) -> YamuxStream:
        try:
            net = await connection.new_stream()
            await MultiselectClient().select_one_of([PROTOCOL], MultiselectCommunicator(net), int(HELLO_TIMEOUT))
        except Exception as error:
            raise ConnectionLost(f"the other side does not speak {PROTOCOL}, or has hung up") from error
        assert isinstance(net.muxed_stream, YamuxStream)
        return net.muxed_stream

    async def _answer(self, net: INetStream) -> None:
        """Take a stream that somebody else has opened, and stay until it has ended."""
        assert isinstance(net, NetStream)
        stream = net.muxed_stream
        assert isinstance(stream, YamuxStream)
        peer = owner_of(stream.conn.peer_id)
        assert peer is not None  # `_admit` has seen to it
        line = self._make_line(stream, peer, False)
        try:
            with trio.move_on_after(HELLO_TIMEOUT) as patience:
                hello = decode_hello(await line.hear(), self._domain, peer, self._peer)
                if not await self._is_wanted(peer, hello):
                    self._counts.crossed += 1
                    return
                answer = Hello(self._incarnation, hello.connection)
                line.say(answer.encode(self._domain, self._peer, peer))
                self._stand(line, hello.incarnation, hello.connection)
                self._counts.accepted += 1
                line.open()
                self._accepted.append(line)
                self._acceptor.unpark()
            if patience.cancelled_caught:
                self._counts.silent += 1
                return
            await line.ended.wait()
        except ConnectionLost:
            pass
        except WireError:
            self._counts.strangers += 1
        finally:
            line.close()

    async def _is_wanted(self, peer: bytes, hello: Hello) -> bool:
        """Tell whether to take a connection that another peer has made.

        If it crosses a dial of this peer, whose key is smaller, it is taken only if that dial comes to nothing.
        """
        if self._peer > peer:
            return True
        if (going := self._dialing.get(peer)) is not None:
            await going.wait()
        there = self._lines.get(peer)
        return there is None or not there.dialed or hello.incarnation != there.incarnation or hello.last == there.name

    def _make_line(self, stream: YamuxStream, peer: bytes, dialed: bool) -> Line:
        line = Line(stream, peer, dialed, self._counts, self._backlog, self._forget)
        self._nursery.start_soon(line.write)
        return line

    def _stand(self, line: Line, incarnation: bytes, name: bytes) -> None:
        """Let a connection take the place of an older one."""
        if line.over:
            raise ConnectionLost(f"{line!r} has ended")
        line.incarnation, line.name = incarnation, name
        old = self._lines.pop(line.peer, None)
        self._lines[line.peer] = line
        self._last[line.peer] = name
        if old is not None:
            self._counts.replaced += 1
            old.close()

    def _forget(self, line: Line) -> None:
        """Note that a connection has ended; its end calls this."""
        if self._lines.get(line.peer) is line:
            del self._lines[line.peer]
            self._counts.ended += 1

    def _abort(self, connection: SwarmConn) -> None:
        muxed = connection.muxed_conn
        muxed.wire.abort()  # type: ignore[attr-defined]

    # -- the topic

    def subscribe(self, judge: Judge[bytes]) -> None:
        """Have messages of the topic judged by this from now on."""
        self._judge = judge

    def publish(self, message: Message) -> None:
        """Publish a message on the topic."""
        if self._open and self._gossip is not None and self._gossip.say(encode(message)):
            self._counts.published += 1
        else:
            self._counts.unpublished += 1

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
        if self._open and self._judge is not None and peer is not None:
            try:
                good = self._judge(peer, message)
            except Exception as error:  # a fault of ours, which gossipsub would swallow
                self._nursery.start_soon(_fail, error)
        self._counts.declined += not good
        return good

    # -- the end

    async def close(self) -> None:
        """Hang up on everybody and listen no more. `open_libp2p` calls this."""
        self._open = False
        for line in list(self._lines.values()):
            line.close()
        abort_all(self._swarm)
        with trio.CancelScope(shield=True), trio.move_on_after(CLOSING):
            await self._host.close()


async def _fail(error: Exception) -> None:
    raise error


def _reason(error: BaseException) -> str:
    """Return the innermost cause: the outer ones only say that something failed."""
    while (cause := error.__cause__) is not None:
        error = cause
    return str(error) or type(error).__name__


@asynccontextmanager
async def open_libp2p(
    identity: Identity,
    *,
    topic: Domain,
    gossip: bool,
    listen: Sequence[str] = LOOPBACK,
    is_allowed: Callable[[bytes], bool] = lambda owner: True,
    backlog: int = BACKLOG,
) -> AsyncIterator[Libp2pTransport]:
    """Open a transport, and close it at the end: within 2 s, whatever others do.

    Args:
        identity: who this peer is.
        topic: what it speaks of. Peers of another topic, or with another key of it, are hung up on.
        gossip: whether messages of the topic are sent by gossipsub; else there are none.
        listen: multiaddrs to listen on, TCP only; with port 0 any that is free. None: nobody can dial this peer.
        is_allowed: tells whether a peer may connect, by its owner's key. Asked for each connection.
        backlog: bytes that may wait for one peer.

    Raises:
        AddressError: an address to listen on that is none.
        ListenError: one that is in use, or not this machine's.
    """
    places = [parse_listen(text) for text in listen]
    await check_free(places)
    failure: Exception | None = None
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        transport = Libp2pTransport(identity, topic, is_allowed, backlog, nursery, gossip)
        if transport.gossip is not None:
            await stack.enter_async_context(gossiping(transport.gossip))
        await stack.enter_async_context(transport.host.run(places))
        try:
            if len(transport.host.get_transport_addrs()) < len(places):
                raise ListenError(f"cannot listen on {' and '.join(listen)}")
            if transport.gossip is not None:
                nursery.start_soon(transport.gossip.speak)
            yield transport
        except Exception as error:  # raised below, so that the nurseries do not put it into groups
            failure = error
        finally:
            await transport.close()
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
