"""The epochs of one key: which comes next, and on the disk before it is used.

Each life of a peer begins an epoch above all earlier ones. A record of this key that the peer has not published itself
makes it begin another one. After a lost disk that record is of its own past, and one epoch is enough. But two running
peers with one key would outbid each other without end: so there is a pause between two epochs, which grows.
"""

from __future__ import annotations

from collections.abc import Callable

from pubsub.boundary import NEVER, SECOND, Disk
from pubsub.record import MAX_EPOCH

KEY = "epoch"  # of the disk
FIRST, LONGEST = SECOND, 60 * SECOND  # us, between two epochs; each pause is twice the one before
QUIET = 2 * LONGEST  # us; after that it begins anew


class Epochs:
    """The epochs of one peer.

    Args:
        disk: keeps the newest one.
        wall: the wall clock, ms since 1970.

    Attributes:
        due: when to begin the epoch that was put off, us; NEVER: none was.
        above: the newest epoch of this key that somebody else has shown.
    """

    __slots__ = ("_disk", "_last", "_pause", "_wall", "above", "due")

    def __init__(self, disk: Disk, wall: Callable[[], int]) -> None:
        self.due = NEVER
        self.above = 0
        self._disk = disk
        self._wall = wall
        self._last = -NEVER
        self._pause = FIRST

    def first(self) -> tuple[int, bool]:
        """Return the epoch of a new life, and whether there was one before. It may be more than fits: check, then save.

        A wall clock beyond all epochs is wrong, or of the year 2106: it decides nothing. Nor does a number on the disk
        that no epoch can have.
        """
        stored = int.from_bytes(self._disk.read(KEY) or b"", "big")
        if stored > MAX_EPOCH:
            stored = 0
        seconds = self._wall() // 1000
        return max(stored + 1, seconds if seconds <= MAX_EPOCH else 1), stored > 0

    def save(self, epoch: int) -> None:
        """Write an epoch to the disk, before anything is published in it."""
        self._disk.write(KEY, epoch.to_bytes(8, "big"))
        self._disk.sync()

    def outlive(self, epoch: int, now: int) -> bool:
        """Take note that somebody else has published under this key; tell whether to begin an epoch above that now.

        If not, it is put off until `due`.
        """
        self.above = max(self.above, epoch)
        if self.due != NEVER:
            return False
        if now < self._last + self._pause:
            self.due = self._last + self._pause
            return False
        return True

    def begun(self, now: int) -> bool:
        """Note that an epoch begins because of somebody else; tell whether it is the first one for a while."""
        is_first = now - self._last >= QUIET
        self._pause = FIRST if is_first else min(2 * self._pause, LONGEST)
        self._last = now
        self.due = NEVER
        return is_first
