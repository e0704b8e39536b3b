"""One recording of a graph, of which a window of time is held: asked again, it reads what is not in there yet.

Within the window any moment is a comparison of two arrays with it. To move an end of the window reads what came and
went in between; where that is more than all that was there, or than what has to be read from a checkpoint on, another
window takes its place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np

from graph.checkpoints import Tables, from_bytes
from graph.names import Names
from graph.packed import LIFE, Packed, pack
from history.graphs import Graphs

FEW: Final = 2_000  # changes that are read without a look for something better: about 10 ms
MANY: Final = 200_000  # changes that are never read to save reading what was there
MOST: Final = 2_000_000  # rows of a window: about 80 MB
CHEAP: Final = 16  # parts of a checkpoint that are read in the time of one row


class Window:
    """What is known of a life. It belongs to one thread at a time.

    Args:
        graphs: where it is stored.
        names: of its texts.
        life: its id.
    """

    def __init__(self, graphs: Graphs, names: Names, life: int) -> None:
        self._graphs = graphs
        self._names = names
        self._life = life
        self.forget()

    def __len__(self) -> int:
        return sum(map(len, self._tables))

    def covers(self, at: int) -> bool:
        """Tell whether a moment is in the window."""
        return self._low <= at <= self._high

    def forget(self) -> None:
        """Hold nothing more."""
        self._low, self._high = 0, -1
        self._tables: Tables = (pack((), self._names, edges=False), pack((), self._names, edges=True))

    def tables(self, at: int, horizon: int) -> Tables:
        """Return rows of vertices and of edges, with all that were there at a moment among them.

        Args:
            at: up to which the life is complete.
            horizon: of the life, and not behind `at`. Should it have moved meanwhile: forget, and ask again.
        """
        if not self.covers(at):
            if self._high < horizon:  # what went between the two is not known any more
                self.forget()
            self._reach(at, horizon)
        return self._tables

    def _reach(self, at: int, horizon: int) -> None:
        """Have a moment in the window, in the way that reads the least."""
        has_any, size = self._low <= self._high, len(self)
        gap = self._between(at, self._low if at < self._low else self._high) if has_any else MANY
        if gap > FEW or size + gap > MOST:
            ways: list[tuple[int, Callable[[], bool]]] = []  # what each costs, in rows
            if gap < MANY and size + gap <= MOST:
                ways.append((gap, lambda: True))
            for moment in self._graphs.kept(self._life, at):
                if moment >= horizon and (rest := self._between(at, moment)) < MANY:
                    ways.append((rest + size // CHEAP, partial(self._open, moment)))
            ways.append((size if has_any else MANY, lambda: self._read(at)))
            any(go() for _, go in sorted(ways, key=lambda way: way[0]))
        self._move(at, at)

    def _between(self, a: int, b: int) -> int:
        return self._graphs.changes_between(self._life, min(a, b), max(a, b), MANY)

    def _open(self, at: int) -> bool:
        """Begin with a checkpoint; tell whether it could be read."""
        body = self._graphs.checkpoint(self._life, at)
        tables = None if body is None else from_bytes(body, self._names, self._life)
        if tables is None:
            return False
        self._tables, self._low, self._high = tables, at, at
        return True

    def _read(self, at: int) -> bool:
        """Begin with the rows of a moment."""
        vertices, edges = (
            pack(self._graphs.rows(is_edge, self._life, at), self._names, edges=is_edge) for is_edge in (False, True)
        )
        self._tables, self._low, self._high = (vertices, edges), at, at
        return True

    def _move(self, low: int, high: int) -> None:
        """Read what came and went from the window to some moments before and behind it."""
        graphs, names, life = self._graphs, self._names, self._life
        if low < self._low:
            tables = (
                table.joined(pack(graphs.went(is_edge, life, low, self._low), names, edges=is_edge))
                for is_edge, table in zip((False, True), self._tables, strict=True)
            )
            self._tables, self._low = (next(tables), next(tables)), low
        if high > self._high:
            both = zip((False, True), self._tables, strict=True)
            tables = (self._later(is_edge, table, high) for is_edge, table in both)
            self._tables, self._high = (next(tables), next(tables)), high

    def _later(self, is_edge: bool, table: Packed, high: int) -> Packed:
        graphs, life = self._graphs, self._life
        table = table.joined(pack(graphs.came(is_edge, life, self._high, high), self._names, edges=is_edge))
        gone = list(graphs.ends(is_edge, life, self._high, high))
        if not gone:
            return table
        numbers, until = np.array(gone, dtype=np.int64).T
        return table.closed(numbers | life << LIFE, until)
