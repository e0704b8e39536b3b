"""Fingerprints over all that is known, by bucket: what repair compares.

An owner lies in the bucket that its short form says. A bucket's fingerprint is the XOR of marks of what is known of its
owners, kept up to date with one operation a record. The number of buckets is a power of two, and follows the number of
owners: about 1.8 * sqrt(N).
"""

from __future__ import annotations

from pubsub.messages import Entry
from pubsub.numbers import Numbers
from pubsub.state import OwnerState

MIN_BUCKETS, MAX_BUCKETS = 16, 4096


class Buckets:
    """The fingerprints of one peer, over all that it offers: not over owners that are hidden.

    Args:
        numbers: of all owners.
        states: what is known of each, by number; the ledger's own list, which is only read here.
    """

    __slots__ = ("_count", "_hidden", "_numbers", "_states", "fingerprints")

    def __init__(self, numbers: Numbers, states: list[OwnerState | None]) -> None:
        self.fingerprints: list[int] = [0] * MIN_BUCKETS
        self._numbers = numbers
        self._states = states
        self._count = 0
        self._hidden: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self.fingerprints)

    def put(self, number: int, before: OwnerState | None, state: OwnerState) -> None:
        """Note a state in place of the one before."""
        fingerprints = self.fingerprints
        if before is not None and not self._hidden:  # nearly always
            fingerprints[self._numbers.places[number] & len(fingerprints) - 1] ^= state.mark ^ before.mark
            return
        if self._hidden and number in self._hidden:
            del self._hidden[number]
            before = None
        if before is None:
            self._count += 1
            if self._count > 8 * len(fingerprints) ** 2 // 26 and len(fingerprints) < MAX_BUCKETS:
                fingerprints = self.fingerprints = [0] * (2 * len(fingerprints))
                self._refill(number)
            fingerprints[self._numbers.places[number] & len(fingerprints) - 1] ^= state.mark
        else:
            fingerprints[self._numbers.places[number] & len(fingerprints) - 1] ^= state.mark ^ before.mark

    def _refill(self, without: int) -> None:
        places, mask = self._numbers.places, len(self) - 1
        for number, state in enumerate(self._states):
            if state is not None and number != without and number not in self._hidden:
                self.fingerprints[places[number] & mask] ^= state.mark

    def hide(self, number: int, state: OwnerState) -> None:
        """Offer an owner no more, until it is `put` again or dropped."""
        if number not in self._hidden:
            self._take_out(number, state)
            self._hidden[number] = None

    def drop(self, number: int, state: OwnerState) -> None:
        """Take an owner out."""
        if number in self._hidden:
            del self._hidden[number]
        else:
            self._take_out(number, state)

    def _take_out(self, number: int, state: OwnerState) -> None:
        self._count -= 1
        self.fingerprints[self._numbers.places[number] & len(self) - 1] ^= state.mark

    def adopt(self, other: Buckets) -> None:
        """Take over the fingerprints of somebody who knows the same."""
        self.fingerprints = list(other.fingerprints)
        self._count = other._count
        self._hidden = dict(other._hidden)

    def find(self, short: bytes) -> OwnerState | None:
        """Return the state of an owner that is offered by its short form."""
        number = self._numbers.find_short(short)
        if number is None or number >= len(self._states) or number in self._hidden:
            return None
        return self._states[number]

    def folded(self, count: int) -> tuple[int, ...]:
        """Return the fingerprints as another peer with `count` buckets would compute them."""
        if count == len(self):
            return tuple(self.fingerprints)
        out = [0] * count
        if count < len(self):
            for at, value in enumerate(self.fingerprints):
                out[at % count] ^= value
        else:
            for number, state in enumerate(self._states):
                if state is not None and number not in self._hidden:
                    out[self._numbers.places[number] & count - 1] ^= state.mark
        return tuple(out)

    def offered(self, at: int, count: int) -> list[tuple[Entry, OwnerState]]:
        """Return the owners in bucket `at` of `count`: what is to be said of each, and its state."""
        found: list[tuple[Entry, OwnerState]] = []
        states, hidden = self._states, self._hidden
        for number in self._numbers.bucket(at, count):
            state = states[number] if number < len(states) else None
            if state is not None and number not in hidden:
                entry = state.entry
                if entry is None:
                    entry = state.entry = (self._numbers.shorts[number], *state.order, state.mark)
                found.append((entry, state))
        return found

    def entries(self, at: int, count: int) -> tuple[Entry, ...]:
        """Return what is known of the owners in bucket `at` of `count`, by short form."""
        return tuple(sorted([entry for entry, _ in self.offered(at, count)]))
