"""P2, links: all records, batched for each neighbour.

A link keeps no queue of records but a map of owners that are *dirty*, each with the state that the neighbour is taken
to have. When the link flushes, one delta an owner leads from that state to the newest one, however many updates lie in
between: memory is bounded by the number of owners, and the newest always wins. What the neighbour cannot apply it asks
for as a whole. Grants bound what is under way: without one, a link goes on merging.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pubsub.messages import MAX_FRAME, Frame, Parcel
from pubsub.state import OwnerState

FIRST = 10_000  # us that the first news waits for company on a link that was idle
WINDOW = 256 * 1024  # bytes under way to one receiver
MAX_WANTS = 512  # in one frame
MAX_ASKED = 8192
NEVER = 2**62


@dataclass(slots=True)
class LinkCounts:
    """What one link has done."""

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    records_in: int = 0
    records_out: int = 0
    held: int = 0
    """Flushes that had to wait for a grant."""


@dataclass(slots=True)
class Link:
    """One neighbour.

    Attributes:
        dirty: owner -> the state that the neighbour is taken to have; None: nothing of it.
        wants, asked: short forms of owners to ask it for, and of those that it was asked for and has not sent yet.
        due: when to flush, us; NEVER if there is nothing to say.
        heard: when anything was last received from it.
    """

    tau: int
    heard: int
    dirty: dict[bytes, OwnerState | None] = field(default_factory=dict)
    wants: dict[bytes, None] = field(default_factory=dict)
    asked: dict[bytes, None] = field(default_factory=dict)
    due: int = NEVER
    counts: LinkCounts = field(default_factory=LinkCounts)
    _last_flush: int = -NEVER
    _sent: int = 0  # bytes of parcels, ever
    _granted: int = WINDOW  # bytes of parcels that the neighbour takes, ever
    _received: int = 0
    _advertised: int = WINDOW
    _ping: bool = False
    _owing: bool = False  # an answer, or a grant

    def mark(self, owner: bytes, before: OwnerState | None, now: int) -> None:
        """Note that an owner has news, which start from a state."""
        if owner not in self.dirty:
            self.dirty[owner] = before
        elif before is None:
            self.dirty[owner] = None
        self._schedule(now)

    def want(self, short: bytes, now: int) -> None:
        """Ask the neighbour for an owner's whole state."""
        self.wants[short] = None
        self.asked[short] = None
        if len(self.asked) > MAX_ASKED:
            del self.asked[next(iter(self.asked))]
        self._schedule(now)

    def ping(self, now: int) -> None:
        """Have the neighbour answer, if only with an empty frame."""
        self._ping = True
        self._schedule(now)

    def _schedule(self, now: int) -> None:
        if self.due == NEVER:
            idle = now - self._last_flush >= self.tau
            self.due = now + FIRST if idle else self._last_flush + self.tau

    def flush(self, now: int, parcel_of: Callable[[bytes, OwnerState | None], Parcel | None]) -> Frame | None:
        """Return the frame that is due; None if it has to wait for a grant, or there is nothing to say.

        Args:
            now: us.
            parcel_of: makes the delta of an owner from a state to the newest one; None if that is no news.
        """
        parcels: list[Parcel] = []
        size, waiting = 0, False
        for owner, before in list(self.dirty.items()):
            parcel = parcel_of(owner, before)
            if parcel is None:
                del self.dirty[owner]
                continue
            if parcels and size + parcel.size > MAX_FRAME:
                waiting = True
                break
            if self._sent + size + parcel.size > self._granted:
                self.counts.held += not parcels
                break  # the grant that comes back schedules the rest
            parcels.append(parcel)
            size += parcel.size
            del self.dirty[owner]
        wants = tuple(list(self.wants)[:MAX_WANTS])
        for short in wants:
            del self.wants[short]
        grant = self._received + WINDOW
        if not parcels and not wants and not self._ping and not self._owing:
            self.due = NEVER
            return None
        frame = Frame(tuple(parcels), grant, wants, self._ping)
        self._advertised, self._ping, self._owing = grant, False, False
        self._sent += size
        self._last_flush = now
        self.due = now + self.tau if waiting or self.wants else NEVER
        self.counts.frames_out += 1
        self.counts.bytes_out += frame.size
        self.counts.records_out += len(parcels)
        return frame

    def take(self, frame: Frame, now: int) -> None:
        """Account for a frame of the neighbour; its records are the core's business."""
        self.heard = now
        self.counts.frames_in += 1
        self.counts.bytes_in += frame.size
        self.counts.records_in += len(frame.parcels)
        self._received += sum(p.size for p in frame.parcels)
        if frame.grant > self._granted:
            self._granted = frame.grant
            if self.dirty:
                self._schedule(now)
        if frame.ping or self._received + WINDOW - self._advertised >= WINDOW // 2:
            self._owing = True
            self._schedule(now)
