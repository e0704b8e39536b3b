"""What can be tuned about a peer, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass

from pubsub.boundary import SECOND
from pubsub.eager import MAX_RATE
from pubsub.link import PACE
from pubsub.membership import FORGET_AFTER
from pubsub.repair import PERIOD


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What can be tuned, and which planes are on. Times in us.

    Attributes:
        tau: the longest time between two flushes of a link that has news; it is shorter where there are few.
        pace: how much longer that is for each record a second. 750 us make about a dozen flushes a second.
        eager, links, repair, liveness: planes P1, P2, P3 and P4. The eager one needs a shell with a topic.
        lazy: whether links on which records come third or later are told to say only which ones there are; see
            `pubsub.lazy`.
        eager_rate: unique messages/s up to which the topic is used.
        repair_period: the longest time between two repair sessions that a peer begins.
        forget_after: G: an owner that is dead or left is forgotten after it.
    """

    tau: int = SECOND // 5
    pace: int = PACE
    eager: bool = False
    links: bool = True
    lazy: bool = True
    repair: bool = True
    liveness: bool = True
    eager_rate: int = MAX_RATE
    repair_period: int = PERIOD
    forget_after: int = FORGET_AFTER


@dataclass(slots=True)
class CoreCounts:
    """What the core has refused or had to ask for. The acceptor, links and repair have counts of their own."""

    gaps: int = 0
    wants_served: int = 0
    wants_unknown: int = 0
    misplaced: int = 0
    """Messages of a kind that does not belong where it came from."""
    accused: int = 0
    """Neighbours that were left because they passed on a record or a notice with a bad signature."""
    parted: int = 0
    """Neighbours that were asked to end the connection, as they or this peer had too many; and (left) asked to."""
    left: int = 0
    unpublished: int = 0
    """Flushes that a machine which cannot be published held up; the others went out."""
    restarts: int = 0
    """Epochs that were begun because somebody published under this key."""
    notices: int = 0
    """Suspicions and proofs that were heard, and (told) passed on, once a neighbour."""
    told: int = 0
