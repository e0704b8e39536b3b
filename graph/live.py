"""The graph as it is now: what comes and goes, and what waits for its ends.

Invariants:

* An edge is in the graph while both its ends are; before, and after one of them has gone, it waits. It is gone for good
  when it is removed, or when the vertex it begins at is: that is whose it is.
* Whatever is added and then removed leaves nothing behind.
* Each change is told, in order, to whoever listens; from the changes alone the same graph can be built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from graph.parts import Change, EdgeKey, Key, Kind, Part, Vertex

Listener = Callable[[Change], object]


class LiveGraph:
    """A directed multigraph that follows what happens. It belongs to one thread.

    Args:
        stamp: returns the time, ns since 1970, never less than the last one: such as ``history.clock.stamp``.
    """

    def __init__(self, stamp: Callable[[], int]) -> None:
        self._stamp = stamp
        self._parts: dict[Key, Part] = {}
        self._out: dict[Vertex, dict[EdgeKey, None]] = {}  # all that begin at a vertex, those that wait among them
        self._in: dict[Vertex, dict[EdgeKey, None]] = {}  # all that lead to a vertex, whether it is there or not
        self._tags: dict[EdgeKey, tuple[str, ...]] = {}  # of those that wait
        self._listeners: tuple[Listener, ...] = ()
        self._number = 0

    def __repr__(self) -> str:
        return f"<LiveGraph: {len(self)} vertices and edges, {self.waiting} edges wait>"

    def __len__(self) -> int:
        return len(self._parts)

    def __contains__(self, key: Key) -> bool:
        return key in self._parts

    def __iter__(self) -> Iterator[Part]:
        return iter(self._parts.values())

    @property
    def waiting(self) -> int:
        """How many edges wait for one of their ends, or both."""
        return len(self._tags)

    @property
    def last(self) -> int:
        """The number of the last change; 0: there was none."""
        return self._number

    def get(self, key: Key) -> Part | None:
        """Return a vertex or an edge that is there."""
        return self._parts.get(key)

    def edges_of(self, vertex: Vertex) -> list[EdgeKey]:
        """Return the edges that begin or end at a vertex, without those that wait."""
        found = [*self._out.get(vertex, ()), *self._in.get(vertex, ())]
        return [key for key in dict.fromkeys(found) if key in self._parts]

    def listen(self, listener: Listener) -> None:
        """Tell somebody each change from now on."""
        self._listeners = (*self._listeners, listener)

    def unlisten(self, listener: Listener) -> None:
        """Tell somebody no more."""
        self._listeners = tuple(one for one in self._listeners if one is not listener)

    # -- changes

    def add_vertex(self, vertex: Vertex, tags: Iterable[str] = ()) -> None:
        """Put a vertex in, and the edges that have waited for it. Of one that is there the tags are set."""
        tags = tuple(tags)
        known = self._parts.get(vertex)
        if known is not None:
            if known.tags != tags:
                self._retag(known, tags)
            return
        self._come(vertex, tags)
        self._wake(self._out.get(vertex, ()))
        self._wake(self._in.get(vertex, ()))

    def remove_vertex(self, vertex: Vertex) -> None:
        """Take a vertex out, and its edges: those that begin at it are gone, those that lead to it wait again."""
        if vertex not in self._parts:
            return
        for edge in list(self._out.get(vertex, ())):
            self.remove_edge(edge)
        for edge in list(self._in.get(vertex, ())):
            if edge in self._parts:
                self._tags[edge] = self._go(edge)
        self._go(vertex)

    def remove_machine(self, machine: Vertex) -> None:
        """Take a machine out, and its states."""
        states = [edge.target for edge in self._out.get(machine, ()) if edge.target.kind is Kind.STATE]
        for state in states:
            self.remove_vertex(state)
        self.remove_vertex(machine)

    def add_edge(self, edge: EdgeKey, tags: Iterable[str] = ()) -> None:
        """Put an edge in, now or as soon as both its ends are there."""
        tags = tuple(tags)
        known = self._parts.get(edge)
        if known is not None:
            if known.tags != tags:
                self._retag(known, tags)
            return
        self._out.setdefault(edge.source, {})[edge] = None
        self._in.setdefault(edge.target, {})[edge] = None
        self._tags[edge] = tags
        self._wake((edge,))

    def remove_edge(self, edge: EdgeKey) -> None:
        """Take an edge out for good, whether it is there or waits."""
        if edge in self._parts:
            self._go(edge)
        elif self._tags.pop(edge, None) is None:
            return
        for index, vertex in ((self._out, edge.source), (self._in, edge.target)):
            edges = index[vertex]
            del edges[edge]
            if not edges:
                del index[vertex]

    # -- inner

    def _wake(self, edges: Iterable[EdgeKey]) -> None:
        for edge in list(edges):
            if edge in self._tags and edge.source in self._parts and edge.target in self._parts:
                self._come(edge, self._tags.pop(edge))

    def _retag(self, known: Part, tags: tuple[str, ...]) -> None:
        """Have a part under other tags from now on: it goes and comes at the same moment, and its edges stay."""
        at = self._stamp()
        self._parts[known.key] = Part(known.key, at, tags)
        self._tell(at, False, known.key, known.tags)
        self._tell(at, True, known.key, tags)

    def _come(self, key: Key, tags: tuple[str, ...]) -> None:
        at = self._stamp()
        self._parts[key] = Part(key, at, tags)
        self._tell(at, True, key, tags)

    def _go(self, key: Key) -> tuple[str, ...]:
        part = self._parts.pop(key)
        self._tell(self._stamp(), False, key, part.tags)
        return part.tags

    def _tell(self, at: int, came: bool, key: Key, tags: tuple[str, ...]) -> None:
        self._number += 1
        change = Change(self._number, at, came, key, tags)
        for listener in self._listeners:
            listener(change)
