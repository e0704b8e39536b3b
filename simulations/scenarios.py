"""Scenarios: experiments by name, each made from a seed alone, so that a name and a seed replay a failure.

A scenario is topology + workload + faults + checkers. These run the toy nodes; they show how one is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pubsub.boundary import SECOND, Host, Node, Outputs
from simulations.byzantine import Byzantine, Replay
from simulations.checkers import Agreement, Checker, Conservation, NothingFromTheDead
from simulations.conditions import MEASURED, Conditions, Uniform
from simulations.errors import SetupError, Violation
from simulations.faults import Crash, Heal, Partition, Restart, storm
from simulations.seeds import stream
from simulations.simulation import Simulation
from simulations.statistics import Statistics
from simulations.topology import full, regular
from simulations.toys import Flood, Pinger, Value


@dataclass(frozen=True)
class Scenario:
    """How to make a simulation from (seed, replay command), and until when (us) it runs."""

    make: Callable[[int, str], Simulation]
    until: int
    what: str


def replay_command(name: str, seed: int) -> str:
    """Return what repeats a run."""
    return f"am sim run {name} --seed {seed}"


def make(name: str, seed: int) -> tuple[Simulation, int]:
    """Make the simulation of a scenario, and return it with the time until which it runs."""
    if name not in SCENARIOS:
        raise SetupError(f"there is no scenario {name!r}, but there are {', '.join(SCENARIOS)}")
    scenario = SCENARIOS[name]
    return scenario.make(seed, replay_command(name, seed)), scenario.until


def run(name: str, seed: int) -> tuple[Simulation, Statistics]:
    """Run a scenario to its end. Raises what its checkers raise."""
    simulation, until = make(name, seed)
    simulation.run(until)
    return simulation, simulation.finish()


class VersionsGrow(Checker):
    """No peer hears an older value of an owner after a newer one; not even over a crash of the owner.

    Every value that is heard was written, at that version and with that text, by its owner.
    """

    def __init__(self) -> None:
        self.newest: dict[tuple[int, int], int] = {}
        self.written: dict[tuple[int, int], str] = {}

    def notified(self, now: int, peer: int, event: object) -> None:
        """Compare with what the peer heard before, and with what the owner wrote."""
        if not isinstance(event, Value):
            return
        if event.owner == peer:
            text = self.written.setdefault((peer, event.version), event.text)
            if text != event.text:
                raise Violation(f"peer {peer} wrote version {event.version} twice")
        if self.written.get((event.owner, event.version)) != event.text:
            raise Violation(f"peer {peer} heard {event}, which {event.owner} never wrote")
        if self.newest.get((peer, event.owner), 0) >= event.version:
            raise Violation(f"peer {peer} heard {event} after version {self.newest[peer, event.owner]}")
        self.newest[peer, event.owner] = event.version

    def faulted(self, now: int, verb: object) -> None:
        """Let a peer that starts anew hear everything again; what it wrote stands."""
        if isinstance(verb, Restart):
            self.newest = {key: version for key, version in self.newest.items() if key[0] != verb.peer}


def flooding(node: Node[int]) -> Flood:
    """Return the flood node, be it wrapped or not."""
    inner = node.node if isinstance(node, Byzantine) else node
    assert isinstance(inner, Flood)
    return inner


def write(simulation: Simulation, writes: int, until: int) -> None:
    """Let random peers write, at random times up to this one (us)."""
    rng = stream(simulation.seed, "workload")

    def writing(text: str) -> Callable[[Node[int], int], Outputs[int]]:
        return lambda node, now: flooding(node).write(text)

    for at in range(writes):
        simulation.call(rng.randrange(until), rng.randrange(simulation.peers), writing(f"text {at}"))


def _view(node: object) -> object:
    return flooding(node).values  # type: ignore[arg-type]


def _ping(seed: int, replay: str) -> Simulation:
    return Simulation(
        seed,
        Pinger,
        peers=50,
        conditions=replace(MEASURED, loss=0.05),
        faults=[(10 * SECOND, Crash(3)), (15 * SECOND, Restart(3))],
        checkers=[Conservation(), NothingFromTheDead()],
        replay=replay,
    )


def _flood(seed: int, replay: str) -> Simulation:
    simulation = Simulation(
        seed,
        Flood,
        peers=200,
        topology=regular(6),
        conditions=replace(MEASURED, duplicate=0.02, reorder=0.02),
        checkers=[Conservation(), NothingFromTheDead(), VersionsGrow(), Agreement(_view)],
        replay=replay,
    )
    write(simulation, 300, 20 * SECOND)
    return simulation


def _liar(seed: int, replay: str) -> Simulation:
    def node(peer: int, host: Host) -> Node[int]:
        return Replay(Flood(peer, host), host) if peer == 3 else Flood(peer, host)

    checkers = [Conservation(), VersionsGrow(), Agreement(_view)]
    simulation = Simulation(seed, node, peers=40, checkers=checkers, replay=replay)
    write(simulation, 100, 10 * SECOND)
    return simulation


def _storm(seed: int, replay: str) -> Simulation:
    simulation = Simulation(
        seed,
        Flood,
        peers=30,
        conditions=Conditions(latency=Uniform(1_000, 50_000), loss=0.02, retransmit=200_000, bandwidth=100_000),
        faults=storm(seed, 30, 20 * SECOND),
        checkers=[Conservation(), NothingFromTheDead()],
        replay=replay,
    )
    write(simulation, 200, 20 * SECOND)
    return simulation


class _Forgetful(Flood):
    forgetful = True


def _forgetful(seed: int, replay: str) -> Simulation:
    simulation = Simulation(
        seed,
        _Forgetful,
        peers=10,
        topology=full,
        faults=[(5 * SECOND, Partition([0])), (6 * SECOND, Heal()), (7 * SECOND, Crash(0)), (8 * SECOND, Restart(0))],
        checkers=[VersionsGrow()],
        replay=replay,
    )
    write(simulation, 200, 20 * SECOND)
    return simulation


SCENARIOS = {
    "ping": Scenario(_ping, 30 * SECOND, "50 peers ping their neighbours; one crashes and comes back"),
    "flood": Scenario(_flood, 30 * SECOND, "200 peers flood values over links that repeat and reorder"),
    "liar": Scenario(_liar, 20 * SECOND, "40 peers flood values, one of them replays old ones"),
    "storm": Scenario(_storm, 30 * SECOND, "30 peers flood values under random faults"),
    "forgetful": Scenario(_forgetful, 30 * SECOND, "flooding peers that do not read their disk: a checker must say so"),
}
