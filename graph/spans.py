"""Vertices and edges, each with from when until when it was there, and the graph of any moment among them."""

from __future__ import annotations

from dataclasses import dataclass

from graph.columns import OPEN, Columns
from graph.parts import Part, Vertex
from graph.view import View


class Spans:
    """Rows of vertices and of edges, in the order in which they came.

    Attributes:
        vertices, edges: the rows.
    """

    def __init__(self) -> None:
        self.vertices = Columns()
        self.edges = Columns()
        self._numbers: dict[Vertex, int] = {}

    def add(self, part: Part, until: int = OPEN) -> int:
        """Append a row; return its place."""
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
    """Compare two moments."""
    was, is_now = dict.fromkeys(before.all_keys()), dict.fromkeys(after.all_keys())
    return Difference(
        tuple(part for part in after if part.key not in was),
        tuple(part for part in before if part.key not in is_now),
    )
