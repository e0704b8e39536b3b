"""A simulation: nodes, a network between them, faults, and checkers that watch; from a seed, in virtual time.

    simulation = Simulation(7, make_node, peers=100, faults=[(10_000_000, Partition(range(50))), (40_000_000, Heal())])
    simulation.run(60_000_000)
    print(simulation.trace_hash(), simulation.statistics())

Nothing depends on the clock of this machine, on hashes of strings or on addresses of objects: the same seed gives the
same trace hash in every process. Times are microseconds since the beginning; nodes see them in whole ticks.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from pubsub.boundary import (
    CHANNELS,
    DIAL,
    HANG_UP,
    NEVER,
    NOTIFY,
    PUBLISH,
    REFUSE,
    SEND,
    WAKE,
    Host,
    Message,
    Node,
    Outputs,
)
from simulations import trace
from simulations.checkers import Checker
from simulations.clocks import Clocks
from simulations.conditions import Conditions
from simulations.connections import Connections
from simulations.disk import Disk
from simulations.errors import SetupError, SimulationError, Violation
from simulations.link import ACTION
from simulations.network import CALL, Event, Network
from simulations.queue import Queue
from simulations.seeds import stream
from simulations.shards import Seats
from simulations.statistics import Statistics
from simulations.topic import Envelope, Gossipsub, Topic
from simulations.topology import Topology, regular
from simulations.trace import NOTIFIED_KEY, PEER_SHIFT

NodeFactory = Callable[[int, Host], Node[int]]
Call = Callable[[Node[int], int], Outputs[int]]  # (node, now): what an application does with its node


class Verb(Protocol):
    """A fault, or anything else that is done to a simulation at a time. Its repr is what reports show."""

    def apply(self, simulation: Simulation) -> None:
        """Do it."""


class Simulation:
    """Runs an experiment. `seed` decides everything that is drawn.

    `nodes` makes the node of a peer, at its start and at each restart. Peers in `absent` are not started until a verb
    does. `faults` are (time, verb). `replay` is the command that repeats the run; it is printed when something fails.
    With `seats`, what is called a peer here, and in the checkers, is a peer's place in one of its shards.
    """

    def __init__(
        self,
        seed: int,
        nodes: NodeFactory,
        *,
        peers: int,
        topology: Topology | None = None,
        conditions: Conditions | None = None,
        topic: Gossipsub | None = None,
        faults: Iterable[tuple[int, Verb]] = (),
        checkers: Iterable[Checker] = (),
        absent: Iterable[int] = (),
        tick_us: int = 100,
        replay: str | None = None,
        seats: Seats | None = None,
    ) -> None:
        if not 0 < peers < 1 << trace.PEER_BITS:
            raise SetupError(f"{peers} peers; from 1 to {(1 << trace.PEER_BITS) - 1} can be simulated")
        if seats is not None and len(seats) != peers:
            raise SetupError(f"{len(seats)} seats for {peers} nodes: there is one for each")
        self.seed = seed
        self.peers = peers
        self.seats = seats
        self.shards: tuple[range, ...] = (range(peers),) if seats is None else seats.ranges
        self.shard_of: Sequence[int] = bytes(peers) if seats is None else seats.shard_of
        self.now = 0
        self.replay = replay
        self.conditions = conditions or Conditions()
        self.checkers: list[Checker] = list(checkers)
        self.queue: Queue[Event] = Queue(tick_us)
        self.network = Network(seed, peers, self.conditions, self.queue, seats)
        self.connections = Connections(self.network, self)
        self.network.on_stray = self.connections.reset
        self.clocks = Clocks(peers)
        self.topic = Topic(seed, peers, topic, self.network, seats) if topic else None
        self.disks = [Disk() for _ in range(peers)]
        self.nodes: list[Node[int] | None] = [None] * peers
        self.lives = [0] * peers
        self.timers = 0
        self._events = 0
        self._trace = trace.Trace()
        self._make_node = nodes
        self._silent = [False] * peers
        self._receive: list[Callable[[int, int, int, int, Message], Outputs[int]]] = [_nobody] * peers
        self._wanted = [NEVER] * peers  # when each node wants to be woken
        self._alarm = [NEVER] * peers  # when the event in the queue that does so happens: at `_wanted` or before
        self._neighbours: list[list[int]] = [[] for _ in range(peers)]
        self._watched: list[Checker] = []
        self._began = False
        self._absent = frozenset(absent)
        draw = topology or regular(min(6, max(min(map(len, self.shards)) - 1, 2)))
        for dialler, target in draw(peers, seed) if seats is None else seats.among(draw, seed):
            self._neighbours[dialler].append(target)
            self._neighbours[target].append(dialler)
        self._pairs = [(left, right) for left in range(peers) for right in self._neighbours[left] if left < right]
        for at, verb in faults:
            self.at(at, verb)

    # The application and the experiment.

    def at(self, time: int, verb: Verb) -> None:
        """Have something done at a time (us)."""
        self.queue.push(time, (CALL, self._apply, verb, None))

    def call(self, time: int, peer: int, call: Call) -> None:
        """Have the application of a peer use its node at a time (us). Nothing, if the peer is down then."""
        if not 0 <= peer < self.peers:
            raise SetupError(f"there is no peer {peer} among {self.peers}")
        self.queue.push(time, (CALL, self._call, (peer, call), None))

    def run(self, until: int) -> Statistics:
        """Run to this time (us), all events at it included, and return the statistics. May be called again.

        Raises what a checker or a node raises, with the command that replays it.
        """
        last = until // self.queue.tick_us
        with self._explained(), rarely_collecting():
            if not self._began:
                self._begin()
            self._loop(last)
            self.now = last * self.queue.tick_us
            for checker in self.checkers:
                checker.paused(self)
        return self.statistics()

    def finish(self) -> Statistics:
        """Let the checkers say their last word, and return the statistics."""
        with self._explained():
            for checker in self.checkers:
                checker.ended(self)
        return self.statistics()

    def trace_hash(self) -> str:
        """Return the hash over all that happened."""
        return self._trace.digest()

    def statistics(self) -> Statistics:
        """Count everything."""
        network, topic = self.network, self.topic
        counters = ("published", "unique", "duplicates", "dropped", "refused", "forgotten")
        return Statistics(
            now=self.now,
            events=self._events,
            alive=sum(node is not None for node in self.nodes),
            connections=sum(link.open for link in network.each_link()) // 2,
            dials=self.connections.dials,
            timers=self.timers,
            counts=network.tally(),
            in_flight=network.count_in_flight(),
            channel_frames=dict(zip(CHANNELS, network.channel_frames, strict=True)),
            channel_bytes=dict(zip(CHANNELS, network.channel_bytes, strict=True)),
            topic={name: getattr(topic, name) for name in counters} if topic else {},
        )

    # What faults do.

    def is_alive(self, peer: int) -> bool:
        """Say whether a peer runs."""
        return self.nodes[peer] is not None

    def is_silent(self, peer: int) -> bool:
        """Say whether nothing answers for a peer."""
        return self._silent[peer]

    def crash(self, peer: int, *, silent: bool = False) -> None:
        """End a peer without warning. `silent`: the machine is gone, and nobody is told."""
        if self.nodes[peer] is None:
            return
        self._trace.note(trace.CRASHED, peer, silent)
        self.nodes[peer] = None
        self._receive[peer] = _nobody
        self._silent[peer] = silent
        self._wanted[peer] = NEVER
        self.network.rest(peer)
        self.disks[peer].crash()
        self.connections.crash(self.now, peer)
        if self.topic:
            self.topic.crashed(peer)

    def restart(self, peer: int, *, disk: bool = True) -> None:
        """Start a peer, again or at last, and let it dial its neighbours. Without a disk it forgot everything."""
        self.crash(peer)
        if not disk:
            self.disks[peer].wipe()
        self._start(peer)
        for other in self._neighbours[peer]:
            self.connections.dial(self.now, peer, other)

    # Inside.

    def _begin(self) -> None:
        self._began = True
        for checker in self.checkers:
            checker.started(self)
        # Only who overrides it is asked at each delivery: that would be most of the cost of an event.
        self._watched = [c for c in self.checkers if type(c).delivered is not Checker.delivered]
        for peer in range(self.peers):
            if peer not in self._absent:
                self._start(peer)
        for left, right in self._pairs:
            if self.nodes[left] is not None and self.nodes[right] is not None:
                self.connections.link(left, right)

    def _start(self, peer: int) -> None:
        self.lives[peer] += 1
        self._silent[peer] = False
        self._trace.note(trace.STARTED, peer, self.lives[peer])
        rng = stream(self.seed, "peer", peer if self.seats is None else self.seats.names[peer], self.lives[peer])
        host = Host(random=rng, wall=lambda: self.clocks.read(self.now, peer), disk=self.disks[peer])
        node = self._make_node(peer, host)
        self.nodes[peer] = node
        self._receive[peer] = node.receive
        self._act(peer, node.start(self.now))

    def _loop(self, last: int) -> None:
        queue, network, notes = self.queue, self.network, self._trace.notes
        receive, note, send, admit = self._receive, notes.append, network.send, network.admit
        counts, tick_us, watched = network.counts, queue.tick_us, self._watched
        wanted, alarm = self._wanted, self._alarm
        notified = self._listening()
        while (bucket := queue.advance(last)) is not None:
            self.now = now = queue.tick * tick_us
            delivered = 0
            for link, channel, stream_number, message in bucket:
                if link.state:
                    if link.state & ACTION:
                        channel(now, stream_number)
                        continue
                    if not admit(now, link, channel, stream_number, message):
                        continue
                source, target = link.source, link.target
                note(link.key + message.size)
                delivered += 1
                if watched:
                    for checker in watched:
                        checker.delivered(now, source, target, channel, message)
                if channel:
                    outputs = receive[target](now, source, channel, stream_number, message)
                else:
                    outputs = self._gossip(now, source, target, stream_number, message)
                for out in outputs:
                    if out[0] == NOTIFY:
                        event = out[1]
                        note(NOTIFIED_KEY | target << PEER_SHIFT)
                        for notify in notified:
                            notify(now, target, event)
                    elif out[0] == WAKE:
                        at = wanted[target] = out[1]
                        if at < alarm[target]:  # as in `_wake`, most often not
                            self._wake(target, at)
                    elif out[0] == SEND:
                        send(now, target, out[1], out[2], out[3], out[4])
                    else:
                        self._act(target, (out,))
            counts.delivered += delivered
            self._events += len(bucket)
            self._trace.end_tick(queue.tick)

    def _listening(self) -> list[Callable[[int, int, object], None]]:
        """Return what is to be called at each `NOTIFY`: as with deliveries, of those that override it."""
        return [c.notified for c in self.checkers if type(c).notified is not Checker.notified]

    def _gossip(self, now: int, source: int, target: int, number: int, envelope: Message) -> Outputs[int]:
        topic, node = self.topic, self.nodes[target]
        assert topic is not None
        assert node is not None
        assert isinstance(envelope, Envelope)
        if not topic.is_first(target, number):
            return ()
        outputs = node.topic(now, source, envelope.message)
        if any(out[0] == REFUSE for out in outputs):
            topic.refused += 1
        else:
            topic.pass_on(now, target, source, number, envelope)
        return outputs

    def _act(self, peer: int, outputs: Outputs[int]) -> None:
        """Carry out what a node wants."""
        now, send = self.now, self.network.send
        for out in outputs:
            if out[0] == SEND:
                send(now, peer, out[1], out[2], out[3], out[4])
            elif out[0] == WAKE:
                self._wake(peer, out[1])
            elif out[0] == NOTIFY:
                self._trace.note(trace.NOTIFIED, peer)
                for notify in self._listening():
                    notify(now, peer, out[1])
            elif out[0] == PUBLISH:
                if self.topic:
                    self.topic.publish(now, peer, out[1])
            elif out[0] == DIAL:
                self.connections.dial(now, peer, out[1])
            elif out[0] == HANG_UP:
                self.connections.hang_up(now, peer, out[1])
                if self.topic:
                    self.topic.unlinked(peer, out[1])

    def _wake(self, peer: int, at: int) -> None:
        self._wanted[peer] = at
        # A time put off leaves the event where it is: it will look again. So a timer that each frame puts off does not
        # fill the queue.
        if at < self._alarm[peer]:
            self._alarm[peer] = at
            self.queue.push(at, (CALL, self._ring, (peer, at), None))

    def _ring(self, now: int, argument: tuple[int, int]) -> None:
        peer, at = argument
        if self._alarm[peer] != at:
            return
        self._alarm[peer] = NEVER
        wanted = self._wanted[peer]
        if self.network.busy:  # a busy peer is late with its timers, too
            wanted = max(wanted, self.network.busy_until(peer))
        node = self.nodes[peer]
        if node is None or wanted >= NEVER:
            return
        if wanted > now:
            self._alarm[peer] = wanted
            self.queue.push(wanted, (CALL, self._ring, (peer, wanted), None))
            return
        self._wanted[peer] = NEVER
        self.timers += 1
        self._trace.note(trace.TIMER, peer)
        self._act(peer, node.timer(now))

    def _call(self, now: int, argument: tuple[int, Call]) -> None:
        peer, call = argument
        node = self.nodes[peer]
        if node is not None:
            self._trace.note(trace.CALLED, peer)
            self._act(peer, call(node, now))

    def _apply(self, now: int, verb: Verb) -> None:
        self._trace.note(trace.FAULT, 0, now)
        for checker in self.checkers:
            checker.faulted(now, verb)
        verb.apply(self)

    def tell_up(self, peer: int, other: int, dialed: bool) -> None:
        """Tell a node of a connection; `Connections` calls this."""
        node = self.nodes[peer]
        assert node is not None
        self._trace.note(trace.LINK_UP, peer, other)
        if self.topic and dialed:  # the side that dialled learns of it last: now both can send
            self.topic.linked(peer, other)
        self._act(peer, node.link_up(self.now, other, dialed))

    def tell_down(self, peer: int, other: int) -> None:
        """Tell a node of the end of a connection; `Connections` calls this."""
        node = self.nodes[peer]
        if node is None:
            return
        self._trace.note(trace.LINK_DOWN, peer, other)
        if self.topic:
            self.topic.unlinked(peer, other)
        self._act(peer, node.link_down(self.now, other))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            where = f"seed {self.seed}, {self.now / 1e6:.6f} s"
            again = f"; replay: {self.replay}" if self.replay else ""
            if isinstance(error, Violation):
                raise Violation(f"{error} [{where}{again}]") from error
            if not isinstance(error, SimulationError):
                error.add_note(f"in a simulation: {where}{again}")
            raise


def _nobody(now: int, peer: int, channel: int, stream_number: int, message: Message) -> Outputs[int]:
    raise SimulationError("a frame reached a peer that is down")  # its links are closed: a bug of this package


@contextmanager
def rarely_collecting() -> Iterator[None]:
    """Look for cycles rarely: events are tuples that come and go, none of them in a cycle, by the million."""
    thresholds = gc.get_threshold()
    gc.set_threshold(100_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
