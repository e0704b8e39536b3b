"""What makes checkpoints of a graph while it is recorded: from what was written, without a look into the database.

It holds the graph as arrays, 14 MB for one of 10,000 machines, and takes in what came and went when a checkpoint is
due, or when a lot of it has piled up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from graph.checkpoints import Tables, from_bytes, to_bytes
from graph.names import Names
from graph.packed import LIFE, Packed, pack
from history.graphs import OPEN, GraphRow

FEW: Final = 4_000  # changes: who asks for a moment between two checkpoints reads half of them at most, in 10 ms
SHARE: Final = 16  # of a large graph a checkpoint is due when that part of it has changed
BUSY: Final = 2  # … and that part while more waits to be written


class Keeper:
    """The checkpoints of one life. One thread at a time uses it.

    Args:
        life: its id.
    """

    def __init__(self, life: int) -> None:
        self._life = life
        self._names = Names("")
        self._tables: Tables = (pack((), self._names, edges=False), pack((), self._names, edges=True))
        self._came: tuple[list[GraphRow], list[GraphRow]] = ([], [])
        self._gone: tuple[list[int], list[int]] = ([], [])
        self._waiting = self._changed = 0

    def __len__(self) -> int:
        return sum(map(len, self._tables))

    def take(
        self, vertices: Sequence[GraphRow], edges: Sequence[GraphRow], gone: Sequence[tuple[bool, int, int]]
    ) -> None:
        """Take what was written."""
        for came, rows in zip(self._came, (vertices, edges), strict=True):
            came += [row for row in rows if row.until == OPEN]
        for is_edge, number, _ in gone:
            self._gone[is_edge].append(number)
        new = len(vertices) + len(edges) + len(gone)
        self._waiting += new
        self._changed += new
        if self._waiting >= FEW:
            self._fold()

    def is_due(self, *, is_busy: bool = False, is_quiet: bool = False) -> bool:
        """Tell whether it is time for a checkpoint.

        Args:
            is_busy: more waits to be written.
            is_quiet: nothing has come for a while, or will: many will ask for this moment.
        """
        return self._changed >= (FEW // 4 if is_quiet else max(FEW, len(self) // (BUSY if is_busy else SHARE)))

    def make(self, at: int) -> bytes:
        """Return a checkpoint of what was taken, as of a moment up to which that is all."""
        self._fold()
        self._changed = 0
        body = to_bytes(self._tables, self._names, at)
        self._names = Names("")  # what is in the old one may be gone
        known = from_bytes(body, self._names, self._life)
        assert known is not None
        self._tables = known
        return body

    def _fold(self) -> None:
        vertices, edges = (self._folded(is_edge, table) for is_edge, table in enumerate(self._tables))
        self._tables, self._waiting = (vertices, edges), 0

    def _folded(self, is_edge: int, table: Packed) -> Packed:
        table = table.joined(pack(self._came[is_edge], self._names, edges=bool(is_edge)))
        gone = np.array(self._gone[is_edge], dtype=np.int64) | self._life << LIFE
        self._came[is_edge].clear()
        self._gone[is_edge].clear()
        return table.some(np.isin(table.name, gone, invert=True)) if len(gone) else table
