"""Peers put what they know of their network into a graph, and take it out again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from graph.errors import GraphError
from graph.graph import Graph
from graph.parts import BETWEEN_PEERS, EdgeKey, Kind, Link, Vertex, machine_vertex, peer_vertex, state_vertex
from graph.past import PastGraph
from graph.recorder import open_graph
from graph.telling import open_teller
from graph.timeline import Timeline
from history import open_history
from machine import Machine, Schema, State, bind_state
from pubsub.codec import ConnectionCodec
from pubsub.events import Repaired
from pubsub.identity import Domain, Identity
from pubsub.opening import open_peer
from pubsub.parameters import Parameters
from pubsub.peer import Peer
from pubsub.transport import MemoryNetwork, Steady
from tests.pubsub.transports import seeded

DOOR = Schema({"Open": State(), "Locked": State(remove=("Open",))})
LIGHT = Schema({"On": State()})
SECOND = 1_000_000


class Town:
    """Peers in one network; all know the first one."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.network = MemoryNetwork[bytes](delays=Steady(10_000), codec=ConnectionCodec)
        self.nursery = nursery
        self.ends: dict[str, trio.Event] = {}
        self.first: Peer | None = None

    @asynccontextmanager
    async def transport(self, identity: Identity, domain: Domain) -> AsyncIterator[Any]:
        transport = self.network.join(identity.owner)
        try:
            yield transport
        finally:
            self.network.crash(identity.owner)

    async def open(self, *exposed: Machine, **options: Any) -> Peer:
        peer: Peer = await self.nursery.start(self._hold, exposed, options)
        if self.first is None:
            self.first = peer
        else:
            peer._driver.dial(self.first.owner)
        return peer

    async def _hold(self, exposed: Sequence[Machine], options: dict[str, Any], task_status: Any) -> None:
        async with open_peer("test", transport=self.transport, **{**seeded(), **options}) as peer:
            for machine in exposed:
                peer.expose(machine)
            self.ends[peer.id] = trio.Event()
            task_status.started(peer)
            await self.ends[peer.id].wait()

    def close(self, peer: Peer) -> None:
        self.ends[peer.id].set()


@pytest.fixture
def town(nursery: trio.Nursery) -> Town:
    return Town(nursery)


def edges(graph: Graph, link: Link) -> set[tuple[str, str]]:
    found = [part.key for part in graph.as_of().edges(link)]
    return {(str(key.source), str(key.target)) for key in found if isinstance(key, EdgeKey)}


def tags(graph: Graph, vertex: Vertex) -> tuple[str, ...] | None:
    part = graph.live.get(vertex)
    return None if part is None else part.tags


async def test_a_peer_sees_members_connections_machines_and_their_states(town: Town, autojump_clock: MockClock) -> None:
    one = await town.open()
    graph = Graph(peer=one)
    front = Machine(DOOR, id="front", tags=("wood",))
    two = await town.open(front)
    await trio.sleep(3)
    assert tags(graph, peer_vertex(one.id)) == ("self",)
    assert tags(graph, peer_vertex(two.id)) == ("alive",)
    assert edges(graph, Link.CONNECTION) == {(one.id, two.id)}
    assert graph.live.get(EdgeKey(Link.CONNECTION, peer_vertex(one.id), peer_vertex(two.id))).tags == ("accepted",)  # type: ignore[union-attr]
    door = machine_vertex("front", two.id)
    assert tags(graph, door) == ("wood",)
    assert edges(graph, Link.OWNS) == {(two.id, str(door))}
    assert edges(graph, Link.REPLICA) == {(one.id, str(door))}
    assert {part.key for part in graph.as_of().vertices(Kind.STATE)} == {
        state_vertex("front", name, two.id) for name in front.state_names
    }
    assert len(edges(graph, Link.REMOVE)) == 1


async def test_a_graph_that_begins_later_has_the_same(town: Town, autojump_clock: MockClock) -> None:
    one = await town.open()
    early = Graph(peer=one)
    await town.open(Machine(DOOR, id="front"), Machine(LIGHT, id="lamp", tags=("red",)))
    await town.open()
    await town.open(is_guest=True)
    await trio.sleep(5)
    late = Graph(peer=one)
    assert {part.key for part in late.live} == {part.key for part in early.live}
    assert {part.key: part.tags for part in late.live if isinstance(part.key, Vertex)} == {
        part.key: part.tags for part in early.live if isinstance(part.key, Vertex)
    }


async def test_what_is_taken_back_is_out_and_what_is_exposed_again_is_in(town: Town, autojump_clock: MockClock) -> None:
    one = await town.open()
    graph = Graph(peer=one)
    front, lamp = Machine(DOOR, id="front"), Machine(LIGHT, id="lamp")
    two = await town.open(front, lamp)
    await trio.sleep(3)
    before = set(graph.as_of().all_keys())
    two.unexpose(front)
    await trio.sleep(3)
    now = set(graph.as_of().all_keys())
    assert {key.machine for key in before - now if isinstance(key, Vertex)} == {"front"}
    assert graph.live.waiting == 0
    two.expose(Machine(DOOR, id="front"))
    await trio.sleep(3)
    assert set(graph.as_of().all_keys()) == before


async def test_a_change_of_a_clock_changes_nothing_and_one_of_a_schema_what_is_different(
    town: Town, autojump_clock: MockClock
) -> None:
    one = await town.open()
    graph = Graph(peer=one)
    front = Machine(DOOR, id="front")
    two = await town.open(front)
    await trio.sleep(3)
    last = graph.live.last
    for _ in range(5):
        front.toggle("Open")
        await trio.sleep(1)
    assert graph.live.last == last
    front.set_schema(DOOR.merge({"Alarm": State(require="Locked")}))
    front.add("Locked")
    await trio.sleep(5)
    assert state_vertex("front", "Alarm", two.id) in graph.live
    came = [str(change.key) for change in graph.changes(last) if change.came]
    assert sorted(key.split("/", 1)[1].split(" ")[0] for key in came) == [
        "front",  # has
        "front.Alarm",
        "front.Alarm",  # require
    ]


async def test_a_pipe_from_a_replica_to_a_machine_of_ones_own_is_one_of_two_peers(
    town: Town, autojump_clock: MockClock
) -> None:
    one = await town.open()
    graph = Graph(peer=one)
    two = await town.open(Machine(DOOR, id="front"))
    lamp = Machine(LIGHT, id="lamp")
    graph.follow(lamp)
    replica = await one.replica("front")
    bind_state(replica, "Open", lamp, "On")
    way = graph.as_of().path(state_vertex("front", "Open", two.id), state_vertex("lamp", "On", one.id))
    assert way is not None
    assert [edge.link for edge in way.edges] == [Link.PIPE_ADD]
    one.expose(lamp)
    await trio.sleep(3)
    assert (one.id, str(machine_vertex("lamp", one.id))) in edges(graph, Link.OWNS)
    one.unexpose(lamp)
    await trio.sleep(3)
    assert machine_vertex("lamp", one.id) in graph.live  # it is followed
    assert (one.id, str(machine_vertex("lamp", one.id))) not in edges(graph, Link.OWNS)


async def test_who_leaves_is_told_and_who_is_forgotten_is_out(town: Town, autojump_clock: MockClock) -> None:
    one = await town.open(parameters=Parameters(forget_after=60 * SECOND))
    graph = Graph(peer=one)
    two = await town.open(Machine(DOOR, id="front"))
    three = await town.open()
    await trio.sleep(5)
    before = graph._past._latest
    await two.leave()
    town.close(two)
    await trio.sleep(5)
    assert tags(graph, peer_vertex(two.id)) == ("left",)
    assert (one.id, two.id) not in edges(graph, Link.CONNECTION)
    await trio.sleep(300)
    assert {part.key for part in graph.as_of().vertices(Kind.PEER)} == {peer_vertex(one.id), peer_vertex(three.id)}
    assert graph.as_of().vertices(Kind.MACHINE) == []
    assert graph.live.waiting == 0
    assert machine_vertex("front", two.id) in graph.as_of(before)


async def test_a_guest_is_there_while_it_is_connected(town: Town, autojump_clock: MockClock) -> None:
    one = await town.open()
    graph = Graph(peer=one)
    guest = await town.open(is_guest=True)
    await trio.sleep(3)
    assert tags(graph, peer_vertex(guest.id)) == ("unknown",)
    assert edges(graph, Link.CONNECTION) == {(one.id, guest.id)}
    town.close(guest)
    await trio.sleep(60)
    assert set(graph.as_of().all_keys()) == {peer_vertex(one.id)}


async def test_without_states_there_are_those_that_pipes_need(town: Town, autojump_clock: MockClock) -> None:
    one = await town.open()
    front = Machine(DOOR, id="front")
    bell = Machine(LIGHT, id="bell", parent=front)
    lamp = Machine(LIGHT, id="lamp")
    two = await town.open(front, bell)
    three = await town.open(lamp)
    async with open_teller(three, pause=0.5) as telling:
        graph = Graph(peer=one, states=False)
        telling.follow(lamp)
        pipes = bind_state(await three.replica("front"), "Open", lamp, "On")
        await trio.sleep(5)
        states = {part.key for part in graph.as_of().vertices(Kind.STATE)}
        assert states == {state_vertex("front", "Open", two.id), state_vertex("lamp", "On", three.id)}
        assert len(edges(graph, Link.PIPE_ADD)) == 1
        assert edges(graph, Link.PARENT) == {
            (str(machine_vertex("bell", two.id)), str(machine_vertex("front", two.id)))
        }
        assert edges(graph, Link.REPLICA) == {
            (peer.id, str(machine_vertex(id, owner.id)))
            for peer in (one, three)
            for id, owner in (("front", two), ("bell", two), ("lamp", three))
            if peer is not owner
        }
        assert {part.key for part in Graph(peer=one, states=False).live} == {part.key for part in graph.live}
        pipes.cut()
        await trio.sleep(5)
        assert graph.as_of().vertices(Kind.STATE) == []
        assert (telling.teller.cut, graph.live.waiting) == (0, 0)


async def test_a_session_is_an_edge_only_while_repair_finds_something(town: Town, autojump_clock: MockClock) -> None:
    one = await town.open()
    graph = Graph(peer=one)
    two = await town.open(Machine(DOOR, id="front"))
    await trio.sleep(60)
    assert graph.peers is not None
    assert graph.peers.sessions > 0
    assert edges(graph, Link.SESSION) == set()
    assert edges(graph, Link.NEIGHBOUR) == {(two.id, one.id)}
    changes = graph.live.last
    for news in (0, 3, 0, 0, 0, 1, 0, 0, 0):  # sessions as the core tells of them
        one._notified(Repaired(two.owner, True, news))
    assert edges(graph, Link.SESSION) == {(one.id, two.id)}
    assert graph.peers.repairs == 2
    one._notified(Repaired(two.owner, False, 0))
    assert edges(graph, Link.SESSION) == set()
    assert graph.live.last == changes + 2
    one._notified(Repaired(two.owner, True, 1))
    town.close(two)
    await trio.sleep(10)
    assert {edge for link in BETWEEN_PEERS for edge in edges(graph, link)} == set()


async def test_leaving_takes_all_out_but_machines_that_are_followed(town: Town, autojump_clock: MockClock) -> None:
    one = await town.open()
    graph = Graph(peer=one)
    lamp = Machine(LIGHT, id="lamp")
    graph.follow(lamp)
    one.expose(lamp)
    await town.open(Machine(DOOR, id="front"))
    await town.open(is_guest=True)
    await trio.sleep(3)
    for _ in range(2):
        graph.leave()
    assert {part.key.machine for part in graph.as_of().vertices() if isinstance(part.key, Vertex)} == {"lamp"}
    assert graph.live.waiting == 0
    last = graph.live.last
    await town.open()
    await trio.sleep(3)
    assert graph.live.last == last


async def test_what_a_peer_sees_is_recorded_as_it_sees_it(town: Town, autojump_clock: MockClock) -> None:
    one = await town.open()
    await town.open(Machine(DOOR, id="front"))
    await trio.sleep(3)
    async with open_history("memory:") as history, open_graph(history, peer=one) as graph:
        town_hall = await town.open(Machine(LIGHT, id="lamp"))
        await trio.sleep(3)
        await graph.sync()
        past = PastGraph(history.store)
        assert list(past.as_of()) == list(graph.as_of())
        assert list(past.changes()) == list(graph.changes())
        town.close(town_hall)
        await trio.sleep(3)
    assert one._listeners == ()


async def test_views_of_all_peers_make_the_network(town: Town, autojump_clock: MockClock) -> None:
    peers = [await town.open(Machine(LIGHT, id=f"lamp{n}")) for n in range(4)]
    graphs = [Graph(peer=peer) for peer in peers]
    await trio.sleep(20)
    for graph in graphs:
        view = graph.as_of()
        assert len(view.vertices(Kind.PEER)) == 4
        assert len(view.edges(Link.OWNS)) == 4
        replayed = Timeline(graph.changes())
        assert {part.key for part in replayed.as_of()} == {part.key for part in graph.live}
    with pytest.raises(GraphError):
        graphs[0].as_of().cut_off(peer_vertex("nobody"))
