"""`am peer run` records its graph, tells others of it, and an observer has the network of all."""

from __future__ import annotations

from pathlib import Path

import trio

from asyncmachine.config import settings_of
from asyncmachine.service import Ready, Service
from asyncmachine.target import Loaded
from graph.parts import EdgeKey, Kind, Link, machine_vertex, peer_vertex, state_vertex
from graph.past import PastGraph
from history import History, open_store
from machine import Machine, Schema, State, bind_state
from pubsub.peer import Peer
from tests.graph.test_graph_peers import DOOR, Town

LIGHT = Schema({"On": State(remove=("Off",)), "Off": State(remove=("On",))})


async def run(
    town: Town, folder: Path, name: str, loaded: Loaded, *, task_status: trio.TaskStatus[tuple[Service, Ready]]
) -> None:
    """Run a service until it is stopped; the first one is known to the others."""
    options = {"topic": "house", "key": str(folder / f"{name}.key"), "history": str(folder / f"{name}.db")}
    settings = settings_of(None, options | ({"observe": True} if name == "observer" else {}))
    service: list[Service] = []

    async def meet(peer: Peer, history: History | None) -> None:
        if town.first is None:
            town.first = peer
        else:
            peer._driver.dial(town.first.owner)

    def ready(told: Ready) -> None:
        task_status.started((service[0], told))

    whole = Loaded(loaded.machines, [("meet", meet), *loaded.programs])
    service.append(Service(settings, whole, ready, transport=town.transport))
    assert await service[0].run()


def past_of(path: Path) -> PastGraph:
    store = open_store(f"sqlite:///{path}")
    store.open()
    return PastGraph(store)


async def test_the_database_of_an_observer_has_the_network_and_that_of_each_peer_what_it_sees(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    town = Town(nursery)
    door, lamp = Machine(DOOR, id="door", tags=("hall",)), Machine(LIGHT, id="lamp")

    async def follow(peer: Peer, history: History | None) -> None:
        bind_state(await peer.replica("door"), "Open", lamp, "On")

    one, first = await nursery.start(run, town, tmp_path, "one", Loaded([door]))
    two, second = await nursery.start(run, town, tmp_path, "two", Loaded([lamp], [("follow", follow)]))
    observer, third = await nursery.start(run, town, tmp_path, "observer", Loaded())
    there = past_of(tmp_path / "observer.db")
    pipe = EdgeKey(
        Link.PIPE_ADD,
        state_vertex("door", "Open", first.peer),
        state_vertex("lamp", "On", second.peer),
        "activation",
    )
    with trio.fail_after(120):  # a bound; that it is told again takes 5 s
        while pipe not in there.as_of().all_keys():  # noqa: ASYNC110 - as another process would look
            await trio.sleep(0.2)
    now = there.as_of()  # while all run
    assert {part.key for part in now.vertices(Kind.PEER)} == {
        peer_vertex(ready.peer) for ready in (first, second, third)
    }
    assert machine_vertex("door", first.peer) in now
    connected = {(edge.key.source.peer, edge.key.target.peer) for edge in now.edges(Link.CONNECTION)}  # type: ignore[union-attr]
    assert {(first.peer, second.peer), (second.peer, first.peer), (first.peer, third.peer)} <= connected
    its = past_of(tmp_path / "two.db").as_of()
    assert EdgeKey(Link.REPLICA, peer_vertex(second.peer), machine_vertex("door", first.peer)) in its
    assert EdgeKey(Link.OWNS, peer_vertex(second.peer), machine_vertex("lamp", second.peer)) in its
    two.stop()
    with trio.fail_after(120):
        while not there.as_of().vertices(tag="left"):  # noqa: ASYNC110
            await trio.sleep(0.2)
    assert [part.key for part in there.as_of().vertices(tag="left")] == [peer_vertex(second.peer)]
    observer.stop()
    one.stop()
    with trio.fail_after(120):
        while not all(life.ended for life in there.lives()):  # noqa: ASYNC110
            await trio.sleep(0.2)
    assert [life.graph for life in there.lives()] == [third.peer]
