"""A peer that tells others its own edges, so that whoever looks can put the network together from what all tell.

It tells with whom it is connected and how, of whom it has copies, and pipes between machines that are exposed, by it or
by others: no name is told that is not published anyway. What changes is told together, every few seconds at most.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from graph.live import LiveGraph
from graph.parts import (
    BETWEEN_PEERS,
    RELATIONS,
    Change,
    EdgeKey,
    Key,
    Link,
    Vertex,
    machine_vertex,
    peer_vertex,
)
from graph.told import MAX_LACKS, MAX_ROOM, MIN_ROOM, ROOM, TOLD, Hold, Item, is_own, pack
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
        told, cut: how much it has told last, and what had no room: links, pipes, and owners of whom it has copies.
        failed: how often the peer had no room for it at all.
    """

    def __init__(self, graph: LiveGraph, peer: Peer, *, room: int = ROOM, pause: float = PAUSE) -> None:
        if not MIN_ROOM <= room <= MAX_ROOM:
            raise ValueError(f"room={room} is no number of bytes from {MIN_ROOM} to {MAX_ROOM}: tags hold no more")
        if not pause > 0:
            raise ValueError(f"pause={pause} is no time between two: give seconds")
        self.times = self.told = self.cut = self.failed = 0
        self._graph, self._peer = graph, peer
        self._room, self._pause = room, pause
        self._machine = Machine(Schema({"Told": State(multi=True)}), id=TOLD)
        self._changed = trio.Event()
        self._changed.set()
        self._edges: dict[EdgeKey, None] = {}  # that may be told, whether they are public or not
        self._owned: dict[str, dict[str, None]] = {}  # machines of each other owner
        self._lacks: dict[str, dict[str, None]] = {}  # those of them of which there is no copy

    async def run(self) -> None:
        """Tell, until cancelled; then take it back."""
        for part in self._graph:
            self._note(part.key, True)
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
        if isinstance(change.key, EdgeKey):
            self._note(change.key, change.came)

    def _note(self, key: Key, came: bool) -> None:
        """Note an edge that has come or gone, if it is of any interest."""
        if not isinstance(key, EdgeKey) or key.link in (Link.HAS, *RELATIONS, Link.PARENT):
            return
        if key.link is Link.OWNS or key.link is Link.REPLICA:
            self._note_copy(key, came)
        elif is_own(key, self._peer.id):
            if came:
                self._edges[key] = None
            else:
                self._edges.pop(key, None)
            self._changed.set()

    def _note_copy(self, key: EdgeKey, came: bool) -> None:
        owner, id = key.target.peer, key.target.machine
        if key.link is Link.OWNS and owner != self._peer.id:
            if came:
                self._owned.setdefault(owner, {})[id] = None
                if EdgeKey(Link.REPLICA, peer_vertex(self._peer.id), key.target) not in self._graph:
                    self._lacks.setdefault(owner, {})[id] = None
            else:
                self._owned[owner].pop(id, None)
                self._lacks.get(owner, {}).pop(id, None)
                if not self._owned[owner]:
                    del self._owned[owner]
        elif key.link is Link.REPLICA and key.source.peer == self._peer.id:
            if came:
                self._lacks.get(owner, {}).pop(id, None)
            elif id in self._owned.get(owner, ()):
                self._lacks.setdefault(owner, {})[id] = None
        self._changed.set()  # pipes of this machine, too, may be told now, or not any more

    def _tell(self) -> None:
        held = [Hold(owner, tuple(self._lacks.get(owner, ()))) for owner in self._owned]
        held = [hold for hold in held if len(hold.lacks) <= min(MAX_LACKS, len(self._owned[hold.owner]) - 1)]
        edges = [edge for edge in self._edges if edge.link in BETWEEN_PEERS or self._is_public(edge)]
        items: list[Item] = [*held, *edges]
        tags, self.cut = pack(items, self._peer.id, self._room)
        self.told = len(items) - self.cut
        if (tags == self._machine.tags) if self.times else not items:
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
