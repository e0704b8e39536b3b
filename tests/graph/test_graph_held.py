"""Who holds copies of whose machines: edges that follow from a few words, and nothing is left of what is taken back."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from graph.held import Held
from graph.live import LiveGraph
from graph.parts import EdgeKey, Link, Vertex, machine_vertex, peer_vertex
from graph.told import Hold

PEERS, MACHINES = ("ann", "bob", "cat"), ("door", "lamp")
peers, machines = st.sampled_from(PEERS), st.sampled_from(MACHINES)
holds = st.dictionaries(peers, st.lists(machines, unique=True).map(tuple), max_size=3)
steps = st.one_of(
    st.tuples(st.just("tell"), peers, holds), st.tuples(st.sampled_from(("came", "went")), peers, machines)
)


def graph_of_peers() -> LiveGraph:
    graph = LiveGraph(count(1).__next__)
    for peer in PEERS:
        graph.add_vertex(peer_vertex(peer))
    return graph


@given(st.lists(steps, max_size=30))
def test_the_edges_are_those_of_what_was_told_last_and_of_the_machines_that_are_there(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    graph = graph_of_peers()
    held = Held(graph)
    there: dict[Vertex, None] = {}
    told: dict[str, dict[str, tuple[str, ...]]] = {}
    for what, peer, about in steps:
        if what == "tell":
            told[peer] = about
            held.tell(peer, [Hold(owner, lacks) for owner, lacks in about.items()])
            continue
        vertex = machine_vertex(about, peer)
        if what == "came":
            there[vertex] = None
            graph.add_vertex(vertex)
            held.came(vertex)
        else:
            there.pop(vertex, None)
            held.went(vertex)
            graph.remove_machine(vertex)
    wanted = {
        EdgeKey(Link.REPLICA, peer_vertex(holder), vertex)
        for holder, about in told.items()
        for vertex in there
        if vertex.peer in about and vertex.machine not in about[vertex.peer]
    }
    assert {part.key for part in graph if isinstance(part.key, EdgeKey)} == wanted
    assert (graph.waiting, held.size, held.left_out) == (0, len(wanted), 0)
    for peer in PEERS:
        held.tell(peer, ())
    for vertex in there:
        held.went(vertex)
    assert held.size == 0
    assert [held._machines, held._holders, held._holds, held._edges] == [{}, {}, {}, {}]


def test_what_would_be_too_much_is_left_out_and_counted() -> None:
    graph = graph_of_peers()
    held = Held(graph, most=1)
    for machine in MACHINES:
        vertex = machine_vertex(machine, "ann")
        graph.add_vertex(vertex)
        held.came(vertex)
    held.tell("bob", [Hold("ann")])
    assert (held.size, held.left_out) == (1, 1)
