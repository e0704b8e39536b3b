"""Which machines a store knows, and under which schema each was recorded when: kept, for questions in a hurry."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from history.codec import RecordedSchema
from history.errors import QuestionError, UnknownMachineError
from history.log import is_copy
from history.store import MachineRow, Store

Name = str | tuple[str, str]
SHARE = 4  # all machines are read again when a quarter of them was read one by one


@dataclass(slots=True)
class Entry:
    """A machine and its schemas; ``complete_to``: no schema that began at or before this moment is missing."""

    id: int
    owner: str
    name: str
    starts: list[int]
    schemas: list[RecordedSchema]
    complete_to: int


class Directory:
    """The machines of a store. Reads again what is not known yet, and what may have changed since.

    Identities never change and schemas are only ever appended, at moments later than all rows before; so an entry is
    right for every row up to the last one that was there when it was read.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_id: dict[int, Entry] = {}
        self._by_name: dict[str, list[Entry]] = {}
        self._generation = -1
        self._periods = -1  # how many there were
        self._singles = 0  # machines that were read alone since all were

    def refresh(self) -> None:
        """Read everything anew."""
        generation = self._store.generation
        count = self._store.period_count()  # asked for first: what comes from now on is seen the next time
        machines = self._store.machines()
        periods: dict[int, list[tuple[int, str]]] = {}
        for machine_id, at, hash in self._store.periods():
            periods.setdefault(machine_id, []).append((at, hash))
        by_id, by_name = {}, dict[str, list[Entry]]()
        for m in machines:
            mine = periods.get(m.id, [(m.first_at, m.schema_hash)])
            schemas = [self._store.recorded_schema(hash) for _, hash in mine]
            entry = by_id[m.id] = Entry(m.id, m.owner, m.name, [at for at, _ in mine], schemas, m.last_at)
            by_name.setdefault(m.name, []).append(entry)
        self._by_id, self._by_name, self._generation, self._periods = by_id, by_name, generation, count
        self._singles = 0

    def all(self) -> list[Entry]:
        """Return all machines, by id."""
        # a machine begins with a period, so if none came, nothing did
        if not self._is_current() and self._store.period_count() != self._periods:
            self.refresh()
        return list(self._by_id.values())

    def one(self, name: Name) -> Entry:
        """Return the machine of this name, ``owner/name`` or (owner, name); of a name alone, no copy but the machine.

        Raises:
            UnknownMachineError: there is none. QuestionError: there are several.
        """
        found = self._find(name)
        if not found:
            self.refresh()
            found = self._find(name)
        if not found:
            raise UnknownMachineError(name, self._by_name)
        if len(found) > 1:  # what is kept beside a log is not what a name alone is about
            found = [entry for entry in found if not is_copy(entry.owner)] or found
        if len(found) > 1:
            owners = ", ".join(repr(f"{e.owner}/{e.name}") for e in found)
            raise QuestionError(f"{name!r} is a machine of several owners: name one of {owners}")
        return found[0]

    def _find(self, name: Name) -> list[Entry]:
        if isinstance(name, tuple):
            return [e for e in self._by_name.get(name[1], ()) if e.owner == name[0]]
        found = self._by_name.get(name, [])
        if not found and "/" in name:
            owner, _, rest = name.partition("/")
            found = [e for e in self._by_name.get(rest, ()) if e.owner == owner]
        return found

    def several(self, names: Name | Iterable[Name] | None) -> list[Entry]:
        """Return the machines of these names; None: all."""
        if names is None:
            return self.all()
        return [self.one(n) for n in ([names] if isinstance(names, str) else names)]

    def entry(self, machine_id: int) -> Entry:
        """Return the machine with this id."""
        if machine_id not in self._by_id:
            # who follows a store meets new machines again and again: to read all each time is quadratic
            if self._singles * SHARE >= len(self._by_id):
                self.refresh()
            else:
                self._add(machine_id)
        return self._by_id[machine_id]

    def _add(self, machine_id: int) -> None:
        m = self._store.machine(machine_id)
        complete_to, mine = self._store.periods_of(machine_id)
        schemas = [self._store.recorded_schema(hash) for _, hash in mine]
        entry = Entry(m.id, m.owner, m.name, [at for at, _ in mine], schemas, complete_to)
        # not in place: other threads look through the names
        self._by_name = {**self._by_name, m.name: [*self._by_name.get(m.name, ()), entry]}
        self._by_id[m.id] = entry
        self._singles += 1

    def schema_at(self, entry: Entry, at: int) -> RecordedSchema:
        """Return the schema under which a row of this moment was recorded."""
        if at > entry.complete_to:
            entry = self._current(entry, at)
        schemas = entry.schemas
        return schemas[max(bisect_right(entry.starts, at) - 1, 0)] if len(schemas) > 1 else schemas[0]

    def segments(self, entry: Entry, low: int, high: int, newest_first: bool = False) -> list[Segment]:
        """Return the parts of a window ``low < at <= high`` in which a machine had one schema."""
        entry = self._current(entry, high)
        ends = [at - 1 for at in entry.starts[1:]] + [high]
        parts = [
            Segment(max(low, at - 1), min(high, end), at, schema)
            for at, end, schema in zip(entry.starts, ends, entry.schemas, strict=True)
            if at <= high and end > low
        ]
        return parts[::-1] if newest_first else parts

    def _current(self, entry: Entry, at: int) -> Entry:
        if at <= entry.complete_to or self._is_current():
            return entry
        complete_to, mine = self._store.periods_of(entry.id)
        if len(mine) > len(entry.starts):
            entry.schemas = [self._store.recorded_schema(hash) for _, hash in mine]
            entry.starts = [at for at, _ in mine]
        entry.complete_to = complete_to
        return entry

    def _is_current(self) -> bool:
        generation = self._store.generation
        return generation == self._generation and generation >= 0

    def twins(self) -> set[int]:
        """Return the ids of machines of which the name alone does not tell which it is; see `one`."""
        found: set[int] = set()
        for entries in self._by_name.values():
            if len(entries) > 1:
                plain = [entry.id for entry in entries if not is_copy(entry.owner)]
                found.update(entry.id for entry in entries if len(plain) != 1 or entry.id != plain[0])
        return found

    def row(self, entry: Entry) -> MachineRow:
        """Return what the store says about a machine right now."""
        return self._store.machine(entry.id)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a window, ``low < at <= high``, under one schema, which began at ``start``."""

    low: int
    high: int
    start: int
    schema: RecordedSchema
