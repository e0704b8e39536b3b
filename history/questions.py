"""The questions: what was, when, for how long, why. Synchronous, from any thread, over any store.

All take moments as `history.times` reads them, and name machines by their name, or as ``(owner, name)`` where several
owners have one of the same name. Windows are ``t1 < at <= t2``: what happened at t1 is before the window.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from history.answers import Diff, Interval, MachineInfo, Moment, Network, Record, as_interval, as_moment, as_record
from history.codec import KINDS, RecordedSchema, Row, unpack_masks
from history.directory import Directory, Entry, Name
from history.errors import HorizonError, QuestionError
from history.log import TX_ID
from history.search import find_first
from history.store import EVERY, Condition, MachineRow, Store
from history.stream import bits
from history.times import LogicalTime, When, format_time, parse_when
from machine.errors import did_you_mean

FIRST, LAST = -(1 << 62), (1 << 63) - 1
HELD = 50_000  # rows in memory at a time, over all machines of a question; about 50 MB
Found = tuple[Row, Entry, RecordedSchema]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of records; give `next` as ``after`` for the following one. None: that was all."""

    records: tuple[Record, ...]
    next: tuple[int, int] | None


class Questions:
    """Ask a store about the past.

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
            key = f"{entry.owner}/{entry.name}" if entry.name in twins else entry.name
            moments[key] = as_moment(entry.name, entry.owner, row, directory.schema_at(entry, row.at), moment)
        return Network(moment, moments)

    def diff(self, t1: When, t2: When | None = None, machines: Name | Iterable[Name] | None = None) -> dict[str, Diff]:
        """Return what became of each machine that changed between two moments."""
        names = None if machines is None else [(e.owner, e.name) for e in self._directory.several(machines)]
        before, after = self.network(t1, names), self.network(t2, names)
        pairs = {name: Diff(name, before.get(name), moment) for name, moment in after.items()}
        return {n: d for n, d in pairs.items() if d.before is None or d.before.clock != d.after.clock}

    # -- transitions

    def between(
        self,
        t1: When | None = None,
        t2: When | None = None,
        machines: Name | Iterable[Name] | None = None,
        *,
        called: str | Iterable[str] = (),
        changed: str | Iterable[str] = (),
        activated: str | Iterable[str] = (),
        deactivated: str | Iterable[str] = (),
        mutation: str | Iterable[str] = (),
        source: str | None = None,
        newest_first: bool = False,
        after: tuple[int, int] | None = None,
        chunk: int = 50,
    ) -> Iterator[Record]:
        """Yield the transitions of a window, oldest (or newest) first, a few in memory at a time.

        Args:
            t1, t2: the window; by default from the beginning until now.
            machines: one, several, or all.
            called, changed: at least one of these states was.
            activated, deactivated: all of these states were, at once.
            mutation: kinds, such as ``add``.
            source: the machine that caused it.
            newest_first: turn the order round.
            after: where a page ended; see `page`.
            chunk: how many rows of a machine to read at first; further reads take more.
        """
        chosen = self._directory.several(machines)
        one = chosen[0] if len(chosen) == 1 else None
        low = FIRST if t1 is None else self._at(t1, one)
        high = self._at(t2, one)
        kinds = tuple(_kind(m) for m in _listed(mutation))
        states = [_listed(s) for s in (called, changed, activated, deactivated)]
        named = [n for names in states for n in names]
        known = {s for m in chosen for schema in m.schemas for s in schema.states} if named else set()
        for name in named:
            if name not in known:
                raise QuestionError(f"no machine asked about has a state {name!r}{did_you_mean(name, sorted(known))}")
        if after is not None:
            low, high = (low, min(high, after[0])) if newest_first else (max(low, after[0] - 1), high)
        most = max(50, min(2000, HELD // max(len(chosen), 1)))
        streams = {m.id: self._scan(m, low, high, states, kinds, source, newest_first, chunk, most) for m in chosen}
        for row, entry, schema in self._merge(streams, low, high, newest_first):
            place = (row.at, row.machine_id)
            if after is None or (place < after if newest_first else place > after):
                yield as_record(entry.name, entry.owner, row, schema)

    def page(self, limit: int = 50, **question: Any) -> Page:
        """Return one page of `between`; takes the same arguments."""
        if limit < 1:
            raise QuestionError(f"a page of {limit} records is empty: ask for at least 1")
        found = list(islice(self.between(**question, chunk=limit + 1), limit + 1))
        records = tuple(found[:limit])
        last = records[-1] if len(found) > limit else None
        return Page(records, None if last is None else (last.at, self._directory.one((last.owner, last.machine)).id))

    def _scan(
        self,
        machine: Entry,
        low: int,
        high: int,
        states: Sequence[Sequence[str]],
        kinds: tuple[int, ...],
        source: str | None,
        newest_first: bool,
        chunk: int,
        most: int,
    ) -> Iterator[Found]:
        """Yield the rows of one machine, through all schemas it had."""
        for part in self._directory.segments(machine, low, high, newest_first):
            condition = _condition(states, part.schema, kinds, source)
            begin, end = part.low, part.high
            while condition is not None and begin < end:
                rows = self._store.scan(machine.id, begin, end, condition, chunk, newest_first)
                for row in rows:
                    yield row, machine, part.schema
                if len(rows) < chunk:
                    break
                begin, end = (begin, rows[-1].at - 1) if newest_first else (rows[-1].at, end)
                chunk = max(chunk, min(chunk * 4, most))

    def _merge(self, streams: dict[int, Iterator[Found]], low: int, high: int, newest_first: bool) -> Iterator[Found]:
        """Yield the rows of several machines in one order. A machine is read when its first row can be the next one."""
        if len(streams) == 1:
            yield from next(iter(streams.values()))
            return
        ids = list(streams)
        heads = self._store.snapshot(high, ids) if newest_first else self._store.following(low, ids)
        sign = -1 if newest_first else 1
        heap: list[tuple[int, int, Found | None]] = [(sign * r.at, sign * r.machine_id, None) for r in heads]
        heapq.heapify(heap)
        while heap:
            _, signed, found = heapq.heappop(heap)
            if found is not None:
                yield found
            following = next(streams[sign * signed], None)
            if following is not None:
                row = following[0]
                heapq.heappush(heap, (sign * row.at, sign * row.machine_id, following))

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

    # -- states over time

    def intervals(
        self, machine: Name, state: str, t1: When | None = None, t2: When | None = None
    ) -> Iterator[Interval]:
        """Yield when a state was active in a window, an activity that spans all of it included, cut at its ends."""
        found = self._directory.one(machine)
        self._check_state(found, state)
        low, high = FIRST if t1 is None else self._at(t1, found), self._at(t2, found)
        row = self._store.newest(found.id, low)
        start = low if row is not None and self._is_active(found, row, state) else None
        if row is None and (horizon := self._directory.row(found).horizon) > low:
            base = self._store.newest(found.id, horizon)  # what came before is not known
            start = horizon if base is not None and self._is_active(found, base, state) else None
            low = horizon
        began = False
        for at, active in self._flips(found, state, low, high):
            if active and start is None:
                start, began = at, True
            elif not active and start is not None:
                yield as_interval(found.name, state, start, at, began, True)
                start, began = None, False
        if start is not None:
            yield as_interval(found.name, state, start, high if t2 is not None else None, began, False)

    def _flips(self, machine: Entry, state: str, low: int, high: int) -> Iterator[tuple[int, bool]]:
        """Yield when a state changed: by its transitions, and where a new recording found it other than it was."""
        for part in self._directory.segments(machine, low, high):
            if part.start > low:
                before, base = (self._store.newest(machine.id, at) for at in (part.start - 1, part.start))
                if before is not None and base is not None:  # else nothing is known to have changed
                    was, now = (self._is_active(machine, row, state) for row in (before, base))
                    if was is not now:
                        yield part.start, now
            if state in part.schema.states:
                yield from self._store.flips(machine.id, part.schema.states.index(state), part.low, part.high)

    def _is_active(self, machine: Entry, row: Row, state: str) -> bool:
        states = self._directory.schema_at(machine, row.at).states
        return state in states and bool(unpack_masks(row)[2] >> states.index(state) & 1)

    def _check_state(self, machine: Entry, state: str) -> None:
        known = dict.fromkeys(s for schema in machine.schemas for s in schema.states)
        if state not in known:
            raise QuestionError(f"{machine.name} has no state {state!r}{did_you_mean(state, known)}")

    def activated_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """Tell whether a state became active in the window."""
        return self._changed_between(machine, state, t1, t2, active=True)

    def deactivated_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """Tell whether a state became inactive in the window."""
        return self._changed_between(machine, state, t1, t2, active=False)

    def _changed_between(self, machine: Name, state: str, t1: When, t2: When | None, *, active: bool) -> bool:
        found = self._directory.one(machine)
        self._check_state(found, state)
        low, high = self._at(t1, found), self._at(t2, found)
        return any(now is active for _, now in self._flips(found, state, low, high))

    def active_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """Tell whether a state was active at any time in the window, its beginning included."""
        return next(self.intervals(machine, state, t1, self._end(machine, t2)), None) is not None

    def inactive_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """Tell whether a state was inactive at any time in the window, its beginning included."""
        found = self._directory.one(machine)
        low, high = self._at(t1, found), self._at(t2, found)
        whole = [i for i in self.intervals(machine, state, low, high) if i.start == low and i.end == high]
        return not whole or whole[0].ended

    def uptime(
        self, state: str, t1: When, t2: When | None = None, machines: Name | Iterable[Name] | None = None
    ) -> float:
        """Return the share of a window in which a state was active, 0 to 1: the mean over the machines that have it.

        A machine counts from when it is first known, and from its horizon on.
        """
        shares, chosen = [], self._directory.several(machines)
        for m in chosen:
            if all(state not in schema.states for schema in m.schemas):
                continue
            low, high = max(self._at(t1, m), self._directory.row(m).horizon), self._at(t2, m)
            if low < high:
                spans = self.intervals((m.owner, m.name), state, low, high)
                shares.append(sum((high if i.end is None else i.end) - i.start for i in spans) / (high - low))
        if not shares:
            known = sorted({s for m in chosen for schema in m.schemas for s in schema.states})
            hint = "" if state in known else did_you_mean(state, known)
            raise QuestionError(f"no machine asked about has a state {state!r} in that window{hint}")
        return sum(shares) / len(shares)

    def _end(self, machine: Name, when: When | None) -> int:
        return self._at(when, self._directory.one(machine))

    # -- the feed

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


def _listed(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _kind(name: str) -> int:
    if name not in KINDS:
        raise QuestionError(f"{name!r} is no kind of mutation{did_you_mean(name, KINDS)}")
    return KINDS.index(name)


def _tx_key(tx_id: str | None) -> tuple[int, int]:
    tick, _, seq = (tx_id or "0:0").partition(":")
    return int(tick), int(seq)


def _condition(
    states: Sequence[Sequence[str]], schema: RecordedSchema, kinds: tuple[int, ...], source: str | None
) -> Condition | None:
    """Return the condition as masks over a schema's states; None if no row under that schema can meet it."""
    called, changed, activated, deactivated = [bits(names, schema.states) for names in states]
    if (states[0] and not called) or (states[1] and not changed):
        return None
    if activated.bit_count() < len(set(states[2])) or deactivated.bit_count() < len(set(states[3])):
        return None
    if not (called or changed or activated or deactivated or kinds or source is not None):
        return EVERY
    return Condition(called, changed, activated, deactivated, kinds, source)
