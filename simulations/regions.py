"""Regions of the world: peers by their number modulo the count of regions, and how far these are from each other.

The built-in matrix has eight: Virginia, Oregon, São Paulo, Frankfurt, Mumbai, Singapore, Tokyo, Sydney. One way takes
2 ms within a region and 220 ms between the two that are farthest apart, Tokyo and São Paulo; between, it grows with the
distance on the great circle.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt

NAMES = ("Virginia", "Oregon", "São Paulo", "Frankfurt", "Mumbai", "Singapore", "Tokyo", "Sydney")
_PLACES = (  # latitude, longitude
    (39.0, -77.5),
    (45.6, -121.2),
    (-23.5, -46.6),
    (50.1, 8.7),
    (19.1, 72.9),
    (1.3, 103.8),
    (35.7, 139.7),
    (-33.9, 151.2),
)
NEAR_MS, FAR_MS = 2.0, 220.0


def _apart(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the distance on the great circle, as a share of the earth's radius (the haversine formula)."""
    (lat1, lon1), (lat2, lon2) = (tuple(map(radians, place)) for place in (one, other))
    half = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin((lon2 - lon1) / 2) ** 2
    return 2 * asin(sqrt(half))


def _matrix() -> tuple[tuple[float, ...], ...]:
    apart = [[_apart(one, other) for other in _PLACES] for one in _PLACES]
    far = max(map(max, apart))
    # Whole milliseconds: sines may differ in their last bit between machines, and a trace must not.
    return tuple([tuple([float(round(NEAR_MS + (FAR_MS - NEAR_MS) * d / far)) for d in row]) for row in apart])


MATRIX_MS = _matrix()


@dataclass(frozen=True)
class Wide:
    """A latency by the regions of two peers: the matrix (us), symmetric."""

    matrix: tuple[tuple[int, ...], ...]

    def base(self, seed: int, left: int, right: int) -> int:
        """Look it up."""
        count = len(self.matrix)
        return self.matrix[left % count][right % count]


__all__ = ["MATRIX_MS", "NAMES", "Wide"]
