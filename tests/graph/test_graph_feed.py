"""Machines put themselves into a graph, and take themselves out of it."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.feed import MachineFeed
from graph.live import LiveGraph
from graph.parts import EdgeKey, Kind, Link, Vertex, machine_vertex, state_vertex
from graph.timeline import Timeline
from machine import Machine, Schema, State, bind_any, bind_state, pipe_add

DOOR = Schema({"Open": State(remove="Shut"), "Shut": State(auto=True, remove="Open"), "Locked": State(require="Shut")})
LIGHT = Schema({"On": State(tags="bright")})


class Fed:
    """A graph that is fed, and its past."""

    def __init__(self) -> None:
        clock = count(1)
        self.graph = LiveGraph(lambda: next(clock))
        self.past = Timeline()
        self.graph.listen(self.past.apply)
        self.feed = MachineFeed(self.graph)

    def edges(self, *links: Link) -> set[str]:
        return {str(part.key) for part in self.past.as_of().edges(links or None)}


@pytest.fixture
def fed() -> Fed:
    return Fed()


def test_a_machine_brings_its_states_and_relations(fed: Fed) -> None:
    fed.feed.follow(Machine(DOOR, id="door", tags=("front",)))
    now = fed.past.as_of()
    assert [str(part.key) for part in now.vertices(Kind.STATE)] == [
        "door.Open",
        "door.Shut",
        "door.Locked",
        "door.Exception",
    ]
    assert [part.tags for part in now.vertices(Kind.MACHINE)] == [("front",)]
    assert now.vertices(tag="auto")[0].key == state_vertex("door", "Shut")
    assert fed.edges(Link.REQUIRE, Link.REMOVE) == {
        "door.Open -remove-> door.Shut",
        "door.Shut -remove-> door.Open",
        "door.Locked -require-> door.Shut",
    }
    assert len(fed.edges(Link.HAS)) == 4


def test_pipes_come_and_go_with_both_their_states(fed: Fed) -> None:
    door, light = Machine(DOOR, id="door"), Machine(LIGHT, id="light")
    early = bind_state(door, "Open", light, "On")
    fed.feed.follow(door)
    assert fed.edges(Link.PIPE_ADD) == set()
    assert fed.graph.waiting == 2
    fed.feed.follow(light)
    assert fed.edges(Link.PIPE_ADD, Link.PIPE_REMOVE) == {
        "door.Open -pipe add-> light.On (activation)",
        "door.Open -pipe remove-> light.On (deactivation)",
    }
    second = pipe_add(door, "Open", light, "On")
    assert "door.Open -pipe add-> light.On (activation 2)" in fed.edges()
    early.cut()
    assert fed.edges(Link.PIPE_ADD, Link.PIPE_REMOVE) == {"door.Open -pipe add-> light.On (activation 2)"}
    second.cut()
    assert fed.graph.waiting == 0
    assert fed.edges(Link.PIPE_ADD, Link.PIPE_REMOVE) == set()


def test_a_pipe_of_all_states_is_one_of_the_machines(fed: Fed) -> None:
    one, other = Machine(DOOR, id="one"), Machine(DOOR, id="other")
    bind_any(one, other)
    fed.feed.follow(one)
    fed.feed.follow(other)
    assert fed.edges(Link.PIPE_ADD) == {"one -pipe add-> other (any)"}


def test_a_machine_that_is_disposed_of_takes_its_own_and_nothing_else(fed: Fed) -> None:
    door, light, lamp = Machine(DOOR, id="door"), Machine(LIGHT, id="light"), Machine(LIGHT, id="lamp")
    bind_state(door, "Open", light, "On")
    bind_state(light, "On", lamp, "On")
    for machine in (door, light, lamp):
        fed.feed.follow(machine)
    before = set(fed.past.as_of().all_keys())
    light.dispose()
    gone = before - set(fed.past.as_of().all_keys())
    assert {key for key in gone if isinstance(key, Vertex)} == {
        machine_vertex("light"),
        state_vertex("light", "On"),
        state_vertex("light", "Exception"),
    }
    assert {key.link for key in gone if isinstance(key, EdgeKey)} == {Link.HAS, Link.PIPE_ADD, Link.PIPE_REMOVE}
    assert fed.graph.waiting == 0  # the pipes are cut
    door.dispose()
    lamp.dispose()
    assert len(fed.graph) == fed.graph.waiting == 0
    assert len(fed.past.as_of(1)) == 1


def test_children_are_followed_and_know_their_parent(fed: Fed) -> None:
    house = Machine(LIGHT, id="house")
    fed.feed.follow(house)
    Machine(DOOR, id="door", parent=house)
    assert fed.edges(Link.PARENT) == {"door -parent-> house"}
    orphan = Machine(DOOR, id="shed", parent=Machine(LIGHT, id="farm"))
    fed.feed.follow(orphan)
    assert fed.edges(Link.PARENT) == {"door -parent-> house"}
    assert fed.graph.waiting == 1


def test_a_new_schema_changes_what_is_different_and_nothing_else(fed: Fed) -> None:
    door = Machine(DOOR, id="door")
    fed.feed.follow(door)
    shut = fed.graph.get(state_vertex("door", "Shut"))
    door.set_schema(DOOR.merge({"Locked": State(), "Alarm": State(require="Locked")}))
    assert fed.graph.get(state_vertex("door", "Shut")) == shut
    assert "door.Alarm -require-> door.Locked" in fed.edges(Link.REQUIRE)
    assert "door.Locked -require-> door.Shut" not in fed.edges(Link.REQUIRE)


def test_a_machine_that_is_not_followed_any_more_is_out(fed: Fed) -> None:
    door, light = Machine(DOOR, id="door"), Machine(LIGHT, id="light")
    bind_state(door, "Open", light, "On")
    for machine in (door, light, door):
        fed.feed.follow(machine)
    fed.feed.unfollow(light)
    fed.feed.unfollow(light)
    assert machine_vertex("light") not in fed.graph
    assert fed.graph.waiting == 2  # the pipes of the door
    fed.feed.follow(light)
    assert len(fed.edges(Link.PIPE_ADD, Link.PIPE_REMOVE)) == 2
    fed.feed.unfollow(door)
    assert fed.edges(Link.PIPE_ADD, Link.PIPE_REMOVE) == set()
    assert fed.graph.waiting == 0


@given(st.lists(st.tuples(st.sampled_from(["make", "bind", "cut", "dispose"]), st.integers(0, 5), st.integers(0, 5))))
def test_whatever_machines_do_the_graph_is_that_of_those_that_live(steps: list[tuple[str, int, int]]) -> None:
    fed = Fed()
    machines: dict[int, Machine] = {}
    pipes: list[tuple[int, int, object]] = []
    for what, a, b in steps:
        if what == "make" and a not in machines:
            machines[a] = Machine(LIGHT, id=f"m{a}")
            fed.feed.follow(machines[a])
        elif what == "bind" and a != b and a in machines and b in machines:
            pipes.append((a, b, pipe_add(machines[a], "On", machines[b])))
        elif what == "cut" and pipes:
            pipes.pop(a % len(pipes))[2].cut()  # type: ignore[attr-defined]
        elif what == "dispose" and a in machines:
            machines.pop(a).dispose()
            pipes = [pipe for pipe in pipes if a not in pipe[:2]]
    now = fed.past.as_of()
    assert {part.key for part in now.vertices(Kind.MACHINE)} == {machine_vertex(m.id) for m in machines.values()}
    assert len(now.edges(Link.PIPE_ADD)) == len(pipes)
    assert fed.graph.waiting == 0
