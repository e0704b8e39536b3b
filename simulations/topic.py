"""A model of one gossipsub topic: who is in whose mesh, what is passed on, what is dropped, what it costs.

A message is pushed to the mesh of its publisher, and by each peer that sees it for the first time to its own mesh, save
to whom it came from. Duplicates are counted and go no further; so do messages that the node refuses. A transfer is a
frame on channel `TOPIC` of the connection, with everything that may happen to a frame.

Left out: IHAVE and IWANT (they repair little, see the specification of the protocol), scoring, and the heartbeat: a
mesh that is too small grafts at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from pubsub.boundary import TOPIC, Message
from simulations.network import Network
from simulations.seeds import stream
from simulations.shards import Seats


@dataclass(frozen=True, kw_only=True)
class Gossipsub:
    """The parameters of a topic: degrees, the chance that a transfer is dropped, bytes around a message, memory in us.

    The envelope (calculated): sender 40, sequence number 10, topic 29, signature 66, key 38, framing of RPC, yamux and
    noise 34, and the signed peer record of 213 that each RPC carries.
    """

    degree: int = 6
    low: int = 4
    high: int = 8
    drop: float = 0.0
    envelope: int = 430
    remember: int = 120_000_000


class Envelope:
    """A message of the topic on its way."""

    __slots__ = ("message", "size")

    def __init__(self, message: Message, size: int) -> None:
        self.message = message
        self.size = size


class Topic:
    """The meshes of all peers, and which messages each has seen."""

    def __init__(self, seed: int, peers: int, options: Gossipsub, network: Network, seats: Seats | None = None) -> None:
        self.options = options
        self.meshes: list[dict[int, None]] = [{} for _ in range(peers)]
        self.published = self.unique = self.duplicates = self.dropped = self.refused = self.forgotten = 0
        self._network = network
        self._seen: dict[int, tuple[int, int, bytearray]] = {}  # when, the first peer of the topic, who has seen it
        self._seats = seats
        self._shards = (range(peers),) if seats is None else seats.ranges
        names: list[tuple[int, ...]] = [()] if seats is None else [(shard,) for shard in seats.shards]
        self._randoms = [stream(seed, "topic", *name) for name in names]

    def _shard_of(self, peer: int) -> int:
        return 0 if self._seats is None else self._seats.shard_of[peer]

    def linked(self, peer: int, other: int) -> None:
        """Take a new connection into both meshes, if they have room."""
        if other not in self.meshes[peer]:
            sizes = len(self.meshes[peer]), len(self.meshes[other])
            if min(sizes) < self.options.degree and max(sizes) < self.options.high:
                self._graft(peer, other)

    def unlinked(self, peer: int, other: int) -> None:
        """Take a connection out of one mesh, that of the peer that learned of it."""
        if self.meshes[peer].pop(other, self) is None:
            self._repair(peer)

    def crashed(self, peer: int) -> None:
        """Empty the mesh of a peer."""
        self.meshes[peer].clear()

    def _graft(self, peer: int, other: int) -> None:
        self.meshes[peer][other] = None
        self.meshes[other][peer] = None

    def _repair(self, peer: int) -> None:
        mesh = self.meshes[peer]
        if len(mesh) >= self.options.low:
            return
        known = [other for other, link in self._network.links[peer].items() if link.open and other not in mesh]
        candidates = [other for other in known if len(self.meshes[other]) < self.options.high]
        self._randoms[self._shard_of(peer)].shuffle(candidates)
        for other in candidates[: self.options.degree - len(mesh)]:
            self._graft(peer, other)

    def publish(self, now: int, source: int, message: Message) -> None:
        """Push a message to the mesh of its publisher."""
        self._forget(now)
        self.published += 1
        seats = self._shards[self._shard_of(source)]
        seen = bytearray(len(seats))
        seen[source - seats.start] = 1
        self._seen[self.published] = now, seats.start, seen
        envelope = Envelope(message, message.size + self.options.envelope)
        self._push(now, source, -1, self.published, envelope)

    def is_first(self, peer: int, number: int) -> bool:
        """Note that a message arrived, and say whether it is the first time."""
        remembered = self._seen.get(number)
        if remembered is None:  # a real peer would take it for a new one; counted, so that nobody overlooks it
            self.forgotten += 1
            return False
        _, first, seen = remembered
        if seen[peer - first]:
            self.duplicates += 1
            return False
        seen[peer - first] = 1
        self.unique += 1
        return True

    def pass_on(self, now: int, peer: int, source: int, number: int, envelope: Message) -> None:
        """Push a message that came from the source to everybody else in the mesh."""
        self._push(now, peer, source, number, envelope)

    def _push(self, now: int, peer: int, source: int, number: int, envelope: Message) -> None:
        network, drop = self._network, self.options.drop
        for other in self.meshes[peer]:
            if other == source:
                continue
            if drop and network.links[peer][other].chance(drop):
                self.dropped += 1
            else:
                network.send(now, peer, other, TOPIC, number, envelope)

    def _forget(self, now: int) -> None:
        while self._seen:
            number, (published, _, _) = next(iter(self._seen.items()))
            if published + self.options.remember > now:
                break
            del self._seen[number]
