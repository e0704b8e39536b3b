"""The upper half of a libp2p connection: yamux within bounds.

What libp2p does (0.8.1), and `Yamux` here does not:

* It lets the other end send more than the window, without bound.
* It tells the other end after each read, in a frame of its own, that there is room again.
* It waits for the rest of a frame for a minute, however large that frame says to be.
* It has no bound on the streams that the other end opens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import unpack_from
from typing import Any, Final, SupportsIndex

import trio
from libp2p.abc import IMuxedConn, IMuxedStream, ISecureConn
from libp2p.io.exceptions import IncompleteReadError
from libp2p.peer.id import ID
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH, NoiseTransportReadWriter
from libp2p.security.secure_session import SecureSession
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from libp2p.stream_muxer.yamux import yamux
from libp2p.stream_muxer.yamux.yamux import HEADER_SIZE, PROTOCOL_ID, TYPE_DATA, YAMUX_HEADER_FORMAT, YamuxStream

from pubsub.transport.wire import LENGTH, Wire

WINDOW: Final = 256 * 1024  # bytes of a stream that were not read; what yamux begins with
MAX_STREAMS: Final = 32  # open at once on one connection; a peer needs 3, and 2 for identify and ping
MAX_UNREAD: Final = 2 * WINDOW  # bytes of all streams of one connection
CREDIT: Final = WINDOW // 4  # bytes that are read before the other end is told


class Yamux(yamux.Yamux):
    """One connection, muxed."""

    secured_conn: Any

    def __init__(self, secured: Any, peer_id: ID, is_initiator: bool) -> None:
        super().__init__(secured, peer_id, is_initiator=is_initiator)
        self.secured_conn = Shortcut(secured, self)
        self.is_in_body = False

    @property
    def wire(self) -> Wire:
        """The TCP connection below."""
        wire: Wire = self.secured_conn.wire
        return wire

    async def open_stream(self) -> YamuxStream:
        """Open a stream."""
        return _spare(await super().open_stream())

    async def accept_stream(self) -> IMuxedStream:
        """Wait for a stream that the other end opens."""
        stream = await super().accept_stream()
        if len(self.streams) > MAX_STREAMS:
            self.wire.abort()
            raise MuxedConnUnavailable(f"more than {MAX_STREAMS} streams")
        assert isinstance(stream, YamuxStream)
        return _spare(stream)

    async def _write_frame(self, data: bytes) -> None:
        """Write a frame; that of libp2p also writes a text about each for a log that nobody reads."""
        lock = self._write_lock
        try:
            lock.acquire_nowait()  # without a round of the scheduler
        except trio.WouldBlock:
            await lock.acquire()
        try:
            await self.secured_conn.write(data)
        finally:
            lock.release()

    def write_now(self, frame: bytes) -> bool:
        """Write a frame without waiting; tell whether that was possible. If so, `wire.rest` is to be flushed."""
        if self._write_lock.locked() or self.wire.rest:
            return False
        self.secured_conn.write_now(frame)
        return True

    async def flush(self) -> None:
        """Write what is left of a frame."""
        async with self._write_lock:
            await self.wire.write(b"")

    async def _read_data_body(self, length: int) -> bytes:
        """Read a frame, unless it is more than there may be."""
        if length + sum(map(len, self.stream_buffers.values())) > MAX_UNREAD:
            self.wire.abort()
            raise trio.TooSlowError  # which ends the connection, as no other error here does
        self.is_in_body = True
        try:
            return await super()._read_data_body(length)
        finally:
            self.is_in_body = False


class Inlet(bytearray):
    """Stands where yamux has the bytes of a stream that nobody has read, and is always empty: it hands them on."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        super().__init__()
        self.take = take

    def extend(self, data: Iterable[SupportsIndex], /) -> None:
        """Hand on bytes."""
        self.take(bytes(data))


class Shortcut:
    """Noise as yamux reads it, but for what goes into an `Inlet`: that goes there at once.

    For a small message it takes half the time that the way through yamux, noise and TCP of libp2p takes.
    """

    def __init__(self, secured: Any, yamux: Yamux) -> None:
        self._secured = secured
        self._noise = secured.conn.noise_state
        self._yamux = yamux
        self.wire: Wire = secured.wire
        self._plain: bytes = secured._drain(None)  # what was read with the last answer about the muxer
        self._at = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._secured, name)

    async def write(self, data: bytes) -> None:
        """Write one frame of yamux."""
        if len(data) > MAX_PLAINTEXT_LENGTH:
            await self._secured.write(data)
            return
        packet = self._noise.encrypt(data)
        await self.wire.write(len(packet).to_bytes(LENGTH, "big") + packet)

    def write_now(self, data: bytes) -> None:
        """Write one frame of yamux as far as there is room, and leave the rest to the wire."""
        packet = self._noise.encrypt(data)
        self.wire.write_now(len(packet).to_bytes(LENGTH, "big") + packet)

    async def read(self, n: int | None = None) -> bytes:
        """Return n bytes.

        Raises:
            IncompleteReadError: the connection has ended before.
        """
        assert n is not None
        if n == HEADER_SIZE and not self._yamux.is_in_body:
            await self._skim()
        while (left := len(self._plain) - self._at) < n:
            if not await self._more():
                raise IncompleteReadError("the connection has ended", expected_bytes=n, received_bytes=left)
        at = self._at
        self._at = at + n
        return self._plain[at : at + n]

    async def _more(self) -> bool:
        packet = await self.wire.packet()
        if packet:
            plain = self._noise.decrypt(packet)
            self._plain = self._plain[self._at :] + plain if self._at < len(self._plain) else plain
            self._at = 0
        return bool(packet)

    async def _skim(self) -> None:
        """Hand on what is for an inlet, up to the first frame that is not."""
        buffers, streams = self._yamux.stream_buffers, self._yamux.streams
        while True:
            left = len(self._plain) - self._at
            if left >= HEADER_SIZE:
                _, kind, flags, number, length = unpack_from(YAMUX_HEADER_FORMAT, self._plain, self._at)
                inlet = buffers.get(number)
                if kind != TYPE_DATA or flags or type(inlet) is not Inlet or length > MAX_UNREAD:
                    return
                start = self._at + HEADER_SIZE
                end = start + length
                if end <= len(self._plain):
                    self._at = end
                    streams[number].recv_window -= length
                    inlet.take(self._plain[start:end])
                    continue
            if not await self._more():
                return


def _spare(stream: YamuxStream) -> YamuxStream:
    """Let a stream tell of room for several reads at once."""
    read = 0

    async def tell(*, bytes_read: int = 0) -> None:
        nonlocal read
        read += bytes_read
        if read >= CREDIT:
            room, read = read, 0
            stream.recv_window += room
            await stream.send_window_update(room)

    stream._auto_tune_and_send_window_update = tell  # type: ignore[method-assign]
    return stream


class Muxers(MuxerMultistream):
    """What is offered as a muxer: this yamux. libp2p's own class makes its own yamux, whatever it is given."""

    def __init__(self) -> None:
        super().__init__({PROTOCOL_ID: Yamux})  # type: ignore[dict-item]

    async def new_conn(self, conn: ISecureConn, peer_id: ID) -> IMuxedConn:
        """Agree on yamux, and return the connection."""
        protocol, _ = await self._selector.select(conn, conn.is_initiator, self.negotiate_timeout)
        muxed = Yamux(conn, peer_id, is_initiator=conn.is_initiator)
        return self._annotate_connection(muxed, conn, protocol)


# What is replaced here must be there.
for _class, _names in (
    (YamuxStream, ("_auto_tune_and_send_window_update", "send_window_update")),
    (yamux.Yamux, ("_write_frame", "_read_data_body", "open_stream", "accept_stream")),
    (SecureSession, ("_drain",)),
    (NoiseTransportReadWriter, ("encrypt", "decrypt")),
    (MuxerMultistream, ("_annotate_connection", "new_conn")),
):
    if missing := [name for name in _names if not hasattr(_class, name)]:
        raise ImportError(f"libp2p's {_class.__name__} has no {missing[0]} any more")
