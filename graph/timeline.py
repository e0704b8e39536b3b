"""Graphs of the past: every vertex and edge with the time from which, and until which, it was there.

A timeline is fed with changes, and keeps them in columns: a row for each time that something was there. So "as of T" is
one comparison of two columns with T, however much has happened since; what one does with the answer costs what it
touches. Memory grows with the changes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from graph.columns import Columns
from graph.errors import GraphError
from graph.parts import Change, Part, Vertex
from graph.view import View


@dataclass(frozen=True, slots=True)
class Difference:
    """What is different at a later time. What came and went in between is in neither."""

    came: tuple[Part, ...]
    went: tuple[Part, ...]


class Timeline:
    """The past of one graph, and its present.

    Attributes:
        vertices, edges: the rows.
    """

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        self.vertices = Columns()
        self.edges = Columns()
        self._changes: list[Change] = []
        self._numbers: dict[Vertex, int] = {}
        self._latest = 0
        for change in changes:
            self.apply(change)

    def __repr__(self) -> str:
        now = f"{len(self.vertices.open)} vertices, {len(self.edges.open)} edges"
        return f"<Timeline: {len(self._changes)} changes, now {now}>"

    @property
    def last(self) -> int:
        """The number of the last change that it has heard of; 0: of none."""
        return self._changes[-1].number if self._changes else 0

    def apply(self, change: Change) -> None:
        """Take the next change.

        Raises:
            GraphError: it is not the next one, or of something that is not so.
        """
        if change.number != self.last + 1 and self._changes:
            raise GraphError(f"change {change.number} does not follow {self.last}: ask for the changes after that")
        if change.at < self._latest:
            raise GraphError(f"change {change.number} is from before the one before it")
        columns = self.vertices if isinstance(change.key, Vertex) else self.edges
        if change.came is (change.key in columns.open):
            raise GraphError(
                f"change {change.number}: {change.key} is {'there already' if change.came else 'not there'}"
            )
        self._changes.append(change)
        self._latest = change.at
        if not change.came:
            columns.go(change)
            return
        columns.come(change)
        if isinstance(change.key, Vertex):
            self.vertices.ends.append(self._number_of(change.key))
        else:
            self.edges.ends.append(self._number_of(change.key.source))
            self.edges.ends.append(self._number_of(change.key.target))

    def _number_of(self, vertex: Vertex) -> int:
        return self._numbers.setdefault(vertex, len(self._numbers))

    def as_of(self, at: int | None = None) -> View:
        """Return the graph as it was at a time, ns since 1970; None: as it is now."""
        when = self._latest if at is None else at
        return View(when, self.vertices, self.vertices.at(when), self.edges, self.edges.at(when), len(self._numbers))

    def diff(self, t1: int, t2: int | None = None) -> Difference:
        """Compare two times."""
        before, after = self.as_of(t1), self.as_of(t2)
        was, is_now = dict.fromkeys(before.all_keys()), dict.fromkeys(after.all_keys())
        return Difference(
            tuple(part for part in after if part.key not in was),
            tuple(part for part in before if part.key not in is_now),
        )

    def changes(self, after: int = 0) -> Iterator[Change]:
        """Yield the changes behind a number, in order."""
        first = bisect_right(self._changes, after, key=lambda change: change.number)
        yield from self._changes[first:]
