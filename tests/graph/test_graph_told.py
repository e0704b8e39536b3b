"""What peers tell of their own edges: packed within bounds, taken from nobody else, put together to the network."""

from __future__ import annotations

import zlib
from binascii import b2a_base64
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from graph.graph import Graph
from graph.parts import BETWEEN_PEERS, EdgeKey, Link, machine_vertex, peer_vertex, state_vertex
from graph.recorder import RecordedGraph, open_graph
from graph.teller import Teller
from graph.told import MAX_ROOM, MIN_ROOM, TAG, TOLD, Hold, Item, is_own, pack, unpack
from history import open_history
from machine import Machine, Schema, State, bind_state
from pubsub.peer import Peer
from tests.graph.test_graph_peers import DOOR, LIGHT, Town

if TYPE_CHECKING:
    from collections.abc import Sequence

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
peers = st.sampled_from(["me", "you", "they"])
ends = st.one_of(st.builds(machine_vertex, texts, peers), st.builds(state_vertex, texts, texts, peers))
edges = st.one_of(
    st.builds(
        lambda link, peer: EdgeKey(link, peer_vertex("me"), peer_vertex(peer)), st.sampled_from(BETWEEN_PEERS), peers
    ),
    st.builds(Hold, st.sampled_from(["you", "they"]), st.lists(texts, max_size=3, unique=True).map(tuple)),
    st.builds(EdgeKey, st.sampled_from([Link.PIPE_ADD, Link.PIPE_REMOVE]), ends, ends, texts),
)


def tags_of(value: object) -> tuple[str, ...]:
    text = b2a_base64(zlib.compress(msgspec.msgpack.encode(value)), newline=False).decode()
    return tuple(text[at : at + TAG] for at in range(0, len(text), TAG))


@given(st.lists(edges, max_size=30, unique_by=lambda one: one.owner if isinstance(one, Hold) else one))
def test_what_is_told_is_what_is_heard(told: list[Item]) -> None:
    mine = [item for item in told if isinstance(item, Hold) or is_own(item, "me")]
    tags, cut = pack(mine, "me", MAX_ROOM)
    heard = unpack(tags, "me")
    assert (cut, heard.cut, heard.refused) == (0, 0, 0)
    assert {*heard.edges, *heard.holds} == set(mine)


def test_what_does_not_fit_is_cut_and_counted() -> None:
    links = [EdgeKey(Link.CONNECTION, peer_vertex("me"), peer_vertex(f"peer {n}")) for n in range(3)]
    pipes = [
        EdgeKey(Link.PIPE_ADD, state_vertex(f"door{n * n}", "Open", "me"), state_vertex("lamp", "On", "me"))
        for n in range(500)
    ]
    tags, cut = pack([*pipes, *links], "me", 1000)
    assert sum(map(len, tags)) <= 1000
    assert 0 < cut < 500
    heard = unpack(tags, "me")
    assert heard.cut == cut
    assert heard.edges == (*links, *pipes[: 500 - cut])
    assert pack([*pipes, *links], "me", 1000)[1] == cut
    # what packs well is bounded by what it is unpacked
    same = [
        EdgeKey(Link.PIPE_ADD, machine_vertex("d" * 200 + str(n), "me"), machine_vertex("l", "me")) for n in range(999)
    ]
    tags, cut = pack(same, "me")
    assert 0 < cut < 999
    assert len(unpack(tags, "me").edges) == 999 - cut


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (("x" * 300,) * 64, "bytes are more than"),
        (("no text\n",), "base64 data"),
        (("abcd",), "cannot be unpacked"),
        (tags_of(7), "cannot be unpacked"),
        (tags_of([2, ["me"]]), "cannot be unpacked"),
        (tags_of([2, ["me"], ["x"], [], [], [], 0]), "cannot be unpacked"),
        (tags_of([1, ["me"], [], [], 0]), "version 1"),
        (tags_of([2, ["you"], [], [], [], [], 0]), "another peer"),
        (tags_of([2, [], [], [], [], [], 0]), "another peer"),
        (tags_of([2, ["me"], [[0, 1]], [], [], [], 0]), "does not list"),
        (tags_of([2, ["me"], [[0, -1]], [], [], [], 0]), "does not list"),
        (tags_of([2, ["me"], [[9, 0]], [], [], [], 0]), "a kind that is not known"),
        (tags_of([2, ["me"], [], [[1, []]], [], [], 0]), "does not list"),
        (tags_of([2, ["me"], [], [], [], [[0, "a", 7, "c", 0]], 0]), "does not list"),
        (tags_of([2, ["me"], [], [], [], [[0, "a", 0, "c", 0]], 0]), "a shape that it does not list"),
        (tags_of([2, ["me"], [], [], [[[True, "b", "d", ""]] * 999], [[0, "a", 0, "c", 0]] * 99, 0]), "more pipes"),
        (tags_of([2, ["me", "z" * 70_000], [], [], [], [], 0]), "more than 65536 bytes"),
        (tuple(tag[:-9] for tag in tags_of([2, ["me"], [], [], [], [], 0])), "."),
    ],
)
def test_what_nobody_tells_is_refused(tags: Sequence[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unpack(tags, "me")


def test_edges_of_others_are_refused_and_counted() -> None:
    shape, pipe = [[False, "Open", "On", ""]], [0, "door", 1, "lamp", 0]  # it would be in your process
    heard = unpack(tags_of([2, ["me", "you"], [[0, 1]], [[0, []], [1, ["lamp"]]], [shape], [pipe], 3]), "me")
    assert heard.edges == (EdgeKey(Link.CONNECTION, peer_vertex("me"), peer_vertex("you")),)
    assert heard.holds == (Hold("you", ("lamp",)),)
    assert (heard.refused, heard.cut) == (2, 3)


def test_room_and_pause_have_limits() -> None:
    with pytest.raises(ValueError, match="pause=0 is no time"):
        Teller(Graph().live, object(), pause=0)  # type: ignore[arg-type]
    for room in (MIN_ROOM - 1, MAX_ROOM + 1):
        with pytest.raises(ValueError, match=f"room={room} is no number of bytes"):
            Teller(Graph().live, object(), room=room)  # type: ignore[arg-type]


class Street:
    """Peers that tell, and one that listens."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.town = Town(nursery)
        self.ends: dict[str, trio.Event] = {}

    async def tell(self, peer: Peer, *machines: Machine) -> RecordedGraph:
        graph: RecordedGraph = await self.nursery.start(self._hold, peer)
        graph.follow(*machines)
        return graph

    async def _hold(self, peer: Peer, *, task_status: trio.TaskStatus[Any]) -> None:
        async with open_history("memory:") as history, open_graph(history, peer=peer, tell=True) as graph:
            self.ends[peer.id] = trio.Event()
            task_status.started(graph)
            await self.ends[peer.id].wait()


def pairs(graph: Graph, link: Link) -> set[tuple[str, str]]:
    found = [part.key for part in graph.as_of().edges(link)]
    return {(str(key.source), str(key.target)) for key in found if isinstance(key, EdgeKey)}


async def test_an_observer_puts_the_network_together(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    street = Street(nursery)
    town = street.town
    hub = await town.open()
    observed = Graph(peer=hub)
    front, lamp, secret = Machine(DOOR, id="front"), Machine(LIGHT, id="lamp"), Machine(LIGHT, id="secret")
    one = await town.open(front)
    two = await town.open(lamp)
    await trio.sleep(3)
    await street.tell(one)
    graph = await street.tell(two, lamp, secret)
    pipes = bind_state(await two.replica("front"), "Open", lamp, "On")
    bind_state(lamp, "On", secret, "On")
    await trio.sleep(15)
    assert {(hub.id, one.id), (one.id, hub.id), (two.id, hub.id)} <= pairs(observed, Link.CONNECTION)
    way = observed.as_of().path(state_vertex("front", "Open", one.id), state_vertex("lamp", "On", two.id))
    assert way is not None
    assert observed.live.get(way.edges[0]).tags == ("told",)  # type: ignore[union-attr]
    assert "secret" not in {key.machine for key in observed.live if hasattr(key, "machine")}
    assert observed.live.waiting == 0
    door, light = machine_vertex("front", one.id), machine_vertex("lamp", two.id)
    held = {(one.id, str(light)), (two.id, str(door)), (hub.id, str(door)), (hub.id, str(light))}
    assert pairs(observed, Link.REPLICA) == held
    late = Graph(peer=hub)
    assert {part.key for part in late.live} == {part.key for part in observed.live}
    assert TOLD not in str(list(observed.as_of().all_keys()))
    assert {machine.id for machine in hub.replicas()} == {"front", "lamp"}
    assert sorted(one.id for one in hub.replicas(owner=two.id, internal=True)) == [TOLD, "@peer", "lamp"]
    teller = graph.teller
    assert teller is not None
    assert (teller.told, teller.cut) == (5, 0)  # a connection, its stream, two pipes, copies of what one has
    times = teller.times
    pipes.cut()
    await trio.sleep(10)
    assert pairs(observed, Link.PIPE_ADD) == set()
    assert teller.times == times + 1
    street.ends[two.id].set()  # it tells nothing more
    await trio.sleep(10)
    assert (two.id, hub.id) not in pairs(observed, Link.CONNECTION)
    assert (hub.id, two.id) in pairs(observed, Link.CONNECTION)
    assert observed.peers is not None
    assert observed.peers.said is not None
    assert observed.peers.said.refused == 0


async def test_what_the_dead_have_told_does_not_count(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    street = Street(nursery)
    town = street.town
    hub = await town.open()
    observed = Graph(peer=hub)
    one = await town.open(Machine(DOOR, id="front"))
    await street.tell(one)
    await trio.sleep(10)
    late = Graph(peer=hub)
    assert (one.id, hub.id) in pairs(observed, Link.CONNECTION)
    assert (one.id, hub.id) in pairs(late, Link.CONNECTION)
    await one.leave()
    town.close(one)
    await trio.sleep(10)
    for graph in (observed, late):
        assert pairs(graph, Link.CONNECTION) == set()
        assert len(graph.as_of().vertices(tag="left")) == 1


async def test_what_cannot_be_read_is_counted(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    town = Town(nursery)
    hub = await town.open()
    observed = Graph(peer=hub)
    liar = Machine(Schema({"Told": State(multi=True)}), id=TOLD, tags=("nonsense",))
    one = await town.open(liar)
    await trio.sleep(3)
    assert observed.peers is not None
    assert observed.peers.said is not None
    assert observed.peers.said.refused == 1
    shape = [[False, "B", "D", ""]]
    liar.set_tags(*tags_of([2, [one.id, hub.id], [[0, 1]], [], [shape], [[0, "a", 1, "c", 0]], 0]))
    liar.add("Told")
    await trio.sleep(3)
    assert observed.peers.said.refused == 2
    assert (one.id, hub.id) in pairs(observed, Link.CONNECTION)
    observed.leave()
    assert len(observed.live) == observed.live.waiting == 0
