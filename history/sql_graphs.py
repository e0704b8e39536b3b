"""Graphs in a database; see `history.graphs`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa

from history import tables
from history.graphs import OPEN, GraphLife, GraphRow, Graphs
from history.inserts import Inserts

L = tables.graph_life
_TABLES = {False: tables.graph_vertex, True: tables.graph_edge}
_ABOUT = frozenset(("life", "number", "tags", "since", "until"))
_KEYS = {edges: [c for c in table.c if c.name not in _ABOUT] for edges, table in _TABLES.items()}
_b = sa.bindparam
_CLOSE = {
    edges: sa.update(table)
    .where(table.c.life == _b("b_life"), table.c.number == _b("b_number"))
    .values(until=_b("b_until"))
    for edges, table in _TABLES.items()
}
Transaction = Callable[[], AbstractContextManager[sa.Connection]]


class SqlGraphs(Graphs):
    """Graphs in a database. See `Graphs`.

    Args:
        inserts: of the dialect.
        writing, reading: the connections of the store.
    """

    def __init__(self, inserts: Inserts, writing: Transaction, reading: Transaction) -> None:
        self._inserts = inserts
        self._writing = writing
        self._reading = reading

    def begin(self, graph: str, at: int) -> GraphLife:
        """Begin a life; see `Graphs`."""
        with self._writing() as connection:
            for known in connection.execute(sa.select(L).where(L.c.graph == graph, L.c.ended == 0)).all():
                self._end(connection, known.id, known.last + 1)
            last = connection.scalar(sa.select(sa.func.max(L.c.last)).where(L.c.graph == graph))
            at = at if last is None else max(at, last + 1)
            values = {"graph": graph, "began": at, "last": at, "ended": 0}
            id = connection.scalar(sa.insert(L).values(values).returning(L.c.id))
        assert id is not None
        return GraphLife(id, graph, at, at, False)

    def _end(self, connection: sa.Connection, life: int, at: int) -> None:
        for table in _TABLES.values():
            left = (table.c.life == life, table.c.until == OPEN)
            connection.execute(sa.update(table).where(*left).values(until=at))
        connection.execute(sa.update(L).where(L.c.id == life).values(last=at, ended=1))

    def write(
        self,
        life: int,
        last: int,
        vertices: Sequence[GraphRow],
        edges: Sequence[GraphRow],
        gone: Sequence[tuple[bool, int, int]],
        *,
        ended: bool = False,
    ) -> bool:
        """Store rows; see `Graphs`."""
        with self._writing() as connection:
            mine = sa.update(L).where(L.c.id == life, L.c.ended == 0).values(last=last)
            if connection.execute(mine).rowcount == 0:
                return False
            for is_edge, rows in ((False, vertices), (True, edges)):
                if rows:
                    insert = self._inserts.insert(_TABLES[is_edge]).on_conflict_do_nothing()
                    connection.execute(insert, [_values(is_edge, row) for row in rows])
                if closed := [(number, until) for edge, number, until in gone if edge is is_edge]:
                    values = [{"b_life": life, "b_number": number, "b_until": until} for number, until in closed]
                    connection.execute(_CLOSE[is_edge], values)
            if ended:
                self._end(connection, life, last)
        return True

    def lives(self) -> list[GraphLife]:
        """Return all lives, by id."""
        with self._reading() as connection:
            found = connection.execute(sa.select(L).order_by(L.c.id)).all()
        return [GraphLife(row.id, row.graph, row.began, row.last, bool(row.ended)) for row in found]

    def rows(self, edges: bool, life: int, at: int) -> list[GraphRow]:
        """Return what was there; see `Graphs`."""
        c = _TABLES[edges].c
        return self._found(edges, c.life == life, c.since <= at, c.until > at)

    def touched(self, edges: bool, life: int, after: int) -> list[GraphRow]:
        """Return what came or went; see `Graphs`."""
        c = _TABLES[edges].c
        went = sa.and_(c.life == life, c.until > after, c.until < OPEN)
        return self._found(edges, sa.or_(sa.and_(c.life == life, c.since > after), went))

    def _found(self, edges: bool, *conditions: sa.ColumnElement[bool]) -> list[GraphRow]:
        c = _TABLES[edges].c
        columns = (c.life, c.number, c.tags, c.since, c.until, *_KEYS[edges])
        with self._reading() as connection:
            found = connection.execute(sa.select(*columns).where(*conditions).order_by(c.number)).all()
        return [
            GraphRow(life, number, tuple(key), _tags(tags), since, until)
            for life, number, tags, since, until, *key in found
        ]

    def changes_until(self, life: int, at: int) -> int:
        """Return how many; see `Graphs`."""
        count = sa.select(sa.func.count()).select_from
        with self._reading() as connection:
            return sum(
                connection.scalar(count(table).where(table.c.life == life, moment <= at)) or 0
                for table in _TABLES.values()
                for moment in (table.c.since, table.c.until)
            )


def _values(edges: bool, row: GraphRow) -> dict[str, Any]:
    about = {"life": row.life, "number": row.number, "since": row.since, "until": row.until}
    key = {column.name: text for column, text in zip(_KEYS[edges], row.key, strict=True)}
    return {**about, **key, "tags": json.dumps(row.tags) if row.tags else ""}


def _tags(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text)) if text else ()
