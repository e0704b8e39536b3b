"""What a store keeps of graphs: rows of vertices and edges, each with from when until when it was there.

A *life* is one recording of a graph, from its beginning to its end; a graph has one after the other. Each life knows up
to when it is complete (``last``): what is said about a later moment is what was there at that one. A life whose process
ended without a word is closed when the next one of its graph begins, just after its ``last``: nobody knows more.

Keys are tuples of texts here. What they mean is the graph's.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

OPEN = (1 << 63) - 1  # "until" of what is still there


@dataclass(frozen=True, slots=True)
class GraphLife:
    """One recording of a graph. Moments are in ns.

    Attributes:
        id: of the life; grows.
        graph: its name.
        began, last: complete from when up to when.
        ended: whether nothing more will come.
    """

    id: int
    graph: str
    began: int
    last: int
    ended: bool


class GraphRow(NamedTuple):
    """A vertex or an edge that was there while ``since <= T < until``. ``number``: of its life, as it came."""

    life: int
    number: int
    key: tuple[str, ...]
    tags: tuple[str, ...]
    since: int
    until: int = OPEN


class Graphs(ABC):
    """The part of a store that keeps graphs. The writer's thread calls the first two, any thread the others."""

    @abstractmethod
    def begin(self, graph: str, at: int) -> GraphLife:
        """Begin a life of a graph, and close what an earlier one of it left open. It begins after all that is there."""

    @abstractmethod
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
        """Store rows in one transaction; tell whether the life goes on here, or was closed by a later one.

        A row whose (life, number) is there already is left out. Nothing is stored if the life was closed.

        Args:
            life: which.
            last: complete up to when now.
            vertices, edges: that came; those that are gone since have their ``until``.
            gone: (whether it is an edge, number, until) of rows that were stored before.
            ended: whether it ends with that: what is still there is closed at `last`.
        """

    @abstractmethod
    def lives(self) -> list[GraphLife]:
        """Return all lives, by id."""

    @abstractmethod
    def rows(self, edges: bool, life: int, at: int) -> list[GraphRow]:
        """Return the vertices or edges of a life that were there at a moment, in the order in which they came."""

    @abstractmethod
    def touched(self, edges: bool, life: int, after: int) -> list[GraphRow]:
        """Return those that came, or went, after a moment, in the order in which they came."""

    @abstractmethod
    def changes_until(self, life: int, at: int) -> int:
        """Return how often something came or went up to a moment."""


class MemoryGraphs(Graphs):
    """The in-memory twin."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._lives: dict[int, GraphLife] = {}
        self._rows: dict[tuple[int, bool], dict[int, GraphRow]] = {}

    def begin(self, graph: str, at: int) -> GraphLife:
        """Begin a life; see `Graphs`."""
        with self._lock:
            for known in list(self._lives.values()):
                if known.graph != graph:
                    continue
                if not known.ended:
                    self._end(known, known.last + 1)
                at = max(at, self._lives[known.id].last + 1)
            made = GraphLife(len(self._lives) + 1, graph, at, at, False)
            self._lives[made.id] = made
            return made

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
            known = self._lives[life]
            if known.ended:
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

    def rows(self, edges: bool, life: int, at: int) -> list[GraphRow]:
        """Return what was there; see `Graphs`."""
        with self._lock:
            return [row for row in self._rows.get((life, edges), {}).values() if row.since <= at < row.until]

    def touched(self, edges: bool, life: int, after: int) -> list[GraphRow]:
        """Return what came or went; see `Graphs`."""
        with self._lock:
            rows = self._rows.get((life, edges), {}).values()
            return [row for row in rows if row.since > after or after < row.until < OPEN]

    def changes_until(self, life: int, at: int) -> int:
        """Return how many; see `Graphs`."""
        with self._lock:
            rows = [row for edges in (False, True) for row in self._rows.get((life, edges), {}).values()]
            return sum((row.since <= at) + (row.until <= at) for row in rows)
