"""Connections: dialling, hanging up, and who learns of it when.

* A dial takes a round trip: the other side learns of the connection half way, and may send from then on.
* A dial that nobody answers fails after `DIAL_TIMEOUT`; one that is refused, as the peer is down, after a round trip.
* Who hangs up knows; the other side is told after the latency of the link, or, if that is cut, when it next sends
  something and the way is free again: as the operating system of the other end answers a stray packet with a reset.
* A crash closes all connections of a peer. The others are told alike, unless the crash is silent (the power failed, not
  the process): then nothing answers until the peer is back.
* A partition closes nothing: frames vanish, and it is the protocol's business to notice.
"""

from __future__ import annotations

from typing import Protocol

from simulations.link import CLOSED, Link
from simulations.network import CALL, Network

DIAL_TIMEOUT = 5_000_000  # us: what a libp2p dial waits for


class Told(Protocol):
    """Whoever keeps the nodes: it passes on to them what happens to their connections."""

    lives: list[int]  # how often each peer was started

    def is_alive(self, peer: int) -> bool:
        """Say whether the peer runs."""

    def is_silent(self, peer: int) -> bool:
        """Say whether nothing at all answers for a peer that is down."""

    def tell_up(self, peer: int, other: int, dialed: bool) -> None:
        """Tell a node that a connection is there."""

    def tell_down(self, peer: int, other: int) -> None:
        """Tell a node that a connection is gone, or did not come about."""


class Connections:
    """Makes and ends the connections of a network."""

    def __init__(self, network: Network, told: Told) -> None:
        self._network = network
        self._told = told
        self._now = 0
        self.dials = 0

    def _later(self, at: int, function: object, argument: object) -> None:
        self._network.queue.push(at, (CALL, function, argument, None))

    def link(self, dialler: int, target: int) -> None:
        """Connect two running peers at once, as at the beginning of a simulation. Nothing, if they are connected."""
        if dialler == target or self._open(dialler, target):
            return
        ours, theirs = self._network.connect(dialler, target)
        self._up(theirs)
        self._up(ours)

    def dial(self, now: int, dialler: int, target: int) -> None:
        """Let a peer dial another; nothing, if they are connected or the peer dials itself."""
        if dialler == target or self._open(dialler, target):
            return
        self.dials += 1
        latency = self._network.latency(dialler, target)
        self._later(now + latency, self._answer, (dialler, target, self._told.lives[dialler], now, latency))

    def _answer(self, now: int, argument: tuple[int, int, int, int, int]) -> None:
        dialler, target, life, began, latency = argument
        if not self._lives(dialler, life) or self._open(dialler, target):
            return
        cut = self._network.is_cut(dialler, target) or self._network.is_cut(target, dialler)
        if cut or not self._told.is_alive(target):
            refused = not cut and not self._told.is_silent(target)
            self._later(now + latency if refused else began + DIAL_TIMEOUT, self._fail, (dialler, target, life))
            return
        for old in (self._network.links[target].get(dialler), self._network.links[dialler].get(target)):
            self._forget(old)
        ours, theirs = self._network.connect(dialler, target)
        # By the latency of the way back, which a degraded link may have for itself, and before the other side can send
        # anything in the same tick: no frame is to arrive before its connection.
        self._later(now + theirs.base, self._arrive, (ours, life))
        self._up(theirs)

    def _fail(self, now: int, argument: tuple[int, int, int]) -> None:
        dialler, target, life = argument
        if self._lives(dialler, life) and not self._open(dialler, target):
            self._told.tell_down(dialler, target)

    def _arrive(self, now: int, argument: tuple[Link, int]) -> None:
        link, life = argument
        if link.open:
            self._up(link)
        else:
            self._fail(now, (link.source, link.target, life))

    def _up(self, link: Link) -> None:
        link.known = True
        self._told.tell_up(link.source, link.target, link.outgoing)

    def _forget(self, link: Link | None) -> None:
        """Tell a peer at last that its old connection is gone, before it gets a new one."""
        if link is not None and link.known:
            link.known = False
            self._told.tell_down(link.source, link.target)

    def _lives(self, peer: int, life: int) -> bool:
        """Say whether a peer still runs, and has not crashed and come back meanwhile."""
        return self._told.is_alive(peer) and self._told.lives[peer] == life

    def _open(self, source: int, target: int) -> bool:
        link = self._network.links[source].get(target)
        return link is not None and not link.state & CLOSED

    def hang_up(self, now: int, source: int, target: int) -> None:
        """Let a peer end a connection; nothing, if there is none."""
        link = self._network.links[source].get(target)
        if link is None:
            return
        link.known = False
        if link.open:
            self._close(now, link)

    def _close(self, now: int, link: Link) -> None:
        other = self._network.links[link.target][link.source]
        self._network.close(link)
        self._network.close(other)
        if not self._told.is_silent(link.source) and not self._network.is_cut(link.source, link.target):
            self._later(now + link.base, self._lose, other)

    def _lose(self, now: int, link: Link) -> None:
        self._forget(link)

    def crash(self, now: int, peer: int) -> None:
        """End all connections of a peer that is gone already."""
        for link in list(self._network.links[peer].values()):
            link.known = False
            if link.open:
                self._close(now, link)

    def reset(self, now: int, link: Link) -> None:
        """Answer a frame that was sent on a closed connection whose sender does not know it yet."""
        source, target = link.source, link.target
        cut = self._network.is_cut(source, target) or self._network.is_cut(target, source)
        if not cut and not self._told.is_silent(target):
            self._later(now + 2 * link.base, self._lose, link)
