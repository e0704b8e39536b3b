"""Who holds copies of whose machines, as peers tell it of themselves, put into a graph.

A peer says of whom it has everything, and what it lacks; which machines these are is known here anyway. So a few bytes
stand for thousands of edges, and a machine that comes or goes changes nothing that is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from graph.live import LiveGraph
from graph.parts import EdgeKey, Link, Vertex, peer_vertex
from graph.told import Hold

MOST: Final = 100_000  # edges; more would be more than all that the graph is made for


class Held:
    """Keeps the edges of copies that others hold.

    Args:
        graph: to put them in.
        most: edges that there may be.

    Attributes:
        size: how many there are.
        left_out: how many were left out, as there were too many.
    """

    def __init__(self, graph: LiveGraph, most: int = MOST) -> None:
        self.size = self.left_out = 0
        self._graph = graph
        self._most = most
        self._machines: dict[str, dict[Vertex, None]] = {}  # of each owner
        self._holders: dict[str, dict[str, tuple[str, ...]]] = {}  # of each owner: who has what but which
        self._holds: dict[str, dict[str, Hold]] = {}  # of each holder, by owner
        self._edges: dict[EdgeKey, None] = {}

    def tell(self, holder: str, holds: Iterable[Hold]) -> None:
        """Take what a peer holds in place of what it held before."""
        before, now = self._holds.pop(holder, {}), {hold.owner: hold for hold in holds}
        for owner, hold in before.items():
            new = now.get(owner)
            if new != hold:
                gone = self._edges_of(holder, hold)
                self._remove([edge for edge in gone if new is None or edge.target.machine in new.lacks])
                del self._holders[owner][holder]
                if not self._holders[owner]:
                    del self._holders[owner]
        for owner, hold in now.items():
            if before.get(owner) != hold:
                self._holders.setdefault(owner, {})[holder] = hold.lacks
                self._add(self._edges_of(holder, hold))
        if now:
            self._holds[holder] = now

    def came(self, machine: Vertex) -> None:
        """Hear of a machine."""
        machines = self._machines.setdefault(machine.peer, {})
        if machine not in machines:
            machines[machine] = None
            self._add(self._copies(machine))

    def went(self, machine: Vertex) -> None:
        """Hear that a machine is gone."""
        machines = self._machines.get(machine.peer, {})
        if machine in machines:
            del machines[machine]
            self._remove(self._copies(machine))
            if not machines:
                del self._machines[machine.peer]

    # -- inner

    def _copies(self, machine: Vertex) -> list[EdgeKey]:
        return [
            EdgeKey(Link.REPLICA, peer_vertex(holder), machine)
            for holder, lacks in self._holders.get(machine.peer, {}).items()
            if machine.machine not in lacks
        ]

    def _edges_of(self, holder: str, hold: Hold) -> Iterator[EdgeKey]:
        for machine in self._machines.get(hold.owner, ()):
            if machine.machine not in hold.lacks:
                yield EdgeKey(Link.REPLICA, peer_vertex(holder), machine)

    def _add(self, edges: Iterable[EdgeKey]) -> None:
        for edge in edges:
            if edge in self._edges:
                continue
            if self.size >= self._most:
                self.left_out += 1
                continue
            self.size += 1
            self._edges[edge] = None
            self._graph.add_edge(edge, ("told",))

    def _remove(self, edges: Iterable[EdgeKey]) -> None:
        for edge in edges:
            if edge in self._edges:
                del self._edges[edge]
                self.size -= 1
                self._graph.remove_edge(edge)
