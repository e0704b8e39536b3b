"""The lower half of a libp2p connection: TCP with a buffer, and noise that asks who may come in.

* libp2p reads a noise packet in two small reads of the socket. A `Wire` reads what there is, and serves from that.
* A task that is cancelled half way through a write leaves half a packet, and the other end hangs up. A `Wire` finishes
  what it began; only `abort` ends a write that the other end does not take.
* libp2p keeps a task and one of its slots for each connection that ever came in, until it closes (0.8.1). A `Tcp` ends
  the task with its connection.
* Names are looked up by this computer, and who comes in does so by a `Door`.
* Who may not come in is known as soon as noise has proven who it is, and gets no further.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import trio
from libp2p.abc import IRawConnection, ISecureConn
from libp2p.connection_types import ConnectionType
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519
from libp2p.custom_types import THandler
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream
from libp2p.peer.id import ID
from libp2p.security.exceptions import HandshakeFailure
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.transport.exceptions import OpenConnectionError
from libp2p.transport.tcp.tcp import TCP, TCPListener
from multiaddr import Multiaddr

from pubsub.transport.door import Door, Visit

FAMILIES = {"dns": trio.socket.AF_UNSPEC, "dns4": trio.socket.AF_INET, "dns6": trio.socket.AF_INET6}
CHUNK = 1 << 16  # bytes that one read of a socket takes at most
LENGTH = 2  # bytes of the length of a packet of noise


class Wire(IRawConnection):
    """A TCP connection, as noise uses it."""

    def __init__(self, inner: IRawConnection) -> None:
        self.is_initiator = inner.is_initiator
        self._inner = inner
        tcp: Any = getattr(inner, "stream", None)  # of a RawConnection
        if not isinstance(tcp, TrioTCPStream):
            raise TypeError(f"{inner!r} is no TCP connection of libp2p")
        self._stream = tcp.stream
        self.visit: Visit | None = getattr(tcp, "visit", None)  # of one that somebody else has made
        self._buffer = b""
        self._at = 0
        self.rest = b""  # of what was written at once, and did not fit

    async def read(self, n: int | None = None) -> bytes:
        """Return at most n bytes, as soon as there are any; none at the end."""
        at = self._at
        if at == len(self._buffer):
            self._buffer, at = await self._receive(), 0
        end = len(self._buffer) if n is None else min(at + n, len(self._buffer))
        self._at = end
        return self._buffer[at:end]

    async def packet(self) -> bytes:
        """Return the next packet of noise, as it is; none at the end."""
        while True:
            left = len(self._buffer) - self._at
            if left >= LENGTH:
                start = self._at + LENGTH
                end = start + int.from_bytes(self._buffer[self._at : start], "big")
                if end <= len(self._buffer):
                    self._at = end
                    return self._buffer[start:end]
            more = await self._receive()
            if not more:
                return b""
            self._buffer = self._buffer[self._at :] + more if left else more
            self._at = 0

    def write_now(self, data: bytes) -> None:
        """Write as much as there is room for; the rest goes before what is written next. Nobody else may be writing."""
        try:
            written = os.write(self._stream.socket.fileno(), data)
        except BlockingIOError:
            written = 0
        except OSError:  # it has ended, and who reads will learn of it
            return
        self.rest = data[written:]

    async def write(self, data: bytes) -> None:
        """Write all of it, even if cancelled in the meantime."""
        if self.rest:
            data, self.rest = self.rest + data, b""
        with trio.CancelScope(shield=True):
            try:
                await self._stream.send_all(data)
            except trio.BrokenResourceError as error:
                raise ConnectionClosedError(str(error), transport="tcp") from error
            except trio.ClosedResourceError:  # by this end: libp2p takes it for success, so as to end in peace
                pass

    async def _receive(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(CHUNK))
        except trio.BrokenResourceError as error:
            raise ConnectionClosedError(str(error), transport="tcp") from error
        except trio.ClosedResourceError:
            return b""

    async def close(self) -> None:
        """Close the socket."""
        await self._inner.close()

    def abort(self) -> None:
        """Close the socket at once; who reads or writes learns of it."""
        self._stream.socket.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the other end."""
        return self._inner.get_remote_address()

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the other end."""
        return self._inner.get_transport_addresses()

    def get_connection_type(self) -> ConnectionType:
        """Return what kind of connection it is."""
        return self._inner.get_connection_type()


class Noise(NoiseTransport):
    """Noise that lets in who may.

    Args:
        pair: the key pair that this peer proves to have.
        admit: is told who has proven to be at the other end, and whether it dialled.
    """

    def __init__(self, pair: KeyPair, admit: Callable[[ID, bool], bool]) -> None:
        super().__init__(pair, noise_privkey=create_x25519().private_key)
        self._admit = admit

    async def secure_inbound(self, conn: IRawConnection) -> ISecureConn:
        """Secure a connection that somebody else has made."""
        wire = Wire(conn)
        return self._check(await super().secure_inbound(wire), wire, True)

    async def secure_outbound(self, conn: IRawConnection, peer_id: ID) -> ISecureConn:
        """Secure a connection that this peer has made."""
        wire = Wire(conn)
        return self._check(await super().secure_outbound(wire, peer_id), wire, False)

    def _check(self, secured: ISecureConn, wire: Wire, inbound: bool) -> ISecureConn:
        peer = secured.get_remote_peer()
        if not self._admit(peer, inbound):
            wire.abort()
            raise HandshakeFailure(f"{peer} may not connect")
        secured.wire = wire  # type: ignore[attr-defined]
        return secured


class Tcp(TCP):
    """TCP whose incoming connections come by a door, and leave nothing behind when they have ended.

    Args:
        door: lets them in.
    """

    def __init__(self, door: Door) -> None:
        super().__init__()
        self._door = door

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        """Connect. A name is looked up as this computer does it: libp2p asks DNS alone, not `/etc/hosts` (0.8.1)."""
        kind = maddr.protocols()[0].name
        if kind not in FAMILIES:
            return await super().dial(maddr)
        name, port = str(maddr.value_for_protocol(kind)), str(maddr.value_for_protocol("tcp"))
        try:
            found = await trio.socket.getaddrinfo(name, int(port), FAMILIES[kind], trio.socket.SOCK_STREAM)
        except OSError as error:
            raise OpenConnectionError(f"{name} is not known: {error.strerror}") from None
        trouble: OpenConnectionError | None = None
        for family, _, _, _, place in found:
            version = "ip4" if family == trio.socket.AF_INET else "ip6"
            try:
                return await super().dial(Multiaddr(f"/{version}/{place[0]}/tcp/{port}"))
            except OpenConnectionError as error:
                trouble = error
        raise trouble or OpenConnectionError(f"{name} has no address")

    def create_listener(self, handler_function: THandler) -> TCPListener:
        """Return a listener."""

        async def handle(stream: ReadWriteCloser) -> None:
            assert isinstance(stream, TrioTCPStream)
            try:
                host = stream.stream.socket.getpeername()[0]  # libp2p's own way is for IPv4 only
            except OSError:  # it has ended already
                host = None
            visit = None if host is None else self._door.enter(host)
            if visit is None:
                stream.stream.socket.close()
                return
            stream.visit = visit  # type: ignore[attr-defined]
            with trio.CancelScope() as scope:
                close = stream.close

                async def close_and_forget() -> None:
                    scope.cancel()
                    await close()

                stream.close = close_and_forget  # type: ignore[method-assign]
                try:
                    await handler_function(stream)
                finally:
                    visit.end()

        return super().create_listener(handle)
