"""Graphs in a database; see `history.graphs`.

What may be long is read in pages, each of them a walk along an index from where the last one ended: (life, since,
number) or (life, until, number). So nothing is sorted, and no reader holds more than a page, or a transaction open.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

from history import tables
from history.graphs import OPEN, GraphLife, GraphRow, Graphs
from history.inserts import Inserts
from history.statements import Statement

PAGE: Final = 5_000  # rows: some 3 MB
L = tables.graph_life
K = tables.graph_checkpoint
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


def _whole(name: str) -> sa.BindParameter[int]:
    return _b(name, type_=sa.BigInteger)


def _page(edges: bool, moment: str, *, there: bool = False, whole: bool = True) -> Statement:
    """Return the statement for the next page along an index: behind (``after``, ``number``), up to ``last``.

    Args:
        edges: of which table.
        moment: which index.
        there: only of what had come up to ``at``.
        whole: with all of the row; else with its number and its end.
    """
    c = _TABLES[edges].c
    found = sa.select(c.number, c.until, *((c.since, c.tags, *_KEYS[edges]) if whole else ()))
    found = found.where(c.life == _b("life"), c[moment] <= _whole("last"))
    found = found.where(sa.tuple_(c[moment], c.number) > sa.tuple_(_whole("after"), _whole("number")))
    if there:
        found = found.where(c.since <= _whole("at"))
    return Statement(found.order_by(c[moment], c.number).limit(_b("chunk")))


def _count(edges: bool, moment: str) -> Statement:
    c = _TABLES[edges].c
    some = sa.select(c.number).where(c.life == _b("life"), c[moment] > _whole("after"), c[moment] <= _whole("last"))
    return Statement(sa.select(sa.func.count()).select_from(some.limit(_whole("most")).subquery()))


_LIVES = Statement(sa.select(L).order_by(L.c.id))
_CAME = {edges: _page(edges, "since") for edges in _TABLES}
_WENT = {edges: _page(edges, "until") for edges in _TABLES}
_ENDS = {edges: _page(edges, "until", whole=False) for edges in _TABLES}
_THERE = {edges: _page(edges, "until", there=True) for edges in _TABLES}
_COUNTS = [_count(edges, moment) for edges in _TABLES for moment in ("since", "until")]
_KEPT = sa.select(K.c.at).where(K.c.life == _b("life"))
_BEFORE = Statement(_KEPT.where(K.c.at <= _whole("at")).order_by(K.c.at.desc()).limit(1))
_BEHIND = Statement(_KEPT.where(K.c.at > _whole("at")).order_by(K.c.at).limit(1))
_BODY = Statement(sa.select(K.c.body).where(K.c.life == _b("life"), K.c.at == _whole("at")))
_GONE = [_count(edges, "until") for edges in _TABLES]
_closed = [sa.select(t.c.until).where(t.c.life == _b("life"), t.c.until < OPEN) for t in _TABLES.values()]
_both = sa.union_all(*_closed).subquery()
_NTH_GONE = Statement(sa.select(_both).order_by(_both.c.until.desc()).limit(1).offset(_whole("skip")))
Transaction = Callable[[], AbstractContextManager[sa.Connection]]
Ask = Callable[..., Sequence[Sequence[Any]]]


class SqlGraphs(Graphs):
    """Graphs in a database. See `Graphs`.

    Args:
        inserts: of the dialect.
        writing: the writer's connection in a transaction.
        ask: carries out a `Statement` with values.
    """

    def __init__(self, inserts: Inserts, writing: Transaction, ask: Ask) -> None:
        self._inserts = inserts
        self._writing = writing
        self._ask = ask

    # -- the writer's side

    def begin(self, graph: str, at: int) -> GraphLife:
        """Begin a life; see `Graphs`."""
        with self._writing() as connection:
            for known in connection.execute(sa.select(L).where(L.c.graph == graph, L.c.ended == 0)).all():
                self._end(connection, known.id, known.last + 1)
            latest = sa.select(sa.func.max(L.c.last), sa.func.max(L.c.horizon)).where(L.c.graph == graph)
            last, horizon = connection.execute(latest).one()
            at, horizon = (at, 0) if last is None else (max(at, last + 1), horizon)
            values = {"graph": graph, "began": at, "last": at, "ended": 0, "horizon": horizon}
            id = connection.scalar(sa.insert(L).values(values).returning(L.c.id))
        assert id is not None
        return GraphLife(id, graph, at, at, False, horizon)

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

    def keep(self, life: int, at: int, body: bytes) -> None:
        """Store a checkpoint; see `Graphs`."""
        with self._writing() as connection:
            if connection.scalar(sa.select(L.c.id).where(L.c.id == life, L.c.horizon <= at)) is not None:
                insert = self._inserts.insert(K).on_conflict_do_nothing()
                connection.execute(insert, {"life": life, "at": at, "body": body})

    def prune(self, graph: str, before: int, limit: int) -> int:
        """Let go of rows; see `Graphs`."""
        with self._writing() as connection:
            lives = [_life(row) for row in connection.execute(sa.select(L).where(L.c.graph == graph).order_by(L.c.id))]
            if not lives:
                return 0
            before, count = min(before, lives[-1].end), 0
            for life in lives:
                pruned = 0
                for table in _TABLES.values():
                    old = sa.select(table.c.number).where(table.c.life == life.id, table.c.until <= before)
                    old = old.order_by(table.c.until, table.c.number).limit(limit - count)
                    some = (table.c.life == life.id, table.c.number.in_(old))
                    gone = connection.execute(sa.delete(table).where(*some)).rowcount if count < limit else 0
                    pruned += gone
                    count += gone
                if pruned:
                    mine = sa.update(L).where(L.c.id == life.id).values(pruned=L.c.pruned + pruned)
                    connection.execute(mine)
            if count:
                further = (L.c.graph == graph, L.c.horizon < before)
                connection.execute(sa.update(L).where(*further).values(horizon=before))
                ids = [life.id for life in lives]
                connection.execute(sa.delete(K).where(K.c.life.in_(ids), K.c.at < before))
            self._bury(connection, [life for life in lives[:-1] if life.last <= before], [life.id for life in lives])
        return count

    def _bury(self, connection: sa.Connection, old: Sequence[GraphLife], ids: Sequence[int]) -> None:
        """Delete lives of which nothing is left; the next one counts what they had."""
        for life in old:
            is_left = (sa.select(t.c.number).where(t.c.life == life.id).limit(1) for t in _TABLES.values())
            if any(connection.scalar(left) is not None for left in is_left):
                continue
            heir = ids[ids.index(life.id) + 1]
            theirs = sa.select(L.c.pruned).where(L.c.id == life.id).scalar_subquery()
            connection.execute(sa.update(L).where(L.c.id == heir).values(pruned=L.c.pruned + theirs))
            connection.execute(sa.delete(K).where(K.c.life == life.id))
            connection.execute(sa.delete(L).where(L.c.id == life.id))

    # -- the readers' side

    def lives(self) -> list[GraphLife]:
        """Return all lives, by id."""
        return [_life(row) for row in self._ask(_LIVES)]

    def rows(self, edges: bool, life: int, at: int) -> Iterator[GraphRow]:
        """Yield what was there; see `Graphs`."""
        return self._rows(self._walk(_THERE[edges], life, at, OPEN, along=1, at=at), life)

    def came(self, edges: bool, life: int, after: int, until: int) -> Iterator[GraphRow]:
        """Yield what came; see `Graphs`."""
        return self._rows(self._walk(_CAME[edges], life, after, until, along=2), life)

    def went(self, edges: bool, life: int, after: int, until: int) -> Iterator[GraphRow]:
        """Yield what went; see `Graphs`."""
        return self._rows(self._walk(_WENT[edges], life, after, until, along=1), life)

    def ends(self, edges: bool, life: int, after: int, until: int) -> Iterator[tuple[int, int]]:
        """Yield when what went did so; see `Graphs`."""
        for page in self._walk(_ENDS[edges], life, after, until, along=1):
            yield from ((number, end) for number, end in page)

    def _walk(
        self, page: Statement, life: int, after: int, last: int, *, along: int, **more: int
    ) -> Iterator[Sequence[Sequence[Any]]]:
        """Yield page after page; `along`: the place of the moment by which they are in order."""
        number = OPEN  # behind all of that moment
        while True:
            found = self._ask(page, life=life, after=after, number=number, last=last, chunk=PAGE, **more)
            yield found
            if len(found) < PAGE:
                return
            after, number = found[-1][along], found[-1][0]

    def _rows(self, pages: Iterator[Sequence[Sequence[Any]]], life: int) -> Iterator[GraphRow]:
        for page in pages:
            for number, until, since, tags, *key in page:
                yield GraphRow(life, number, tuple(key), _tags(tags) if tags else (), since, until)

    def changes_between(self, life: int, after: int, until: int, most: int = OPEN) -> int:
        """Return how many; see `Graphs`."""
        count = 0
        for statement in _COUNTS:
            count += self._ask(statement, life=life, after=after, last=until, most=most - count)[0][0]
        return count

    def kept(self, life: int, at: int) -> tuple[int, ...]:
        """Return the nearest two; see `Graphs`."""
        return tuple(row[0] for statement in (_BEFORE, _BEHIND) for row in self._ask(statement, life=life, at=at))

    def checkpoint(self, life: int, at: int) -> bytes | None:
        """Return a checkpoint; see `Graphs`."""
        found = self._ask(_BODY, life=life, at=at)
        return bytes(found[0][0]) if found else None

    def nth_gone(self, graph: str, n: int) -> int | None:
        """Return when; see `Graphs`."""
        for life in reversed([life for life in self.lives() if life.graph == graph]):
            gone = sum(self._ask(statement, life=life.id, after=0, last=OPEN - 1, most=n)[0][0] for statement in _GONE)
            if gone >= n:
                return int(self._ask(_NTH_GONE, life=life.id, skip=n - 1)[0][0])
            n -= gone
        return None


def _life(row: Sequence[Any]) -> GraphLife:
    id, graph, began, last, ended, *rest = row
    return GraphLife(id, graph, began, last, bool(ended), *rest)


def _values(edges: bool, row: GraphRow) -> dict[str, Any]:
    about = {"life": row.life, "number": row.number, "since": row.since, "until": row.until}
    key = {column.name: text for column, text in zip(_KEYS[edges], row.key, strict=True)}
    return {**about, **key, "tags": json.dumps(row.tags) if row.tags else ""}


@lru_cache(maxsize=10_000)
def _tags(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
