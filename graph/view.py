"""A graph at one moment, which does not change any more: what there was, and questions about it.

What is a part is built only when it is asked for; see `graph.columns`. Algorithms are those of rustworkx, on a graph of
the edges that the question is about; they are kept for the next question.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import rustworkx as rx

from graph.columns import Columns, Rows
from graph.errors import NotInGraphError
from graph.parts import BETWEEN_PEERS, PIPES, EdgeKey, Key, Kind, Link, Part, Vertex


@dataclass(frozen=True, slots=True)
class Path:
    """A way from one vertex to another, edge by edge; no edge: they are the same."""

    edges: tuple[EdgeKey, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.edges))

    def __len__(self) -> int:
        return len(self.edges)


@dataclass(frozen=True, slots=True)
class CutOff:
    """What could not be reached any more if a peer were gone.

    Attributes:
        peer: that would be gone.
        parts: the groups into which the rest of its part of the network would fall, the largest first.
        machines: its own, which nobody would move any more.
    """

    peer: Vertex
    parts: tuple[tuple[Vertex, ...], ...]
    machines: tuple[Vertex, ...]


class View:
    """See above. Made by `Timeline.as_of`.

    Attributes:
        at: the moment, ns since 1970.
    """

    def __init__(
        self, at: int, vertices: Columns, vertex_rows: Rows, edges: Columns, edge_rows: Rows, numbers: int
    ) -> None:
        self.at = at
        self._vertices, self._vertex_rows = vertices, vertex_rows
        self._edges, self._edge_rows = edges, edge_rows
        self._numbers = numbers
        self._keys: list[Vertex] | None = None
        self._nodes: dict[Vertex, int] | None = None
        self._graphs: dict[tuple[Link, ...], rx.PyDiGraph[Vertex, EdgeKey]] = {}

    def __repr__(self) -> str:
        return f"<View at {self.at}: {len(self._vertex_rows)} vertices, {len(self._edge_rows)} edges>"

    def __len__(self) -> int:
        return len(self._vertex_rows) + len(self._edge_rows)

    def __iter__(self) -> Iterator[Part]:
        yield from map(self._vertices.part, self._vertex_rows.tolist())
        yield from map(self._edges.part, self._edge_rows.tolist())

    @property
    def tables(self) -> tuple[tuple[Columns, Rows], tuple[Columns, Rows]]:
        """The vertices and the edges: columns, and which rows of them."""
        return (self._vertices, self._vertex_rows), (self._edges, self._edge_rows)

    def all_keys(self) -> Iterator[Key]:
        """Yield the keys of all vertices, then of all edges."""
        yield from (self._vertices.keys[row] for row in self._vertex_rows.tolist())
        yield from (self._edges.keys[row] for row in self._edge_rows.tolist())

    def vertices(
        self, kind: Kind | None = None, *, peer: str | None = None, machine: str | None = None, tag: str | None = None
    ) -> list[Part]:
        """Return vertices: all, or those of a kind, a peer, a machine, with a tag."""
        keys = zip(self._vertex_rows.tolist(), self._vertices.keys_of(self._vertex_rows), strict=True)
        rows = [
            row
            for row, key in keys
            if isinstance(key, Vertex)
            and (kind is None or key.kind is kind)
            and (peer is None or key.peer == peer)
            and (machine is None or key.machine == machine)
        ]
        return [part for part in map(self._vertices.part, rows) if tag is None or tag in part.tags]

    def edges(self, links: Link | Collection[Link] | None = None) -> list[Part]:
        """Return edges: all, or those of some kinds."""
        wanted = None if links is None else {links} if isinstance(links, Link) else set(links)
        if wanted is None:
            return [self._edges.part(row) for row in self._edge_rows.tolist()]
        keys = zip(self._edge_rows.tolist(), self._edges.keys_of(self._edge_rows), strict=True)
        return [self._edges.part(row) for row, key in keys if isinstance(key, EdgeKey) and key.link in wanted]

    def only(self, vertices: Iterable[Vertex]) -> View:
        """Return the graph of some vertices, and of the edges between them."""
        wanted = dict.fromkeys(vertices)
        rows = [row for row in self._vertex_rows.tolist() if self._vertices.keys[row] in wanted]
        keys = zip(self._edge_rows.tolist(), self._edge_keys(), strict=True)
        edge_rows = [row for row, key in keys if key.source in wanted and key.target in wanted]
        made = (np.array(found, dtype=np.intp) for found in (rows, edge_rows))
        return View(self.at, self._vertices, next(made), self._edges, next(made), self._numbers)

    def __contains__(self, key: Key) -> bool:
        if isinstance(key, Vertex):
            return key in self._index()
        return any(edge == key for edge in self._edge_keys())

    # -- questions

    def neighbours(
        self, vertex: Vertex, distance: int = 1, *, links: Iterable[Link] | None = None, back: bool = True
    ) -> dict[Vertex, int]:
        """Return what is near a vertex: how many edges away each is, nearest first, itself not among them.

        Args:
            vertex: where to begin.
            distance: how many edges away, at most.
            links: along which kinds of edges; None: along all.
            back: against their direction, too.

        Raises:
            NotInGraphError: the vertex is not there.
        """
        node, graph = self._node(vertex), self._graph(links)
        steps = (graph.successor_indices, graph.predecessor_indices) if back else (graph.successor_indices,)
        seen, edge = {node: 0}, [node]
        for far in range(1, distance + 1):
            found = dict.fromkeys(n for at in edge for step in steps for n in step(at) if n not in seen)
            seen.update(dict.fromkeys(found, far))
            edge = list(found)
        del seen[node]
        return {graph[n]: far for n, far in seen.items()}

    def path(self, source: Vertex, target: Vertex, *, links: Iterable[Link] | None = None) -> Path | None:
        """Return how a change of one state, or machine, can reach another one; None: in no way.

        Along pipes and along ``require`` and ``add``: a state that is required takes those with it that require it, so
        a change goes against that edge. A machine stands for all its states. One of the shortest ways, always the same.

        Args:
            source, target: states or machines.
            links: other kinds of edges, along their own direction.

        Raises:
            NotInGraphError: one of them is not there.
        """
        if source == target:
            self._node(source)
            return Path(())
        start, goals = self._node(source), [self._node(target)]
        graph = self._graph_of_changes() if links is None else self._graph(links)
        if links is None and target.kind is Kind.MACHINE:
            goals = sorted(graph.successor_indices(goals[0]))
        way = _shortest_way(graph, start, goals)
        if way is None:
            return None
        steps = (graph.get_all_edge_data(a, b)[-1] for a, b in pairwise(way))
        return Path(tuple(edge for edge in steps if edge.link is not Link.HAS))

    def components(self, links: Iterable[Link] | None = None) -> list[list[Vertex]]:
        """Return the connected parts, the largest first; among equal ones the one that came first."""
        graph = self._graph(links)
        parts = [sorted(part) for part in rx.weakly_connected_components(graph)]
        return [[graph[n] for n in part] for part in sorted(parts, key=lambda part: (-len(part), part))]

    def articulation_points(self) -> list[Vertex]:
        """Return the peers without any one of which the network of peers would fall apart."""
        network = self._network()
        return [network[n] for n in sorted(rx.articulation_points(network))]

    def bridges(self) -> list[tuple[Vertex, Vertex]]:
        """Return the pairs of peers that are all that holds two parts of the network together."""
        network = self._network()
        pairs = sorted(sorted(pair) for pair in rx.bridges(network))
        return [(network[a], network[b]) for a, b in pairs]

    def cut_off(self, peer: Vertex) -> CutOff:
        """Tell what the loss of a peer would cut off.

        Raises:
            NotInGraphError: it is not there.
        """
        self._node(peer)
        network = self._network()
        at = next((n for n in network.node_indices() if network[n] == peer), None)
        parts: list[list[int]] = []
        if at is not None:
            reached = sorted(network.neighbors(at))
            network.remove_node(at)
            whole = [sorted(part) for part in rx.connected_components(network)]
            parts = sorted((p for p in whole if any(n in p for n in reached)), key=lambda part: (-len(part), part))
        machines = [edge.target for edge in self._edge_keys() if edge.link is Link.OWNS and edge.source == peer]
        return CutOff(peer, tuple(tuple(network[n] for n in part) for part in parts), tuple(machines))

    def degrees(self, links: Iterable[Link] | None = None) -> dict[Vertex, int]:
        """Return how many edges each vertex has, of those that have any; most first."""
        graph = self._graph(links)
        counts = [(graph.in_degree(n) + graph.out_degree(n), n) for n in graph.node_indices()]
        return {graph[n]: count for count, n in sorted(counts, key=lambda pair: (-pair[0], pair[1])) if count}

    def centrality(self, links: Iterable[Link] | None = None) -> dict[Vertex, float]:
        """Return the share of shortest ways that lead over each vertex, most first: betweenness, after Brandes.

        Of those that have any edge. It takes vertices times edges, so it is for thousands, not for hundreds of them.
        """
        graph = self._graph(links)
        busy = graph.subgraph([n for n in graph.node_indices() if graph.in_degree(n) + graph.out_degree(n)])
        found = rx.digraph_betweenness_centrality(busy)
        return {busy[n]: share for n, share in sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))}

    # -- inner

    def _index(self) -> dict[Vertex, int]:
        if self._nodes is None:
            keys = (self._vertices.keys[row] for row in self._vertex_rows.tolist())
            self._keys = [key for key in keys if isinstance(key, Vertex)]
            self._nodes = {key: node for node, key in enumerate(self._keys)}
        return self._nodes

    def _node(self, vertex: Vertex) -> int:
        try:
            return self._index()[vertex]
        except KeyError:
            raise NotInGraphError(f"there is no {vertex.kind} {vertex} in the graph at {self.at} ns") from None

    def _edge_keys(self) -> Iterator[EdgeKey]:
        for key in self._edges.keys_of(self._edge_rows):
            assert isinstance(key, EdgeKey)
            yield key

    def _graph(self, links: Iterable[Link] | None) -> rx.PyDiGraph[Vertex, EdgeKey]:
        """Return a graph of all vertices and of the edges of some kinds."""
        wanted = () if links is None else tuple(sorted(set(links)))
        if links is not None and not wanted:
            raise ValueError("links=() are none: leave it out for all kinds of edges")
        if (known := self._graphs.get(wanted)) is not None:
            return known
        self._index()
        assert self._keys is not None
        graph: rx.PyDiGraph[Vertex, EdgeKey] = rx.PyDiGraph(multigraph=True)
        graph.add_nodes_from(self._keys)
        nodes = np.full(self._numbers, -1, dtype=np.int64)
        numbers = np.array(self._vertices.ends, dtype=np.int64)[self._vertex_rows]
        nodes[numbers] = np.arange(len(self._vertex_rows))
        ends = nodes[self._edges.ends_of(self._edge_rows)]
        triples = zip(ends[:, 0].tolist(), ends[:, 1].tolist(), self._edge_keys(), strict=True)
        graph.add_edges_from([(a, b, key) for a, b, key in triples if not wanted or key.link in wanted])
        self._graphs[wanted] = graph
        return graph

    def _graph_of_changes(self) -> rx.PyDiGraph[Vertex, EdgeKey]:
        name = (Link.HAS, Link.ADD, *PIPES, Link.REQUIRE)
        if (known := self._graphs.get(name)) is not None:
            return known
        graph = self._graph((Link.HAS, Link.ADD, *PIPES)).copy()  # no edge leads back to a machine
        nodes = self._index()
        for key in self._edge_keys():
            if key.link is Link.REQUIRE:
                graph.add_edge(nodes[key.target], nodes[key.source], key)
        self._graphs[name] = graph
        return graph

    def _network(self) -> rx.PyGraph[Vertex, EdgeKey]:
        """Return a graph of the peers alone, and what connects them."""
        peers = [key for key in self._index() if key.kind is Kind.PEER]
        network: rx.PyGraph[Vertex, EdgeKey] = rx.PyGraph(multigraph=False)
        network.add_nodes_from(peers)
        nodes = {peer: node for node, peer in enumerate(peers)}
        links = [key for key in self._edge_keys() if key.link in BETWEEN_PEERS]
        network.add_edges_from([(nodes[key.source], nodes[key.target], key) for key in links])
        return network


def _shortest_way(graph: rx.PyDiGraph[Vertex, EdgeKey], start: int, goals: list[int]) -> list[int] | None:
    """Return the nodes of a shortest way to the nearest goal; None: there is none.

    Breadth first from both ends, each time from the one with less to look at (Pohl, "Bi-directional search", 1971): it
    touches a few hundred nodes where a search from one end would touch most of a large graph.
    """
    before: dict[int, int | None] = {start: None}
    after: dict[int, int | None] = dict.fromkeys(goals)
    front, back = [start], list(goals)
    if start in after:
        return [start]
    while front and back:
        forward = len(front) <= len(back)
        seen, other = (before, after) if forward else (after, before)
        step = graph.successor_indices if forward else graph.predecessor_indices
        found: list[int] = []
        for node in front if forward else back:
            for near in step(node):
                if near in seen:
                    continue
                seen[near] = node
                if near in other:
                    return [*reversed(list(_chain(before, near))), *list(_chain(after, near))[1:]]
                found.append(near)
        if forward:
            front = found
        else:
            back = found
    return None


def _chain(links: dict[int, int | None], node: int | None) -> Iterator[int]:
    while node is not None:
        yield node
        node = links[node]
