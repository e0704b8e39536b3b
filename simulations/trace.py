"""The trace: a hash over everything that happened, in the order in which it happened.

Two runs with the same hash did the same. A note is one int of 63 bits, and they are hashed many at a time, since that
is most of what an event can afford.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from typing import Final

STARTED, LINK_UP, LINK_DOWN, TIMER, CALLED, NOTIFIED, CRASHED, FAULT = range(8)

SIZE_BITS: Final = 22  # a frame is at most 64 kB; a larger size runs into the number of the receiver, which is harmless
PEER_BITS: Final = 20
_OTHER: Final = 1 << 62
_BATCH: Final = 2**16
KIND_SHIFT: Final = 52
PEER_SHIFT: Final = 32
NOTIFIED_KEY: Final = _OTHER | NOTIFIED << KIND_SHIFT  # and the peer: for the loop that cannot afford a call


def frame_key(source: int, target: int) -> int:
    """Return what is noted of a frame on this link, less its size."""
    return source << (SIZE_BITS + PEER_BITS) | target << SIZE_BITS


class Trace:
    """A hash in the making. `notes.append` is open to the loop that cannot afford a call."""

    __slots__ = ("_hash", "notes")

    def __init__(self) -> None:
        self.notes: list[int] = []
        self._hash = hashlib.blake2b(digest_size=16)

    def note(self, kind: int, peer: int, value: int = 0) -> None:
        """Note an event that is not a frame."""
        self.notes.append(_OTHER | kind << KIND_SHIFT | peer << PEER_SHIFT | value & 0xFFFFFFFF)

    def end_tick(self, tick: int) -> None:
        """Note the time of what was noted since the last tick."""
        notes = self.notes
        notes.append(-tick)
        if len(notes) > _BATCH:
            self._flush()

    def _flush(self) -> None:
        packed = array("q", self.notes)
        if sys.byteorder == "big":
            packed.byteswap()
        self._hash.update(packed.tobytes())
        self.notes.clear()  # in place: the loop holds its append

    def digest(self) -> str:
        """Return the hash of everything so far, 32 hexadecimal digits."""
        self._flush()
        return self._hash.hexdigest()
