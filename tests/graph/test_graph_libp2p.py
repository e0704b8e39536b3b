"""The graph of a peer on libp2p: what it sees of another one on loopback."""

from __future__ import annotations

import trio

from graph.graph import Graph
from graph.parts import EdgeKey, Link, machine_vertex, peer_vertex, state_vertex
from graph.past import PastGraph
from graph.recorder import open_graph
from history import open_history
from machine import Machine, Schema, State
from pubsub.opening import open_peer
from pubsub.parameters import Parameters

DOOR = Schema({"Open": State(), "Locked": State(remove=("Open",))})


async def until(graph: Graph, text: str, came: bool) -> None:
    """Wait until something of this name has come, or has gone."""
    there, changed = {str(part.key) for part in graph.live}, trio.Event()
    while (text in there) is not came:
        changed = trio.Event()

        def heard(change: object, changed: trio.Event = changed) -> None:
            changed.set()

        graph.listen(heard)
        await changed.wait()
        graph.unlisten(heard)
        there = {str(part.key) for part in graph.live}


async def test_a_peer_that_comes_and_goes_is_in_the_graph_and_in_its_past() -> None:
    async with (
        open_history("memory:") as history,
        open_peer("graph") as one,
        open_graph(history, peer=one) as graph,
    ):
        with trio.fail_after(120):
            async with open_peer("graph", connect=one.addresses) as two:
                two.expose(Machine(DOOR, id="front"))
                state = state_vertex("front", "Open", two.id)
                await until(graph, f"{one.id} -replica-> {machine_vertex('front', two.id)}", True)
                assert state in graph.live
                link = EdgeKey(Link.CONNECTION, peer_vertex(one.id), peer_vertex(two.id))
                assert link in graph.live
                then = history.clock.stamp()
                await two.leave()
            await until(graph, str(link), False)
        await graph.sync()
        past = PastGraph(history.store)
        assert link in past.as_of(then)
        assert state in past.as_of(then)
        assert link not in past.as_of()
        (member,) = past.as_of().vertices(tag="left")
        assert member.key == peer_vertex(two.id)


async def test_the_mesh_of_gossipsub_is_in_the_graph() -> None:
    eager = Parameters(eager=True)
    async with open_peer("mesh", parameters=eager) as one:
        graph = Graph(peer=one)
        with trio.fail_after(120):
            async with open_peer("mesh", connect=one.addresses, parameters=eager) as two:
                stream = EdgeKey(Link.NEIGHBOUR, peer_vertex(two.id), peer_vertex(one.id))
                await until(graph, str(EdgeKey(Link.MESH, peer_vertex(one.id), peer_vertex(two.id))), True)
                assert stream in graph.live
                late = Graph(peer=one)
                assert {part.key for part in late.live} == {part.key for part in graph.live}
                await two.leave()
            await until(graph, str(stream), False)
        assert graph.as_of().edges(Link.MESH) == []
