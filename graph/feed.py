"""What machines do to a graph: a tracer that puts in what it sees of them, and takes out what is gone.

    graph = LiveGraph(history.clock.stamp)
    feed = MachineFeed(graph)
    feed.follow(machine)

Nothing is read from texts: schemas, pipes and parents are those of the machines themselves, or of replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from graph.live import LiveGraph
from graph.parts import EdgeKey, Link, Vertex, machine_vertex, state_vertex
from machine import Machine, MutationType, Pipe, Reader, Schema, Tracer

RELATION = {"require": Link.REQUIRE, "add": Link.ADD, "remove": Link.REMOVE, "after": Link.AFTER}


class MachineFeed(Tracer):
    """Puts machines, their states, relations, pipes and parents into a graph, for as long as they live.

    Args:
        graph: to put them in.
        peer_of: returns the id of the peer whose machine it is; by default all are of this process.
        ends: whether machines are followed, too, that pipes of the followed ones come from or lead to.
    """

    id = "graph"

    def __init__(
        self, graph: LiveGraph, peer_of: Callable[[Reader], str] = lambda reader: "", *, ends: bool = False
    ) -> None:
        self.graph = graph
        self._ends = ends
        self._peer_of = peer_of
        self._followed: dict[Reader, Vertex] = {}
        self._vertices: dict[Vertex, Reader] = {}
        self._drawn: dict[Reader, dict[str, tuple[EdgeKey, ...]]] = {}  # per state: what leads from it by its schema
        self._pipes: dict[Pipe, EdgeKey] = {}
        self._labels: dict[EdgeKey, Pipe] = {}

    def __repr__(self) -> str:
        return f"<MachineFeed: {len(self._followed)} machines, {len(self._pipes)} pipes>"

    def follow(self, reader: Reader) -> None:
        """Put a machine, or a replica, in, and what it does from now on; its children that come later, too.

        Following it twice is following it once.
        """
        if reader in self._followed or reader.is_disposed:
            return
        peer = self._peer_of(reader)
        vertex = self._followed[reader] = machine_vertex(reader.id, peer)
        self._vertices[vertex] = reader
        self.graph.add_vertex(vertex, reader.tags)
        if reader.parent_id is not None:
            self.graph.add_edge(EdgeKey(Link.PARENT, vertex, machine_vertex(reader.parent_id, peer)))
        self._drawn[reader] = {}
        self._draw(reader)
        for pipe in (*reader.pipes_out, *reader.pipes_in):
            self.pipe_added(pipe)
        reader.add_tracer(self)

    def unfollow(self, reader: Reader) -> None:
        """Take a machine out, and its pipes. Pipes of others that lead to it wait for it."""
        if reader in self._followed:
            reader.remove_tracer(self)
            self._forget(reader)

    def follows(self, vertex: Vertex) -> bool:
        """Tell whether a machine is followed."""
        return vertex in self._vertices

    def _draw(self, reader: Reader) -> None:
        """Put in the states of a machine as its schema has them, and take out what it has no more."""
        vertex, schema, drawn = self._followed[reader], reader.schema, self._drawn[reader]
        for state in [state for state in drawn if state not in schema]:
            self.graph.remove_vertex(state_vertex(vertex.machine, state, vertex.peer))
            self.graph.remove_edge(EdgeKey(Link.HAS, vertex, state_vertex(vertex.machine, state, vertex.peer)))
            del drawn[state]
        for state in reader.state_names:
            about = schema[state]
            flags = [flag for flag in ("auto", "multi") if getattr(about, flag)]
            at = state_vertex(vertex.machine, state, vertex.peer)
            self.graph.add_vertex(at, (*flags, *about.tags))
            self.graph.add_edge(EdgeKey(Link.HAS, vertex, at))
            edges = tuple(_relations(schema, vertex, state))
            for edge in drawn.get(state, ()):
                if edge not in edges:
                    self.graph.remove_edge(edge)
            for edge in edges:
                self.graph.add_edge(edge)
            drawn[state] = edges

    def _forget(self, reader: Reader) -> None:
        vertex = self._followed.pop(reader)
        self._vertices.pop(vertex, None)
        del self._drawn[reader]
        for pipe in [pipe for pipe in self._pipes if pipe.source is reader]:
            self.pipe_removed(pipe)
        self.graph.remove_machine(vertex)

    # -- what the machines tell

    def new_submachine(self, parent: Machine, child: Machine) -> None:
        """Follow a child."""
        self.follow(child)

    def schema_change(self, machine: Machine, old: Schema) -> None:
        """Put in what is new in the schema, take out what is gone."""
        self._draw(machine)

    def pipe_added(self, pipe: Pipe) -> None:
        """Put a pipe in. Both ends tell of it, and one of them may not be followed."""
        if pipe in self._pipes:
            return
        link = Link.PIPE_REMOVE if pipe.mutation is MutationType.REMOVE else Link.PIPE_ADD
        ends = self._end(pipe.source, pipe.source_state), self._end(pipe.target, pipe.target_state)
        edge, number = EdgeKey(link, *ends, pipe.on), 1
        while edge in self._labels:  # another pipe does the same
            number += 1
            edge = edge._replace(label=f"{pipe.on} {number}")
        self._pipes[pipe] = edge
        self._labels[edge] = pipe
        self.graph.add_edge(edge, ("flat",) if pipe.flat else ())
        if self._ends:
            self.follow(pipe.source)
            self.follow(pipe.target)

    def pipe_removed(self, pipe: Pipe) -> None:
        """Take a pipe out."""
        edge = self._pipes.pop(pipe, None)
        if edge is not None:
            del self._labels[edge]
            self.graph.remove_edge(edge)

    def machine_dispose(self, machine: Reader) -> None:
        """Take a machine out that is gone."""
        self._forget(machine)

    def _end(self, reader: Reader, state: str) -> Vertex:
        """Return where a pipe begins or ends: at a state, or at a whole machine."""
        peer = self._peer_of(reader)
        return machine_vertex(reader.id, peer) if state == "*" else state_vertex(reader.id, str(state), peer)


def _relations(schema: Schema, machine: Vertex, state: str) -> Iterator[EdgeKey]:
    at = state_vertex(machine.machine, state, machine.peer)
    for relation, link in RELATION.items():
        for other in getattr(schema[state], relation):
            if other != state:  # a group of states that exclude each other may name the state itself
                yield EdgeKey(link, at, state_vertex(machine.machine, other, machine.peer))
