"""Graphs in memory: the twin of those in a database, see `history.graphs`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, pairwise

from history.graphs import OPEN, GraphLife, GraphRow, Graphs


class MemoryGraphs(Graphs):
    """The in-memory twin."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._lives: dict[int, GraphLife] = {}
        self._rows: dict[tuple[int, bool], dict[int, GraphRow]] = {}
        self._checkpoints: dict[tuple[int, int], bytes] = {}
        self._last_id = 0

    def begin(self, graph: str, at: int) -> GraphLife:
        """Begin a life; see `Graphs`."""
        with self._lock:
            horizon = 0
            for known in self._of(graph):
                if not known.ended:
                    self._end(known, known.last + 1)
                at, horizon = max(at, self._lives[known.id].last + 1), known.horizon
            self._last_id += 1
            made = GraphLife(self._last_id, graph, at, at, False, horizon)
            self._lives[made.id] = made
            return made

    def _of(self, graph: str) -> list[GraphLife]:
        return [life for life in self._lives.values() if life.graph == graph]

    def _end(self, life: GraphLife, at: int) -> None:
        for edges in (False, True):
            rows = self._rows.get((life.id, edges), {})
            rows.update({n: row._replace(until=at) for n, row in rows.items() if row.until == OPEN})
        self._lives[life.id] = replace(life, last=at, ended=True)

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
        with self._lock:
            known = self._lives.get(life)
            if known is None or known.ended:
                return False
            for is_edge, rows in ((False, vertices), (True, edges)):
                mine = self._rows.setdefault((life, is_edge), {})
                for row in rows:
                    mine.setdefault(row.number, row)
            for is_edge, number, until in gone:
                mine = self._rows[life, is_edge]
                mine[number] = mine[number]._replace(until=until)
            self._lives[life] = replace(known, last=last)
            if ended:
                self._end(self._lives[life], last)
            return True

    def lives(self) -> list[GraphLife]:
        """Return all lives, by id."""
        with self._lock:
            return list(self._lives.values())

    def _some(self, edges: bool, life: int) -> list[GraphRow]:
        with self._lock:
            return list(self._rows.get((life, edges), {}).values())

    def rows(self, edges: bool, life: int, at: int) -> Iterator[GraphRow]:
        """Yield what was there; see `Graphs`."""
        found = [row for row in self._some(edges, life) if row.since <= at < row.until]
        yield from sorted(found, key=lambda row: (row.until, row.number))

    def came(self, edges: bool, life: int, after: int, until: int) -> Iterator[GraphRow]:
        """Yield what came; see `Graphs`."""
        found = [row for row in self._some(edges, life) if after < row.since <= until]
        yield from sorted(found, key=lambda row: (row.since, row.number))

    def went(self, edges: bool, life: int, after: int, until: int) -> Iterator[GraphRow]:
        """Yield what went; see `Graphs`."""
        found = [row for row in self._some(edges, life) if after < row.until <= until]
        yield from sorted(found, key=lambda row: (row.until, row.number))

    def ends(self, edges: bool, life: int, after: int, until: int) -> Iterator[tuple[int, int]]:
        """Yield when what went did so; see `Graphs`."""
        yield from ((row.number, row.until) for row in self.went(edges, life, after, until))

    def changes_between(self, life: int, after: int, until: int, most: int = OPEN) -> int:
        """Return how many; see `Graphs`."""
        rows = [row for edges in (False, True) for row in self._some(edges, life)]
        return min(most, sum((after < row.since <= until) + (after < row.until <= until) for row in rows))

    def keep(self, life: int, at: int, body: bytes) -> None:
        """Store a checkpoint; see `Graphs`."""
        with self._lock:
            if life in self._lives and at >= self._lives[life].horizon:
                self._checkpoints.setdefault((life, at), body)

    def kept(self, life: int, at: int) -> tuple[int, ...]:
        """Return the nearest two; see `Graphs`."""
        with self._lock:
            moments = sorted(moment for mine, moment in self._checkpoints if mine == life)
        return (*[moment for moment in moments if moment <= at][-1:], *[m for m in moments if m > at][:1])

    def checkpoint(self, life: int, at: int) -> bytes | None:
        """Return a checkpoint; see `Graphs`."""
        with self._lock:
            return self._checkpoints.get((life, at))

    def nth_gone(self, graph: str, n: int) -> int | None:
        """Return when; see `Graphs`."""
        with self._lock:
            rows = [row for life in self._of(graph) for edges in (False, True) for row in self._some(edges, life.id)]
        moments = [row.until for row in rows if row.until < OPEN]
        return sorted(moments)[-n] if len(moments) >= n else None

    def prune(self, graph: str, before: int, limit: int) -> int:
        """Let go of rows; see `Graphs`."""
        with self._lock:
            lives = self._of(graph)
            if not lives:
                return 0
            before, count = min(before, lives[-1].end), 0
            for life in lives:
                pruned = 0
                for edges in (False, True):
                    mine = self._rows.get((life.id, edges), {})
                    old = (number for number, row in mine.items() if row.until <= before)
                    for number in list(islice(old, limit - count)):
                        del mine[number]
                        pruned += 1
                        count += 1
                self._lives[life.id] = replace(life, pruned=life.pruned + pruned)
            if count:
                for life in self._of(graph):
                    self._lives[life.id] = replace(life, horizon=max(life.horizon, before))
                for key in [(id, at) for id, at in self._checkpoints if self._lives[id].graph == graph and at < before]:
                    del self._checkpoints[key]
            for life, following in pairwise(lives):
                if life.last <= before and not any(self._some(edges, life.id) for edges in (False, True)):
                    heir = self._lives[following.id]
                    self._lives[heir.id] = replace(heir, pruned=heir.pruned + self._lives.pop(life.id).pruned)
            return count
