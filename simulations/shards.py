"""Shards: many topics side by side, each peer with an interest in a few of them.

For each of its topics a peer has a core of its own, with a key and machines, as a program has that opens a peer for
each. Such a place is a *seat*, and what the engine simulates as one node. A node knows nothing of shards: it is told of
the neighbours in its topic, and of nobody else.

What the seats of a peer share is the computer below them: its CPU time, its uplink and its wall clock, and they crash
together. Faults are planned for peers and happen to all their seats. So where neither CPU time nor an uplink is
limited, shards have nothing to do with each other, and each can be simulated by itself; `units` says which cannot.

Seats are numbered shard by shard. What is drawn for a seat depends on its number among all, so that a shard that is
simulated alone does what it does among others.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from simulations.errors import SetupError
from simulations.seeds import derive, stream
from simulations.topology import Pairs, Topology
from simulations.trace import PEER_BITS

if TYPE_CHECKING:
    from simulations.simulation import Verb

Members = tuple[tuple[int, ...], ...]  # of each shard, its peers in order


@lru_cache(maxsize=4)  # a process that simulates one shard after another asks for each
def interests(seed: int, peers: int, count: int, of: int) -> Members:
    """Draw which peers take part in which of `count` shards: each in `of` of them, and each shard has about as many.

    Peers are dealt to the shards in random order, `of` times. Who would come to a shard a second time, comes to the
    next one.

    Raises:
        SetupError: there are too few peers, or too many seats.
    """
    if not 1 <= of <= count:
        raise SetupError(f"a peer cannot take part in {of} of {count} shards")
    if peers < 2 * count:
        raise SetupError(f"{peers} peers are too few for {count} shards: each is to have two at least")
    if peers * of >= 1 << PEER_BITS:
        raise SetupError(f"{peers} peers in {of} shards each are more than {(1 << PEER_BITS) - 1} places")
    members: list[list[int]] = [[] for _ in range(count)]
    mine: list[tuple[int, ...]] = [()] * peers
    for turn in range(of):
        order = list(range(peers))
        stream(seed, "shards", turn).shuffle(order)
        for at, peer in enumerate(order):
            shard = (at + turn * peers) % count
            while shard in mine[peer]:
                shard = (shard + 1) % count
            mine[peer] = (*mine[peer], shard)
            members[shard].append(peer)
    return tuple([tuple(sorted(each)) for each in members])


@dataclass(frozen=True, slots=True)
class Seats:
    """The seats of some shards, as one simulation numbers them: from 0 on, shard by shard.

    Attributes:
        shards: their numbers.
        ranges: the seats of each.
        shard_of: of each seat, the place of its shard in the two.
        names: of each seat, its number among those of all shards: what is drawn for it is drawn for that.
        peers: of each seat, whose it is.
    """

    shards: tuple[int, ...]
    ranges: tuple[range, ...]
    shard_of: array[int]
    names: array[int]
    peers: array[int]

    def __len__(self) -> int:
        return len(self.names)

    def among(self, topology: Topology, seed: int) -> Pairs:
        """Draw who knows whom: in each shard by itself."""
        pairs: Pairs = []
        for shard, seats in zip(self.shards, self.ranges, strict=True):
            first = seats.start
            pairs += [
                (first + left, first + right) for left, right in topology(len(seats), derive(seed, "shard", shard))
            ]
        return pairs

    def of(self, peers: Collection[int]) -> tuple[int, ...]:
        """Return the seats of some peers."""
        wanted = frozenset(peers)
        return tuple([seat for seat, peer in enumerate(self.peers) if peer in wanted])

    def place(self, faults: Iterable[tuple[int, Verb]]) -> Iterator[tuple[int, Verb]]:
        """Yield what is done to seats, of what is to be done to peers. Nothing where none of them sits here."""
        mine: dict[int, list[int]] = {}
        for seat, peer in enumerate(self.peers):
            mine.setdefault(peer, []).append(seat)
        for at, verb in faults:
            told: Any = verb
            names = [field.name for field in fields(told)]
            if "peer" in names:
                for seat in mine.get(told.peer, ()):
                    yield at, replace(told, peer=seat)
            elif "left" in names:
                sides = {"left": told.left, "right": told.right}
                yield at, replace(told, **{k: side if side is None else self.of(side) for k, side in sides.items()})
            else:
                yield at, verb


def seats_in(members: Members, shards: Sequence[int] | None = None) -> Seats:
    """Return the seats of some shards, by default of all."""
    chosen = tuple(range(len(members)) if shards is None else shards)
    ranges: list[range] = []
    shard_of, names, peers = array("l"), array("l"), array("l")
    firsts = [0]
    for each in members:
        firsts.append(firsts[-1] + len(each))
    for place, shard in enumerate(chosen):
        inside = members[shard]
        ranges.append(range(len(names), len(names) + len(inside)))
        shard_of.extend([place] * len(inside))
        names.extend(range(firsts[shard], firsts[shard + 1]))
        peers.extend(inside)
    return Seats(chosen, tuple(ranges), shard_of, names, peers)


def units(members: Members, *, coupled: bool) -> list[tuple[int, ...]]:
    """Return which shards have to be simulated together.

    Args:
        members: of each shard.
        coupled: whether shards with a peer in common have something to do with each other. If not, none have.
    """
    root = list(range(len(members)))

    def find(shard: int) -> int:
        while root[shard] != shard:
            root[shard] = root[root[shard]]
            shard = root[shard]
        return shard

    first: dict[int, int] = {}
    for shard, inside in enumerate(members if coupled else ()):
        for peer in inside:
            one, other = find(first.setdefault(peer, shard)), find(shard)
            root[max(one, other)] = min(one, other)
    found: dict[int, list[int]] = {}
    for shard in range(len(members)):
        found.setdefault(find(shard), []).append(shard)
    return [tuple(each) for each in found.values()]


__all__ = ["Members", "Seats", "interests", "seats_in", "units"]
