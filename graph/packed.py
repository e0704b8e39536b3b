"""Rows of recorded graphs as arrays of numbers, 40 bytes a row; keys are made of them when somebody asks for them.

An array never changes: whoever looks at some rows has them for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from graph.columns import Columns, Rows, Whole
from graph.names import Names
from graph.parts import Key, Part
from history.graphs import GraphRow

LIFE: Final = 40  # bits of the name of a row that are its number in its life
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Packed:
    """Rows of vertices, or of edges. What the numbers stand for is in a `Names`.

    Attributes:
        name: of each row: its life, and its number there; they grow.
        since, until: from when until when it was there, ns.
        ends: of a vertex its number, of an edge those of its two.
        kind: of edges; of vertices nothing.
        tags: of each row.
    """

    name: Whole
    since: Whole
    until: Whole
    ends: NDArray[np.int32]
    kind: NDArray[np.int32]
    tags: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.name)

    def there(self, at: int) -> Mask:
        """Tell of each row whether it was there at a time."""
        return (self.since <= at) & (at < self.until)

    def some(self, chosen: Mask | Rows) -> Packed:
        """Return some of the rows."""
        kind = self.kind if not len(self.kind) else self.kind[chosen]
        return Packed(
            self.name[chosen], self.since[chosen], self.until[chosen], self.ends[chosen], kind, self.tags[chosen]
        )

    def joined(self, other: Packed) -> Packed:
        """Return these and others, by name."""
        if not len(other):
            return self
        both = Packed(*(np.concatenate(pair) for pair in zip(_arrays(self), _arrays(other), strict=True)))
        return both.some(np.argsort(both.name, kind="stable"))

    def closed(self, names: Whole, until: Whole) -> Packed:
        """Return these, of which some have gone; all of those are among them."""
        if not len(names):
            return self
        changed = self.until.copy()
        changed[np.searchsorted(self.name, names)] = until
        return replace(self, until=changed)


def _arrays(packed: Packed) -> tuple[NDArray[Any], ...]:
    return packed.name, packed.since, packed.until, packed.ends, packed.kind, packed.tags


def pack(rows: Iterable[GraphRow], names: Names, *, edges: bool) -> Packed:
    """Put rows into arrays, by name."""
    numbers, since, until, tags, ends, kinds = (list[int]() for _ in range(6))
    vertex, kind, tagged = names.vertex, names.kind, names.tagged
    for life, number, key, marks, came, went in rows:
        numbers.append(life << LIFE | number)
        since.append(came)
        until.append(went)
        tags.append(tagged(marks))
        if edges:
            ends.append(vertex(key[1:5]))
            ends.append(vertex(key[5:9]))
            kinds.append(kind(key[0], key[9]))
        else:
            ends.append(vertex(key))
    made = Packed(
        np.array(numbers, dtype=np.int64),
        np.array(since, dtype=np.int64),
        np.array(until, dtype=np.int64),
        np.array(ends, dtype=np.int32).reshape(-1, 2 if edges else 1),
        np.array(kinds, dtype=np.int32),
        np.array(tags, dtype=np.int32),
    )
    return made.some(np.argsort(made.name))


def one_of_each(tables: Sequence[Packed]) -> Packed:
    """Put rows of several lives together, by when they came; of what several have, the first stays."""
    both = Packed(*(np.concatenate(arrays) for arrays in zip(*map(_arrays, tables), strict=True)))
    both = both.some(np.argsort(both.since, kind="stable"))
    columns = [*both.ends.T, *([both.kind] if both.ends.shape[1] > 1 else [])]
    order = np.lexsort(columns)  # stable: the first of some that are alike stays the first
    is_first = np.ones(len(both), dtype=np.bool_)
    is_first[order[1:]] = np.any([column[order[1:]] != column[order[:-1]] for column in columns], axis=0)
    return both.some(is_first)


class PackedColumns(Columns):
    """Packed rows, as a `View` looks at them.

    Args:
        names: what the numbers stand for.
        rows: the rows.
    """

    def __init__(self, names: Names, rows: Packed) -> None:
        self._names = names
        self.rows = rows
        self.keys = _Keys(names, rows)
        self.ends = rows.ends.reshape(-1)

    @property
    def life(self) -> object:
        """Of what these are rows; see `Columns`. A name of a row counts in the whole database."""
        return self._names

    def part(self, row: int) -> Part:
        """Return what a row is of."""
        return Part(self.keys[row], int(self.rows.since[row]), self._names.tags[int(self.rows.tags[row])])

    def keys_of(self, rows: Rows) -> list[Key]:
        """Return the keys of rows; see `Columns`."""
        ends, vertices = self.rows.ends[rows], self._names.vertices
        if ends.shape[1] == 1:
            return [vertices[end] for (end,) in ends.tolist()]
        names, kinds = self.rows.name[rows].tolist(), self.rows.kind[rows].tolist()
        edge = self._names.edge
        return [edge(name, a, b, kind) for name, (a, b), kind in zip(names, ends.tolist(), kinds, strict=True)]

    def at(self, at: int) -> Rows:
        """Return the rows that were there at a time; see `Columns`."""
        return np.nonzero(self.rows.there(at))[0]

    def names(self, rows: Rows) -> Whole:
        """Return the names of rows; see `Columns`."""
        return self.rows.name[rows]


class _Keys(Sequence[Key]):
    """The keys of rows, made when they are asked for."""

    def __init__(self, names: Names, rows: Packed) -> None:
        self._names = names
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, row: int) -> Key: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Key]: ...
    def __getitem__(self, row: int | slice) -> Key | Sequence[Key]:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        rows = self._rows
        ends = rows.ends[row].tolist()
        if len(ends) == 1:
            return self._names.vertices[ends[0]]
        return self._names.edge(int(rows.name[row]), ends[0], ends[1], int(rows.kind[row]))
