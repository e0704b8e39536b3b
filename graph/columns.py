"""Rows in columns: from when until when something was there. Ten thousand machines have a hundred thousand of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from graph.parts import Key, Part

OPEN = (1 << 63) - 1  # "until" of what is still there

Rows = NDArray[np.intp]
Whole = NDArray[np.int64]


class Columns(ABC):
    """The rows of vertices, or of edges. ``since <= T < until`` are those that were there at T.

    Attributes:
        keys: of each row.
        ends: the number of a vertex; of an edge those of the two vertices at its ends, one after the other.
    """

    keys: Sequence[Key]
    ends: Sequence[int] | NDArray[np.integer]

    @abstractmethod
    def part(self, row: int) -> Part:
        """Return what a row is of."""

    @abstractmethod
    def at(self, at: int) -> Rows:
        """Return the rows that were there at a time, in the order in which they came."""

    @abstractmethod
    def names(self, rows: Rows) -> Whole:
        """Return for each of some rows a number by which this very row is known, also in other columns of its life."""

    @property
    @abstractmethod
    def life(self) -> object:
        """Of what these are rows: in columns with the same one, the same row has the same name."""

    def ends_of(self, rows: Rows) -> Whole:
        """Return the ends of edges: a row of two for each."""
        return np.array(self.ends, dtype=np.int64).reshape(-1, 2)[rows]

    def keys_of(self, rows: Rows) -> list[Key]:
        """Return the keys of rows; of many at once that is much faster than one by one."""
        return [self.keys[row] for row in rows.tolist()]


class GrowingColumns(Columns):
    """Rows that come one after the other.

    Attributes:
        tags: of each row.
        since, until: of each row, ns since 1970.
    """

    def __init__(self, life: object) -> None:
        self.keys: list[Key] = []
        self.tags: list[tuple[str, ...]] = []
        self.since = array("q")
        self.until = array("q")
        self.ends: array[int] = array("q")
        self._names = array("q")
        self._life = life
        self._next = 0

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def life(self) -> object:
        """Of what these are rows; see `Columns`."""
        return self._life

    def append(self, part: Part, until: int = OPEN) -> int:
        """Append a row; return its name."""
        self.keys.append(part.key)
        self.tags.append(part.tags)
        self.since.append(part.since)
        self.until.append(until)
        self._names.append(self._next)
        self._next += 1
        return self._next - 1

    def close(self, name: int, until: int) -> None:
        """Set when what a row is of went."""
        self.until[bisect_left(self._names, name)] = until

    def part(self, row: int) -> Part:
        """Return what a row is of."""
        return Part(self.keys[row], self.since[row], self.tags[row])

    def at(self, at: int) -> Rows:
        """Return the rows that were there at a time; see `Columns`."""
        # copies: an array that somebody looks at cannot grow
        since, until = np.array(self.since, dtype=np.int64), np.array(self.until, dtype=np.int64)
        return np.nonzero((since <= at) & (at < until))[0]

    def names(self, rows: Rows) -> Whole:
        """Return the names of rows; see `Columns`."""
        return np.array(self._names, dtype=np.int64)[rows]

    def without(self, before: int) -> GrowingColumns:
        """Return these without what had gone up to a time. Views of these stay as they are."""
        stays = np.array(self.until, dtype=np.int64) > before
        kept = GrowingColumns(self._life)
        kept.keys, kept.tags = list(compress(self.keys, stays)), list(compress(self.tags, stays))
        for name in ("since", "until", "_names"):
            setattr(kept, name, array("q", np.array(getattr(self, name), dtype=np.int64)[stays].tobytes()))
        width = len(self.ends) // max(len(self.keys), 1)
        kept.ends = array("q", np.array(self.ends, dtype=np.int64).reshape(len(self.keys), width)[stays].tobytes())
        kept._next = self._next
        return kept
