"""Topologies: who knows whom at the beginning, as pairs (dialler, dialled) without repetition.

A topology is a function of the number of peers and a seed. All of them are connected graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from random import Random

from simulations.errors import SetupError
from simulations.seeds import stream

Pairs = list[tuple[int, int]]
Topology = Callable[[int, int], Pairs]  # (peers, seed)


def full(peers: int, seed: int = 0) -> Pairs:
    """Connect everybody with everybody."""
    return list(combinations(range(peers), 2))


def ring(peers: int, seed: int = 0) -> Pairs:
    """Connect each peer with the next."""
    return _unique([(peer, (peer + 1) % peers) for peer in range(peers)])


def unconnected(peers: int, seed: int = 0) -> Pairs:
    """Connect nobody: the nodes dial themselves."""
    return []


def regular(degree: int = 6) -> Topology:
    """Draw a connected random graph in which each peer has `degree` neighbours; a few may have one or two fewer.

    It is a union of random rings, each a permutation of the peers, and for an odd degree a random matching. Where two
    of them would repeat an edge, the edge is not replaced.
    """
    if degree < 2:
        raise SetupError(f"a connected graph needs degree 2 or more, not {degree}")

    def draw(peers: int, seed: int) -> Pairs:
        rng = stream(seed, "topology", "regular")
        pairs: Pairs = []
        for at in range((degree + 1) // 2):
            order = list(range(peers))
            rng.shuffle(order)
            matching_only = degree % 2 and at == degree // 2
            steps = range(0, peers - 1, 2) if matching_only else range(peers)
            pairs += [(order[i], order[(i + 1) % peers]) for i in steps]
        return _unique(pairs)

    return draw


def small_world(degree: int = 6, rewired: float = 0.1) -> Topology:
    """Draw a ring lattice with a share of its edges moved to random ends (Watts and Strogatz 1998).

    The edges to the next neighbour are never moved, so that the graph is connected.
    """

    def draw(peers: int, seed: int) -> Pairs:
        rng = stream(seed, "topology", "small world")
        pairs = []
        for peer in range(peers):
            for step in range(1, degree // 2 + 1):
                moved = step > 1 and rng.random() < rewired
                pairs.append((peer, rng.randrange(peers) if moved else (peer + step) % peers))
        return _unique(pairs)

    return draw


def scale_free(links: int = 3) -> Topology:
    """Draw a graph with hubs: a new peer dials `links` others, likelier those with many (Barabasi and Albert 1999)."""

    def draw(peers: int, seed: int) -> Pairs:
        rng = stream(seed, "topology", "scale free")
        core = min(links + 1, peers)
        pairs = list(combinations(range(core), 2))
        ends = [peer for pair in pairs for peer in pair] or [0]  # a peer is in it once for each neighbour
        for peer in range(core, peers):
            chosen: dict[int, None] = {}
            while len(chosen) < links:
                chosen[rng.choice(ends)] = None
            for other in chosen:
                pairs.append((peer, other))
                ends += [peer, other]
        return pairs

    return draw


def _unique(pairs: Pairs) -> Pairs:
    """Leave out repetitions and loops, whichever way round; keep the order."""
    seen: dict[tuple[int, int], tuple[int, int]] = {}
    for left, right in pairs:
        if left != right:
            seen.setdefault((min(left, right), max(left, right)), (left, right))
    return list(seen.values())


def regional(regions: int = 8, degree: int = 6, local: float = 0.5) -> Topology:
    """Draw a graph of regions (a peer's is its number modulo `regions`): some neighbours near, the others anywhere.

    It is connected: a ring through each region, and one through all peers, count as two neighbours each.
    """
    if degree < 4:
        raise SetupError(f"regions need degree 4 or more, not {degree}: a ring within each, and one through all")

    def draw(peers: int, seed: int) -> Pairs:
        rng = stream(seed, "topology", "regions")
        pairs: Pairs = []
        groups = [list(range(region, peers, regions)) for region in range(min(regions, peers))]
        for group in groups:
            pairs += _ring_of(group, rng)
        pairs += _ring_of(list(range(peers)), rng)
        for peer in range(peers):
            for step in range(degree - 4):  # each edge has two ends, so every second of them is drawn
                if (peer + step) % 2:
                    near = rng.random() < local
                    pairs.append((peer, rng.choice(groups[peer % regions]) if near else rng.randrange(peers)))
        return _unique(pairs)

    return draw


def _ring_of(members: list[int], rng: Random) -> Pairs:
    order = list(members)
    rng.shuffle(order)
    return [(order[at - 1], order[at]) for at in range(len(order))]
