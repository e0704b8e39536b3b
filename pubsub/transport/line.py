"""One end of a connection on libp2p: one stream of yamux, which carries all messages of both ends in their order.

What comes in takes no task: yamux puts the bytes of a stream into a buffer, and rings a bell. Both are ours here, and
so a message is split off, and its reader woken, at once. What goes out is written at once, if nothing was written just
before. Else it waits in an outbox for the one task that writes: everything that is there by the time that it runs is
one frame of yamux, one packet of noise, and one write.

The window of yamux is the flow control. The other end gets room for what was handed over by `receive`, so a slow reader
slows its sender.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from struct import pack
from typing import Final, cast

import trio
from libp2p.stream_muxer.yamux.yamux import HEADER_SIZE, TYPE_DATA, TYPE_WINDOW_UPDATE, YamuxStream
from libp2p.stream_muxer.yamux.yamux import YAMUX_HEADER_FORMAT as HEADER

from pubsub.boundary import Message
from pubsub.codec import ConnectionCodec
from pubsub.errors import WireError
from pubsub.transport.counts import TransportCounts
from pubsub.transport.errors import ConnectionLost, Overrun
from pubsub.transport.framing import ANSWER, ASK, HELLO, MAX_FRAME, OWN, Framed, Splitter, frame
from pubsub.transport.hello import MAX_HELLO
from pubsub.transport.muxer import CREDIT, WINDOW, Inlet, Yamux

BURST: Final = 16  # messages that a reader gets before others get their turn
PIECE: Final = (1 << 16) - HEADER_SIZE - 512  # bytes of one frame of yamux, so that it is one packet of noise
JOIN: Final = 0.0001  # s after a message within which the next ones are joined into one write
STALLED: Final = 0.01  # s until a writer looks again whether there is room
_OVERHEAD: Final = 8  # bytes of a frame around a small message


class Line:
    """One end. See `Connection`.

    Args:
        stream: the stream of yamux, both ends of which have agreed on the protocol.
        peer: who has proven to be at the other end.
        dialed: whether this end dialled.
        counts: what is counted here.
        backlog: bytes that may wait for the other end's window.
        on_end: is called once, when the connection has ended.
    """

    def __init__(
        self,
        stream: YamuxStream,
        peer: bytes,
        dialed: bool,
        counts: TransportCounts,
        backlog: int,
        on_end: Callable[[Line], object],
    ) -> None:
        self._stream = stream
        muxed = stream.conn
        assert isinstance(muxed, Yamux)
        self._muxed = muxed
        self._peer = peer
        self._dialed = dialed
        self._counts = counts
        self._backlog = backlog
        self._on_end = on_end
        self._codec = ConnectionCodec()
        self.over = False
        self.ended = trio.Event()
        self.name = b""  # drawn by the dialler
        self.incarnation = b""  # of the other end
        # what came in
        self._splitter = Splitter()
        self._inbox: deque[Framed] = deque()
        self._opened = False  # the other end has said hello
        self._unread = 0  # bytes that came in and were not handed over
        self._read = 0  # bytes that were, and the other end does not know
        self._run = 0  # messages since others had their turn
        self._reader = trio.lowlevel.ParkingLot()
        # what goes out
        self._outbox: deque[bytes] = deque()
        self._waiting = 0  # bytes in it
        self._quiet = -math.inf  # when a message may be written at once again
        self._writer = trio.lowlevel.ParkingLot()
        self._writers = trio.lowlevel.ParkingLot()
        self._asked = self._answered = 0
        self._adopt()

    def __repr__(self) -> str:
        return f"<Line to {self._peer.hex()[:8]}{' over' if self.over else ''}>"

    @property
    def peer(self) -> bytes:
        """Who is at the other end."""
        return self._peer

    @property
    def dialed(self) -> bool:
        """Whether this end dialled."""
        return self._dialed

    @property
    def muxed(self) -> Yamux:
        """The connection of libp2p that this is all of."""
        return self._muxed

    # -- sending

    def send(self, channel: int, stream: int, message: Message) -> None:
        """Send a message, or let it wait for those before it. See `Connection`."""
        if self.over:
            raise ConnectionLost(f"the connection with {self._peer.hex()[:8]} has ended")
        size = message.size + _OVERHEAD
        if self._waiting + size > self._backlog:
            self._counts.overrun += 1
            raise Overrun(
                f"{self._waiting} B wait for {self._peer.hex()[:8]} already, there is no room for {size} B more"
            )
        data = frame(channel, stream, self._codec.encode(channel, message))
        self._counts.sent += 1
        moment = trio.current_time()
        if moment < self._quiet or self._outbox or not self._write_now(data):
            self._post(data)
        self._quiet = moment + JOIN

    def _write_now(self, data: bytes) -> bool:
        """Write without waiting for the task that writes; tell whether that was possible."""
        stream, size = self._stream, len(data)
        if size > min(stream.send_window, PIECE):
            return False
        if not self._muxed.write_now(pack(HEADER, 0, TYPE_DATA, 0, stream.stream_id, size) + data):
            return False
        stream.send_window -= size
        self._counts.bytes_sent += size
        if self._muxed.wire.rest:
            self._writer.unpark()
        return True

    def say(self, hello: bytes) -> None:
        """Send a hello."""
        self._post(frame(OWN, HELLO, hello))

    async def room(self) -> None:
        """Wait until nothing that was sent waits for the other end to read."""
        await trio.lowlevel.checkpoint()
        while self._outbox and not self.over:
            await self._writers.park()

    async def drained(self) -> None:
        """Wait until the other end has read everything, as it says itself, or there is none any more that could."""
        await trio.lowlevel.checkpoint()
        if self.over:
            return
        self._asked += 1
        mine = self._asked
        self._post(frame(OWN, ASK, b""))
        while self._answered < mine and not self.over:
            await self._writers.park()

    def _post(self, data: bytes) -> None:
        if self.over:
            return
        self._outbox.append(data)
        self._waiting += len(data)
        self._writer.unpark()
        if self._waiting > self._backlog + WINDOW:  # of answers, to somebody who asks and does not read
            self._counts.garbled += 1
            self.close()

    async def write(self) -> None:
        """Write what is sent, until the connection has ended. The transport runs this, once."""
        stream, muxed = self._stream, self._muxed
        try:
            while not self.over:
                if self._read >= CREDIT:
                    room, self._read = self._read, 0
                    stream.recv_window += room
                    await muxed._write_frame(pack(HEADER, 0, TYPE_WINDOW_UPDATE, 0, stream.stream_id, room))
                elif not self._outbox and self._muxed.wire.rest:
                    await muxed.flush()
                elif not self._outbox:
                    self._writers.unpark_all()
                    await self._writer.park()
                elif stream.send_window <= 0:
                    await trio.sleep(STALLED)
                else:
                    piece = self._piece(min(stream.send_window, PIECE))
                    stream.send_window -= len(piece)
                    await muxed._write_frame(pack(HEADER, 0, TYPE_DATA, 0, stream.stream_id, len(piece)) + piece)
                    self._counts.bytes_sent += len(piece)
        except Exception:  # libp2p has many for a connection that broke
            self._counts.broken += not self.over
        finally:
            self._end()

    def _piece(self, most: int) -> bytes:
        """Take bytes from the front of the outbox: of many messages, or a part of a large one."""
        outbox = self._outbox
        parts, size = [], 0
        while outbox and size < most:
            part = outbox.popleft()
            left = most - size
            if len(part) > left:
                outbox.appendleft(part[left:])
                part = part[:left]
            parts.append(part)
            size += len(part)
        self._waiting -= size
        return b"".join(parts)

    # -- receiving

    def _adopt(self) -> None:
        """Take the place of yamux's buffer for this stream, and of its bell."""
        muxed, number = self._muxed, self._stream.stream_id
        if number not in muxed.streams:
            self.close()
            return
        before = bytes(muxed.stream_buffers[number])
        muxed.stream_buffers[number] = Inlet(self._feed)
        muxed.stream_events[number] = cast(trio.Event, _Bell(self._look))
        self._feed(before)
        self._look()

    def _feed(self, data: bytes) -> None:
        """Take bytes that came in."""
        if self.over or not data:
            return
        self._unread += len(data)
        self._counts.bytes_received += len(data)
        self._splitter.feed(data)
        self._split()

    def _split(self) -> None:
        """Take messages from the bytes that came in."""
        inbox, splitter = self._inbox, self._splitter
        try:
            if self._unread > WINDOW + CREDIT:
                raise WireError("more than there was room for")
            while self._opened or not inbox:
                framed = splitter.next(MAX_FRAME if self._opened else MAX_HELLO + 2)
                if framed is None:
                    break
                if framed[0] == OWN and self._take_own(framed):
                    continue
                inbox.append(framed)
        except WireError:
            self._counts.garbled += 1
            self.close()
            return
        self._answer()
        if inbox:
            self._reader.unpark()

    def _take_own(self, framed: Framed) -> bool:
        """Take a message that is for the transport itself; tell whether that was all that it was for."""
        kind = framed[1]
        if kind == (ASK if self._opened else HELLO):
            return False
        if kind != ANSWER or not self._opened:
            raise WireError("not what a transport says")
        self._hand_over(framed)
        self._answered += 1
        self._writers.unpark_all()
        return True

    def _answer(self) -> None:
        """Answer what was asked, now that nothing before it is left to read."""
        while self._inbox and self._inbox[0][0] == OWN and self._opened:
            self._hand_over(self._inbox.popleft())
            self._post(frame(OWN, ANSWER, b""))

    def _hand_over(self, framed: Framed) -> None:
        """Note that bytes have been read, and let the other end know at times."""
        self._unread -= framed[3]
        self._read += framed[3]
        if self._read >= CREDIT:
            self._writer.unpark()

    def _look(self) -> None:
        """Look whether the other end has ended the stream."""
        stream = self._stream
        if stream.recv_closed or stream.closed or stream.reset_received:
            self._end()

    async def hear(self) -> bytes:
        """Wait for the other end's hello and return it. No other message is taken before `open`.

        Raises:
            ConnectionLost: there will be none.
        """
        return (await self._next())[2]

    def open(self) -> None:
        """Let messages through: the hello was good."""
        self._opened = True
        self._split()

    async def receive(self) -> tuple[int, int, Message]:
        """Wait for a message. See `Connection`. What came in before the other end has ended is read first."""
        channel, stream, body, _ = await self._next()
        try:
            message = self._codec.decode(channel, body)
        except WireError:
            self._counts.garbled += 1
            self.close()
            raise ConnectionLost(f"{self!r} brought bytes that are no message") from None
        self._counts.received += 1
        return channel, stream, message

    async def _next(self) -> Framed:
        self._run += 1
        if self._run % BURST:
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await trio.lowlevel.checkpoint()
        while not self._inbox:
            if self.over:
                raise ConnectionLost(f"{self!r} has ended")
            self._run = 0
            await self._reader.park()
        framed = self._inbox.popleft()
        self._hand_over(framed)
        self._answer()
        return framed

    # -- ending

    def close(self) -> None:
        """End the connection. See `Connection`."""
        self._inbox.clear()
        self._end()

    def _end(self) -> None:
        """Note that it has ended, and let everybody know."""
        if self.over:
            return
        self.over = True
        self.ended.set()
        self._outbox.clear()
        self._muxed.wire.abort()
        for lot in (self._reader, self._writer, self._writers):
            lot.unpark_all()
        self._on_end(self)


class _Bell:
    """Stands where yamux has the event by which a reader of a stream is woken, for data or since it has ended."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self.set = ring
