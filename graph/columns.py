"""Rows in columns: from when until when something was there. Ten thousand machines have a hundred thousand of them."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from graph.parts import Key, Part

OPEN = (1 << 63) - 1  # "until" of what is still there

Rows = NDArray[np.intp]


class Columns:
    """The rows of vertices, or of edges. ``since <= T < until`` are those that were there at T.

    Attributes:
        keys, tags: of each row.
        since, until: of each row, ns since 1970.
        ends: the number of a vertex; of an edge those of the two vertices at its ends, one after the other.
    """

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.tags: list[tuple[str, ...]] = []
        self.since = array("q")
        self.until = array("q")
        self.ends = array("q")

    def __len__(self) -> int:
        return len(self.keys)

    def append(self, part: Part, until: int = OPEN) -> int:
        """Append a row; return its place."""
        self.keys.append(part.key)
        self.tags.append(part.tags)
        self.since.append(part.since)
        self.until.append(until)
        return len(self.keys) - 1

    def part(self, row: int) -> Part:
        """Return what a row is of."""
        return Part(self.keys[row], self.since[row], self.tags[row])

    def at(self, at: int) -> Rows:
        """Return the rows that were there at a time, in the order in which they came."""
        # copies: an array that somebody looks at cannot grow
        since, until = np.array(self.since, dtype=np.int64), np.array(self.until, dtype=np.int64)
        return np.nonzero((since <= at) & (at < until))[0]

    def ends_of(self, rows: Rows) -> NDArray[np.int64]:
        """Return the ends of edges: a row of two for each."""
        return np.array(self.ends, dtype=np.int64).reshape(-1, 2)[rows]
