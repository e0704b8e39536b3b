"""Conditions: what a connection does to the frames on it, and what they cost their receiver.

By default a frame takes the latency of its pair (drawn once, the same both ways) and a jitter, and arrives in order: a
libp2p connection is one TCP connection. What is beyond that is switched on field by field.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from simulations.errors import SetupError
from simulations.seeds import derive


class Latency(Protocol):
    """How long a frame takes from one peer to another, without the jitter."""

    def base(self, seed: int, left: int, right: int) -> int:
        """Return the latency of a pair, us: a pure function, symmetric."""


@dataclass(frozen=True)
class Constant:
    """The same latency everywhere."""

    us: int

    def base(self, seed: int, left: int, right: int) -> int:
        """Return it."""
        return self.us


@dataclass(frozen=True)
class Uniform:
    """A latency drawn for each pair between two bounds (us), both included."""

    low: int
    high: int

    def base(self, seed: int, left: int, right: int) -> int:
        """Draw from the stream of this pair, whichever way round it is named."""
        drawn = derive(seed, "latency", min(left, right), max(left, right))
        return self.low + drawn % (self.high - self.low + 1)


@dataclass(frozen=True)
class Regions:
    """Peers in regions, by their number modulo `count`: near within one, further with each region between (us)."""

    count: int
    near: int
    step: int

    def base(self, seed: int, left: int, right: int) -> int:
        """Count the regions between two peers, on a circle of regions."""
        apart = (left - right) % self.count
        return self.near + self.step * min(apart, self.count - apart)


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a connection does. Times in microseconds, sizes in bytes, bandwidths in bytes a second, chances from 0 to 1.

    `bandwidth` is that of each direction of a connection, `uplink` is what all connections of the sender share (a frame
    waits for the one and then for the other). A frame that finds more than `queue` bytes waiting is dropped.

    A lost frame is gone, unless `retransmit` is a time: then it comes later by that, and what is behind it waits, as
    TCP does. A reordered frame is up to `reorder_by` late, and does not hold up what is behind it. A duplicate comes
    after its original, at most `reorder_by` later.

    The receiver takes `cpu_frame` and `cpu_byte_ns` (nanoseconds) for each frame, or `cpu_topic` for a transfer of the
    topic, one after another. A frame that would wait for more than `patience` is dropped.
    """

    latency: Latency = field(default_factory=lambda: Uniform(30_000, 110_000))  # with the jitter, as in the prototype
    jitter: int = 10_000
    loss: float = 0.0
    retransmit: int = 0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_by: int = 100_000
    bandwidth: int = 0
    uplink: int = 0
    queue: int = 1_000_000
    cpu_frame: int = 0
    cpu_byte_ns: int = 0
    cpu_topic: int = 0
    patience: int = 10_000_000
    costly: bool = field(init=False, repr=False)
    careful: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("loss", "duplicate", "reorder"):
            if not 0 <= getattr(self, name) <= 1:
                raise SetupError(f"{name}={getattr(self, name)} is no chance between 0 and 1")
        for name in ("jitter", "retransmit", "bandwidth", "uplink", "queue", "cpu_frame", "cpu_byte_ns", "cpu_topic"):
            if getattr(self, name) < 0:
                raise SetupError(f"{name}={getattr(self, name)} is negative")
        # Two questions that are asked for each frame, answered once.
        object.__setattr__(self, "costly", bool(self.cpu_frame or self.cpu_byte_ns or self.cpu_topic))
        special = self.loss or self.duplicate or self.reorder or self.bandwidth or self.uplink
        object.__setattr__(self, "careful", bool(special))


#: The default network, and the CPU time of py-libp2p as measured: 0.45 ms for a frame (both ends), 7 us for a record of
#: about 120 B in it, 0.9 ms for a transfer of the topic. All of it is charged to the receiver, who is late by it.
MEASURED = Conditions(cpu_frame=450, cpu_byte_ns=58, cpu_topic=900)
