"""Questions about why: which transition caused another one.

A row names its cause by the machine and the number of the transition. Numbers begin anew with each life of a machine,
so of several transitions with this number it is the one of the life in which the machine was then.
"""

from __future__ import annotations

from history.answers import Record, as_record
from history.codec import Row
from history.directory import Entry
from history.log import TX_ID
from history.moments import FIRST, LAST, Moments
from history.search import find_first


class Causes(Moments):
    """Ask a store for causes and effects."""

    def cause(self, record: Record) -> Record | None:
        """Return the transition that caused this one; None if it had no cause, or that was not recorded."""
        if record.source_machine is None or record.source_tx is None or not TX_ID.fullmatch(record.source_tx):
            return None
        candidates = [e for e in self._directory.all() if e.name == record.source_machine]
        candidates.sort(key=lambda e: e.owner != record.owner)  # the same owner's first
        found = (self._transition(e, record.source_tx, record.at) for e in candidates)
        return next((self._record(row) for row in found if row is not None), None)

    def effects(self, record: Record) -> list[Record]:
        """Return the transitions that this one caused directly."""
        if record.tx_id is None:
            return []
        rows = self._store.caused(record.machine, record.tx_id)
        effects = [self._record(row) for row in rows]
        # a later life of the machine counts from the same number again
        return [e for e in effects if (cause := self.cause(e)) is not None and cause.id == record.id]

    def _transition(self, machine: Entry, tx_id: str, before: int) -> Row | None:
        """Return the row with this number in the life that a machine was in at a moment."""
        newest = self._store.newest(machine.id, before)
        if newest is None:
            return None
        wanted, epoch = _tx_key(tx_id), newest.epoch

        def reached(row: Row | None) -> bool:
            while row is not None and row.epoch == epoch and row.tx_id is None:
                row = self._store.oldest(machine.id, row.at)  # a base has no number: the next one tells
            return row is None or row.epoch > epoch or (row.epoch == epoch and _tx_key(row.tx_id) >= wanted)

        def number(row: Row) -> int | None:
            return None if row.tx_id is None or row.epoch != epoch else _tx_key(row.tx_id)[1]

        oldest, last = self._store.oldest(machine.id, FIRST), self._store.newest(machine.id, LAST)
        if oldest is None or last is None:
            return None
        row = find_first(self._store, machine.id, (oldest, last), reached, number, wanted[1])
        while row is not None and row.tx_id is None and row.epoch == epoch:
            row = self._store.oldest(machine.id, row.at)
        return row if row is not None and (row.epoch, row.tx_id) == (epoch, tx_id) else None

    def _record(self, row: Row) -> Record:
        entry = self._directory.entry(row.machine_id)
        return as_record(entry.name, entry.owner, row, self._directory.schema_at(entry, row.at))


def _tx_key(tx_id: str | None) -> tuple[int, int]:
    tick, _, seq = (tx_id or "0:0").partition(":")
    return int(tick), int(seq)
