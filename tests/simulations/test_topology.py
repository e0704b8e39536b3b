"""Topologies: connected, without repetitions, and the same for the same seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.errors import SetupError
from simulations.topology import Pairs, Topology, full, regular, ring, scale_free, small_world

ALL = {
    "full": full,
    "ring": ring,
    "regular 2": regular(2),
    "regular 5": regular(5),
    "regular 6": regular(6),
    "small world": small_world(4, 0.5),
    "scale free": scale_free(2),
}


def reached(peers: int, pairs: Pairs) -> int:
    neighbours: dict[int, list[int]] = {peer: [] for peer in range(peers)}
    for left, right in pairs:
        neighbours[left].append(right)
        neighbours[right].append(left)
    seen, queue = {0}, [0]
    while queue:
        for other in neighbours[queue.pop()]:
            if other not in seen:
                seen.add(other)
                queue.append(other)
    return len(seen)


def degrees(peers: int, pairs: Pairs) -> list[int]:
    ends = [peer for pair in pairs for peer in pair]
    return [ends.count(peer) for peer in range(peers)]


@pytest.mark.parametrize("topology", ALL.values(), ids=ALL)
@given(peers=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_everybody_is_reached_over_pairs_that_differ(topology: Topology, peers: int, seed: int) -> None:
    pairs = topology(peers, seed)
    assert reached(peers, pairs) == peers
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    assert all(left != right and 0 <= left < peers and 0 <= right < peers for left, right in pairs)
    assert pairs == topology(peers, seed)


def test_a_regular_graph_has_about_its_degree_everywhere(seed: int) -> None:
    for degree in (2, 5, 6, 8):
        found = degrees(200, regular(degree)(200, seed))
        assert max(found) <= degree
        assert sum(found) / 200 > degree - 0.3


def test_a_scale_free_graph_has_hubs_and_a_small_world_has_none(seed: int) -> None:
    assert max(degrees(300, scale_free(3)(300, seed))) > 25
    assert max(degrees(300, small_world(6)(300, seed))) < 12


def test_another_seed_gives_another_graph() -> None:
    assert regular(6)(50, 1) != regular(6)(50, 2)


def test_no_graph_of_degree_one_is_connected() -> None:
    with pytest.raises(SetupError, match="degree 2"):
        regular(1)
