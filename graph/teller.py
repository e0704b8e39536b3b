"""A peer that tells others its own edges, so that whoever looks can put the network together from what all tell.

It tells connections of its own, and pipes between machines that are exposed, by it or by others: no name is told that
is not published anyway. What changes is told together, every few seconds at most.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from graph.live import LiveGraph
from graph.parts import PIPES, Change, EdgeKey, Link, Vertex, machine_vertex, peer_vertex
from graph.told import MAX_ROOM, MIN_ROOM, ROOM, TOLD, is_own, pack
from machine import Machine, Schema, State
from pubsub.errors import ExposeError

if TYPE_CHECKING:
    from pubsub.peer import Peer

logger = logging.getLogger("asyncmachine.graph")
PAUSE: Final = 5.0  # s between two


class Teller:
    """Tells the edges of one peer, from its graph.

    Args:
        graph: what the peer sees.
        peer: who tells.
        room: bytes that this may take of the peer's record.
        pause: seconds between two.

    Attributes:
        times: how often it has told.
        told, cut: edges that it has told last, and those that had no room.
        failed: how often the peer had no room for it at all.
    """

    def __init__(self, graph: LiveGraph, peer: Peer, *, room: int = ROOM, pause: float = PAUSE) -> None:
        if not MIN_ROOM <= room <= MAX_ROOM:
            raise ValueError(f"room={room} is no number of bytes from {MIN_ROOM} to {MAX_ROOM}: tags hold no more")
        self.times = self.told = self.cut = self.failed = 0
        self._graph, self._peer = graph, peer
        self._room, self._pause = room, pause
        self._machine = Machine(Schema({"Told": State(multi=True)}), id=TOLD)
        self._changed = trio.Event()
        self._changed.set()
        self._edges: dict[EdgeKey, None] = {}  # that may be told, whether they are public or not

    async def run(self) -> None:
        """Tell, until cancelled; then take it back."""
        own = (part.key for part in self._graph if isinstance(part.key, EdgeKey))
        self._edges = {key: None for key in own if is_own(key, self._peer.id)}
        self._graph.listen(self._hear)
        try:
            while True:
                await self._changed.wait()
                self._changed = trio.Event()
                self._tell()
                await trio.sleep(self._pause)
        finally:
            self._graph.unlisten(self._hear)
            if self.times:
                with suppress(ExposeError):  # the peer has ended, and has let go of it
                    self._peer.unexpose(self._machine)

    def _hear(self, change: Change) -> None:
        key = change.key
        if not isinstance(key, EdgeKey):
            return
        if is_own(key, self._peer.id):
            if change.came:
                self._edges[key] = None
            else:
                self._edges.pop(key, None)
            self._changed.set()
        elif key.link is Link.OWNS and any(edge.link in PIPES for edge in self._edges):
            self._changed.set()  # pipes of this machine may be told now, or not any more

    def _tell(self) -> None:
        edges = [edge for edge in self._edges if edge.link is Link.CONNECTION or self._is_public(edge)]
        tags, self.cut = pack(edges, self._peer.id, self._room)
        self.told = len(edges) - self.cut
        if self.times and tags == self._machine.tags:
            return
        self._machine.set_tags(*tags)
        self._machine.add("Told")
        if not self.times:
            try:
                self._peer.expose(self._machine)
            except ExposeError as error:
                self.failed += 1
                logger.warning("the graph of %s is not told: %s", self._peer.id, error)
                return
        self.times += 1

    def _is_public(self, edge: EdgeKey) -> bool:
        return self._is_published(edge.source) and self._is_published(edge.target)

    def _is_published(self, vertex: Vertex) -> bool:
        owner = peer_vertex(vertex.peer)
        return EdgeKey(Link.OWNS, owner, machine_vertex(vertex.machine, vertex.peer)) in self._graph
