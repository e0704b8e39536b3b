"""How two peers come to have a connection: one dials, both say hello, and one of two that crossed is given up.

Two that dial each other have one connection in the end: the one that the smaller key has dialled, if that comes about.
See `Hello` for how a dial that crossed another is told from one after a connection that has died.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from typing import Final

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.stream.net_stream import NetStream
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.stream_muxer.yamux.yamux import YamuxStream

from pubsub.errors import WireError
from pubsub.identity import Domain
from pubsub.transport.addresses import id_of, owner_of
from pubsub.transport.book import Book
from pubsub.transport.counts import TransportCounts
from pubsub.transport.errors import ConnectionLost, DialError
from pubsub.transport.hello import NONE, TOKEN_BYTES, Hello, decode_hello
from pubsub.transport.line import Line
from pubsub.transport.muxer import Yamux

PROTOCOL: Final = TProtocol("/asyncmachine/1")
DIAL_TIMEOUT: Final = 5.0  # s until a dial that nobody answers fails
MAX_LAST: Final = 4096  # peers with whom a connection is remembered that has ended
LOOK: Final = 1.0  # s between looks for connections on which nobody says hello


class Meeting:
    """All connections of one peer.

    Args:
        peer: who this peer is.
        domain: what it speaks of.
        is_allowed: tells whether somebody may connect.
        counts: what is counted here.
        backlog: bytes that may wait for one peer.
        patience: s that a connection may be silent for.
        nursery: where its tasks are.
    """

    def __init__(
        self,
        peer: bytes,
        domain: Domain,
        is_allowed: Callable[[bytes], bool],
        counts: TransportCounts,
        backlog: int,
        patience: float,
        nursery: trio.Nursery,
    ) -> None:
        self._peer = peer
        self._domain = domain
        self._is_allowed = is_allowed
        self._counts = counts
        self._backlog = backlog
        self._patience = patience
        self._nursery = nursery
        self._incarnation = secrets.token_bytes(TOKEN_BYTES)
        self.book = Book()
        self.lines: dict[bytes, Line] = {}  # those that stand
        self._last: dict[bytes, bytes] = {}  # peer -> the newest connection with it that this peer has known
        self._dialing: dict[bytes, trio.Event] = {}  # rung when the dial has ended
        self._accepted: deque[Line] = deque()
        self._acceptor = trio.lowlevel.ParkingLot()
        self.open = True

    def admit(self, remote: ID, inbound: bool) -> bool:
        """Tell whether somebody who has proven its key may connect."""
        owner = owner_of(remote)
        if owner == self._peer:
            self._counts.twins += 1
        elif not self.open or owner is None or not self._is_allowed(owner):
            self._counts.refused += 1
        else:
            return True
        return False

    async def accept(self) -> Line:
        """Wait for a connection that somebody else has made, and return it."""
        await trio.lowlevel.checkpoint()
        while not self._accepted:
            await self._acceptor.park()
        return self._accepted.popleft()

    async def dial(self, swarm: Swarm, peer: bytes) -> Line:
        """Connect with a peer. See `Transport`."""
        await trio.lowlevel.checkpoint()
        name = peer.hex()[:8]
        if peer == self._peer:
            raise DialError(f"{name} dials itself")
        if not self.open:
            raise DialError(f"{self._peer.hex()[:8]} has left the network")
        if there := self.lines.get(peer):
            return there
        if (going := self._dialing.get(peer)) is not None:
            await going.wait()
            if there := self.lines.get(peer):
                return there
            raise DialError(f"{name} could not be dialled")
        self._counts.dials += 1
        self._dialing[peer] = trio.Event()
        try:
            with trio.move_on_after(DIAL_TIMEOUT) as patience:
                line = await self._dial(swarm, peer)
            if not patience.cancelled_caught:
                return line
            if there := self.lines.get(peer):  # it has dialled this peer in the meantime
                return there
            raise DialError(f"{name} does not answer")
        except DialError:
            self._counts.failed_dials += 1
            raise
        finally:
            self._dialing.pop(peer).set()

    async def _dial(self, swarm: Swarm, peer: bytes) -> Line:
        why: list[str] = []
        addresses = self.book.look_up(peer)
        end = trio.current_time() + DIAL_TIMEOUT
        for number, address in enumerate(addresses):
            try:
                with trio.fail_after((end - trio.current_time()) / (len(addresses) - number)):
                    # not `connect`: it takes 250 ms at least, and refuses for a minute after a failure
                    connection = await swarm.dial_addr(address, id_of(peer))
            except Exception as error:
                if there := self.lines.get(peer):
                    return there
                why.append(f"{address}: {_reason(error)}")
                continue
            try:
                assert isinstance(connection, SwarmConn)
                return await self._greet(peer, connection)
            except ConnectionLost:
                if there := self.lines.get(peer):
                    return there
                why.append(f"{address}: it hung up at the hello: another topic or key of it, or not allowed")
            except WireError as error:
                if there := self.lines.get(peer):
                    return there
                why.append(f"{address}: {error}")
        raise DialError(f"{peer.hex()[:8]} could not be dialled: {'; '.join(why) or 'no address of it is known'}")

    async def _greet(self, peer: bytes, connection: SwarmConn) -> Line:
        """Say hello on a new connection, and return its end when the other side has answered."""
        line: Line | None = None
        try:
            stream = await self._open_stream(connection)
            if there := self.lines.get(peer):
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
            if line is None or self.lines.get(peer) is not line:
                self._abort(connection)
        line.open()
        return line

    async def _open_stream(self, connection: SwarmConn) -> YamuxStream:
        try:
            net = await connection.new_stream()
            await MultiselectClient().select_one_of(
                [PROTOCOL], MultiselectCommunicator(net), max(int(self._patience), 1)
            )
        except Exception as error:
            raise ConnectionLost(f"the other side does not speak {PROTOCOL}, or has hung up") from error
        assert isinstance(net.muxed_stream, YamuxStream)
        return net.muxed_stream

    async def answer(self, net: INetStream) -> None:
        """Take a stream that somebody else has opened, and stay until it has ended."""
        assert isinstance(net, NetStream)
        stream = net.muxed_stream
        assert isinstance(stream, YamuxStream)
        peer = owner_of(stream.conn.peer_id)
        assert peer is not None  # `_admit` has seen to it
        line = self._make_line(stream, peer, False)
        try:
            with trio.move_on_after(self._patience) as patience:
                hello = decode_hello(await line.hear(), self._domain, peer, self._peer)
                if not await self._is_wanted(peer, hello):
                    self._counts.crossed += 1
                    return
                answer = Hello(self._incarnation, hello.connection)
                line.say(answer.encode(self._domain, self._peer, peer))
                self._stand(line, hello.incarnation, hello.connection)
                if (visit := line.muxed.wire.visit) is not None:
                    visit.prove()
                self._counts.accepted += 1
                line.open()
                for old in [old for old in self._accepted if old.peer == peer]:
                    self._accepted.remove(old)
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
        there = self.lines.get(peer)
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
        old = self.lines.pop(line.peer, None)
        self.lines[line.peer] = line
        self._last.pop(line.peer, None)
        self._last[line.peer] = name
        if len(self._last) > MAX_LAST:
            del self._last[next(iter(self._last))]
        if old is not None:
            self._counts.replaced += 1
            old.close()

    def _forget(self, line: Line) -> None:
        """Note that a connection has ended; its end calls this."""
        if self.lines.get(line.peer) is line:
            del self.lines[line.peer]
            self._counts.ended += 1

    def _abort(self, connection: SwarmConn) -> None:
        _muxed(connection).wire.abort()

    async def look_after(self, swarm: Swarm, is_welcome: Callable[[ID], bool]) -> None:
        """Hang up on who connects and says nothing, for ever. `is_welcome`: who need not say hello."""
        since: dict[SwarmConn, float] = {}
        while True:
            await trio.sleep(min(LOOK, self._patience))
            moment = trio.current_time()
            mine = {line.muxed for line in self.lines.values()}
            silent = {}
            for connection in swarm.get_connections():
                assert isinstance(connection, SwarmConn)
                remote = connection.muxed_conn.peer_id
                if connection.muxed_conn in mine:
                    continue
                if is_welcome(remote):
                    visit = _muxed(connection).wire.visit
                    if visit is not None:
                        visit.prove()
                    continue
                silent[connection] = since.get(connection, moment)
                if moment - silent[connection] > 2 * self._patience:
                    self._counts.silent += 1
                    self._abort(connection)
            since = silent

    def close(self) -> None:
        """Hang up on everybody, and let nobody in."""
        self.open = False
        for line in list(self.lines.values()):
            line.close()


def _muxed(connection: SwarmConn) -> Yamux:
    muxed = connection.muxed_conn
    assert isinstance(muxed, Yamux)
    return muxed


def _reason(error: BaseException) -> str:
    """Return the innermost cause: the outer ones only say that something failed."""
    inner: BaseException | None = error
    while inner is not None:
        error = inner
        inner = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or ("no answer" if isinstance(error, trio.TooSlowError) else type(error).__name__)
