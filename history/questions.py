"""The questions: what was, when, for how long, why. Synchronous, from any thread, over any store.

All take moments as `history.times` reads them, and name machines by their name, or as ``(owner, name)`` where several
owners have one of the same name. Windows are ``t1 < at <= t2``: what happened at t1 is before the window.
"""

from __future__ import annotations

from collections.abc import Iterable

from history.activity import Activity
from history.answers import Record
from history.causes import Causes
from history.directory import Name
from history.times import When
from history.transitions import Page, Transitions

__all__ = ["Page", "Questions"]


class Questions(Transitions, Causes, Activity):
    """Ask a store about the past.

    Args:
        store: an open one.
        now: the wall clock, ns since 1970.
    """

    def feed(self, after_id: int, limit: int = 1000, machines: Name | Iterable[Name] | None = None) -> list[Record]:
        """Return the next records in the order in which the store learned of them. See `History.changes`."""
        ids = None if machines is None else [e.id for e in self._directory.several(machines)]
        return [self._record(row) for row in self._store.feed(after_id, limit, ids)]

    def position(self, since: When) -> int:
        """Return an id behind which every record after `since` lies."""
        at = self._at(since)
        ids = [self._store.last_id() + 1]  # asked for first: what is committed from now on lies behind it
        ids += [row.id for m in self._store.machines() if (row := self._store.oldest(m.id, at)) is not None]
        return min(ids) - 1
