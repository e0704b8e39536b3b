"""The ledger: the newest state of every owner, and of those that were forgotten, how far they had come.

A forgotten owner's (short, epoch, version) is kept for a while in a bounded list, so that a peer which still has its
old records cannot bring it back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from pubsub.boundary import NEVER
from pubsub.buckets import Buckets
from pubsub.identity import SHORT_BYTES, short_of
from pubsub.numbers import Numbers
from pubsub.state import OwnerState

MAX_OWNERS = 65_536  # keys cost nothing: on an open topic, strangers beyond that are refused
MAX_FORGOTTEN = 65_536  # owners; about 10 MB

Order = tuple[int, int]


class Ledger:
    """What one peer knows of all owners.

    Attributes:
        numbers: of the owners.
        states: the newest state of each owner, by its number; None where nothing is known. May be shorter than
            `numbers`. To be read only.
        buckets: fingerprints over `states`.
        evicted: forgotten owners that had to make room before their time.
        expire_due: when to `expire`, us; NEVER: nothing is remembered. It may be early.
    """

    __slots__ = (
        "_count",
        "_forgotten",
        "_max_forgotten",
        "_max_owners",
        "buckets",
        "evicted",
        "expire_due",
        "numbers",
        "states",
    )

    def __init__(
        self, max_forgotten: int = MAX_FORGOTTEN, max_owners: int = MAX_OWNERS, numbers: Numbers | None = None
    ) -> None:
        self.numbers = Numbers() if numbers is None else numbers
        self.states: list[OwnerState | None] = []
        self.buckets = Buckets(self.numbers, self.states)
        self._count = 0
        self._forgotten: OrderedDict[bytes, tuple[Order, int]] = OrderedDict()
        self._max_forgotten = max_forgotten
        self._max_owners = max_owners
        self.expire_due = NEVER
        self.evicted = 0

    def __len__(self) -> int:
        """Return the number of owners of whom something is known."""
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another owner."""
        return self._count >= self._max_owners

    def get(self, owner: bytes) -> OwnerState | None:
        """Return what is known of an owner."""
        number = self.numbers.find(owner)
        return self.states[number] if number is not None and number < len(self.states) else None

    def items(self) -> Iterator[tuple[bytes, OwnerState]]:
        """Yield (owner, state) of all owners, by number."""
        for state in list(self.states):
            if state is not None:
                yield state.owner, state

    def order_of(self, owner: bytes) -> Order | None:
        """Return the newest (epoch, version) of an owner that was ever accepted and is remembered; None: a stranger."""
        state = self.get(owner)
        if state is not None:
            return state.order
        if not self._forgotten:
            return None
        forgotten = self._forgotten.get(short_of(owner))
        return forgotten[0] if forgotten is not None else None

    def has_forgotten(self, short: bytes, order: Order) -> bool:
        """Tell whether this record, or a later one, of an owner was known and is forgotten."""
        known = self._forgotten.get(short)
        return known is not None and known[0] >= order

    def commit(self, state: OwnerState) -> int:
        """Take over a state, which the caller has accepted; return its owner's number."""
        states = self.states
        number = self.numbers.by_owner.get(state.owner)
        if number is None:
            number = self.numbers.of(state.owner)
        if number >= len(states):
            states += [None] * (len(self.numbers) - len(states))
        before = states[number]
        states[number] = state
        self.buckets.put(number, before, state)
        if before is None:
            self._count += 1
            if self._forgotten:
                self._forgotten.pop(self.numbers.shorts[number], None)
        return number

    def adopt(self, other: Ledger) -> None:
        """Take over all that somebody else knows who shares the numbers; what was known here must be part of it."""
        if other.numbers is not self.numbers:
            raise ValueError("the two ledgers number owners differently: give both the same Numbers")
        self.states[:] = other.states
        self.buckets.adopt(other.buckets)
        self._count = other._count

    def forget(self, owner: bytes, until: int) -> None:
        """Delete an owner's state, and remember how far it had come until a moment on the caller's clock."""
        number, state = self.numbers.find(owner), self.get(owner)
        if number is None or state is None:
            raise KeyError(owner)
        self.states[number] = None
        self._count -= 1
        self.buckets.drop(number, state)
        self.numbers.release(owner)
        self._forgotten[short_of(owner)] = (state.order, until)
        self._forgotten.move_to_end(short_of(owner))
        self.expire_due = min(self.expire_due, until)
        while len(self._forgotten) > self._max_forgotten:
            self._forgotten.popitem(last=False)
            self.evicted += 1

    def hide(self, owner: bytes) -> None:
        """Offer an owner to others no more, until its next record."""
        number, state = self.numbers.find(owner), self.get(owner)
        if number is None or state is None:
            raise KeyError(owner)
        self.buckets.hide(number, state)

    def renew(self, owner: bytes, until: int) -> None:
        """Remember an owner that was forgotten for longer: somebody still has it."""
        known = self._forgotten.get(short_of(owner))
        if known is not None:
            self._forgotten[short_of(owner)] = (known[0], max(known[1], until))

    def expire(self, now: int) -> int:
        """Let go of what was to be remembered until now; return how many that were."""
        due = [short for short, (_, until) in self._forgotten.items() if until <= now]
        for short in due:
            del self._forgotten[short]
        self.expire_due = min([until for _, until in self._forgotten.values()], default=NEVER)
        return len(due)

    def forgotten(self) -> Iterator[tuple[bytes, Order]]:
        """Yield (short form, order) of the owners that were forgotten."""
        for short, (order, _) in self._forgotten.items():
            assert len(short) == SHORT_BYTES
            yield short, order
