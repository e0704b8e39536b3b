"""The wall clocks of simulated peers: each may run fast or slow, and jump. Their monotonic clocks are right."""

from __future__ import annotations

#: Midnight of 1 January 2024, UTC, in ms since 1970: when each simulation begins.
BEGINNING = 1_704_067_200_000


class Clocks:
    """What time each peer takes it to be."""

    __slots__ = ("_offsets", "_rates", "_since")

    def __init__(self, peers: int) -> None:
        self._offsets = [0.0] * peers  # ms, at the time of `_since`
        self._rates = [0] * peers  # parts per million too fast
        self._since = [0] * peers

    def read(self, now: int, peer: int) -> int:
        """Return the wall time of a peer, ms since 1970, at this simulated time (us)."""
        return BEGINNING + (now + round(self._error(now, peer) * 1000)) // 1000

    def _error(self, now: int, peer: int) -> float:
        return self._offsets[peer] + (now - self._since[peer]) * self._rates[peer] / 1e9

    def skew(self, now: int, peer: int, ppm: int) -> None:
        """Let a clock run fast (or slow) by so many parts per million from now on."""
        self._offsets[peer] = self._error(now, peer)
        self._since[peer] = now
        self._rates[peer] = ppm

    def jump(self, peer: int, ms: int) -> None:
        """Put a clock forward, or back."""
        self._offsets[peer] += ms
