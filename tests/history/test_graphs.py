"""What stores keep of graphs: rows with from when until when, lives that end well, and lives that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from history import open_store, sql_graphs
from history.graphs import OPEN, GraphLife, GraphRow
from history.sql import SqlStore
from history.store import Store

if TYPE_CHECKING:
    from tests.history.conftest import Place

PEER = ("peer", "p", "", "")
OTHER = ("peer", "q", "", "")
EDGE = ("connection", *PEER, *OTHER, "1")


@pytest.fixture
def store(place: Place) -> Store:
    store = open_store(place.url)
    store.open()
    return store


def row(life: int, number: int, since: int, until: int = OPEN, key: tuple[str, ...] = PEER) -> GraphRow:
    return GraphRow(life, number, key, ("red", 'a "b"') if number == 1 else (), since, until)


def rows(store: Store, at: int, *, life: int = 1, edges: bool = False) -> list[GraphRow]:
    return list(store.graphs.rows(edges, life, at))


def test_rows_are_there_from_when_they_came_until_they_went(store: Store) -> None:
    graphs = store.graphs
    life = graphs.begin("g", 10)
    assert life == GraphLife(1, "g", 10, 10, False)
    edge = row(1, 3, 30, key=EDGE)
    assert graphs.write(1, 40, [row(1, 1, 20), row(1, 2, 21, 25, OTHER)], [edge], [])
    assert rows(store, 19) == []
    assert rows(store, 24) == [row(1, 2, 21, 25, OTHER), row(1, 1, 20)]
    assert rows(store, 25) == [row(1, 1, 20)]
    assert rows(store, 35, edges=True) == [edge]
    assert graphs.write(1, 50, [], [], [(True, 3, 45), (False, 1, 46)])
    assert rows(store, 44, edges=True) == [edge._replace(until=45)]
    assert rows(store, 45, edges=True) == rows(store, 46) == []
    assert list(graphs.came(False, 1, 20, 50)) == [row(1, 2, 21, 25, OTHER)]
    assert list(graphs.went(False, 1, 25, 50)) == [row(1, 1, 20, 46)]
    assert list(graphs.ends(False, 1, 20, 50)) == [(2, 25), (1, 46)]
    assert list(graphs.went(False, 1, 46, 50)) == list(graphs.went(False, 1, 0, 24)) == []
    assert [graphs.changes_between(1, 0, at) for at in (19, 20, 21, 25, 30, 45, 46)] == [0, 1, 2, 3, 4, 5, 6]
    assert graphs.changes_between(1, 21, 45) == 3
    assert graphs.changes_between(1, 0, 46, 4) == 4
    assert graphs.lives() == [GraphLife(1, "g", 10, 50, False)]
    store.close()


def test_storing_a_row_twice_is_storing_it_once(store: Store) -> None:
    graphs = store.graphs
    graphs.begin("g", 10)
    for _ in range(2):
        assert graphs.write(1, 40, [row(1, 1, 20)], [row(1, 3, 30, key=EDGE)], [])
    assert graphs.changes_between(1, 0, 40) == 2
    store.close()


def test_a_life_that_ends_closes_what_is_there(store: Store) -> None:
    graphs = store.graphs
    graphs.begin("g", 10)
    graphs.begin("other", 5)
    graphs.write(2, 7, [row(2, 1, 6)], [], [])
    assert graphs.write(1, 40, [row(1, 1, 20)], [], [], ended=True)
    assert rows(store, 39) == [row(1, 1, 20, 40)]
    assert graphs.lives()[0] == GraphLife(1, "g", 10, 40, True)
    assert rows(store, 39, life=2) == [row(2, 1, 6)]
    assert not graphs.write(1, 50, [row(1, 2, 45)], [], [])
    assert rows(store, 45) == []
    store.close()


def test_a_life_that_broke_off_is_closed_by_the_next_just_after_the_last_that_is_known_of_it(store: Store) -> None:
    graphs = store.graphs
    graphs.begin("g", 10)
    graphs.write(1, 40, [row(1, 1, 40)], [], [])
    assert rows(store, 1000) == [row(1, 1, 40)]
    assert graphs.begin("g", 30) == GraphLife(2, "g", 42, 42, False)
    assert rows(store, 1000) == []
    assert rows(store, 40) == [row(1, 1, 40, 41)]
    assert graphs.lives() == [GraphLife(1, "g", 10, 41, True), GraphLife(2, "g", 42, 42, False)]
    assert not graphs.write(1, 60, [], [], [])
    assert graphs.begin("g", 100).began == 100
    store.close()


def test_the_clock_goes_on_behind_what_is_kept_of_graphs(lasting: Place) -> None:
    store = open_store(lasting.url)
    assert store.open() == 0
    store.graphs.begin("g", 10)
    store.graphs.write(1, 40, [], [], [])
    store.close()
    again = open_store(lasting.url)
    assert again.open() == 40
    again.close()


def test_long_answers_come_in_pages_also_of_what_went_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_graphs, "PAGE", 3)
    graphs = store.graphs
    graphs.begin("g", 10)
    vertices = [row(1, number, 20 + number // 5, key=("peer", str(number), "", "")) for number in range(1, 15)]
    graphs.write(1, 40, vertices, [], [], ended=True)
    ended = [one._replace(until=40) for one in vertices]
    assert rows(store, 39) == list(graphs.came(False, 1, 0, 40)) == list(graphs.went(False, 1, 0, 40)) == ended
    assert list(graphs.came(False, 1, 20, 21)) == ended[4:9]
    store.close()


def test_the_checkpoints_around_a_moment_are_found(store: Store) -> None:
    graphs = store.graphs
    graphs.begin("g", 10)
    graphs.write(1, 40, [], [], [])
    for at in (20, 30):
        graphs.keep(1, at, bytes([at]))
        graphs.keep(1, at, b"another")
    assert [graphs.kept(1, at) for at in (19, 20, 29, 30, 31)] == [(20,), (20, 30), (20, 30), (30,), (30,)]
    assert graphs.kept(2, 20) == ()
    assert (graphs.checkpoint(1, 30), graphs.checkpoint(1, 31)) == (bytes([30]), None)
    store.close()


def filled(store: Store) -> None:
    """Record two lives of a graph, of six parts that go one by one, and of four that stay to the end; and another."""
    graphs = store.graphs
    for life, began in ((1, 100), (2, 200)):
        graphs.begin("g", began)
        gone = [row(life, n, began + n, began + 10 * n, ("peer", str(n), "", "")) for n in range(1, 7)]
        graphs.write(life, began + 80, gone, [row(life, n, began + n, key=EDGE) for n in range(7, 11)], [])
        graphs.keep(life, began + 30, b"")
        if life == 1:
            graphs.write(life, began + 90, [], [], [], ended=True)
    graphs.begin("other", 10)
    graphs.write(3, 20, [row(3, 1, 11, 12)], [], [])


def test_what_had_gone_up_to_the_horizon_is_let_go_in_steps(store: Store) -> None:
    filled(store)
    graphs = store.graphs
    kept = {at: (rows(store, at), rows(store, at, edges=True)) for at in range(150, 191)}
    assert [graphs.nth_gone("g", n) for n in (1, 6, 7, 10, 11, 16, 17)] == [260, 210, 190, 190, 160, 110, None]
    assert [graphs.prune("g", 150, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert [(life.horizon, life.pruned) for life in graphs.lives()] == [(150, 5), (150, 0), (0, 0)]
    assert {at: (rows(store, at), rows(store, at, edges=True)) for at in range(150, 191)} == kept
    assert graphs.kept(1, 150) == ()
    graphs.keep(1, 149, b"too late")
    assert graphs.kept(1, 150) == ()
    assert graphs.kept(2, 250) == (230,)
    assert rows(store, 11, life=3) == [row(3, 1, 11, 12)]
    store.close()


def test_lives_of_which_nothing_is_left_are_let_go_and_the_last_moment_of_all_stays(store: Store) -> None:
    filled(store)
    graphs = store.graphs
    graphs.write(2, 290, [], [], [], ended=True)
    assert graphs.prune("g", 10_000, 1000) == 16
    assert graphs.lives() == [GraphLife(2, "g", 200, 290, True, 289, 16), GraphLife(3, "other", 10, 20, False)]
    assert len(rows(store, 289, life=2, edges=True)) == 4
    assert graphs.prune("g", 10_000, 1000) == graphs.prune("nobody", 10_000, 1000) == 0
    assert graphs.begin("g", 300) == GraphLife(4, "g", 300, 300, False, 289)
    graphs.write(4, 400, [], [], [])
    assert graphs.prune("g", 350, 1000) == 4
    assert graphs.lives()[-1] == GraphLife(4, "g", 300, 400, False, 350, 20)
    assert not graphs.write(2, 1000, [], [], [])
    store.close()


@pytest.mark.parametrize("name", ["_CAME", "_WENT", "_ENDS", "_THERE"])
def test_pages_of_a_file_are_walks_along_an_index(sqlite_file: Place, name: str) -> None:
    store = open_store(sqlite_file.url)
    store.open()
    assert isinstance(store, SqlStore)
    for edges, statement in getattr(sql_graphs, name).items():
        asked_for = ("life", "after", "number", "last", "chunk", "at")
        values = {**statement.constants, **dict.fromkeys(asked_for, 1)}
        with store.engine.connect() as connection:
            asked = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement.text}", values)
            plan = [row[-1] for row in asked.all()]
        moment, table = "since" if name == "_CAME" else "until", "graph_edge" if edges else "graph_vertex"
        index = f"{table}_{moment} (life=? AND ({moment},number)>(?,?) AND {moment}<?)"
        assert [line.replace("COVERING ", "") for line in plan] == [f"SEARCH {table} USING INDEX {index}"]
    store.close()
