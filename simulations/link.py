"""A link: one direction of one connection between two peers.

It is made when the pair first talks; there is none for the pairs that never do. When a connection closes, both its
links are closed for good, and with them what is on its way; the next connection of the pair gets new ones.
"""

from __future__ import annotations

from pubsub.boundary import Message
from simulations.conditions import Conditions
from simulations.seeds import INCREMENT, MASK, MULTIPLIER
from simulations.trace import frame_key

# What keeps a frame from going straight on, as bits. Zero is the fast path of both ends.
COSTLY = 1  # its receiver needs CPU time for it; nothing to a sender
CLOSED = 2
CUT = 4  # a partition lies between
HELD = 8  # sent frames wait for a release; those on their way arrive
ACTION = 16  # this is no link but a place in the queue for something to be called


class End:
    """Where an event of the queue happens: a link, or the desk of its receiver where a frame waits for CPU time."""

    __slots__ = ("key", "source", "state", "target")

    def __init__(self, source: int, target: int, state: int = 0) -> None:
        self.source = source
        self.target = target
        self.state = state
        self.key = frame_key(source, target)

    def __repr__(self) -> str:
        names = ((COSTLY, "costly"), (CLOSED, "closed"), (CUT, "cut"), (HELD, "held"), (ACTION, "action"))
        words = [name for bit, name in names if self.state & bit]
        return f"<{type(self).__name__} {self.source}->{self.target} {' '.join(words)}>"


class Link(End):
    """One direction of a connection. Times in us."""

    __slots__ = (
        "base",
        "conditions",
        "desk",
        "draws",
        "free",
        "generation",
        "held",
        "known",
        "last",
        "outgoing",
        "sent_bytes",
    )

    def __init__(
        self,
        source: int,
        target: int,
        generation: int,
        outgoing: bool,
        conditions: Conditions,
        *,
        base: int,
        draws: int,
    ) -> None:
        super().__init__(source, target)
        self.generation = generation  # how many connections this pair had before
        self.outgoing = outgoing  # did the source dial?
        self.known = False  # has the source been told that it is up, and not that it is down?
        self.base = base  # how long a frame takes, without the jitter
        self.draws = draws  # where its stream begins
        self.last = 0  # when the last frame in order arrives
        self.free = 0  # when the last frame is sent, if bandwidth is limited
        self.sent_bytes = 0
        self.held: list[tuple[int, int, Message]] | None = None  # what waits for a release
        self.desk = End(source, target) if conditions.costly else None
        self.conditions = conditions
        if conditions.costly:
            self.state |= COSTLY

    def draw(self) -> int:
        """Draw 32 bits from the link's own stream."""
        self.draws = state = (self.draws * MULTIPLIER + INCREMENT) & MASK
        return state >> 32

    def chance(self, probability: float) -> bool:
        """Draw whether something happens."""
        return self.draw() < probability * 4294967296

    def close(self) -> None:
        """End it: nothing that is on its way arrives."""
        self.state |= CLOSED
        if self.desk is not None:
            self.desk.state |= CLOSED

    @property
    def open(self) -> bool:
        """Whether the connection stands; a cut or held one does."""
        return not self.state & CLOSED
