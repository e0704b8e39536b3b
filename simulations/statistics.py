"""Statistics: what happened in a simulation so far, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulations.network import Counts


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What happened so far. Bytes and frames by channel are those that were sent."""

    now: int
    events: int
    alive: int
    connections: int
    dials: int
    timers: int
    counts: Counts
    in_flight: int
    channel_frames: dict[str, int]
    channel_bytes: dict[str, int]
    topic: dict[str, int] = field(default_factory=dict)
