"""What stores keep of graphs: rows with from when until when, lives that end well, and lives that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from history import open_store
from history.graphs import OPEN, GraphLife, GraphRow
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


def test_rows_are_there_from_when_they_came_until_they_went(store: Store) -> None:
    graphs = store.graphs
    life = graphs.begin("g", 10)
    assert life == GraphLife(1, "g", 10, 10, False)
    edge = row(1, 3, 30, key=EDGE)
    assert graphs.write(1, 40, [row(1, 1, 20), row(1, 2, 21, 25, OTHER)], [edge], [])
    assert graphs.rows(False, 1, 19) == []
    assert graphs.rows(False, 1, 24) == [row(1, 1, 20), row(1, 2, 21, 25, OTHER)]
    assert graphs.rows(False, 1, 25) == [row(1, 1, 20)]
    assert graphs.rows(True, 1, 35) == [edge]
    assert graphs.write(1, 50, [], [], [(True, 3, 45), (False, 1, 46)])
    assert graphs.rows(True, 1, 44) == [edge._replace(until=45)]
    assert graphs.rows(True, 1, 45) == graphs.rows(False, 1, 46) == []
    assert graphs.touched(False, 1, 25) == [row(1, 1, 20, 46)]
    assert graphs.touched(False, 1, 46) == []
    assert [graphs.changes_until(1, at) for at in (19, 20, 21, 25, 30, 45, 46)] == [0, 1, 2, 3, 4, 5, 6]
    assert graphs.lives() == [GraphLife(1, "g", 10, 50, False)]
    store.close()


def test_storing_a_row_twice_is_storing_it_once(store: Store) -> None:
    graphs = store.graphs
    graphs.begin("g", 10)
    for _ in range(2):
        assert graphs.write(1, 40, [row(1, 1, 20)], [row(1, 3, 30, key=EDGE)], [])
    assert graphs.changes_until(1, 40) == 2
    store.close()


def test_a_life_that_ends_closes_what_is_there(store: Store) -> None:
    graphs = store.graphs
    graphs.begin("g", 10)
    graphs.begin("other", 5)
    graphs.write(2, 7, [row(2, 1, 6)], [], [])
    assert graphs.write(1, 40, [row(1, 1, 20)], [], [], ended=True)
    assert graphs.rows(False, 1, 39) == [row(1, 1, 20, 40)]
    assert graphs.lives()[0] == GraphLife(1, "g", 10, 40, True)
    assert graphs.rows(False, 2, 39) == [row(2, 1, 6)]
    assert not graphs.write(1, 50, [row(1, 2, 45)], [], [])
    assert graphs.rows(False, 1, 45) == []
    store.close()


def test_a_life_that_broke_off_is_closed_by_the_next_just_after_the_last_that_is_known_of_it(store: Store) -> None:
    graphs = store.graphs
    graphs.begin("g", 10)
    graphs.write(1, 40, [row(1, 1, 40)], [], [])
    assert graphs.rows(False, 1, 1000) == [row(1, 1, 40)]
    assert graphs.begin("g", 30) == GraphLife(2, "g", 42, 42, False)
    assert graphs.rows(False, 1, 1000) == []
    assert graphs.rows(False, 1, 40) == [row(1, 1, 40, 41)]
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
