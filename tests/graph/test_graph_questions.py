"""Questions to a graph: paths of changes, parts, what the loss of a peer cuts off."""

from __future__ import annotations

import random
from itertools import count

import networkx as nx
import pytest

from graph.errors import NotInGraphError
from graph.live import LiveGraph
from graph.parts import EdgeKey, Kind, Link, Vertex, machine_vertex, peer_vertex, state_vertex
from graph.timeline import Timeline
from graph.view import View


def graph_of(vertices: list[Vertex], edges: list[EdgeKey]) -> View:
    clock = count(1)
    graph, timeline = LiveGraph(lambda: next(clock)), Timeline()
    graph.listen(timeline.apply)
    for vertex in vertices:
        graph.add_vertex(vertex, ("tagged",) if vertex.machine == "light" else ())
    for edge in edges:
        graph.add_edge(edge)
    assert not graph.waiting
    return timeline.as_of()


def of_machines(states: dict[str, str], edges: list[tuple[str, Link, str]]) -> View:
    """Return a graph of machines with one-letter states; edges as ``("door.O", Link.ADD, "door.C")``."""

    def at(name: str) -> Vertex:
        machine, _, state = name.partition(".")
        return state_vertex(machine, state)

    vertices = [v for m in states for v in (machine_vertex(m), *(state_vertex(m, s) for s in states[m]))]
    has = [EdgeKey(Link.HAS, machine_vertex(m), state_vertex(m, s)) for m in states for s in states[m]]
    return graph_of(vertices, [*has, *(EdgeKey(link, at(a), at(b)) for a, link, b in edges)])


@pytest.fixture
def house() -> View:
    return of_machines(
        {"door": "OCL", "light": "N", "alarm": "R"},
        [
            ("door.L", Link.REQUIRE, "door.C"),
            ("door.O", Link.REMOVE, "door.C"),
            ("door.O", Link.PIPE_ADD, "light.N"),
            ("door.L", Link.PIPE_ADD, "alarm.R"),
        ],
    )


def test_a_change_goes_along_pipes_and_to_what_requires_it(house: View) -> None:
    path = house.path(state_vertex("door", "C"), state_vertex("alarm", "R"))
    assert path is not None
    assert str(path) == "door.L -require-> door.C\ndoor.L -pipe add-> alarm.R"
    assert house.path(state_vertex("alarm", "R"), state_vertex("door", "C")) is None
    assert house.path(state_vertex("door", "O"), state_vertex("alarm", "R")) is None


def test_a_machine_stands_for_all_its_states_but_is_no_way_between_them(house: View) -> None:
    path = house.path(machine_vertex("door"), machine_vertex("alarm"))
    assert path is not None
    assert [edge.link for edge in path.edges] == [Link.PIPE_ADD]
    assert house.path(machine_vertex("light"), machine_vertex("alarm")) is None
    assert house.path(machine_vertex("light"), machine_vertex("light")) is not None


def test_other_kinds_of_edges_are_followed_as_they_point(house: View) -> None:
    way = (Link.REQUIRE, Link.REMOVE)
    assert house.path(state_vertex("door", "L"), state_vertex("door", "C"), links=way) is not None
    assert house.path(state_vertex("door", "C"), state_vertex("door", "L"), links=way) is None


def test_neighbours_are_told_with_their_distance(house: View) -> None:
    near = house.neighbours(state_vertex("door", "O"), 2)
    assert near[state_vertex("light", "N")] == near[machine_vertex("door")] == 1
    assert near[state_vertex("door", "L")] == near[machine_vertex("light")] == 2
    assert state_vertex("alarm", "R") not in near
    ahead = house.neighbours(state_vertex("door", "O"), 5, links=[Link.PIPE_ADD], back=False)
    assert ahead == {state_vertex("light", "N"): 1}


def test_a_part_of_a_graph_has_the_edges_between_its_vertices(house: View) -> None:
    part = house.only([state_vertex("door", "O"), state_vertex("light", "N"), machine_vertex("nobody")])
    assert [str(one.key) for one in part] == ["door.O", "light.N", "door.O -pipe add-> light.N"]
    assert part.path(state_vertex("door", "O"), state_vertex("light", "N")) is not None
    assert len(house.only([])) == 0


def test_parts_of_the_graph_can_be_picked(house: View) -> None:
    assert len(house.vertices(Kind.MACHINE)) == 3
    assert {part.key for part in house.vertices(Kind.STATE, machine="alarm")} == {state_vertex("alarm", "R")}
    assert {part.key for part in house.vertices(Kind.MACHINE, tag="tagged")} == {machine_vertex("light")}
    assert house.vertices(peer="elsewhere") == []
    assert [str(part.key) for part in house.edges(Link.REQUIRE)] == ["door.L -require-> door.C"]
    assert len(house.components([Link.PIPE_ADD])[0]) == 2
    assert machine_vertex("door") in house
    assert EdgeKey(Link.REQUIRE, state_vertex("door", "L"), state_vertex("door", "C")) in house
    assert machine_vertex("cat") not in house


@pytest.mark.parametrize("question", ["neighbours", "cut_off"])
def test_what_is_not_there_is_named(house: View, question: str) -> None:
    with pytest.raises(NotInGraphError, match=r"no machine cat in the graph at \d+ ns"):
        getattr(house, question)(machine_vertex("cat"))
    with pytest.raises(LookupError):
        house.path(machine_vertex("cat"), machine_vertex("door"))


def network(pairs: list[tuple[int, int]], peers: int) -> View:
    vertices = [peer_vertex(f"p{i}") for i in range(peers)]
    owned = [machine_vertex(f"m{i}", f"p{i}") for i in range(peers)]
    return graph_of(
        [*vertices, *owned],
        [
            *(EdgeKey(Link.CONNECTION, vertices[a], vertices[b]) for a, b in pairs),
            *(EdgeKey(Link.NEIGHBOUR, vertices[a], vertices[b]) for a, b in pairs),
            *(EdgeKey(Link.OWNS, v, m) for v, m in zip(vertices, owned, strict=True)),
        ],
    )


def test_the_loss_of_a_peer_cuts_off_who_knows_only_it() -> None:
    view = network([(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (5, 6)], 7)
    assert [str(v) for v in view.articulation_points()] == ["p2", "p3"]
    assert [(str(a), str(b)) for a, b in view.bridges()] == [("p2", "p3"), ("p3", "p4"), ("p5", "p6")]
    cut = view.cut_off(peer_vertex("p2"))
    assert [[str(v) for v in part] for part in cut.parts] == [["p0", "p1"], ["p3", "p4"]]
    assert cut.machines == (machine_vertex("m2", "p2"),)
    whole = view.cut_off(peer_vertex("p0"))
    assert len(whole.parts) == 1
    assert [len(part) for part in view.components([Link.CONNECTION]) if len(part) > 1] == [5, 2]


def test_degrees_and_centrality_name_the_middle_first() -> None:
    view = network([(0, 1), (1, 2), (1, 3)], 4)
    assert str(next(iter(view.degrees([Link.CONNECTION])))) == "p1"
    assert view.degrees([Link.MESH]) == {}
    assert str(next(iter(view.centrality([Link.CONNECTION])))) == "p1"


def test_answers_are_those_of_another_library(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(20):
        peers = rng.randrange(2, 30)
        pairs = [(a, b) for a in range(peers) for b in range(a) if rng.random() < 1.5 / peers]
        view, other = network(pairs, peers), nx.Graph()
        other.add_nodes_from(range(peers))
        other.add_edges_from(pairs)
        assert {int(str(v)[1:]) for v in view.articulation_points()} == set(nx.articulation_points(other))
        assert {frozenset(int(str(v)[1:]) for v in pair) for pair in view.bridges()} == {
            frozenset(pair) for pair in nx.bridges(other)
        }
        directed = nx.DiGraph(pairs)
        directed.add_nodes_from(range(peers))
        a, b = rng.sample(range(peers), 2)
        path = view.path(peer_vertex(f"p{a}"), peer_vertex(f"p{b}"), links=[Link.CONNECTION])
        expected = nx.shortest_path_length(directed, a, b) if nx.has_path(directed, a, b) else None
        assert (None if path is None else len(path)) == expected
