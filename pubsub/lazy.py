"""Lazy links: who is sent a record, and who only hears that it is there.

Flooding brings each record once along each link. Here a peer keeps two links for each owner, along which its records
come first, and tells the neighbours behind all others to send only what they *have* of it: (owner, epoch, version).
What was had and did not come it *wants* from the neighbour that had it, whose link is then an eager one again. So the
links on which an owner's records travel become a graph in which each peer has two ways to the owner, made of the
fastest links; it mends itself where records are lost, or links break.

After J. Leitão, J. Pereira, L. Rodrigues, "Epidemic Broadcast Trees", SRDS 2007, which keeps one such link, for each
source or for all: with two, a lost record is late only if it was lost on both.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pubsub.boundary import NEVER
from pubsub.ledger import Order

KEEP = 2  # links along which a peer gets the records of an owner
WAIT = 60_000  # us that a record may be behind the first word of it, and two pauses of an outbox
MAX_CLAIMS = 4  # neighbours that are remembered to have the same record
GRAIN = 16_384  # us: what is awaited is looked after together

P = TypeVar("P", bound=Hashable)


class Marks:
    """A set of small numbers, a bit each. With N peers in one process there are N x N of these, for each neighbour."""

    __slots__ = ("_bits",)

    def __init__(self) -> None:
        self._bits = bytearray()

    def __bool__(self) -> bool:
        return len(self._bits) > 0

    def __contains__(self, number: int) -> bool:
        at, bits = number >> 3, self._bits
        return at < len(bits) and bits[at] >> (number & 7) & 1 == 1

    def add(self, number: int) -> None:
        """Have a number in it."""
        at, bits = number >> 3, self._bits
        if at >= len(bits):
            bits.extend(bytes(at + 1 - len(bits)))
        bits[at] |= 1 << (number & 7)

    def discard(self, number: int) -> None:
        """Have a number in it no more."""
        at, bits = number >> 3, self._bits
        if at < len(bits):
            bits[at] &= ~(1 << (number & 7))


@dataclass(slots=True)
class LazyCounts:
    """What became of lazy links."""

    pruned: int = 0
    """Times that a neighbour was told to send only what it has of an owner; and (prunes) did so itself."""
    prunes: int = 0
    haves: int = 0
    """Records that a neighbour said it has; and (awaited) those of them that were new."""
    awaited: int = 0
    grafted: int = 0
    """Records that did not come, and were asked for; and (gone) could not be, as the neighbour had gone."""
    gone: int = 0
    unknown: int = 0
    """Owners that nobody here knows, in what neighbours said."""


@dataclass(slots=True)
class _Expected(Generic[P]):
    """A record that is to come. ``claims``: who says that it has it, or a newer one, in the order in which they did."""

    until: int
    claims: dict[P, Order]


class Lazy(Generic[P]):
    """What one peer knows of the ways that records come: how often each came, and which are still to come.

    Args:
        prunes: whether it tells neighbours that there are enough copies without theirs.

    Attributes:
        due: when to call `overdue`, us; NEVER: nothing is awaited. It may be early.
    """

    __slots__ = ("_copies", "_expected", "_prunes", "counts", "due")

    def __init__(self, *, prunes: bool = True) -> None:
        self.counts = LazyCounts()
        self.due = NEVER
        self._prunes = prunes
        self._expected: dict[int, _Expected[P]] = {}  # by number of the owner
        self._copies = bytearray()  # by number of an owner: how often its newest record came, up to KEEP

    def ours(self, number: int) -> None:
        """Note a record of this peer's own: each copy that comes of it is one too many."""
        self.came(number, (0, 0))
        self._copies[number] = KEEP

    def came(self, number: int, order: Order) -> None:
        """Note the first copy of a record."""
        copies = self._copies
        if number >= len(copies):
            copies.extend(bytes(number + 1 - len(copies)))
        copies[number] = 1
        if self._expected and number in self._expected:
            claims = self._expected[number].claims
            for peer in [peer for peer, claimed in claims.items() if claimed <= order]:
                del claims[peer]
            if not claims:
                del self._expected[number]

    def came_again(self, number: int) -> bool:
        """Note another copy of an owner's newest record; True: there are enough without this one."""
        copies = self._copies
        if number >= len(copies):
            return False
        if copies[number] >= KEEP:
            return self._prunes
        copies[number] += 1
        return False

    def expect(self, number: int, order: Order, peer: P, now: int, pause: int) -> None:
        """Note that a neighbour has a record, which some other one should bring.

        Args:
            number: of its owner.
            order: which one.
            peer: the neighbour.
            now: us.
            pause: between two flushes of an outbox, us: the record may have to wait for one, here and there.
        """
        expected = self._expected.get(number)
        if expected is None:
            self.counts.awaited += 1
            expected = self._expected[number] = _Expected(_later(now, pause), {})
            self.due = min(self.due, expected.until)
        if peer in expected.claims or len(expected.claims) < MAX_CLAIMS:
            expected.claims[peer] = order

    def overdue(self, now: int, pause: int, want: Callable[[int, P], bool]) -> None:
        """Ask for what should have come by now, one neighbour after the other.

        Args:
            now: us.
            pause: as in `expect`.
            want: called with (number, neighbour): asks that one. False: it is gone.
        """
        due = NEVER
        for number, expected in list(self._expected.items()):
            if expected.until <= now:
                if self._ask(number, expected.claims, want):
                    expected.until = _later(now, pause)
                else:
                    del self._expected[number]
                    continue
            due = min(due, expected.until)
        self.due = due

    def _ask(self, number: int, claims: dict[P, Order], want: Callable[[int, P], bool]) -> bool:
        """Ask the first one that is still there, for what it has said itself; tell whether others are left."""
        while claims:
            peer = next(iter(claims))
            del claims[peer]
            if want(number, peer):
                self.counts.grafted += 1
                return bool(claims)
            self.counts.gone += 1
        return False

    def forget(self, number: int) -> None:
        """Drop what is known of an owner: its number may soon be another owner's."""
        self._expected.pop(number, None)
        if number < len(self._copies):
            self._copies[number] = 0


def _later(now: int, pause: int) -> int:
    due = now + WAIT + 2 * pause
    return due + -due % GRAIN
