"""Graphs of the past: every vertex and edge with the time from which, and until which, it was there.

A timeline is fed with changes, and keeps them in columns: a row for each time that something was there. So "as of T" is
one comparison of two columns with T, however much has happened since; what one does with the answer costs what it
touches. Memory grows with the changes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from graph.errors import GraphError
from graph.parts import Change, Key, Part, Vertex
from graph.spans import Difference, Spans, difference
from graph.view import View


class Timeline(Spans):
    """The past of one graph, and its present."""

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        super().__init__()
        self._changes: list[Change] = []
        self._open: dict[Key, int] = {}  # the row of each part that is there now
        self._latest = 0
        for change in changes:
            self.apply(change)

    def __repr__(self) -> str:
        return f"<Timeline: {len(self._changes)} changes, now {len(self._open)} vertices and edges>"

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
        if change.came is (change.key in self._open):
            raise GraphError(
                f"change {change.number}: {change.key} is {'there already' if change.came else 'not there'}"
            )
        self._changes.append(change)
        self._latest = change.at
        if change.came:
            self._open[change.key] = self.add(Part(change.key, change.at, change.tags))
        else:
            columns = self.vertices if isinstance(change.key, Vertex) else self.edges
            columns.until[self._open.pop(change.key)] = change.at

    def as_of(self, at: int | None = None) -> View:
        """Return the graph as it was at a time, ns since 1970; None: as it is now."""
        return self.view(self._latest if at is None else at)

    def diff(self, t1: int, t2: int | None = None) -> Difference:
        """Compare two times."""
        return difference(self.as_of(t1), self.as_of(t2))

    def changes(self, after: int = 0) -> Iterator[Change]:
        """Yield the changes behind a number, in order."""
        first = bisect_right(self._changes, after, key=lambda change: change.number)
        yield from self._changes[first:]
