"""One end of a connection of a `MemoryNetwork`.

A frame that is sent goes on its way, if the window of the other end has room for it, and waits in a backlog if not. The
window counts what is on its way or has arrived and was not read: a slow reader slows its sender. There is no task in
between: a frame carries the time at which it arrives, and the reader sleeps until then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

from pubsub.boundary import NEVER, TOPIC, Message
from pubsub.errors import WireError
from pubsub.transport.clock import deadline, now
from pubsub.transport.contract import Codec
from pubsub.transport.errors import ConnectionLost, Overrun

if TYPE_CHECKING:
    from pubsub.transport.memory import MemoryTransport

P = TypeVar("P", bound=Hashable)

Payload = bytes | Message
Frame = tuple[int, int, int, Payload]  # size, channel, stream, what is in it


def pack(codec: Codec | None, channel: int, message: Message) -> Payload:
    """Return what goes on its way for a message."""
    return message if codec is None else codec.encode(channel, message)


def unpack(codec: Codec | None, channel: int, payload: Payload) -> Message:
    """Return the message that has come.

    Raises:
        WireError: it is none.
    """
    if not isinstance(payload, bytes):
        return payload
    if codec is None:
        raise WireError("bytes on a network that carries messages as they are")
    return codec.decode(channel, payload)


def size_of(payload: Payload) -> int:
    """Return how much of a window something takes, bytes."""
    return len(payload) if isinstance(payload, bytes) else payload.size


class End(Generic[P]):
    """One end. `MemoryNetwork` makes them in pairs and joins them; everybody else sees a `Connection`.

    Args:
        home: the transport of this end.
        peer: who is at the other end.
        dialed: whether this end dialled.
        delay: how long the next frame takes to the other end, us, by its size; None: it is lost.
        codec: makes bytes of messages; None: they are handed over as they are.
    """

    other: End[P]

    def __init__(
        self,
        home: MemoryTransport[P],
        peer: P,
        dialed: bool,
        delay: Callable[[int], int | None],
        codec: Codec | None,
    ) -> None:
        self.home = home
        self._peer = peer
        self._dialed = dialed
        self._delay = delay
        self._codec = codec
        self.up = trio.Event()  # this end has been handed to its owner
        self.dead = False  # there is no connection any more, whether or not this end knows
        self.over = False  # this end knows
        self._lost_at = NEVER  # when it learns of it, us
        self._arriving: deque[tuple[int, Frame]] = deque()  # from the other end, with the times of arrival
        self._unread = 0  # bytes of them
        self._last = 0  # when the last frame to the other end arrives
        self._backlog: deque[Frame] = deque()  # to the other end, whose window is full
        self._waiting = 0  # bytes of them
        self._reader = trio.lowlevel.ParkingLot()
        self._writers = trio.lowlevel.ParkingLot()

    def __repr__(self) -> str:
        state = "over" if self.over else "dead" if self.dead else "up" if self.up.is_set() else "new"
        return f"<End {self.home.peer!r}-{self._peer!r} {state}>"

    @property
    def peer(self) -> P:
        """Who is at the other end."""
        return self._peer

    @property
    def dialed(self) -> bool:
        """Whether this end dialled."""
        return self._dialed

    # -- sending

    def send(self, channel: int, stream: int, message: Message) -> None:
        """Send a message, or let it wait for those before it. See `Connection`."""
        if self.over:
            raise ConnectionLost(f"the connection with {self._peer!r} has ended")
        payload = pack(self._codec, channel, message)
        size = size_of(payload)
        if not self._backlog and self._fits(size):
            self._launch((size, channel, stream, payload))
            return
        if self._waiting + size > self.home.network.backlog:
            raise Overrun(f"{self._waiting} B wait for {self._peer!r} already, there is no room for {size} B more")
        self._waiting += size
        self._backlog.append((size, channel, stream, payload))

    def push(self, number: int, payload: Payload) -> bool:
        """Send a message of the topic if it fits; tell whether it did."""
        size = size_of(payload)
        if self._backlog or not self._fits(size):
            return False
        self._launch((size, TOPIC, number, payload))
        return True

    async def room(self) -> None:
        """Wait until nothing that was sent waits for the other end to read."""
        await trio.lowlevel.checkpoint()
        while self._backlog and not self.over:
            await self._writers.park()

    async def drained(self) -> None:
        """Wait until the other end has read everything, or there is none any more that could."""
        await trio.lowlevel.checkpoint()
        while (self._backlog or self.other._unread) and not self.over:
            await self._writers.park()

    def _fits(self, size: int) -> bool:
        """Tell whether the window of the other end has room; a frame that is larger than all of it goes alone."""
        unread = self.other._unread
        return not unread or unread + size <= self.home.network.window

    def _launch(self, frame: Frame) -> None:
        """Put a frame on its way, or count what became of it."""
        network, moment = self.home.network, now()
        counts = network.counts
        counts.sent += 1
        if self.dead:
            counts.closed += 1
            network.answer_stray(self)
        elif network.is_cut(self.home.peer, self._peer, moment):
            counts.cut += 1
        elif (delay := self._delay(frame[0])) is None:
            counts.lost += 1
        else:
            self._last = at = max(moment + delay, self._last)
            self.other._expect(at, frame)

    def _expect(self, at: int, frame: Frame) -> None:
        self._arriving.append((at, frame))
        self._unread += frame[0]
        if len(self._arriving) == 1:  # the reader does not know yet when to look
            self._reader.unpark_all()

    def _refill(self) -> None:
        """Send what waits, as far as there is room now."""
        while self._backlog and self._fits(self._backlog[0][0]):
            frame = self._backlog.popleft()
            self._waiting -= frame[0]
            self._launch(frame)
        if not self._backlog:
            self._writers.unpark_all()

    # -- receiving

    async def receive(self) -> tuple[int, int, Message]:
        """Wait for a message. See `Connection`. Messages of the topic are dealt with on the way."""
        await trio.lowlevel.checkpoint()
        while True:
            moment = now()
            if self.over or self._lost_at <= moment:
                self._finish()
                raise ConnectionLost(f"the connection with {self._peer!r} has ended")
            if not self._arriving or self._arriving[0][0] > moment:
                due = min(self._lost_at, self._arriving[0][0] if self._arriving else NEVER)
                with trio.CancelScope(deadline=deadline(due)):
                    await self._reader.park()
                continue
            at, (size, channel, stream, payload) = self._arriving.popleft()
            self._unread -= size
            self.other._refill()
            counts = self.home.network.counts
            if self.home.network.is_cut(self._peer, self.home.peer, at):  # on its arrival, not when it is read
                counts.cut += 1
                continue
            counts.delivered += 1
            if channel == TOPIC:
                self.home.hear(self, stream, payload)
                continue
            try:
                return channel, stream, unpack(self._codec, channel, payload)
            except WireError:
                counts.garbled += 1
                self.close()

    # -- ending

    def close(self) -> None:
        """End the connection."""
        if self.over:
            return
        was_dead = self.dead
        self._finish()
        if not was_dead:
            self.die()
            self.other.die()
            self.home.network.tell_end(self)

    def die(self) -> None:
        """Lose all that is on its way: there is no connection any more."""
        self.dead = True
        self.home.network.counts.closed += len(self._arriving) + len(self._backlog)
        self.home.network.counts.sent += len(self._backlog)
        self._arriving.clear()
        self._backlog.clear()
        self._unread = self._waiting = 0
        self._writers.unpark_all()
        self.other._writers.unpark_all()

    def lose(self, at: int) -> None:
        """Learn at this time (us) that the connection has ended, or before."""
        self._lost_at = min(self._lost_at, at)
        self._reader.unpark_all()

    def _finish(self) -> None:
        self.over = True
        self.home.leave_mesh(self)
        self._reader.unpark_all()
        self._writers.unpark_all()
