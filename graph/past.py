"""Graphs that were recorded in a history: asked straight from its database, by whatever process, live or long after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from graph.errors import GraphError, NotRecordedError
from graph.parts import Change, Key, Part, key_of
from graph.spans import Difference, Spans, difference
from graph.view import View
from history.graphs import OPEN, GraphLife, GraphRow
from history.store import Store


class PastGraph:
    """A recorded graph; it answers as a live `Graph` does.

    What was recorded later than what is stored is not known here: the graph of a later moment is the last one that is
    known, until its recording has ended. Each question reads what it needs, of one state of the database.

    Args:
        store: of a history that is open: ``history.store``.
        name: of the graph; None: all that were recorded there, as one. Of a part that several of them have, the first
            counts.
    """

    def __init__(self, store: Store, name: str | None = None) -> None:
        self._store = store
        self._name = name

    def __repr__(self) -> str:
        return f"<PastGraph {'of all' if self._name is None else repr(self._name)} in {self._store.url}>"

    def lives(self) -> list[GraphLife]:
        """Return its recordings, by age.

        Raises:
            NotRecordedError: there is none.
        """
        known = self._store.graphs.lives()
        found = [life for life in known if self._name is None or life.graph == self._name]
        if found:
            return found
        if not known:
            raise NotRecordedError(f"no graph was recorded in {self._store.url}: a program does so with open_graph")
        names = ", ".join(repr(name) for name in dict.fromkeys(life.graph for life in known))
        raise NotRecordedError(f"no graph {self._name!r} was recorded in {self._store.url}, but {names}")

    def latest(self) -> int:
        """Return the last moment of which something is known, in ns."""
        return max(_end(life) for life in self.lives())

    def as_of(self, at: int | None = None) -> View:
        """Return the graph as it was at a time, ns since 1970; None: as it was when it was last known."""
        return self._view(at, self.lives())

    def diff(self, t1: int, t2: int | None = None) -> Difference:
        """Return what has come and what has gone from one time to another; None: to when it was last known."""
        lives = self.lives()
        return difference(self._view(t1, lives), self._view(t2, lives))

    def changes(self, since: int = 0) -> Iterator[Change]:
        """Yield each change after a moment, in order: those from the first make the same graph.

        To go on, ask again with the moment of the last one.

        Raises:
            NotRecordedError: several graphs were recorded there, and none was named.
        """
        lives = self.lives()
        names = list(dict.fromkeys(life.graph for life in lives))
        if len(names) > 1:
            raise NotRecordedError(
                f"name the graph of which you want the changes: {', '.join(repr(name) for name in names)}"
            )
        store = self._store.graphs
        number = sum(store.changes_until(life.id, min(since, life.last)) for life in lives)
        for life in lives:
            if life.last <= since:
                continue
            found: list[tuple[int, bool, bool, Change]] = []
            for edges in (False, True):
                for row in store.touched(edges, life.id, since):
                    key = self._key(row)
                    if since < row.since <= life.last:
                        found.append((row.since, True, False, Change(row.number, row.since, True, key, row.tags)))
                    if since < row.until <= life.last:  # of several that go at once, edges go first
                        found.append((row.until, False, not edges, Change(row.number, row.until, False, key, row.tags)))
            for *_, change in sorted(found, key=lambda entry: (*entry[:3], entry[3].number)):
                number += 1
                yield replace(change, number=number)

    def _view(self, at: int | None, lives: list[GraphLife]) -> View:
        when = max(_end(life) for life in lives) if at is None else at
        spans = Spans()
        there = [life for life in lives if life.began <= when <= (_end(life) if life.ended else OPEN)]
        for edges in (False, True):
            rows = (self._then(row, life) for life in there for row in self._rows(edges, life, when))
            if len(there) == 1:
                for part, until in rows:
                    spans.add(part, until)
                continue
            seen: dict[Key, None] = {}
            for part, until in sorted(rows, key=lambda pair: pair[0].since):
                if part.key not in seen:
                    seen[part.key] = None
                    spans.add(part, until)
        return spans.view(when)

    def _rows(self, edges: bool, life: GraphLife, at: int) -> list[GraphRow]:
        return self._store.graphs.rows(edges, life.id, min(at, life.last))

    def _then(self, row: GraphRow, life: GraphLife) -> tuple[Part, int]:
        """Return a row as it was known when its life was read: what has ended since was still there."""
        return Part(self._key(row), row.since, row.tags), row.until if row.until <= life.last else OPEN

    def _key(self, row: GraphRow) -> Key:
        try:
            return key_of(row.key)
        except ValueError as error:
            raise GraphError(
                f"{self._store.url} has something in a graph that this program does not know ({error}):"
                " update the program"
            ) from None


def _end(life: GraphLife) -> int:
    """Return the last moment at which something of a life was there."""
    return life.last - 1 if life.ended else life.last
