"""A disk of a simulated peer: what it wrote and synced survives a crash; what it wrote only may not."""

from __future__ import annotations


class Disk:
    """A few keys and values. The disk of a peer lives as long as the simulation, unless a fault wipes it."""

    __slots__ = ("_durable", "_pending", "syncs")

    def __init__(self) -> None:
        self._durable: dict[str, bytes] = {}
        self._pending: dict[str, bytes] = {}
        self.syncs = 0

    def read(self, key: str) -> bytes | None:
        """Return what was last written under the key."""
        return self._pending.get(key, self._durable.get(key))

    def write(self, key: str, value: bytes) -> None:
        """Write, for now into the cache of the operating system."""
        self._pending[key] = value

    def sync(self) -> None:
        """Make durable what was written."""
        self.syncs += 1
        self._durable.update(self._pending)
        self._pending.clear()

    def crash(self) -> None:
        """Lose what was not synced: the power failed."""
        self._pending.clear()

    def wipe(self) -> None:
        """Lose everything."""
        self._pending.clear()
        self._durable.clear()
