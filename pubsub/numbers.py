"""Numbers for owners, so that what is kept of each lies in lists and not in dictionaries.

With N peers in one process there are N x N pairs of peer and owner: a place in a list takes 8 bytes, an entry of a
dictionary 100. The cores of a simulation share one `Numbers`, which then never lets go of an owner; a peer that is
alone has its own, and uses the numbers of forgotten owners again.
"""

from __future__ import annotations

from pubsub.identity import short_of


class Numbers:
    """Give each owner a small number, from 0 on, at its first sight.

    Attributes:
        owners, shorts: public key and short form, by number. Those of released numbers are stale.
        shared: whether several cores use it.
    """

    __slots__ = ("_buckets", "_free", "_shorts", "by_owner", "owners", "places", "shared", "shorts")

    def __init__(self, *, shared: bool = False) -> None:
        self.owners: list[bytes] = []
        self.shorts: list[bytes] = []
        self.places: list[int] = []
        """16 bits of the short form, whose lower bits say in which bucket of repair an owner lies; by number."""
        self.shared = shared
        self.by_owner: dict[bytes, int] = {}
        """For loops that cannot afford `find`; to be read only."""
        self._shorts: dict[bytes, int] = {}
        self._free: list[int] = []
        self._buckets: dict[int, list[list[int]]] = {}  # number of buckets -> numbers of the owners in each

    def __len__(self) -> int:
        """Return how long a list by number has to be."""
        return len(self.owners)

    def find(self, owner: bytes) -> int | None:
        """Return the number of an owner, if it has one."""
        return self.by_owner.get(owner)

    def find_short(self, short: bytes) -> int | None:
        """Return the number of the owner with a short form; of two with the same, that of the first."""
        return self._shorts.get(short)

    def of(self, owner: bytes) -> int:
        """Return the number of an owner, a new one if it has none."""
        number = self.by_owner.get(owner)
        if number is not None:
            return number
        short = short_of(owner)
        place = short[0] | short[1] << 8
        if self._free:
            number = self._free.pop()
            self.owners[number], self.shorts[number], self.places[number] = owner, short, place
        else:
            number = len(self.owners)
            self.owners.append(owner)
            self.shorts.append(short)
            self.places.append(place)
        self.by_owner[owner] = number
        self._shorts.setdefault(short, number)
        for count, buckets in self._buckets.items():
            buckets[place & count - 1].append(number)
        return number

    def release(self, owner: bytes) -> None:
        """Let go of an owner, unless others may still need its number."""
        if self.shared:
            return
        number = self.by_owner.pop(owner)
        self._free.append(number)
        if self._shorts.get(self.shorts[number]) == number:
            del self._shorts[self.shorts[number]]
        for count, buckets in self._buckets.items():
            buckets[self.places[number] & count - 1].remove(number)

    def bucket(self, at: int, count: int) -> list[int]:
        """Return the numbers of the owners that lie in bucket `at` of `count`, a power of two up to 65,536."""
        buckets = self._buckets.get(count)
        if buckets is None:
            buckets = self._buckets[count] = [[] for _ in range(count)]
            for number in self.by_owner.values():
                buckets[self.places[number] & count - 1].append(number)
        return buckets[at]
