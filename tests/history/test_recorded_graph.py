"""Graphs in a history: what is stored answers as the live one does, whatever became of the process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph import keeper, window
from graph import past as past_module
from graph.errors import BeyondHorizonError, GraphError, NotRecordedError, TakenOverError
from graph.graph import Graph
from graph.parts import EdgeKey, Key, Kind, Link, Part, Vertex, machine_vertex, peer_vertex, state_vertex
from graph.past import PastGraph
from graph.recorder import RecordedGraph, open_graph
from graph.timeline import Timeline
from history import StorageError, open_store, retention, sql_graphs
from history.graphs import GraphLife, GraphRow
from history.memory_graphs import MemoryGraphs
from history.store import Store
from machine import Machine, State, bind_state

if TYPE_CHECKING:
    from tests.history.conftest import Fresh, Kept, Place, Wall

SECOND = 1_000_000_000
VERTICES = [peer_vertex("p"), machine_vertex("m", "p"), machine_vertex("n"), state_vertex("m", "A", "p")]
vertices = st.sampled_from(VERTICES)
edges = st.builds(EdgeKey, st.sampled_from([Link.ADD, Link.PIPE_ADD]), vertices, vertices, st.sampled_from(["", "2"]))
#: What is done to a graph: something comes with tags, something goes (None), or all is written now (None for the key).
steps = st.lists(
    st.tuples(st.one_of(st.none(), vertices, edges), st.sampled_from([None, (), ("red", "a b")])), max_size=40
)
names = (f"g{n}" for n in count())


@contextmanager
def opened(place: Place) -> Iterator[Store]:
    """Open a store as another process would."""
    store = open_store(place.url)
    store.open()
    try:
        yield store
    finally:
        store.close()


def play(graph: RecordedGraph, key: Key, tags: tuple[str, ...] | None) -> None:
    live = graph.live
    if isinstance(key, Vertex):
        live.remove_vertex(key) if tags is None else live.add_vertex(key, tags)
    elif tags is None:
        live.remove_edge(key)
    else:
        live.add_edge(key, tags)


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a checkpoint after every few changes, pages of three rows, and windows that are moved at once."""
    monkeypatch.setattr(keeper, "FEW", 4)
    monkeypatch.setattr(window, "FEW", 1)
    monkeypatch.setattr(window, "CHEAP", 1_000)
    monkeypatch.setattr(past_module, "LOOK", 2)
    monkeypatch.setattr(past_module, "NAMES", 20)
    monkeypatch.setattr(sql_graphs, "PAGE", 3)


@pytest.mark.parametrize("kind", ["memory", "sqlite-file", "postgresql"])
def test_what_is_stored_answers_as_the_live_graph_does(kind: str, fresh: Fresh, kept: Kept) -> None:
    compare_with_live(fresh(kind), kept, examples=15 if kind == "postgresql" else 40)


@pytest.mark.parametrize("kind", ["memory", "sqlite-file", "postgresql"])
@pytest.mark.usefixtures("tight")
def test_it_does_so_from_checkpoints_and_from_what_was_asked_before(kind: str, fresh: Fresh, kept: Kept) -> None:
    compare_with_live(fresh(kind), kept, examples=15 if kind == "postgresql" else 40)


def life_of(past: PastGraph) -> GraphLife:
    (life,) = past.lives()
    return life


def compare_with_live(place: Place, kept: Kept, *, examples: int) -> None:

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps)
    def check(done: list[tuple[Key | None, tuple[str, ...] | None]]) -> None:
        trio.run(compare, done)

    async def compare(done: list[tuple[Key | None, tuple[str, ...] | None]]) -> None:
        name = next(names)
        async with kept(place) as history:
            async with open_graph(history, name) as graph:
                for key, tags in done:
                    if key is None:
                        await graph.sync()
                    else:
                        play(graph, key, tags)
                await graph.sync()
                numbers = graph.statistics()
                assert numbers.changes == numbers.stored == graph.live.last
                past = PastGraph(history.store, name)
                same(graph, past)
                middle = changes[len(changes) // 2].at if (changes := list(graph.changes())) else 0
                await history.run_job(lambda: history.store.graphs.prune(name, middle, 1000))
                forgotten(graph, past, history.store)
                now = list(graph.as_of())
            if not place.lasts:
                rest(past, now)
        if place.lasts:
            with opened(place) as store:
                rest(PastGraph(store, name), now)

    def same(graph: RecordedGraph, past: PastGraph) -> None:
        changes = list(graph.changes())
        assert list(past.changes()) == changes
        assert list(past.as_of()) == list(graph.as_of())
        moments = [0, *(change.at for change in changes)]
        for at in moments:
            assert list(past.as_of(at)) == list(graph.as_of(at))
            assert list(past.changes(at)) == [change for change in changes if change.at > at]
        for at in random.Random(len(changes)).sample(moments, len(moments)):
            assert list(past.as_of(at)) == list(graph.as_of(at))
        for t1, t2 in zip(moments, moments[len(moments) // 2 :], strict=False):
            assert past.diff(t1, t2) == graph.diff(t1, t2)
        assert list(Timeline(past.changes()).as_of()) == list(graph.as_of())

    def forgotten(graph: RecordedGraph, past: PastGraph, store: Store) -> None:
        """Hold what is left of it against what was there, for who has asked before and who has not."""
        changes, horizon = list(graph.changes()), past.horizon()
        for one in (past, PastGraph(store, life_of(past).graph)):
            for at in [change.at for change in changes]:
                if at >= horizon:
                    assert list(one.as_of(at)) == list(graph.as_of(at))
                    assert list(one.changes(at)) == [change for change in changes if change.at > at]
                else:
                    for ask in (one.as_of, one.diff, one.changes):
                        with pytest.raises(BeyondHorizonError, match="is beyond the horizon: it is kept from"):
                            ask(at)
            assert list(one.changes()) == [change for change in changes if change.at > horizon]

    def rest(past: PastGraph, now: list[Part]) -> None:
        (life,) = past.lives()
        assert life.ended
        assert list(past.as_of()) == now
        assert list(past.as_of(life.last)) == []
        if not past.horizon():
            assert len(Timeline(past.changes()).as_of()) == 0

    check()


async def test_machines_are_there_in_another_process_as_of_any_moment(lasting: Place, kept: Kept, wall: Wall) -> None:
    door, light = Machine({"Open": State()}, id="door"), Machine({"On": State()}, id="light")
    async with kept(lasting) as history, open_graph(history) as graph:
        graph.follow(door, light)
        before = wall.step()
        wall.step()
        bind_state(door, "Open", light, "On")
        await graph.sync()
        with opened(lasting) as other:
            past = PastGraph(other)
            assert len(past.as_of(before).edges(Link.PIPE_ADD)) == 0
            assert len(past.as_of().edges(Link.PIPE_ADD)) == 1
            assert past.as_of().path(machine_vertex("door"), machine_vertex("light")) is not None
            assert [str(part.key) for part in past.diff(before).came] == [
                "door.Open -pipe add-> light.On (activation)",
                "door.Open -pipe remove-> light.On (deactivation)",
            ]


async def test_a_life_that_broke_off_is_closed_when_it_was_last_heard_of(
    lasting: Place, kept: Kept, wall: Wall
) -> None:
    async with kept(lasting) as history:
        life = history.store.graphs.begin("", wall())
        row = GraphRow(life.id, 1, ("machine", "", "old", ""), (), wall() + 1)
        history.store.graphs.write(life.id, last := wall.step(), [row], [], [])  # and then the process was killed
    wall.step(3600)
    with opened(lasting) as other:
        assert [str(part.key) for part in PastGraph(other).as_of(wall())] == ["old"]
    async with kept(lasting) as history:
        async with open_graph(history) as graph:
            graph.follow(Machine({"A": State()}, id="new"))
            now = wall.step()
            await graph.sync()
            past = PastGraph(history.store)
            assert [str(part.key) for part in past.as_of(now).vertices(Kind.MACHINE)] == ["new"]
            assert [str(part.key) for part in past.as_of(last)] == ["old"]
            assert len(past.as_of(last + 1)) == 0
            assert [life.ended for life in past.lives()] == [True, False]
            assert list(Timeline(past.changes()).as_of()) == list(graph.as_of())
        assert [str(part.key) for part in past.as_of().vertices(Kind.MACHINE)] == ["new"]


async def test_a_sign_of_life_tells_how_far_a_life_is_known(wall: Wall, kept: Kept, fresh: Fresh) -> None:
    async with kept(fresh("memory")) as history, open_graph(history, sign=0.01):
        graphs = history.store.graphs
        wall.step(60)
        while graphs.lives()[0].last < wall():  # noqa: ASYNC110 - a store tells nobody
            await trio.sleep(0.01)


async def test_who_records_under_the_same_name_takes_over_and_the_other_is_told(lasting: Place, kept: Kept) -> None:
    async with kept(lasting) as one, open_graph(one, "g") as mine:
        mine.live.add_vertex(peer_vertex("p"))
        await mine.sync()
        async with kept(lasting) as two, open_graph(two, "g") as theirs:
            theirs.live.add_vertex(peer_vertex("q"))
            await theirs.sync()
            mine.live.add_vertex(peer_vertex("r"))
            with pytest.raises(TakenOverError, match="somebody else records a graph 'g' in"):
                await mine.sync()
            assert mine.statistics().lost == 1
            mine.live.add_vertex(peer_vertex("s"))
            await theirs.sync()
            assert [str(part.key) for part in PastGraph(two.store, "g").as_of()] == ["q"]


async def test_several_graphs_of_one_history_are_told_apart_and_put_together(place: Place, kept: Kept) -> None:
    async with kept(place) as history, open_graph(history, "a") as a, open_graph(history, "b") as b:
        for graph, others in ((a, "pq"), (b, "qr")):
            for peer in others:
                graph.live.add_vertex(peer_vertex(peer))
            graph.live.add_edge(EdgeKey(Link.CONNECTION, peer_vertex(others[0]), peer_vertex(others[1])))
            await graph.sync()
        store = history.store
        assert [str(p.key) for p in PastGraph(store, "b").as_of()] == ["q", "r", "q -connection-> r"]
        whole = PastGraph(store).as_of()
        assert [str(p.key) for p in whole] == ["p", "q", "r", "p -connection-> q", "q -connection-> r"]
        assert whole.articulation_points() == [peer_vertex("q")]
        with pytest.raises(NotRecordedError, match="name the graph of which you want the changes: 'a', 'b'"):
            list(PastGraph(store).changes())
        with pytest.raises(NotRecordedError, match=r"no graph 'c' was recorded in .*, but 'a', 'b'"):
            PastGraph(store, "c").as_of()


async def test_a_history_without_a_graph_says_so(place: Place, kept: Kept) -> None:
    async with kept(place) as history:
        with pytest.raises(NotRecordedError, match=r"no graph was recorded in .*open_graph"):
            PastGraph(history.store).as_of()


async def test_what_a_newer_program_stored_is_refused_in_one_line(place: Place, kept: Kept) -> None:
    async with kept(place) as history:
        life = history.store.graphs.begin("", 1)
        row = GraphRow(life.id, 1, ("planet", "", "x", ""), (), 2)
        history.store.graphs.write(life.id, 3, [row], [], [])
        with pytest.raises(GraphError, match=r"'planet' is not known.*: update the program"):
            list(PastGraph(history.store).as_of())
        with pytest.raises(GraphError, match=r"'planet' is not known.*: update the program"):
            list(PastGraph(history.store).changes())


async def test_names_that_no_database_takes_are_left_out_and_counted(place: Place, kept: Kept) -> None:
    async with kept(place) as history, open_graph(history) as graph:
        for name in ("a\0b", "\ud800", "fine"):
            graph.live.add_vertex(machine_vertex(name))
            graph.live.add_edge(EdgeKey(Link.PARENT, machine_vertex(name), machine_vertex("fine")))
        graph.live.remove_vertex(machine_vertex("a\0b"))
        await graph.sync()
        found = PastGraph(history.store).as_of()
        assert [str(part.key) for part in found] == ["fine", "fine -parent-> fine"]
        numbers = graph.statistics()
        assert numbers.refused == 6
        assert numbers.changes == numbers.stored + numbers.refused


async def test_retention_lets_go_of_what_has_gone_and_not_of_what_is_there(
    place: Place, kept: Kept, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP", 3)
    async with kept(place) as history, open_graph(history) as graph:
        graph.live.add_vertex(peer_vertex("stays"))
        seconds = []
        for n in range(10):
            seconds.append(wall.step())
            graph.live.add_vertex(peer_vertex(str(n)))
            graph.live.add_edge(EdgeKey(Link.CONNECTION, peer_vertex(str(n)), peer_vertex("stays")))
            wall.step(0.5)
            graph.live.remove_vertex(peer_vertex(str(n)))
        await graph.sync()
        past = PastGraph(history.store)
        then = list(past.as_of(seconds[7]))
        old = past.as_of(seconds[2])
        assert await history.prune(max_age="4s") == 14
        assert history.statistics().pruned == 14
        assert past.horizon() == seconds[-1] + SECOND // 2 - 4 * SECOND
        assert list(past.as_of(seconds[7])) == then
        assert len(old) == 2
        with pytest.raises(BeyondHorizonError, match=r"the graph at 2013-02-07T00:00:04\S* is beyond the horizon") as e:
            past.as_of(seconds[2])
        assert e.value.horizon == past.horizon()
        assert [change.number for change in past.changes()][-1] == graph.live.last
        assert await history.prune(max_rows=2) == 4
        assert await history.prune(max_rows=2) == 0
        assert [str(part.key) for part in past.as_of()] == ["stays"]


async def test_who_reads_changes_that_are_let_go_meanwhile_is_told(
    place: Place, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_module, "LOOK", 3)
    monkeypatch.setattr(sql_graphs, "PAGE", 2)
    async with kept(place) as history, open_graph(history) as graph:
        for n in range(10):
            graph.live.add_vertex(peer_vertex(str(n)))
            graph.live.remove_vertex(peer_vertex(str(n)))
        await graph.sync()
        found = PastGraph(history.store).changes()
        next(found)
        now = history.clock.stamp()
        await history.run_job(lambda: history.store.graphs.prune("", now, 1000))
        with pytest.raises(BeyondHorizonError):
            list(found)


class Counting(MemoryGraphs):
    """Graphs that count the rows that are read."""

    read = 0

    def rows(self, edges: bool, life: int, at: int) -> Iterator[GraphRow]:
        for row in super().rows(edges, life, at):
            self.read += 1
            yield row

    def came(self, edges: bool, life: int, after: int, until: int) -> Iterator[GraphRow]:
        for row in super().came(edges, life, after, until):
            self.read += 1
            yield row


async def test_a_recorded_graph_reads_from_the_database_what_it_has_forgotten(place: Place, kept: Kept) -> None:
    async with kept(place) as history, open_graph(history, keep=10) as graph:
        moments = []
        for n in range(40):
            graph.live.add_vertex(peer_vertex(str(n)))
            moments.append(history.clock.stamp())
        with pytest.raises(BeyondHorizonError):  # it is not stored yet
            graph.as_of(moments[0])
        await graph.sync()
        assert graph.forgotten == 30
        assert moments[28] < graph.horizon < moments[29]
        assert [len(graph.as_of(at)) for at in moments] == list(range(1, 41))
        assert [str(part.key) for part in graph.diff(moments[0], moments[-1]).came] == [str(n) for n in range(1, 40)]
        await history.prune(max_age="1h")
        with pytest.raises(GraphError, match="the changes after 3 are beyond the horizon: they are kept after 30"):
            graph.changes(3)
    with pytest.raises(ValueError, match="keep=0: at least one change"):
        Graph(keep=0)


async def test_a_large_graph_is_read_from_a_checkpoint_or_row_by_row_if_that_is_damaged(
    fresh: Fresh, kept: Kept
) -> None:
    async with kept(fresh("memory")) as history:
        history.store.graphs = graphs = Counting()
        async with open_graph(history) as graph:
            for n in range(6_000):
                graph.live.add_vertex(peer_vertex(str(n)))
            await graph.sync()
            graph.live.remove_vertex(peer_vertex("7"))
            graph.live.add_vertex(peer_vertex("new"))
            await graph.sync()
            now = list(graph.as_of())
            past = PastGraph(history.store)
            assert list(past.as_of()) == now
            assert graphs.read == 1
            (moment,) = graphs.kept(life_of(past).id, life_of(past).last)
            for damaged in (b"of a newer program", (graphs.checkpoint(1, moment) or b"")[:-100]):
                graphs._checkpoints[1, moment] = damaged
                graphs.read = 0
                assert list(PastGraph(history.store).as_of()) == now
                assert graphs.read == 6_000
        assert len(graphs.kept(1, graph.live.last)) == 1


class Failing(MemoryGraphs):
    """Graphs of a store that fails for a while."""

    failing = False

    def write(self, *args: object, **options: object) -> bool:
        if self.failing:
            raise StorageError("the disk is full")
        return super().write(*args, **options)  # type: ignore[arg-type]


async def test_what_the_buffer_cannot_hold_is_counted_and_a_new_life_begins(fresh: Fresh, kept: Kept) -> None:
    async with kept(fresh("memory"), retry=0.001, max_retry=0.001) as history:
        history.store.graphs = graphs = Failing()
        async with open_graph(history, buffer=10, interval=0) as graph:
            graph.live.add_vertex(peer_vertex("first"))
            await graph.sync()
            graphs.failing = True
            for n in range(25):
                graph.live.add_vertex(peer_vertex(f"p{n}"))
                await trio.lowlevel.checkpoint()
            while graph.statistics().failing is None:  # noqa: ASYNC110 - a counter tells nobody
                await trio.sleep(0.001)
            assert graph.statistics().failing == "the disk is full"
            graphs.failing = False
            await graph.sync()
            assert {p.key for p in PastGraph(history.store).as_of()} == {p.key for p in graph.as_of()}
            numbers = graph.statistics()
            assert numbers.lives == 2
            assert numbers.dropped >= 10
            assert numbers.changes == numbers.stored + numbers.dropped
        assert [life.ended for life in graphs.lives()] == [True, True]


async def test_what_cannot_be_written_before_the_end_is_counted(fresh: Fresh, kept: Kept) -> None:
    async with kept(fresh("memory"), retry=0.001, max_retry=0.001, closing=0.05) as history:
        history.store.graphs = graphs = Failing()
        async with open_graph(history) as graph:
            graphs.failing = True
            graph.live.add_vertex(peer_vertex("p"))
        assert graph.statistics().lost == 1
        with pytest.raises(StorageError, match="1 changes of the graph '' were given up: the disk is full"):
            await graph.sync()


async def test_an_error_in_the_block_comes_out_as_it_is(fresh: Fresh, kept: Kept) -> None:
    async with kept(fresh("memory")) as history:
        with pytest.raises(KeyError, match="mine"):
            async with open_graph(history):
                raise KeyError("mine")
        assert history.store.graphs.lives()[0].ended
