"""Tell others what is connected to what, without a history, and without keeping any past."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from graph.feed import MachineFeed
from graph.live import LiveGraph
from graph.peers import PeerFeed, peers_of
from graph.teller import PAUSE, Teller
from graph.told import ROOM
from machine import Reader
from machine.beside import beside
from pubsub.peer import Peer


class Telling:
    """A peer that tells its own edges. Made by `open_teller`.

    Attributes:
        teller: tells them, and counts.
    """

    def __init__(self, peer: Peer, room: int, pause: float) -> None:
        graph = LiveGraph(time.monotonic_ns)  # nobody looks at when
        self._machines = MachineFeed(graph, peers_of(peer), ends=True)
        self.peers = PeerFeed(graph, self._machines, peer, states=False, told=False)
        self.teller = Teller(graph, peer, room=room, pause=pause)

    def __repr__(self) -> str:
        return f"<Telling of {self.peers.peer.id}: {self.teller.told} told, {self.teller.cut} cut>"

    def follow(self, *readers: Reader) -> None:
        """Tell of the pipes that lead to these machines from now on, with those of their children that come later."""
        for reader in readers:
            self._machines.follow(reader)


@asynccontextmanager
async def open_teller(peer: Peer, *, room: int = ROOM, pause: float = PAUSE) -> AsyncIterator[Telling]:
    """Let others know a peer's own edges for as long as the block lasts; see `Teller`.

    Who records a graph needs none: ``open_graph(…, tell=True)`` does the same.

    Args:
        peer: who tells.
        room: bytes that this may take of the peer's record.
        pause: seconds between two.
    """
    telling = Telling(peer, room, pause)
    telling.peers.start()
    try:
        async with beside() as nursery:
            nursery.start_soon(telling.teller.run)
            yield telling
    finally:
        telling.peers.ignore()
