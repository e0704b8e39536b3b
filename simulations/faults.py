"""Faults: verbs that are done to a simulation at a time, as in `faults=[(10_000_000, Partition(range(50)))]`.

`Partition` and `Heal`, `Hold` and `Release`, `Crash` and `Restart`, `Degrade` and `Restore`, `Skew` and `Jump`. Each is
a value whose repr tells it. `storm` draws a schedule of them from a seed.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from simulations.conditions import Conditions
from simulations.seeds import stream
from simulations.simulation import Simulation, Verb

Peers = Collection[int]


def _sides(simulation: Simulation, left: Peers, right: Peers | None) -> tuple[frozenset[int], frozenset[int]]:
    """Return both sides; the right one is by default everybody else."""
    ours = frozenset(left)
    theirs = frozenset(range(simulation.peers)) - ours if right is None else frozenset(right)
    return ours, theirs


@dataclass(frozen=True)
class Partition:
    """Let no frame pass between two sides, or from the left to the right only. What is on its way is lost as well."""

    left: Peers
    right: Peers | None = None  # everybody else
    one_way: bool = False

    def apply(self, simulation: Simulation) -> None:
        """Build the walls."""
        left, right = _sides(simulation, self.left, self.right)
        simulation.network.build_wall(left, right)
        if not self.one_way:
            simulation.network.build_wall(right, left)


@dataclass(frozen=True)
class Heal:
    """End all partitions, or the one between exactly these sides."""

    left: Peers | None = None
    right: Peers | None = None

    def apply(self, simulation: Simulation) -> None:
        """Pull down the walls."""
        if self.left is None:
            simulation.network.pull_down_walls()
            return
        left, right = _sides(simulation, self.left, self.right)
        simulation.network.pull_down_walls(left, right)
        simulation.network.pull_down_walls(right, left)


@dataclass(frozen=True)
class Hold:
    """Keep what is sent from the left to the right, until `Release`. What is on its way arrives."""

    left: Peers
    right: Peers | None = None

    def apply(self, simulation: Simulation) -> None:
        """Hold."""
        simulation.network.hold(*_sides(simulation, self.left, self.right))


@dataclass(frozen=True)
class Release:
    """Send all that is held, in its order."""

    def apply(self, simulation: Simulation) -> None:
        """Release."""
        simulation.network.release(simulation.now)


@dataclass(frozen=True)
class Crash:
    """End a peer without warning. Unless the crash is silent, the others are told, as by the operating system."""

    peer: int
    silent: bool = False

    def apply(self, simulation: Simulation) -> None:
        """Crash."""
        simulation.crash(self.peer, silent=self.silent)


@dataclass(frozen=True)
class Restart:
    """Start a peer that crashed, runs, or was absent so far; with what its disk kept, or without."""

    peer: int
    disk: bool = True

    def apply(self, simulation: Simulation) -> None:
        """Start."""
        simulation.restart(self.peer, disk=self.disk)


@dataclass(frozen=True)
class Degrade:
    """Change the conditions from the left to the right, from now on."""

    conditions: Conditions
    left: Peers
    right: Peers | None = None

    def apply(self, simulation: Simulation) -> None:
        """Change them."""
        left, right = _sides(simulation, self.left, self.right)
        simulation.network.degrade(left, right, self.conditions)


@dataclass(frozen=True)
class Restore:
    """End all that `Degrade` did."""

    def apply(self, simulation: Simulation) -> None:
        """Restore."""
        simulation.network.restore()


@dataclass(frozen=True)
class Skew:
    """Let the wall clock of a peer run fast (or slow) by so many parts per million."""

    peer: int
    ppm: int

    def apply(self, simulation: Simulation) -> None:
        """Skew it."""
        simulation.clocks.skew(simulation.now, self.peer, self.ppm)


@dataclass(frozen=True)
class Jump:
    """Put the wall clock of a peer forward, or back, by so many milliseconds."""

    peer: int
    ms: int

    def apply(self, simulation: Simulation) -> None:
        """Put it."""
        simulation.clocks.jump(self.peer, self.ms)


def storm(seed: int, peers: int, until: int, *, count: int = 10) -> Sequence[tuple[int, Verb]]:
    """Draw faults up to a time (us), after which all is whole again, but for the clocks: everybody runs and hears."""
    rng = stream(seed, "storm")
    faults: list[tuple[int, Verb]] = []
    for _ in range(count):
        begin, end = sorted(rng.randrange(until) for _ in range(2))
        faults += _draw(rng, peers, begin, end)
    faults += [(until, Heal()), (until, Release()), (until, Restore())]
    return sorted(faults, key=lambda fault: fault[0])


def _draw(rng: random.Random, peers: int, begin: int, end: int) -> list[tuple[int, Verb]]:
    """Draw a fault and its end. Heals and releases end all that there are, so that some faults are shorter."""
    peer = rng.randrange(peers)
    side = tuple(sorted(rng.sample(range(peers), rng.randint(1, max(peers // 2, 1)))))
    match rng.randrange(7):
        case 0:
            return [(begin, Partition(side)), (end, Heal())]
        case 1:
            return [(begin, Partition(side, one_way=True)), (end, Heal())]
        case 2:
            return [(begin, Hold(side)), (end, Release())]
        case 3:
            return [(begin, Crash(peer, silent=rng.random() < 0.5)), (end, Restart(peer, disk=rng.random() < 0.8))]
        case 4:
            loss, jitter = rng.choice([0.05, 0.2, 0.5]), rng.randrange(200_000)
            worse = Conditions(loss=loss, jitter=jitter, duplicate=0.05, reorder=0.05)
            return [(begin, Degrade(worse, side)), (end, Restore())]
        case 5:
            return [(begin, Jump(peer, rng.randint(-3_600_000, 3_600_000)))]
        case _:
            return [(begin, Skew(peer, rng.randint(-500, 500)))]
