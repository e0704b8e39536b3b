"""A network inside one trio program: for tests, demonstrations, and many peers in one process.

    network = MemoryNetwork[str]()
    left, right = network.join("left"), network.join("right")
    connection = await left.dial("right")      # and `await right.accept()` returns the other end

It behaves as the network of `simulations` does, so that a core cannot tell them apart: a dial takes a round trip, and
the other side may send from half way on; frames take what `Delays` says, and keep their order on a connection; what is
on its way when a connection ends is lost; the other side of a hang-up learns of it after the latency. A cut makes
frames vanish and closes nothing. Time is trio's: under a `MockClock` it is virtual.

Each message of the topic goes to all connections, whose both ends know them, but the one that it came from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Generic

import trio

from pubsub.boundary import NEVER, SECOND, TOPIC, Message, P
from pubsub.errors import WireError
from pubsub.transport.clock import now, sleep_until
from pubsub.transport.contract import Codec, Judge
from pubsub.transport.delays import Delays, Steady
from pubsub.transport.end import End, Payload, pack, unpack
from pubsub.transport.errors import DialError

WINDOW = 256 * 1024  # bytes on the way to one reader: that of a yamux stream
BACKLOG = 8 * 1024 * 1024  # bytes that wait at one end: all states of 10,000 owners, which one repair may carry
DIAL_TIMEOUT = 5 * SECOND  # what a libp2p dial waits for
REMEMBER = 120 * SECOND  # how long a peer knows a message of the topic again, as gossipsub does


@dataclass(slots=True)
class NetworkCounts:
    """What became of frames. Each that is sent ends in one of the others, or is on its way."""

    sent: int = 0
    delivered: int = 0
    lost: int = 0
    """By chance: `Delays` said so."""
    cut: int = 0
    """When sent, or on arrival."""
    closed: int = 0
    """With their connection."""
    garbled: int = 0
    """Connections that were closed since their bytes were no message."""
    published: int = 0
    duplicates: int = 0
    refused: int = 0
    """Messages of the topic that a judge did not let pass."""
    dropped: int = 0
    """Messages of the topic that a connection had no room for."""


class MemoryNetwork(Generic[P]):
    """The network.

    Args:
        delays: how long things take; by default, no time.
        window: bytes under way to one reader of one connection.
        backlog: bytes that may wait at the sender for that; beyond, `send` raises.
        dial_timeout: us until a dial that nobody answers fails.
        codec: makes one for each end of each connection; None: messages are handed over as they are. One that remembers
            what was said loses its step over a cut or a lost frame, and the connection ends as garbled.
    """

    def __init__(
        self,
        *,
        delays: Delays[P] | None = None,
        window: int = WINDOW,
        backlog: int = BACKLOG,
        dial_timeout: int = DIAL_TIMEOUT,
        codec: Callable[[], Codec] | None = None,
    ) -> None:
        self.delays: Delays[P] = delays or Steady()
        self.window = window
        self.backlog = backlog
        self.dial_timeout = dial_timeout
        self.codec = codec
        self.counts = NetworkCounts()
        self._homes: dict[P, MemoryTransport[P]] = {}
        self._silent: set[P] = set()
        self._ends: dict[tuple[P, P], End[P]] = {}  # (whose, with whom): the newest
        self._generations: dict[frozenset[P], int] = {}
        self._cuts: list[tuple[frozenset[P], frozenset[P], int, int]] = []  # from, to, since, until (us)

    def join(self, peer: P) -> MemoryTransport[P]:
        """Open the transport of a peer, which listens at once.

        Raises:
            ValueError: it has one already.
        """
        if peer in self._homes:
            raise ValueError(f"{peer!r} has joined already")
        self._silent.discard(peer)
        home = self._homes[peer] = MemoryTransport(self, peer)
        return home

    def connect(self, dialler: P, target: P) -> None:
        """Connect two peers at once. Both find the connection in `accept`; nothing, if they have one."""
        if dialler == target or self.find(dialler, target) is not None:
            return
        ours, theirs = self.pair(self._homes[dialler], self._homes[target])
        theirs.home.offer(theirs)
        join_mesh(ours, theirs)
        ours.home.offer(ours)

    def statistics(self) -> NetworkCounts:
        """Return what became of frames so far."""
        return replace(self.counts)

    # -- faults

    def crash(self, peer: P, *, silent: bool = False) -> None:
        """End a peer without warning. `silent`: the machine is gone, and nobody is told. It may join again.

        Whoever uses its transport is to be cancelled before: it must not learn of its own end.
        """
        home = self._homes.pop(peer, None)
        if home is None:
            return
        if silent:
            self._silent.add(peer)
        for end in [end for end in self._ends.values() if end.home is home]:
            end.close()

    def cut(self, left: Collection[P], right: Collection[P]) -> None:
        """Let no frame through from the left to the right, not even what is on its way. Call it twice for both ways."""
        self._cuts.append((frozenset(left), frozenset(right), now(), NEVER))

    def heal(self) -> None:
        """End all cuts."""
        moment = now()
        self._cuts = [(left, right, since, min(until, moment)) for left, right, since, until in self._cuts]

    def is_cut(self, source: P, target: P, at: int) -> bool:
        """Tell whether the way was cut at a time, us: a frame is judged by when it arrived, however late it is read."""
        return any(
            since <= at < until and source in left and target in right for left, right, since, until in self._cuts
        )

    # -- what transports and ends need

    def find(self, owner: P, peer: P) -> End[P] | None:
        """Return the end of a connection that stands."""
        end = self._ends.get((owner, peer))
        return None if end is None or end.dead else end

    def home_of(self, peer: P) -> MemoryTransport[P] | None:
        """Return the transport of a peer that listens."""
        return self._homes.get(peer)

    def is_silent(self, peer: P) -> bool:
        """Tell whether nothing at all answers for a peer that is gone."""
        return peer in self._silent

    def pair(self, dialler: MemoryTransport[P], target: MemoryTransport[P]) -> tuple[End[P], End[P]]:
        """Make a connection and return both ends, that of the dialler first. Older ends learn that theirs is gone."""
        both = frozenset((dialler.peer, target.peer))
        generation = self._generations.get(both, 0)
        self._generations[both] = generation + 1
        ends = []
        for home, peer in ((dialler, target.peer), (target, dialler.peer)):
            old = self._ends.get((home.peer, peer))
            if old is not None:
                old.lose(now())
            delay = self.delays.frames(home.peer, peer, generation)
            codec = self.codec() if self.codec is not None else None
            end = End(home, peer, home is dialler, delay, codec)
            self._ends[home.peer, peer] = end
            ends.append(end)
        ends[0].other, ends[1].other = ends[1], ends[0]
        return ends[0], ends[1]

    def tell_end(self, end: End[P]) -> None:
        """Let the other end learn that this one has hung up, or crashed, if the news gets through."""
        owner, peer = end.home.peer, end.peer
        if not self.is_silent(owner) and not self.is_cut(owner, peer, now()):
            end.other.lose(now() + self.delays.base(owner, peer))

    def answer_stray(self, end: End[P]) -> None:
        """Answer a frame for a connection that has ended: so its sender learns of it after a round trip."""
        owner, peer = end.home.peer, end.peer
        cut = self.is_cut(owner, peer, now()) or self.is_cut(peer, owner, now())
        if end.up.is_set() and not cut and not self.is_silent(peer):
            end.lose(now() + 2 * self.delays.base(owner, peer))


def join_mesh(*ends: End[P]) -> None:
    """Let a connection carry the topic, now that both of its ends know it."""
    for end in ends:
        end.home.mesh[end.peer] = end


class MemoryTransport(Generic[P]):
    """One peer's access to a `MemoryNetwork`. See `Transport`."""

    def __init__(self, network: MemoryNetwork[P], peer: P) -> None:
        self.network = network
        self._peer = peer
        self._accepted: deque[End[P]] = deque()  # bounded by the number of peers: a newer one ends an older one
        self._acceptor = trio.lowlevel.ParkingLot()
        self._judge: Judge[P] | None = None
        self._codec = network.codec() if network.codec is not None else None  # of the topic
        self.mesh: dict[P, End[P]] = {}  # who is told what the topic says
        self._seen: dict[int, int] = {}  # number of a message -> when it came, us

    def __repr__(self) -> str:
        return f"<MemoryTransport {self._peer!r}>"

    @property
    def peer(self) -> P:
        """Who this peer is."""
        return self._peer

    async def accept(self) -> End[P]:
        """Wait for a connection that somebody else has made, and return it."""
        await trio.lowlevel.checkpoint()
        while not self._accepted:
            await self._acceptor.park()
        return self._accepted.popleft()

    async def dial(self, peer: P) -> End[P]:
        """Connect with a peer. See `Transport`."""
        network, began = self.network, now()
        if peer == self._peer:
            raise DialError(f"{peer!r} dials itself")
        if there := await self._standing(peer):
            return there
        latency = network.delays.base(self._peer, peer)
        await sleep_until(began + latency)
        if there := await self._standing(peer):
            return there
        moment = now()
        cut = network.is_cut(self._peer, peer, moment) or network.is_cut(peer, self._peer, moment)
        target = network.home_of(peer)
        if cut or target is None:
            refused = not cut and not network.is_silent(peer)
            await sleep_until(moment + latency if refused else began + network.dial_timeout)
            if there := await self._standing(peer):
                return there
            raise DialError(f"{peer!r} does not listen" if refused else f"{peer!r} does not answer")
        ours, theirs = network.pair(self, target)
        target.offer(theirs)
        try:
            await sleep_until(moment + network.delays.base(peer, self._peer))
        except trio.Cancelled:
            ours.close()
            raise
        finally:
            ours.up.set()
        if ours.dead:
            raise DialError(f"{peer!r} hung up at once")
        join_mesh(ours, theirs)
        return ours

    async def _standing(self, peer: P) -> End[P] | None:
        """Return the connection that there is; one that another dial is about to bring is waited for."""
        if self.network.home_of(self._peer) is not self:
            raise DialError(f"{self._peer!r} has left the network")
        end = self.network.find(self._peer, peer)
        if end is not None:
            await end.up.wait()
        return end

    def offer(self, end: End[P]) -> None:
        """Hand over an end to whoever accepts; the network calls this."""
        end.up.set()
        self._accepted.append(end)
        self._acceptor.unpark()

    def close(self) -> None:
        """Leave the network: hang up on everybody, and listen no more."""
        self.network.crash(self._peer)

    # -- the topic

    def subscribe(self, judge: Judge[P]) -> None:
        """Have messages of the topic judged by this from now on."""
        self._judge = judge

    def publish(self, message: Message) -> None:
        """Publish a message on the topic."""
        counts = self.network.counts
        counts.published += 1
        number = counts.published
        self._remember(number)
        self._spread(number, pack(self._codec, TOPIC, message), None)

    def hear(self, end: End[P], number: int, payload: Payload) -> None:
        """Take a message of the topic from a connection, and pass it on if it is new and good."""
        counts = self.network.counts
        if number in self._seen:
            counts.duplicates += 1
            return
        self._remember(number)
        try:
            good = self._judge is not None and self._judge(end.peer, unpack(self._codec, TOPIC, payload))
        except WireError:
            good = False
        if good:
            self._spread(number, payload, end)
        else:
            counts.refused += 1

    def leave_mesh(self, end: End[P]) -> None:
        """Tell an end that has ended no more of the topic; the end calls this."""
        if self.mesh.get(end.peer) is end:
            del self.mesh[end.peer]

    def _spread(self, number: int, payload: Payload, source: End[P] | None) -> None:
        for end in self.mesh.values():
            if end is not source and not end.push(number, payload):
                self.network.counts.dropped += 1

    def _remember(self, number: int) -> None:
        moment = now()
        while self._seen:
            first, at = next(iter(self._seen.items()))
            if at + REMEMBER > moment:
                break
            del self._seen[first]
        self._seen[number] = moment
