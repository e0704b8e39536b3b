"""The gossip core in a simulation: a network of peers that each own a machine, a workload, and what must hold.

network = GossipNetwork(seed=7, peers=100, rate=50, faults=storm(7, 100, 20_000_000))
network.run(seconds=20, quiet=20)     # raises a Violation with the command that replays it
print(network.report())
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from machine import Machine, Schema, State
from pubsub.boundary import SECOND, Host, Node, Outputs
from pubsub.core import Core
from pubsub.epochs import Epochs
from pubsub.hlc import HybridClock
from pubsub.identity import Domain, Identity
from pubsub.ledger import Ledger
from pubsub.numbers import Numbers
from pubsub.parameters import Parameters
from pubsub.publisher import Publisher
from pubsub.record import Header
from pubsub.state import OwnerState, SharedMerge
from pubsub.suspicion import Suspicion
from simulations.byzantine import Byzantine
from simulations.checkers import Checker, Conservation, NothingFromTheDead
from simulations.clocks import BEGINNING
from simulations.conditions import Conditions
from simulations.disk import Disk
from simulations.liars import MakeLiar
from simulations.measures import Counters, Latency, Report, Spread
from simulations.promises import promises
from simulations.seeds import derive, stream
from simulations.shards import Seats
from simulations.simulation import Simulation, Verb, rarely_collecting
from simulations.topic import Gossipsub
from simulations.topology import Topology

SAMPLE = SECOND // 10  # us between two looks at what is waited for
DOMAIN = Domain("simulation")


class Signatures:
    """Verify each header, and each suspicion, once for all peers of a process: the result is a fact, whoever asks."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Header | Suspicion, bool]] = {}

    def __call__(self, signed: Header | Suspicion) -> bool:
        """Tell whether a header is signed by its owner, or a suspicion by its witness."""
        known = self._known.get(signed.signature)
        if known is not None and (known[0] is signed or known[0] == signed):
            return known[1]
        if len(self._known) > 65_536:
            self._known.clear()
        self._known[signed.signature] = signed, signed.is_signed(DOMAIN)
        return self._known[signed.signature][1]


class _Topic:
    """What the cores of a topic share, as facts are the same for all: whoever asks, of whatever is equal."""

    def __init__(self) -> None:
        self.signatures, self.merge, self.numbers = Signatures(), SharedMerge(), Numbers(shared=True)
        self.known = Ledger(numbers=self.numbers)  # what all know that begin together
        self.seconds = 0  # how many second machines there were


def _said(node: Any, call: Callable[[Core[int]], Outputs[int]]) -> Outputs[int]:
    """Call the core of a node; a liar has one, and tampers with what it says."""
    if not isinstance(node, Byzantine):
        return call(node)
    assert isinstance(node.node, Core)
    return node.say(call(node.node))


def _nothing(now: int, peer: int) -> None:
    pass


def _beginning() -> int:
    return BEGINNING


class GossipNetwork:
    """A simulation of peers that run the core, each with one machine of a few states.

    Args:
        seed: decides everything.
        peers: how many.
        rate: updates/s of the whole network, as a Poisson process over random machines.
        states: of each machine.
        schema: of all machines, in place of so many states.
        machines: that each peer has; a change is one of a random one of them.
        own_schemas: whether each machine has one more state that no other one has, so that schemas are exchanged.
        turnover: the share of updates that expose, or take back, a second machine of that peer.
        warm: whether all know all machines at the beginning, as if they had been together for long.
        parameters, conditions, topology, topic, faults, absent: see there.
        node: makes a core; a test plants a faulty one.
        liars: peers that are to lie, and how. What is promised is promised to the others, and of the others.
        seats: the places that these peers are, in shards; each has its own core, key and machines. See
            `simulations.shards`.
        checkers: beside those of the protocol; "none": not even those, so that a benchmark measures the protocol.
    """

    def __init__(
        self,
        *,
        seed: int,
        peers: int,
        rate: float,
        states: int = 8,
        schema: Schema | None = None,
        machines: int = 1,
        own_schemas: bool = False,
        turnover: float = 0.0,
        warm: bool = False,
        parameters: Parameters | None = None,
        conditions: Conditions | None = None,
        topology: Topology | None = None,
        topic: Gossipsub | None = None,
        faults: Iterable[tuple[int, Verb]] = (),
        absent: Iterable[int] = (),
        checkers: Iterable[Checker] | Literal["none"] = (),
        node: Callable[..., Core[int]] = Core,
        liars: Mapping[int, MakeLiar] | None = None,
        replay: str | None = None,
        seats: Seats | None = None,
    ) -> None:
        self.rate = rate
        self.updates = 0
        self.latency, self.spread = Latency(), Spread()
        self.on_change: Callable[[int, int], None] = _nothing
        """Called with (now, peer) right before the workload changes a machine of a running peer."""
        names = range(peers) if seats is None else seats.names
        self.identities = [Identity(derive(seed, "key", name).to_bytes(8, "big") * 4) for name in names]
        self._names = names
        self._topics = [_Topic() for _ in ((range(peers),) if seats is None else seats.ranges)]
        self._topic_of: Sequence[int] = bytes(peers) if seats is None else seats.shard_of
        self._node = node
        self._liars = dict(liars or {})
        self._parameters = parameters
        self._schema = schema or Schema({f"S{i}": State() for i in range(states)})
        self._more: list[list[Machine]] | None = (
            [[] for _ in range(peers)] if machines > 1 else None
        )  # each peer's machines but the first
        self._count = machines
        self._own_schemas, self._turnover = own_schemas, turnover
        self._machines: list[Machine | None] = [None] * peers
        self._seconds: dict[int, tuple[Any, Machine]] = {}  # peer -> its core, its second machine
        self._rng = stream(seed, "workload")
        self._before = Counters()
        self._is_warm = warm
        gone = frozenset(absent)
        with rarely_collecting():
            for peer in range(peers) if warm else ():
                if peer not in gone:
                    self._topics[self._topic_of[peer]].known.commit(self._first_state(peer))
        watching: list[Checker] = [self.latency, self.spread]
        if checkers != "none":
            lying = [self.identities[peer].owner for peer in self._liars]
            watching += [*promises(self._liars, lying), Conservation(), NothingFromTheDead(), *checkers]
        self.simulation = Simulation(
            seed,
            self._make,
            peers=peers,
            topology=topology,
            conditions=conditions,
            topic=topic,
            faults=faults,
            absent=gone,
            checkers=watching,
            replay=replay,
            seats=seats,
        )

    def _make(self, peer: int, host: Host) -> Node[int]:
        topic = self._topics[self._topic_of[peer]]
        core = self._core(peer, host, topic.numbers)
        if self._is_warm and self.simulation.lives[peer] == 1 and self.simulation.now == 0:
            core.adopt(topic.known)
        return self._liars[peer](core, host) if peer in self._liars else core

    def _core(self, peer: int, host: Host, numbers: Numbers) -> Core[int]:
        topic = self._topics[self._topic_of[peer]]
        core = self._node(
            host,
            self.identities[peer],
            DOMAIN,
            parameters=self._parameters,
            is_signed=topic.signatures,
            merge=topic.merge,
            numbers=numbers,
            owner_of=lambda neighbour: self.identities[neighbour].owner,
        )
        self._machines[peer], *more = machines = self._make_machines(peer)
        if self._more is not None:
            self._more[peer] = more
        for machine in machines:
            core.expose(0, machine)  # the start publishes it
        return core

    def _make_machines(self, peer: int) -> list[Machine]:
        name = self._names[peer]
        schema = self._schema.merge({f"Own{name}": State()}) if self._own_schemas else self._schema
        more = [Machine(schema, id=f"machine{name}.{number}") for number in range(1, self._count)]
        return [Machine(schema, id=f"machine{name}"), *more]

    def _first_state(self, peer: int) -> OwnerState:
        """Return what a peer will publish when it starts: the same twice, as all that it draws on is the same."""
        epoch, _ = Epochs(Disk(), _beginning).first()
        publisher = Publisher(self.identities[peer], DOMAIN, HybridClock(_beginning), epoch)
        for machine in self._make_machines(peer):
            publisher.expose(machine)
        publisher.flush()
        assert publisher.state is not None
        return publisher.state

    @property
    def cores(self) -> list[Core[int]]:
        """Return the cores of the peers that run."""
        return [node for node in self.simulation.nodes if isinstance(node, Core)]

    def machine_of(self, owner: bytes) -> Machine:
        """Return the machine of the peer with this key."""
        for identity, machine in zip(self.identities, self._machines, strict=True):
            if machine is not None and identity.owner == owner:
                return machine
        raise LookupError(f"no peer has the key {owner.hex()}")

    # -- running

    def settle(self, seconds: float) -> None:
        """Run without a workload, so that all know each other, and begin to measure after that."""
        self._advance(self.simulation.now + round(seconds * SECOND))
        self.latency.clear()
        self.updates = 0
        self._before = self._counts()

    def run(self, seconds: float, quiet: float = 0.0) -> Report:
        """Run the workload for a while, and then in quiet; the checkers have their last word at the end."""
        self.work(seconds)
        self._advance(self.simulation.now + round(quiet * SECOND))
        self.simulation.finish()
        return self.report()

    def work(self, seconds: float) -> None:
        """Run the workload for a while; the checkers have no last word."""
        simulation = self.simulation
        at, end = float(simulation.now), simulation.now + round(seconds * SECOND)
        while self.rate > 0:
            at += self._rng.expovariate(self.rate) * SECOND
            if at >= end:
                break
            peer, state = self._rng.randrange(simulation.peers), self._rng.choice(self._schema.names[:-1])
            if self._turnover and self._rng.random() < self._turnover:
                simulation.call(int(at), peer, self._turn(peer))
            else:
                simulation.call(int(at), peer, self._update(peer, state))
        self._advance(end)

    def schedule(self, changes: Iterable[tuple[int, int, int, bool, int]]) -> int:
        """Have peers change their machines at times; return how many changes that are.

        Args:
            changes: of each the time (us), the peer, the number of the state, whether it is a second machine that comes
                or goes instead, and the number of the machine. See `simulations.workload`.
        """
        count = 0
        names = self._schema.names
        for at, peer, state, turn, machine in changes:
            count += 1
            self.simulation.call(at, peer, self._turn(peer) if turn else self._update(peer, names[state], machine))
        return count

    def advance(self, until: int) -> None:
        """Run to a time (us); what was scheduled happens."""
        self._advance(until)

    def until(self, done: Callable[[], bool], limit: float) -> float | None:
        """Run without a workload until something is so; return how many seconds that took, None if it never was.

        It is looked for every 100 ms, and at most for `limit` seconds.
        """
        began = self.simulation.now
        while not done():
            if self.simulation.now >= began + round(limit * SECOND):
                return None
            self._advance(self.simulation.now + SAMPLE)
        return (self.simulation.now - began) / SECOND

    def _advance(self, until: int) -> None:
        if self._is_warm:
            self.simulation.run(0)
            self.spread.level()
            self._is_warm = False  # who starts later hears it from the others
            for topic in self._topics:
                topic.known = Ledger()
        self.simulation.run(until)

    def _update(self, peer: int, state: str, number: int = 0) -> Callable[[Any, int], Outputs[int]]:
        def update(node: Any, now: int) -> Outputs[int]:
            machine = self._machines[peer] if self._more is None or not number else self._more[peer][number - 1]
            assert machine is not None
            self.on_change(now, peer)
            machine.toggle(state)
            self.updates += 1
            return _said(node, lambda core: core.changed(now))

        return update

    def _turn(self, peer: int) -> Callable[[Any, int], Outputs[int]]:
        def turn(node: Any, now: int) -> Outputs[int]:
            self.updates += 1
            self.on_change(now, peer)
            held = self._seconds.pop(peer, None)
            if held is not None and held[0] is node:
                return _said(node, lambda core: core.unexpose(now, held[1]))
            topic = self._topics[self._topic_of[peer]]
            topic.seconds += 1
            machine = Machine(self._schema, id=f"second{topic.seconds}")
            self._seconds[peer] = node, machine
            return _said(node, lambda core: core.expose(now, machine))

        return turn

    # -- what was measured

    def _counts(self) -> Counters:
        statistics, cores = self.simulation.statistics(), self.cores
        return Counters(
            now=self.simulation.now,
            events=statistics.events,
            records=sum(sum(core.acceptor.counts.values()) for core in cores),
            planes=dict(statistics.channel_bytes),
        )

    def report(self) -> Report:
        """Return what was measured so far. What cores counted that have crashed since is not in it."""
        now, before, cores, peers = self._counts(), self._before, self.cores, self.simulation.peers
        seconds = max((now.now - before.now) / SECOND, 1e-6)
        planes = {name: sent - before.planes.get(name, 0) for name, sent in now.planes.items()}
        sent = sum(planes.values())
        return Report(
            peers=peers,
            updates=self.updates,
            seconds=seconds,
            events=now.events - before.events,
            commits=self.latency.commits,
            records=now.records - before.records,
            p50=self.latency.quantile(0.5),
            p99=self.latency.quantile(0.99),
            bytes_per_update=sent / max(self.updates, 1) / peers,
            bytes_per_second=sent / peers / seconds,
            planes={name: count / peers / seconds for name, count in planes.items()},
            gaps=sum(core.counts.gaps for core in cores),
            sessions=sum(core.repair.counts.started for core in cores),
            repaired=sum(core.repair.counts.moved for core in cores),
            trace=self.simulation.trace_hash(),
        )
