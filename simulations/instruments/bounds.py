"""Bounds: what the network of a run allows at best, from its links as they were, and not from what a protocol does.

    delay     nobody hears of a change before the shortest way over links from its owner takes: Dijkstra 1959, over the
              latency of each link without its jitter
    links     nor along fewer links than there are between the two: breadth first
    rounds    nor, in a graph of degree d, all of N peers in fewer rounds than 1 + d + d(d-1) + d(d-1)^2 + ... >= N
              takes: the bound of Moore, which is log N to the base of d - 1

All links that there ever were count, so that the bounds hold at any time of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt
import rustworkx

from simulations.simulation import Simulation

SOURCES = 16  # owners from which ways are looked for, at most; in each shard, where there are several
ENOUGH = 40_000  # ends of ways: with 10,000 peers those from four owners, which took 10 s from sixteen

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ways:
    """The shortest ways from some owners to everybody else.

    Attributes:
        delays: us, sorted, one array for each owner.
        links: of the ways with the fewest of them, sorted, one array for each owner.
        rounds: the bound of Moore.
    """

    delays: Sequence[Floats]
    links: Sequence[Floats]
    rounds: int

    def delay(self, share: float) -> float | None:
        """Return what no share of all arrivals can be faster than, us."""
        return quantile(np.sort(np.concatenate(self.delays)), share) if self.delays else None

    def time_to(self, percent: int) -> float | None:
        """Return how long a change takes at least until a percentage of all have it, us: the median of the owners."""
        found = [quantile(each, percent / 100) for each in self.delays if len(each)]
        return float(np.median(found)) if found else None

    def and_those(self, other: Ways) -> Ways:
        """Return these, and the ways in another network."""
        return Ways([*self.delays, *other.delays], [*self.links, *other.links], max(self.rounds, other.rounds))

    def mean_links(self) -> float | None:
        """Return the mean of the fewest links."""
        return float(np.concatenate(self.links).mean()) if self.links else None


def quantile(ordered: Floats, share: float) -> float:
    """Return the smallest value that this share of sorted values does not exceed."""
    return float(ordered[max(ceil(len(ordered) * share - 1e-9) - 1, 0)])


def ways_from(simulation: Simulation, sources: Sequence[int]) -> Ways:
    """Look for the shortest ways from some peers."""
    graph: rustworkx.PyGraph[int, float] = rustworkx.PyGraph(multigraph=False)
    graph.add_nodes_from(range(simulation.peers))
    links = {
        (min(link.source, link.target), max(link.source, link.target)): link for link in simulation.network.each_link()
    }
    graph.add_edges_from([(left, right, float(link.base)) for (left, right), link in links.items()])
    delays: list[Floats] = []
    hops: list[Floats] = []
    for source in _some(simulation, sources):
        for cost, out in ((float, delays), (_one, hops)):
            found = rustworkx.dijkstra_shortest_path_lengths(graph, source, cost)
            if len(found):
                out.append(np.sort(np.array(list(found.values()), dtype=np.float64)))
    degree = max([graph.degree(peer) for peer in range(simulation.peers)], default=0)
    return Ways(delays, hops, rounds_of(max(map(len, simulation.shards)), degree))


def _some(simulation: Simulation, sources: Sequence[int]) -> list[int]:
    """Return the first of the sources in each shard, so many that it does not take long."""
    left = [max(min(SOURCES, ENOUGH // len(shard)), 1) for shard in simulation.shards]
    chosen = []
    for source in sources:
        shard = simulation.shard_of[source]
        if left[shard]:
            left[shard] -= 1
            chosen.append(source)
    return chosen


def _one(base: float) -> float:
    return 1.0


def rounds_of(peers: int, degree: int) -> int:
    """Return in how many rounds one peer can reach all others at best, where each has so many neighbours."""
    reached, ring, rounds = 1, degree, 0
    while reached < peers and ring:
        reached, ring, rounds = reached + ring, ring * (degree - 1), rounds + 1
    return rounds
