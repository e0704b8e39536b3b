"""Vertices and edges, each with from when until when it was there, and the graph of any moment among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graph.columns import OPEN, GrowingColumns
from graph.parts import Part, Vertex
from graph.view import View


class Spans:
    """Rows of vertices and of edges, in the order in which they came.

    Attributes:
        vertices, edges: the rows.
    """

    def __init__(self) -> None:
        self.vertices = GrowingColumns(self)
        self.edges = GrowingColumns(self)
        self._numbers: dict[Vertex, int] = {}

    def add(self, part: Part, until: int = OPEN) -> int:
        """Append a row; return its name among those of vertices, or of edges."""
        if isinstance(part.key, Vertex):
            row = self.vertices.append(part, until)
            self.vertices.ends.append(self._number_of(part.key))
            return row
        row = self.edges.append(part, until)
        self.edges.ends.append(self._number_of(part.key.source))
        self.edges.ends.append(self._number_of(part.key.target))
        return row

    def _number_of(self, vertex: Vertex) -> int:
        return self._numbers.setdefault(vertex, len(self._numbers))

    def view(self, at: int) -> View:
        """Return the graph as it was at a time, ns since 1970."""
        return View(at, self.vertices, self.vertices.at(at), self.edges, self.edges.at(at), len(self._numbers))


@dataclass(frozen=True, slots=True)
class Difference:
    """What is different at a later time. What came and went in between is in neither."""

    came: tuple[Part, ...]
    went: tuple[Part, ...]


def difference(before: View, after: View) -> Difference:
    """Compare two moments. What is the same row at both is not looked at any closer."""
    came: list[Part] = []
    went: list[Part] = []
    for (old, old_rows), (new, new_rows) in zip(before.tables, after.tables, strict=True):
        if old.life is new.life:
            names = old.names(old_rows), new.names(new_rows)
            old_rows = old_rows[np.isin(names[0], names[1], assume_unique=True, invert=True)]
            new_rows = new_rows[np.isin(names[1], names[0], assume_unique=True, invert=True)]
        gone = [old.part(row) for row in old_rows.tolist()]
        there = [new.part(row) for row in new_rows.tolist()]
        was, is_now = (dict.fromkeys(part.key for part in parts) for parts in (gone, there))
        came += [part for part in there if part.key not in was]
        went += [part for part in gone if part.key not in is_now]
    return Difference(tuple(came), tuple(went))
