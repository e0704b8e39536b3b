"""The laws of graphs: what comes and goes at random, and what is left, told and remembered of it."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.errors import BeyondHorizonError, GraphError
from graph.live import LiveGraph
from graph.parts import Change, EdgeKey, Key, Link, Part, Vertex, machine_vertex, peer_vertex, state_vertex
from graph.timeline import SHARE, Timeline
from graph.view import View

VERTICES = [
    *(peer_vertex(p) for p in "pq"),
    *(machine_vertex(m, "p") for m in "mn"),
    *(state_vertex(m, s, "p") for m in "mn" for s in "AB"),
]
vertices = st.sampled_from(VERTICES)
edges = st.builds(
    EdgeKey, st.sampled_from([Link.ADD, Link.PIPE_ADD, Link.HAS]), vertices, vertices, st.sampled_from(["", "2"])
)
tags = st.sampled_from([(), ("red",)])
steps = st.lists(st.tuples(st.booleans(), st.one_of(vertices, edges), tags), max_size=60)


def play(graph: LiveGraph, done: list[tuple[bool, Key, tuple[str, ...]]]) -> None:
    for comes, key, tags in done:
        if isinstance(key, Vertex):
            if comes:
                graph.add_vertex(key, tags)
            else:
                graph.remove_vertex(key)
        elif comes:
            graph.add_edge(key, tags)
        else:
            graph.remove_edge(key)


def told() -> tuple[LiveGraph, list[Change]]:
    clock = count(1)
    graph, changes = LiveGraph(lambda: next(clock)), list[Change]()
    graph.listen(changes.append)
    return graph, changes


@given(steps)
def test_the_changes_alone_make_the_same_graph(done: list[tuple[bool, Key, tuple[str, ...]]]) -> None:
    graph, changes = told()
    play(graph, done)
    timeline = Timeline(changes)
    assert sorted(timeline.as_of(), key=repr) == sorted(graph, key=repr)
    assert timeline.last == graph.last == len(changes)
    assert list(timeline.changes()) == changes
    assert list(timeline.changes(3)) == changes[3:]


@given(steps)
def test_the_graph_as_of_any_moment_is_the_one_that_was_then(done: list[tuple[bool, Key, tuple[str, ...]]]) -> None:
    graph, changes = told()
    timeline = Timeline()
    graph.listen(timeline.apply)
    then = {0: set[object]()}
    for step in done:
        play(graph, [step])
        if changes:
            then[changes[-1].at] = set(graph)
    for at, parts in then.items():
        assert set(timeline.as_of(at)) == parts
        difference = timeline.diff(0, at)
        assert set(difference.came) == parts
        assert not difference.went
        back = timeline.diff(at, None)
        now = {part.key for part in graph}
        assert {part.key for part in back.went} == {part.key for part in parts} - now  # type: ignore[attr-defined]


@given(steps, st.integers(1, 20), st.integers(1, 20))
def test_what_is_forgotten_is_refused_and_the_rest_is_as_it_was(
    done: list[tuple[bool, Key, tuple[str, ...]]], keep: int, max_age: int
) -> None:
    graph, changes = told()
    play(graph, done)
    whole, views = Timeline(changes), list[tuple[View, list[Part]]]()
    for some in (Timeline(keep=keep), Timeline(max_age=max_age), Timeline(keep=keep, max_age=max_age)):
        for change in changes:
            some.apply(change)
            views.append((view := some.as_of(), list(view)))
            assert some.as_of(some.horizon).at == some.horizon
        kept = changes[some.forgotten :]
        if some.keep is not None:
            assert len(kept) <= max(keep + keep // 4, 1)
        assert list(some.changes()) == list(some.changes(some.forgotten)) == kept
        for change in changes:
            if change.at >= some.horizon:
                assert list(some.as_of(change.at)) == list(whole.as_of(change.at))
                assert some.diff(change.at) == whole.diff(change.at)
                assert some.as_of(change.at).components() == whole.as_of(change.at).components()
            else:
                with pytest.raises(BeyondHorizonError, match="is beyond the horizon: it is kept from"):
                    some.as_of(change.at)
        if some.forgotten:
            with pytest.raises(GraphError, match=f"the changes after 0 .* are kept after {some.forgotten}"):
                some.changes(0)
    assert all(list(view) == parts for view, parts in views)


def test_what_has_gone_long_ago_takes_no_memory() -> None:
    clock = count(1)
    graph = LiveGraph(lambda: next(clock))
    by_count, by_age = Timeline(keep=1000), Timeline(max_age=1000)
    for timeline in (by_count, by_age):
        graph.listen(timeline.apply)
    graph.add_vertex(stays := peer_vertex("stays"))
    for n in range(5000):
        graph.add_vertex(peer_vertex(str(n)))
        graph.add_edge(EdgeKey(Link.CONNECTION, stays, peer_vertex(str(n))))
        graph.remove_vertex(peer_vertex(str(n)))
        graph.remove_edge(EdgeKey(Link.CONNECTION, stays, peer_vertex(str(n))))
    for timeline, most in ((by_count, 1250), (by_age, 1000 * 5 // 4 + 1024)):
        assert timeline.forgotten + len(list(timeline.changes())) == graph.last
        assert len(list(timeline.changes())) <= most
        assert max(len(timeline.vertices), len(timeline.edges), len(timeline._numbers)) <= most
        assert [part.key for part in timeline.as_of()] == [stays]


class Counted(Timeline):
    """Counts the rows that it copies."""

    copied = 0

    def _compact(self) -> None:
        self.copied += len(self.vertices) + len(self.edges)
        super()._compact()


def check_cost(timeline: Counted) -> None:
    """Hold what was copied to the changes that were forgotten, and what is left over to what is needed."""
    assert timeline.copied <= SHARE * timeline.forgotten
    untils = [*timeline.vertices.until, *timeline.edges.until]
    gone = sum(until <= timeline.horizon for until in untils)
    still_kept = sum(change.at == timeline.horizon for change in timeline.changes())  # of that very moment
    assert SHARE * (gone - still_kept) < max(len(untils), 1)


@given(steps, st.integers(1, 20), st.integers(1, 20))
def test_to_forget_costs_what_was_forgotten(
    done: list[tuple[bool, Key, tuple[str, ...]]], keep: int, max_age: int
) -> None:
    graph, changes = told()
    play(graph, done)
    for some in (Counted(keep=keep), Counted(max_age=max_age), Counted(keep=keep, max_age=max_age)):
        for change in changes:
            some.apply(change)
            check_cost(some)


@given(st.integers(1, 300), st.integers(1, 50), st.lists(st.integers(0, 3), max_size=100))
def test_however_few_changes_are_kept_what_stays_is_seldom_copied(stay: int, keep: int, come_and_go: list[int]) -> None:
    clock = count(1)
    graph, timeline = LiveGraph(lambda: next(clock)), Counted(keep=keep)
    graph.listen(timeline.apply)
    for n in range(stay):
        graph.add_vertex(peer_vertex(f"stays {n}"))
    assert not timeline.copied
    for n in come_and_go:
        if peer_vertex(str(n)) in graph:
            graph.remove_vertex(peer_vertex(str(n)))
        else:
            graph.add_vertex(peer_vertex(str(n)))
        assert timeline.copied <= SHARE * timeline.forgotten
    check_cost(timeline)


@given(steps)
def test_an_edge_never_stands_without_its_ends(done: list[tuple[bool, Key, tuple[str, ...]]]) -> None:
    graph, changes = told()
    play(graph, done)
    timeline = Timeline(changes)
    for change in changes:
        view = timeline.as_of(change.at)
        keys = set(view.all_keys())
        assert all({key.source, key.target} <= keys for key in keys if isinstance(key, EdgeKey))


@given(steps)
def test_removing_all_that_was_added_leaves_nothing(done: list[tuple[bool, Key, tuple[str, ...]]]) -> None:
    graph, _ = told()
    play(graph, done)
    for key in dict.fromkeys(key for _, key, _ in done):
        play(graph, [(False, key, ())])
    assert len(graph) == graph.waiting == 0
    assert not graph._out
    assert not graph._in


def test_an_edge_waits_for_both_its_ends_and_for_one_that_comes_back() -> None:
    graph, changes = told()
    a, b = state_vertex("m", "A"), state_vertex("n", "B")
    pipe = EdgeKey(Link.PIPE_ADD, a, b)
    graph.add_edge(pipe)
    assert (len(graph), graph.waiting) == (0, 1)
    graph.add_vertex(b)
    graph.add_vertex(a)
    assert pipe in graph
    graph.remove_vertex(b)
    assert pipe not in graph
    assert graph.waiting == 1
    graph.add_vertex(b)
    assert pipe in graph
    graph.remove_vertex(a)
    assert graph.waiting == 0
    graph.add_vertex(a)
    assert pipe not in graph
    assert [(change.came, change.key) for change in changes] == [
        *[(True, key) for key in (b, a, pipe)],
        *[(False, key) for key in (pipe, b)],
        *[(True, key) for key in (b, pipe)],
        *[(False, key) for key in (pipe, a)],
        (True, a),
    ]


def test_edges_of_other_kinds_and_labels_stand_side_by_side() -> None:
    graph, _ = told()
    a, b = peer_vertex("p"), peer_vertex("q")
    graph.add_vertex(a)
    graph.add_vertex(b)
    keys = [EdgeKey(link, a, b, label) for link in (Link.CONNECTION, Link.MESH) for label in ("", "2")]
    for key in keys:
        graph.add_edge(key)
    graph.remove_edge(keys[1])
    assert graph.edges_of(a) == graph.edges_of(b) == [keys[0], *keys[2:]]


def test_new_tags_leave_the_edges_as_they_are() -> None:
    graph, changes = told()
    a, b = machine_vertex("m"), state_vertex("m", "A")
    graph.add_vertex(a)
    graph.add_vertex(b)
    has = EdgeKey(Link.HAS, a, b)
    graph.add_edge(has)
    since = graph.get(has)
    graph.add_vertex(a, ("red",))
    assert graph.get(has) == since
    assert Timeline(changes).as_of().vertices(tag="red")[0].key == a
    assert changes[-1].at == changes[-2].at


def test_changes_that_do_not_follow_each_other_are_refused() -> None:
    timeline = Timeline([Change(1, 5, True, peer_vertex("p"))])
    for wrong, message in (
        (Change(3, 6, True, peer_vertex("q")), "change 3 does not follow 1"),
        (Change(2, 4, True, peer_vertex("q")), "from before"),
        (Change(2, 6, True, peer_vertex("p")), "p is there already"),
        (Change(2, 6, False, peer_vertex("q")), "q is not there"),
    ):
        with pytest.raises(GraphError, match=message):
            timeline.apply(wrong)
    assert len(timeline.as_of()) == 1
