"""Graphs of the past: every vertex and edge with the time from which, and until which, it was there.

A timeline is fed with changes, and keeps them in columns: a row for each time that something was there. So "as of T" is
one comparison of two columns with T, however much has happened since; what one does with the answer costs what it
touches.

Memory grows with the changes, so a timeline may have a limit. Beyond that it lets go of the oldest changes, a fifth of
them at once, and of what had gone by then; what is there stays. What is left is complete from its *horizon* on.

The rows of what had gone stay until they are an eighth of all. Then the others are copied: at most eight for each
change that took something away, however few changes are kept and however much is there.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import compress
from typing import Final

import numpy as np

from graph.errors import BeyondHorizonError, GraphError
from graph.parts import Change, Key, Part, Vertex
from graph.spans import Difference, Spans, difference
from graph.view import View

LOOK: Final = 1024  # changes between two looks at their age
SHARE: Final = 8  # rows are copied when one of so many is stale


class Timeline(Spans):
    """The past of one graph, and its present.

    Args:
        changes: the first ones.
        keep: changes that are kept; up to a quarter more. None: all.
        max_age: ns for which they are kept; up to a fifth of them may be older. None: for ever.

    Attributes:
        keep, max_age: as given.
        horizon: the first moment that is known, ns since 1970; 0: nothing was let go.
        forgotten: changes that were let go.
    """

    def __init__(self, changes: Iterable[Change] = (), *, keep: int | None = None, max_age: int | None = None) -> None:
        super().__init__()
        self._changes: list[Change] = []
        self._open: dict[Key, int] = {}  # the name of the row of each part that is there now
        self._latest = 0
        self._stale = 0  # rows of what had gone by the horizon: nobody can ask for them any more
        self.keep, self.max_age = keep, max_age
        self.horizon = self.forgotten = 0
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
            columns.close(self._open.pop(change.key), change.at)
        if self.keep is not None and len(self._changes) > max(self.keep + self.keep // 4, 1):
            self._forget(len(self._changes) - max(self.keep, 1))
        elif self.max_age is not None and change.number % LOOK == 0:
            self._forget_the_old(change.at - self.max_age)

    def as_of(self, at: int | None = None) -> View:
        """Return the graph as it was at a time, ns since 1970; None: as it is now.

        Raises:
            BeyondHorizonError: it was let go.
        """
        if at is not None and at < self.horizon:
            raise BeyondHorizonError(at, self.horizon)
        return self.view(self._latest if at is None else at)

    def diff(self, t1: int, t2: int | None = None) -> Difference:
        """Compare two times.

        Raises:
            BeyondHorizonError: one of them was let go.
        """
        return difference(self.as_of(t1), self.as_of(t2))

    def changes(self, after: int | None = None) -> Iterator[Change]:
        """Yield the changes behind a number, in order; None: all that are kept.

        Raises:
            GraphError: some of them were let go.
        """
        if after is None:
            after = 0
        elif self.forgotten and after < self._changes[0].number - 1:
            raise GraphError(
                f"the changes after {after} are beyond the horizon: they are kept after {self._changes[0].number - 1}"
            )
        first = bisect_right(self._changes, after, key=lambda change: change.number)
        return iter(self._changes[first:])

    # -- inner

    def _forget_the_old(self, before: int) -> None:
        """Let go of changes from before a time, if it is a fifth of them: each time those that are kept are copied."""
        if self._changes[len(self._changes) // 5].at < before:
            self._forget(min(bisect_right(self._changes, before, key=lambda change: change.at), len(self._changes) - 1))

    def _forget(self, count: int) -> None:
        """Let go of so many changes, and of the rows of what had gone by then, once it is worth it."""
        if count < 1:
            return
        self.horizon = self._changes[count - 1].at
        self._stale += sum(not change.came for change in self._changes[:count])
        del self._changes[:count]
        self.forgotten += count
        if SHARE * self._stale >= len(self.vertices) + len(self.edges):
            self._compact()

    def _compact(self) -> None:
        """Copy the rows that somebody may ask for. Views of the others stay as they are."""
        self.vertices, self.edges = self.vertices.without(self.horizon), self.edges.without(self.horizon)
        self._stale = 0
        self._renumber()

    def _renumber(self) -> None:
        """Count only the vertices that some row is of, once most others are gone."""
        seen = np.zeros(len(self._numbers), dtype=np.bool_)
        for columns in (self.vertices, self.edges):
            seen[np.array(columns.ends, dtype=np.int64)] = True
        if 2 * np.count_nonzero(seen) >= len(seen):
            return
        numbers = np.cumsum(seen) - 1
        for columns in (self.vertices, self.edges):
            columns.ends = array("q", numbers[np.array(columns.ends, dtype=np.int64)].tobytes())
        self._numbers = {vertex: number for number, vertex in enumerate(compress(self._numbers, seen))}
