"""The network: takes frames from senders and puts their arrival into the queue, or counts what became of them instead.

Every frame that is sent ends in exactly one of the counters of `Counts`, or is in flight: the checker of conservation
adds them up. A connection is two `Link`s; who has one with whom is in `links`, and `simulations.connections` makes and
ends them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from pubsub.boundary import CHANNELS, TOPIC, Message
from simulations.conditions import Conditions
from simulations.link import ACTION, CLOSED, COSTLY, CUT, HELD, End, Link
from simulations.queue import SLOT_MASK, SLOTS, Queue
from simulations.seeds import INCREMENT, MASK, MULTIPLIER, derive
from simulations.shards import Seats

#: A frame: its link (or desk), channel, stream, message. Or an action: `CALL`, a function, its argument, None.
Event = tuple[End, Any, Any, Any]
CALL = End(0, 0, ACTION)


@dataclass(slots=True)
class Counts:
    """What became of frames. `sent` (filled in by `Network.tally`) and `duplicated` come in, the others go out."""

    sent: int = 0
    duplicated: int = 0
    delivered: int = 0
    lost: int = 0  # by chance
    cut: int = 0  # by a partition, when sent or on arrival
    closed: int = 0  # with their connection
    unlinked: int = 0  # there was no connection to send them on
    queue_full: int = 0  # the sender's
    overrun: int = 0  # the receiver had too much to do

    def in_flight(self) -> int:
        """Return how many must be on their way, by these counters."""
        gone = sum(getattr(self, field.name) for field in fields(self)[2:])
        return self.sent + self.duplicated - int(gone)


class Network:
    """Links between peers, and the way of a frame along them."""

    def __init__(
        self, seed: int, peers: int, conditions: Conditions, queue: Queue[Event], seats: Seats | None = None
    ) -> None:
        self.seed = seed
        self.conditions = conditions
        self.queue = queue
        self.links: list[dict[int, Link]] = [{} for _ in range(peers)]
        self.counts = Counts()
        self.channel_frames = [0] * len(CHANNELS)
        self.channel_bytes = [0] * len(CHANNELS)
        self._walls: list[tuple[frozenset[int], frozenset[int]]] = []
        self._holds: list[tuple[frozenset[int], frozenset[int]]] = []
        self._degraded: list[tuple[frozenset[int], frozenset[int], Conditions]] = []
        self._seats = seats
        # Until when (us) a peer's uplink, and its CPU, have something to do; whoever is not in it never had anything.
        self._uplink_free: dict[int, int] = {}
        self.busy: dict[int, int] = {}
        self.on_stray: Callable[[int, Link], None] = lambda now, link: None  # a frame sent on a closed connection

    # Sending.

    def send(self, now: int, source: int, target: int, channel: int, stream: int, message: Message) -> None:
        """Take a frame to the other end of the connection with the target, if there is one."""
        size = message.size
        self.channel_frames[channel] += 1
        self.channel_bytes[channel] += size
        link = self.links[source].get(target)
        if link is None:
            self.counts.unlinked += 1
            return
        link.sent_bytes += size
        conditions = link.conditions
        if link.state > COSTLY or conditions.careful:
            self._send_carefully(link, now, channel, stream, message)
            return
        # The same as in `_transmit`, without its questions, and as `Queue.push`, without the call: this is where most
        # of the time goes.
        link.draws = draws = (link.draws * MULTIPLIER + INCREMENT) & MASK
        at = now + link.base + ((draws >> 32) * conditions.jitter >> 32)
        if at < link.last:
            at = link.last
        else:
            link.last = at
        queue = self.queue
        tick = -(-at // queue.tick_us)
        if tick - queue.tick < SLOTS:
            queue.wheel[tick & SLOT_MASK].append((link, channel, stream, message))
        else:
            queue.push(at, (link, channel, stream, message))

    def _send_carefully(self, link: Link, now: int, channel: int, stream: int, message: Message) -> None:
        if link.state & CLOSED:
            self.counts.closed += 1
            if link.known:
                self.on_stray(now, link)
        elif link.state & CUT:
            self.counts.cut += 1
        elif link.state & HELD:
            if link.held is None:
                link.held = []
            link.held.append((channel, stream, message))
        else:
            self._transmit(link, now, channel, stream, message)

    def _transmit(self, link: Link, now: int, channel: int, stream: int, message: Message) -> None:
        """Draw what becomes of the frame. The order of the draws is fixed: loss, jitter, reordering, duplication."""
        conditions = link.conditions
        limited = conditions.bandwidth or conditions.uplink
        at = self._serialise(link, now, message.size) if limited else now
        if at is None:
            self.counts.queue_full += 1
            return
        if conditions.loss and link.chance(conditions.loss):
            if not conditions.retransmit:
                self.counts.lost += 1
                return
            at += conditions.retransmit
        at += link.base + (link.draw() * conditions.jitter >> 32)
        if conditions.reorder and link.chance(conditions.reorder):
            at += 1 + (link.draw() * conditions.reorder_by >> 32)
        else:
            at = link.last = max(at, link.last)
        event = (link, channel, stream, message)
        self.queue.push(at, event)
        if conditions.duplicate and link.chance(conditions.duplicate):
            self.counts.duplicated += 1
            self.queue.push(at + (link.draw() * conditions.reorder_by >> 32), event)

    def _serialise(self, link: Link, now: int, size: int) -> int | None:
        """Return when the last byte has left (us), or None if there is no room in the sender's queue."""
        conditions, source = link.conditions, self.host_of(link.source)
        link_free, uplink_free = link.free, self._uplink_free.get(source, 0)
        at = now
        if conditions.bandwidth:
            if (link_free - now) * conditions.bandwidth > conditions.queue * 1_000_000:
                return None
            at = link_free = max(at, link_free) - (-size * 1_000_000 // conditions.bandwidth)
        if conditions.uplink:
            if (uplink_free - now) * conditions.uplink > conditions.queue * 1_000_000:
                return None
            at = uplink_free = max(at, uplink_free) - (-size * 1_000_000 // conditions.uplink)
        link.free, self._uplink_free[source] = link_free, uplink_free
        return at

    # Arriving.

    def admit(self, now: int, link: End, channel: int, stream: int, message: Message) -> bool:
        """Say whether a frame on a link with something special to it may be handed over now."""
        if link.state & CLOSED:
            self.counts.closed += 1
        elif link.state & CUT:
            self.counts.cut += 1
        elif link.state & COSTLY:
            self._occupy(now, link, channel, stream, message)
        else:
            return True
        return False

    def _occupy(self, now: int, link: End, channel: int, stream: int, message: Message) -> None:
        """Queue the frame at the desk of its receiver, until it has been worked on."""
        assert isinstance(link, Link)
        assert link.desk is not None
        conditions, target = link.conditions, self.host_of(link.target)
        begin = max(now, self.busy.get(target, 0))
        if begin - now > conditions.patience:
            self.counts.overrun += 1
            return
        cost = conditions.cpu_topic if channel == TOPIC else conditions.cpu_frame
        self.busy[target] = done = begin + cost + message.size * conditions.cpu_byte_ns // 1000
        self.queue.push(done, (link.desk, channel, stream, message))

    def host_of(self, peer: int) -> int:
        """Return whose computer a node is on: the peer that has the seat."""
        return peer if self._seats is None else self._seats.peers[peer]

    def busy_until(self, peer: int) -> int:
        """Return until when a peer has something to do, us."""
        return self.busy.get(self.host_of(peer), 0)

    def rest(self, peer: int) -> None:
        """Let go of all that a peer had to do."""
        self.busy.pop(self.host_of(peer), None)

    def tally(self) -> Counts:
        """Return the counts, with what was sent."""
        return replace(self.counts, sent=sum(self.channel_frames))

    # Connections as such, and what is done to them.

    def latency(self, source: int, target: int) -> int:
        """Return how long a frame takes from one to the other, us, without the jitter."""
        return self.conditions.latency.base(self.seed, self.host_of(source), self.host_of(target))

    def connect(self, dialler: int, target: int) -> tuple[Link, Link]:
        """Make the two links of a new connection, that of the dialler first."""
        before = self.links[dialler].get(target)
        generation = before.generation + 1 if before else 0
        made = []
        for source, end in ((dialler, target), (target, dialler)):
            conditions = self.conditions
            for left, right, degraded in self._degraded:
                if source in left and end in right:
                    conditions = degraded
            names = (source, end) if self._seats is None else (self._seats.names[source], self._seats.names[end])
            draws = derive(self.seed, "link", *names, generation)
            base = conditions.latency.base(self.seed, self.host_of(source), self.host_of(end))
            link = Link(source, end, generation, source == dialler, conditions, base=base, draws=draws)
            self._settle(link)
            self.links[source][end] = link
            made.append(link)
        return made[0], made[1]

    def close(self, link: Link) -> None:
        """End a link; the frames it holds go with it. It stays in the table until the pair connects again."""
        link.close()
        self.counts.closed += len(link.held or ())
        link.held = None

    def is_cut(self, source: int, target: int) -> bool:
        """Say whether a partition lies on the way."""
        return any(source in left and target in right for left, right in self._walls)

    def _settle(self, link: Link) -> None:
        link.state &= ~(CUT | HELD)
        if self._walls and self.is_cut(link.source, link.target):
            link.state |= CUT
        if any(link.source in left and link.target in right for left, right in self._holds):
            link.state |= HELD

    def each_link(self) -> Iterator[Link]:
        """Iterate over all links, by their source and then by their age."""
        for links in self.links:
            yield from links.values()

    def build_wall(self, left: frozenset[int], right: frozenset[int]) -> None:
        """Let nothing through from the left to the right, not even what is on its way."""
        self._walls.append((left, right))
        self._settle_all()

    def pull_down_walls(self, left: frozenset[int] | None = None, right: frozenset[int] | None = None) -> None:
        """Take away the walls between exactly these, or all."""
        self._walls = [wall for wall in self._walls if left is not None and wall != (left, right)]
        self._settle_all()

    def hold(self, left: frozenset[int], right: frozenset[int]) -> None:
        """Keep what is sent from the left to the right until it is released."""
        self._holds.append((left, right))
        self._settle_all()

    def release(self, now: int) -> None:
        """Send all that was held, link by link, in the order in which it was sent."""
        self._holds.clear()
        self._settle_all()
        for link in self.each_link():
            held, link.held = link.held, None
            for channel, stream, message in held or ():
                self._send_carefully(link, now, channel, stream, message)

    def degrade(self, left: frozenset[int], right: frozenset[int], conditions: Conditions) -> None:
        """Change the conditions from the left to the right, for connections that stand and for new ones.

        The latency of a connection that stands remains, and so does whether its frames cost CPU time.
        """
        self._degraded.append((left, right, conditions))
        for link in self.each_link():
            if link.source in left and link.target in right:
                link.conditions = conditions

    def restore(self) -> None:
        """Give all connections the conditions of the beginning."""
        self._degraded.clear()
        for link in self.each_link():
            link.conditions = self.conditions

    def _settle_all(self) -> None:
        for link in self.each_link():
            self._settle(link)

    def count_in_flight(self) -> int:
        """Count the frames that are on their way, one by one."""
        waiting = sum(1 for event in self.queue if event[0] is not CALL)
        return waiting + sum(len(link.held or ()) for link in self.each_link())
