"""What others tell of their own edges, put into a graph: see `graph.told` for what that is.

What one has told that is dead, or has left, does not count.
"""

from __future__ import annotations

from collections.abc import Sequence

from graph.feed import MachineFeed
from graph.held import Held
from graph.live import LiveGraph
from graph.parts import BETWEEN_PEERS, EdgeKey, Kind, Link, Vertex, machine_vertex
from graph.told import Hold, unpack


class Said:
    """Keeps the told edges of all others.

    Args:
        graph: to put them in.
        machines: what follows machines in the same graph.
        own: who listens: of streams that others open to it, it knows itself.
        states: whether all states of others' machines are there anyway; if not, those come that pipes need.

    Attributes:
        refused: edges that others told and that are not theirs, and what of this could not be read.
        cut: of each peer, how much it had no room for.
        held: copies that others have.
    """

    def __init__(self, graph: LiveGraph, machines: MachineFeed, own: Vertex, *, states: bool) -> None:
        self.refused = 0
        self.cut: dict[str, int] = {}
        self.held = Held(graph)
        self._graph = graph
        self._machines = machines
        self._own = own
        self._states = states
        self._tags: dict[str, tuple[str, ...]] = {}  # that each told last
        self._edges: dict[str, tuple[EdgeKey, ...]] = {}  # that each told last
        self._holds: dict[str, tuple[Hold, ...]] = {}
        self._put: dict[str, dict[EdgeKey, None]] = {}  # those of them that are in the graph
        self._ends: dict[Vertex, dict[Vertex, int]] = {}  # of each machine: states, and how many pipes need each

    def hear(self, peer: str, tags: Sequence[str], *, lives: bool) -> None:
        """Take what a peer tells in place of what it told before; no tags: it tells nothing."""
        tags = tuple(tags)
        if tags == self._tags.get(peer, ()):
            return
        self.forget(peer)
        if not tags:
            self._bring(peer, lives=False)
            return
        self._tags[peer] = tags
        try:
            heard = unpack(tags, peer)
        except ValueError:
            self.refused += 1
            self._bring(peer, lives=False)
            return
        self._edges[peer], self._holds[peer], self.cut[peer] = heard.edges, heard.holds, heard.cut
        self.refused += heard.refused
        self._bring(peer, lives=lives)

    def look(self, peer: str, *, lives: bool) -> None:
        """Let what a peer has told count, or not."""
        if peer in self._tags:
            self._bring(peer, lives=lives)

    def stop(self, peer: str) -> None:
        """Take out what a peer has told, for good."""
        self.forget(peer)
        self._bring(peer, lives=False)

    def forget(self, peer: str) -> None:
        """Drop what a peer has told; what is in the graph of it stays until the next word."""
        for known in (self._tags, self._edges, self._holds, self.cut):
            known.pop(peer, None)

    def came(self, machine: Vertex) -> None:
        """Hear of a machine."""
        self.held.came(machine)
        for state in self._ends.get(machine, ()):
            self._add_state(machine, state)

    def went(self, machine: Vertex) -> None:
        """Hear that a machine is about to go."""
        self.held.went(machine)

    # -- inner

    def _bring(self, peer: str, *, lives: bool) -> None:
        """Bring the graph to what a peer has told."""
        self.held.tell(peer, self._holds.get(peer, ()) if lives else ())
        told = self._edges.get(peer, ()) if lives else ()
        now = {edge: None for edge in told if edge.link is not Link.NEIGHBOUR or edge.target != self._own}
        before = self._put.pop(peer, {})
        for edge in before:
            if edge not in now:
                self._graph.remove_edge(edge)
                self._release(edge)
        for edge in now:
            if edge not in before:
                self._need(edge)
                self._graph.add_edge(edge, ("told",))
        if now:
            self._put[peer] = now

    def _need(self, edge: EdgeKey) -> None:
        """Have the states there that a pipe needs."""
        for machine, state in self._ends_of(edge):
            needed = self._ends.setdefault(machine, {})
            needed[state] = needed.get(state, 0) + 1
            if needed[state] == 1 and machine in self._graph:
                self._add_state(machine, state)

    def _release(self, edge: EdgeKey) -> None:
        """Take those out that are not needed any more."""
        for machine, state in self._ends_of(edge):
            needed = self._ends[machine]
            needed[state] -= 1
            if needed[state]:
                continue
            del needed[state]
            if not needed:
                del self._ends[machine]
            if not self._machines.follows(machine):
                self._graph.remove_vertex(state)
                self._graph.remove_edge(EdgeKey(Link.HAS, machine, state))

    def _ends_of(self, edge: EdgeKey) -> list[tuple[Vertex, Vertex]]:
        if self._states or edge.link in BETWEEN_PEERS:
            return []
        ends = (end for end in (edge.source, edge.target) if end.kind is Kind.STATE)
        return [(machine_vertex(end.machine, end.peer), end) for end in ends]

    def _add_state(self, machine: Vertex, state: Vertex) -> None:
        if not self._machines.follows(machine):
            self._graph.add_vertex(state)
            self._graph.add_edge(EdgeKey(Link.HAS, machine, state))
