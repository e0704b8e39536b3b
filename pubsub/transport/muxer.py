"""The upper half of a libp2p connection: yamux within bounds.

What libp2p does (0.8.1), and `Yamux` here does not:

* It lets the other end send more than the window, without bound.
* It tells the other end after each read, in a frame of its own, that there is room again.
* It waits for the rest of a frame for a minute, however large that frame says to be.
* It has no bound on the streams that the other end opens.
"""

from __future__ import annotations

from typing import Any, Final

import trio
from libp2p.abc import IMuxedConn, IMuxedStream, ISecureConn
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from libp2p.stream_muxer.yamux import yamux
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID, YamuxStream

from pubsub.transport.wire import Wire

WINDOW: Final = 256 * 1024  # bytes of a stream that were not read; what yamux begins with
MAX_STREAMS: Final = 32  # open at once on one connection; a peer needs 3, and 2 for identify and ping
MAX_UNREAD: Final = 2 * WINDOW  # bytes of all streams of one connection
CREDIT: Final = WINDOW // 4  # bytes that are read before the other end is told


class Yamux(yamux.Yamux):
    """One connection, muxed."""

    secured_conn: Any  # a SecureSession of noise, with its wire

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
        async with self._write_lock:
            await self.secured_conn.write(data)

    async def _read_data_body(self, length: int) -> bytes:
        """Read a frame, unless it is more than there may be."""
        if length + sum(map(len, self.stream_buffers.values())) > MAX_UNREAD:
            self.wire.abort()
            raise trio.TooSlowError  # which ends the connection, as no other error here does
        return await super()._read_data_body(length)


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
    (MuxerMultistream, ("_annotate_connection", "new_conn")),
):
    if missing := [name for name in _names if not hasattr(_class, name)]:
        raise ImportError(f"libp2p's {_class.__name__} has no {missing[0]} any more")
