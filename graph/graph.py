"""Graph: what is connected to what, now and as of any time.

graph = Graph()
graph.follow(machine)
…
graph.as_of().path(state_vertex("door", "Open"), state_vertex("light", "On"))
graph.diff(yesterday, now)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from graph.feed import MachineFeed
from graph.live import LiveGraph
from graph.parts import Change
from graph.spans import Difference, difference
from graph.timeline import Timeline
from graph.view import View
from history.times import parse_span
from machine import Reader

if TYPE_CHECKING:
    from graph.peers import PeerFeed
    from pubsub.peer import Peer

KEEP: Final = 250_000  # changes: with a graph of 10,000 machines some 200 MB


class Graph:
    """A multigraph that follows machines, and remembers. It belongs to one thread.

    Args:
        stamp: returns the time, ns since 1970, never less than the last one; of a `History`, ``history.clock.stamp``:
            then the graph of a moment and the history of that moment belong together.
        peer: what it knows of its network is in the graph, too, and machines of this process are its own.
        peer_of: returns the id of the peer whose machine a reader is; by default all are of this process, or of `peer`,
            but for replicas.
        keep: changes that it remembers; up to a quarter more. None: all.
        max_age: for how long it remembers them: a span such as ``"2h"``; a fifth may be older. None: for ever.
        states: whether others' machines come with all their states and relations. Else with those states only that
            pipes lead from or to, which makes the graph of a large network several times smaller.

    Attributes:
        live: the graph as it is now, to be added to by hand.
        peers: what puts the peer's network in; None: there is no peer.
    """

    def __init__(
        self,
        stamp: Callable[[], int] | None = None,
        *,
        peer: Peer | None = None,
        peer_of: Callable[[Reader], str] | None = None,
        keep: int | None = KEEP,
        max_age: str | timedelta | None = None,
        states: bool = True,
    ) -> None:
        if keep is not None and keep < 1:
            raise ValueError(f"keep={keep}: at least one change is remembered; None is for all")
        self.live = LiveGraph(stamp or increasing(time.time_ns))
        self._past = Timeline(keep=keep, max_age=None if max_age is None else parse_span(max_age))
        self.live.listen(self._past.apply)
        if peer is None:
            self._feed = MachineFeed(self.live, peer_of or (lambda reader: ""))
            self.peers: PeerFeed | None = None
            return
        from graph.peers import PeerFeed, peers_of

        self._feed = MachineFeed(self.live, peer_of or peers_of(peer), ends=not states)
        self.peers = PeerFeed(self.live, self._feed, peer, states=states)
        self._follow_peer()

    def _follow_peer(self) -> None:
        if self.peers is not None:
            self.peers.start()

    def __repr__(self) -> str:
        return f"<Graph: {len(self.live)} vertices and edges, {self.live.waiting} edges wait>"

    def follow(self, *readers: Reader) -> None:
        """Put machines, or replicas, in, and what they do from now on, with their children that come later."""
        for reader in readers:
            self._feed.follow(reader)

    def unfollow(self, reader: Reader) -> None:
        """Take a machine out. It stays in the past."""
        self._feed.unfollow(reader)

    def leave(self) -> None:
        """Take the peer out, and all that it knows. It stays in the past."""
        if self.peers is not None:
            self.peers.stop()

    @property
    def horizon(self) -> int:
        """The first moment that it remembers, ns since 1970; 0: it has forgotten nothing."""
        return self._past.horizon

    @property
    def forgotten(self) -> int:
        """How many changes it has forgotten, see `keep` and `max_age`."""
        return self._past.forgotten

    def as_of(self, at: int | None = None) -> View:
        """Return the graph as it was at a time, ns since 1970; None: as it is now. It does not change any more.

        Raises:
            BeyondHorizonError: it has forgotten that.
        """
        return self._past.as_of(at)

    def diff(self, t1: int, t2: int | None = None) -> Difference:
        """Return what has come and what has gone from one time to another; None: to now.

        Raises:
            BeyondHorizonError: it has forgotten one of them.
        """
        return difference(self.as_of(t1), self.as_of(t2))

    def changes(self, after: int | None = None) -> Iterator[Change]:
        """Yield each change behind a number, in order; None: each that it remembers.

        Replayed from the first they make the same graph.

        Raises:
            GraphError: it has forgotten some of them.
        """
        return self._past.changes(after)

    def listen(self, listener: Callable[[Change], object]) -> None:
        """Tell somebody each change from now on."""
        self.live.listen(listener)

    def unlisten(self, listener: Callable[[Change], object]) -> None:
        """Tell somebody no more."""
        self.live.unlisten(listener)


def increasing(now: Callable[[], int]) -> Callable[[], int]:
    """Return a clock that never shows less than it did before, nor the same."""
    last = 0

    def stamp() -> int:
        nonlocal last
        last = max(now(), last + 1)
        return last

    return stamp
