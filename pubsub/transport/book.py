"""Addresses of peers: those that were learned of each, the newest first, and of so many peers.

Whoever has a key can tell addresses, so there may be ever more. The peer that was learned of or dialled the longest
time ago is forgotten first; those that are wanted are dialled again and again, and so stay.
"""

from __future__ import annotations

from typing import Final

from multiaddr import Multiaddr

MAX_ADDRESSES: Final = 8  # of one peer
MAX_PEERS: Final = 16_384


class Book:
    """Where peers are.

    Args:
        max_peers: how many are remembered.

    Attributes:
        forgotten: peers whose addresses had to make room.
    """

    def __init__(self, max_peers: int = MAX_PEERS) -> None:
        self.forgotten = 0
        self._max_peers = max_peers
        self._addresses: dict[bytes, list[Multiaddr]] = {}  # by when they were learned or looked up last

    def __len__(self) -> int:
        return len(self._addresses)

    def learn(self, peer: bytes, address: Multiaddr) -> None:
        """Remember an address of a peer."""
        known = self._addresses.pop(peer, [])
        if address in known:
            known.remove(address)
        known.insert(0, address)
        del known[MAX_ADDRESSES:]
        self._addresses[peer] = known
        if len(self._addresses) > self._max_peers:
            del self._addresses[next(iter(self._addresses))]
            self.forgotten += 1

    def look_up(self, peer: bytes) -> tuple[Multiaddr, ...]:
        """Return the addresses of a peer that is dialled now, so it is not forgotten soon."""
        known = self._addresses.pop(peer, None)
        if known is None:
            return ()
        self._addresses[peer] = known
        return tuple(known)

    def of(self, peer: bytes) -> tuple[Multiaddr, ...]:
        """Return the addresses of a peer."""
        return tuple(self._addresses.get(peer, ()))
