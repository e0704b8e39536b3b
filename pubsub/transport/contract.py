"""What a transport is: it dials, accepts and carries messages, and has a topic. It knows no protocol.

* Between two peers there is at most one connection that works. A newer one replaces an older one.
* A connection keeps the order of what is sent on it, whatever the channel and stream, and hands over each message at
  most once. When it ends, what was on its way is lost.
* `send` never waits: a core's outputs are to be carried out before its next input. What the other end is too slow for
  waits, up to a bound; beyond that `send` raises `Overrun`. Whoever can wait awaits `room` before.
* The topic promises nothing: its messages may be lost, and come on any way. Each peer sees one at most once, and passes
  it on unless its judge says no.

`tests/pubsub/test_transport.py` asks all of this of a transport.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from pubsub.boundary import Message, P

P_co = TypeVar("P_co", bound=Hashable, covariant=True)

Judge: TypeAlias = Callable[[P, Message], bool]
"""Takes a message of the topic, and who passed it on; tells whether others are to have it. It must not wait."""


class Codec(Protocol):
    """Makes messages to bytes and back, for one end of one connection: it may remember what was said on it."""

    def encode(self, channel: int, message: Message) -> bytes:
        """Return the canonical bytes of a message of this channel."""

    def decode(self, channel: int, data: bytes) -> Message:
        """Return the message of these bytes.

        Raises:
            WireError: they are none. The connection is to be closed.
        """


class Connection(Protocol[P_co]):
    """One end of a connection."""

    @property
    def peer(self) -> P_co:
        """Who is at the other end."""

    @property
    def dialed(self) -> bool:
        """Whether this end dialled."""

    def send(self, channel: int, stream: int, message: Message) -> None:
        """Send a message, or let it wait for those before it.

        Raises:
            Overrun: too much waits already. The message is not sent.
            ConnectionLost: this end knows that the connection has ended.
        """

    async def room(self) -> None:
        """Wait until nothing that was sent waits for the other end to read."""

    async def drained(self) -> None:
        """Wait until all that was sent has reached the other end, as far as this end can know."""

    async def receive(self) -> tuple[int, int, Message]:
        """Wait for a message and return (channel, stream, message). To be called by one task at a time.

        Raises:
            ConnectionLost: there will be none any more.
        """

    def close(self) -> None:
        """End the connection. Who waits in `receive` gets `ConnectionLost`; the other end does so a little later."""


class Transport(Protocol[P]):
    """One peer's access to the network, open and listening."""

    @property
    def peer(self) -> P:
        """Who this peer is."""

    async def dial(self, peer: P) -> Connection[P]:
        """Connect with a peer; return the connection that there is, if they are connected.

        Raises:
            DialError: it did not come about.
        """

    async def accept(self) -> Connection[P]:
        """Wait for a connection that somebody else has made, and return it."""

    def subscribe(self, judge: Judge[P]) -> None:
        """Have messages of the topic judged by this from now on. Before, all are refused."""

    def publish(self, message: Message) -> None:
        """Publish a message on the topic; what cannot be sent at once is dropped and counted."""


@runtime_checkable
class HasMesh(Protocol):
    """What a transport has beside that whose topic picks some neighbours to send its messages to."""

    @property
    def mesh(self) -> list[bytes]:
        """Which neighbours these are now."""

    def watch_mesh(self, callback: Callable[[bytes, bool], object]) -> None:
        """Have each one told from now on that comes or goes, within about a second. Once."""
