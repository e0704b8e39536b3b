"""The ledger: the newest state of every owner, and of those that were forgotten, how far they had come.

A forgotten owner's (short, epoch, version) is kept for a while in a bounded list, so that a peer which still has its
old records cannot bring it back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from pubsub.identity import SHORT_BYTES, short_of
from pubsub.state import OwnerState

MAX_OWNERS = 65_536  # keys cost nothing: on an open topic, strangers beyond that are refused
MAX_FORGOTTEN = 65_536  # owners; about 10 MB

Order = tuple[int, int]


class Ledger:
    """What one peer knows of all owners.

    Attributes:
        states: owner -> its newest state, in the order in which they were first met.
        evicted: forgotten owners that had to make room before their time.
    """

    __slots__ = ("_forgotten", "_max_forgotten", "_max_owners", "evicted", "states")

    def __init__(self, max_forgotten: int = MAX_FORGOTTEN, max_owners: int = MAX_OWNERS) -> None:
        self.states: dict[bytes, OwnerState] = {}
        self._forgotten: OrderedDict[bytes, tuple[Order, int]] = OrderedDict()
        self._max_forgotten = max_forgotten
        self._max_owners = max_owners
        self.evicted = 0

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another owner."""
        return len(self.states) >= self._max_owners

    def order_of(self, owner: bytes) -> Order | None:
        """Return the newest (epoch, version) of an owner that was ever accepted and is remembered; None: a stranger."""
        state = self.states.get(owner)
        if state is not None:
            return state.order
        forgotten = self._forgotten.get(short_of(owner))
        return forgotten[0] if forgotten is not None else None

    def commit(self, state: OwnerState) -> None:
        """Take over a state, which the caller has accepted."""
        self.states[state.owner] = state
        self._forgotten.pop(short_of(state.owner), None)

    def forget(self, owner: bytes, until: int) -> None:
        """Delete an owner's state, and remember how far it had come until a moment on the caller's clock."""
        state = self.states.pop(owner)
        self._forgotten[short_of(owner)] = (state.order, until)
        self._forgotten.move_to_end(short_of(owner))
        while len(self._forgotten) > self._max_forgotten:
            self._forgotten.popitem(last=False)
            self.evicted += 1

    def expire(self, now: int) -> int:
        """Let go of what was to be remembered until now; return how many that were."""
        due = [short for short, (_, until) in self._forgotten.items() if until <= now]
        for short in due:
            del self._forgotten[short]
        return len(due)

    def forgotten(self) -> Iterator[tuple[bytes, Order]]:
        """Yield (short form, order) of the owners that were forgotten."""
        for short, (order, _) in self._forgotten.items():
            assert len(short) == SHORT_BYTES
            yield short, order
