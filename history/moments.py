"""Questions about machines, and about how they were at a moment.

A moment is wall time, relative, or a machine's own time, see `history.times`; here it becomes one in ns. A row that is
known by a machine's own time is searched for, see `history.search`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from history.answers import Diff, MachineInfo, Moment, Network, as_moment
from history.codec import Row
from history.directory import Directory, Entry, Name
from history.errors import HorizonError, QuestionError
from history.search import find_first
from history.store import MachineRow, Store
from history.times import LogicalTime, When, format_time, parse_when

FIRST, LAST = -(1 << 62), (1 << 63) - 1  # before and after all moments


class Moments:
    """Ask a store how machines were.

    Args:
        store: an open one.
        now: the wall clock, ns since 1970.
    """

    def __init__(self, store: Store, now: Callable[[], int]) -> None:
        self._store = store
        self._directory = Directory(store)
        self._now = now

    # -- machines

    def machines(self) -> list[MachineInfo]:
        """Return all recorded machines."""
        return [self._info(m) for m in self._store.machines()]

    def machine(self, name: Name) -> MachineInfo:
        """Return one recorded machine."""
        return self._info(self._directory.row(self._directory.one(name)))

    def _info(self, m: MachineRow) -> MachineInfo:
        states = self._store.recorded_schema(m.schema_hash).states
        first, last = (m.first_at, m.last_at)
        return MachineInfo(
            m.id, m.name, m.owner, states, m.tags, m.parent, first, last, m.horizon, m.epoch, m.seq, m.machine_tick
        )

    # -- moments

    def moment(self, when: When | None, machine: Name | None = None) -> int:
        """Return a moment as ns since 1970; a machine's own time needs to know whose."""
        return self._at(when, None if machine is None else self._directory.one(machine))

    def _at(self, when: When | None, machine: Entry | None = None) -> int:
        moment = parse_when(when, self._now())
        if isinstance(moment, int):
            return moment
        if machine is None:
            raise QuestionError(f"{moment} is a time of one machine: ask about one, or give a wall time")
        return self._row_at(machine, moment).at

    def _row_at(self, machine: Entry, clock: LogicalTime) -> Row:
        """Return the row at which a machine's time first reached a value, in one life or in each in turn."""
        first, last = self._store.oldest(machine.id, FIRST), self._store.newest(machine.id, LAST)
        if first is None or last is None:
            raise QuestionError(f"{machine.name} has not been at {clock}: nothing is known of it")
        epoch, ends = first.epoch if clock.epoch is None else clock.epoch, (first, last)
        while (row := self._first_reaching(machine.id, ends, epoch, clock.time_sum)) is not None:
            if row.id == first.id:
                self._check_kept(machine, clock, first)
            if row.epoch == epoch:
                return row
            if clock.epoch is not None:
                raise QuestionError(f"{machine.name} has not been at {clock}: that epoch ended before")
            epoch = row.epoch  # the first row of the next life that was recorded
        reach = f"it reached {last.time_sum} in epoch {last.epoch}"
        raise QuestionError(f"{machine.name} has not been at {clock}: {reach}")

    def _check_kept(self, machine: Entry, clock: LogicalTime, first: Row) -> None:
        """Raise if it was before the oldest row that a machine's time reached a value."""
        kept = self._directory.row(machine)
        if kept.horizon > kept.first_at and (
            (clock.epoch is not None and clock.epoch < first.epoch)
            or (clock.time_sum <= first.time_sum - first.time_diff and (clock.epoch is None or first.seq > 1))
        ):
            raise HorizonError(machine.name, clock, kept.horizon)

    def _first_reaching(self, machine_id: int, ends: tuple[Row, Row], epoch: int, time_sum: int) -> Row | None:
        return find_first(
            self._store,
            machine_id,
            ends,
            lambda row: (row.epoch, row.time_sum) >= (epoch, time_sum),
            lambda row: row.time_sum if row.epoch == epoch else None,
            time_sum,
        )

    def as_of(self, machine: Name, at: When | None = None) -> Moment:
        """Return a machine as it was at a moment: wall time, relative, or ``LogicalTime`` (also as ``@123``).

        Raises:
            HorizonError: retention has let that moment go. QuestionError: it was not known yet.
        """
        found = self._directory.one(machine)
        moment = parse_when(at, self._now())
        if isinstance(moment, LogicalTime):
            row = self._row_at(found, moment)
            moment = row.at
        elif (newest := self._store.newest(found.id, moment)) is not None:
            row = newest
        else:
            raise self._too_early(self._directory.row(found), moment)
        return as_moment(found.name, found.owner, row, self._directory.schema_at(found, row.at), moment)

    def _too_early(self, machine: MachineRow, at: int) -> QuestionError:
        if machine.horizon > machine.first_at and at >= machine.first_at:
            return HorizonError(machine.name, at, machine.horizon)
        first = format_time(machine.first_at)
        return QuestionError(f"{machine.name} was not known yet at {format_time(at)}: it was recorded from {first} on")

    def network(self, at: When | None = None, machines: Name | Iterable[Name] | None = None) -> Network:
        """Return all machines (or some) as they were at one moment, those that were known then.

        Raises:
            HorizonError: retention has let that moment go for one of them.
        """
        directory = self._directory
        chosen = None if machines is None else directory.several(machines)
        moment = self._at(at, chosen[0] if chosen is not None and len(chosen) == 1 else None)
        ids = None if chosen is None else [e.id for e in chosen]
        rows = self._store.snapshot(moment, ids)
        known = {row.machine_id for row in rows}
        for m in self._store.forgotten(moment):
            if m.id not in known and (ids is None or m.id in ids):
                raise HorizonError(m.name, moment, m.horizon)
        moments, entries = {}, [directory.entry(row.machine_id) for row in rows]
        twins = directory.twins()
        for row, entry in zip(rows, entries, strict=True):
            key = f"{entry.owner}/{entry.name}" if entry.id in twins else entry.name
            moments[key] = as_moment(entry.name, entry.owner, row, directory.schema_at(entry, row.at), moment)
        return Network(moment, moments)

    def diff(self, t1: When, t2: When | None = None, machines: Name | Iterable[Name] | None = None) -> dict[str, Diff]:
        """Return what became of each machine that changed between two moments."""
        names = None if machines is None else [(e.owner, e.name) for e in self._directory.several(machines)]
        before, after = self.network(t1, names), self.network(t2, names)
        pairs = {name: Diff(name, before.get(name), moment) for name, moment in after.items()}
        return {n: d for n, d in pairs.items() if d.before is None or d.before.clock != d.after.clock}
