"""The gossip core in a simulation: a network of peers that each own a machine, a workload, and what must hold.

network = GossipNetwork(seed=7, peers=100, rate=50, faults=storm(7, 100, 20_000_000))
network.run(seconds=20, quiet=20)     # raises a Violation with the command that replays it
print(network.report())
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

from machine import Machine, Schema, State
from pubsub.boundary import Host, Outputs
from pubsub.core import Committed, Core, Parameters, Published
from pubsub.identity import Domain, Identity
from pubsub.record import Header
from pubsub.state import OwnerState, SharedMerge
from simulations.checkers import Checker, Conservation, NothingFromTheDead
from simulations.conditions import Conditions
from simulations.errors import Violation
from simulations.seeds import derive, stream
from simulations.simulation import Simulation, Verb
from simulations.topic import Gossipsub
from simulations.topology import Topology

SECOND = 1_000_000
DOMAIN = Domain("simulation")


class Signatures:
    """Verify each header once for all peers of a process: the result is a fact, whoever asks."""

    def __init__(self) -> None:
        self._known: dict[Header, bool] = {}

    def __call__(self, header: Header) -> bool:
        """Tell whether a header is signed by its owner."""
        known = self._known.get(header)
        if known is None:
            if len(self._known) > 65_536:
                self._known.clear()
            known = self._known[header] = header.is_signed(DOMAIN)
        return known


class ClocksGoForward(Checker):
    """No replica goes back: (epoch, version) grows, and within an epoch no tick shrinks."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, bytes], OwnerState] = {}
        self._lives: dict[int, int] = {}
        self._simulation: Simulation | None = None

    def started(self, simulation: Simulation) -> None:
        """Keep it, to tell a peer's lives apart: a restarted one begins with nothing."""
        self._simulation = simulation

    def notified(self, now: int, peer: int, event: object) -> None:
        """Compare with what this peer had before."""
        assert self._simulation is not None
        if self._lives.get(peer) != self._simulation.lives[peer]:
            self._lives[peer] = self._simulation.lives[peer]
            for key in [key for key in self._seen if key[0] == peer]:
                del self._seen[key]
        if not isinstance(event, Committed | Published):
            return
        state = event.state
        before = self._seen.get((peer, state.owner))
        self._seen[peer, state.owner] = state
        if before is None:
            return
        if state.order <= before.order:
            raise Violation(f"peer {peer} went from {before!r} to {state!r}")
        if state.header.epoch == before.header.epoch:
            for index in before:
                old, new = before[index].ticks, state[index].ticks if index in state else before[index].ticks
                if len(new) < len(old) or any(n < o for o, n in zip(old, new, strict=False)):
                    raise Violation(f"peer {peer} saw ticks of {state!r} go back: {old} to {new}")


class OnlyWhatWasPublished(Checker):
    """Every state of a replica is, as a whole, one that its owner has published."""

    def __init__(self) -> None:
        self.published: dict[tuple[bytes, int, int], tuple[bytes, ...]] = {}

    def notified(self, now: int, peer: int, event: object) -> None:
        """Remember what owners say, and hold what replicas say against it."""
        if isinstance(event, Published):
            self.published[(event.state.owner, *event.state.order)] = _digests(event.state)
        elif isinstance(event, Committed):
            said = self.published.get((event.state.owner, *event.state.order))
            if said != _digests(event.state):
                raise Violation(f"peer {peer} took over {event.state!r}, which its owner never published so")


class Everybody(Checker):
    """At the end all running peers know the newest state of all owners that run, and agree about all others."""

    def ended(self, simulation: Simulation) -> None:
        """Compare all ledgers with each other, and with what the owners say of themselves."""
        cores = {p: n for p, n in enumerate(simulation.nodes) if isinstance(n, Core)}
        views = {p: {o: (s.order, s.header.root) for o, s in core.ledger.states.items()} for p, core in cores.items()}
        truth = {core.identity.owner: core.publisher.state for core in cores.values()}
        for peer, view in views.items():
            for owner, state in truth.items():
                if state is not None and view.get(owner) != (state.order, state.header.root):
                    raise Violation(f"peer {peer} believes {view.get(owner)} of an owner that is at {state!r}")
        first = next(iter(views.values()), {})
        others = [peer for peer, view in views.items() if view != first]
        if others:
            raise Violation(f"{len(others)} of {len(views)} peers do not agree: {others[:5]}")


class EverySchema(Checker):
    """At the end all running peers know the schemas of all machines that they know."""

    def ended(self, simulation: Simulation) -> None:
        """Compare the catalogs with the ledgers."""
        for peer, core in enumerate(simulation.nodes):
            if isinstance(core, Core):
                machines = [machine for state in core.ledger.states.values() for machine in state.values()]
                unknown = [m.description.id for m in machines if core.catalog.find(m.schema) is None]
                if unknown:
                    raise Violation(f"peer {peer} does not know the schemas of {len(unknown)} machines: {unknown[:5]}")


class Latency(Checker):
    """How long a published state takes to each peer, us; superseded ones are never seen, and so not counted."""

    def __init__(self) -> None:
        self.samples: list[int] = []
        self._published: dict[tuple[bytes, int, int], int] = {}

    def notified(self, now: int, peer: int, event: object) -> None:
        """Take the time."""
        if isinstance(event, Published):
            self._published[(event.state.owner, *event.state.order)] = now
        elif isinstance(event, Committed):
            self.samples.append(now - self._published[(event.state.owner, *event.state.order)])


def _digests(state: OwnerState) -> tuple[bytes, ...]:
    return (state.header.root, *(m.digest for m in state.values()))


@dataclass(frozen=True)
class Report:
    """What a run measured. Latencies in ms."""

    peers: int
    updates: int
    seconds: float
    events: int
    p50: float
    p99: float
    bytes_per_update: float
    """Bytes sent for each update and peer."""
    bytes_per_second: float
    """Bytes sent by each peer and second, quiet times included."""
    gaps: int
    sessions: int
    repaired: int
    trace: str


class GossipNetwork:
    """A simulation of peers that run the core, each with one machine of a few states.

    Args:
        seed: decides everything.
        peers: how many.
        rate: updates/s of the whole network, as a Poisson process over random machines.
        states: of each machine.
        own_schemas: whether each machine has one more state that no other one has, so that schemas are exchanged.
        parameters, conditions, topology, topic, faults: see there.
        node: makes a core; a test plants a faulty one.
        checkers: beside those of the protocol.
    """

    def __init__(
        self,
        *,
        seed: int,
        peers: int,
        rate: float,
        states: int = 8,
        own_schemas: bool = False,
        parameters: Parameters | None = None,
        conditions: Conditions | None = None,
        topology: Topology | None = None,
        topic: Gossipsub | None = None,
        faults: Iterable[tuple[int, Verb]] = (),
        checkers: Iterable[Checker] = (),
        node: Callable[..., Core[int]] = Core,
        replay: str | None = None,
    ) -> None:
        self.rate = rate
        self.latency = Latency()
        self._node = node
        self._parameters = parameters
        self._schema = Schema({f"S{i}": State() for i in range(states)})
        self._own_schemas = own_schemas
        self._signatures, self._merge = Signatures(), SharedMerge()
        self._machines: list[Machine | None] = [None] * peers
        self._rng = stream(seed, "workload")
        self._seed = seed
        self.updates = 0
        self._sent_before = 0
        self.simulation = Simulation(
            seed,
            self._make,
            peers=peers,
            topology=topology,
            conditions=conditions,
            topic=topic,
            faults=faults,
            checkers=[
                ClocksGoForward(),
                OnlyWhatWasPublished(),
                Everybody(),
                EverySchema(),
                self.latency,
                Conservation(),
                NothingFromTheDead(),
                *checkers,
            ],
            replay=replay,
        )

    def _make(self, peer: int, host: Host) -> Core[int]:
        identity = self._identity(peer)
        core = self._node(
            host, identity, DOMAIN, parameters=self._parameters, is_signed=self._signatures, merge=self._merge
        )
        schema = self._schema.merge({f"Own{peer}": State()}) if self._own_schemas else self._schema
        machine = Machine(schema, id=f"machine{peer}")
        self._machines[peer] = machine
        core.expose(0, machine)  # the start publishes it
        return core

    def machine_of(self, owner: bytes) -> Machine:
        """Return the machine of the peer with this key."""
        for peer, machine in enumerate(self._machines):
            if machine is not None and self._identity(peer).owner == owner:
                return machine
        raise LookupError(f"no peer has the key {owner.hex()}")

    def _identity(self, peer: int) -> Identity:
        return Identity(derive(self._seed, "key", peer).to_bytes(8, "big") * 4)

    def settle(self, seconds: float) -> None:
        """Run without a workload, so that all know each other, and begin to measure after that."""
        self.simulation.run(self.simulation.now + round(seconds * SECOND))
        self.latency.samples.clear()
        self._sent_before = sum(self.simulation.statistics().channel_bytes.values())

    def run(self, seconds: float, quiet: float = 0.0) -> Report:
        """Run the workload for a while, and then in quiet; the checkers have their last word at the end."""
        simulation = self.simulation
        began, at = simulation.now, float(simulation.now)
        while self.rate > 0:
            at += self._rng.expovariate(self.rate) * SECOND
            if at >= began + seconds * SECOND:
                break
            peer, state = self._rng.randrange(simulation.peers), self._rng.choice(self._schema.names[:-1])
            simulation.call(int(at), peer, self._update(peer, state))
        simulation.run(began + round((seconds + quiet) * SECOND))
        simulation.finish()
        return self.report(seconds + quiet)

    def _update(self, peer: int, state: str) -> Callable[[Any, int], Outputs[int]]:
        def update(node: Any, now: int) -> Outputs[int]:
            machine = self._machines[peer]
            assert machine is not None
            machine.toggle(state)
            self.updates += 1
            outputs: Outputs[int] = node.changed(now)
            return outputs

        return update

    def report(self, seconds: float) -> Report:
        """Return what was measured so far."""
        statistics = self.simulation.statistics()
        sent = sum(statistics.channel_bytes.values()) - self._sent_before
        peers = self.simulation.peers
        cores = [n for n in self.simulation.nodes if isinstance(n, Core)]
        samples = self.latency.samples
        cuts = quantiles(samples, n=100) if len(samples) > 1 else [0.0] * 99
        return Report(
            peers=peers,
            updates=self.updates,
            seconds=seconds,
            events=statistics.events,
            p50=cuts[49] / 1000,
            p99=cuts[98] / 1000,
            bytes_per_update=sent / max(self.updates, 1) / peers,
            bytes_per_second=sent / peers / seconds,
            gaps=sum(core.counts.gaps for core in cores),
            sessions=sum(core.repair.counts.started for core in cores),
            repaired=sum(core.repair.counts.moved for core in cores),
            trace=self.simulation.trace_hash(),
        )
