"""The in-memory twin of the SQL store: the same answers, without a database."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from operator import itemgetter
from typing import Any

from history.codec import ERROR, KIND, RecordedSchema, Row, Standing, unpack_masks
from history.graphs import Graphs
from history.log import GONE, LogPart, earlier_log_of, updates_of
from history.memory_graphs import MemoryGraphs
from history.store import Condition, MachineRow, Mark, Store
from history.stream import Known, Stream


class MemoryStore(Store):
    """Rows in lists, one a machine, sorted by time. Gone when the process ends.

    Args:
        wall: tells when it was made, ns since 1970.
    """

    def __init__(self, *, wall: Callable[[], int] = time.time_ns) -> None:
        self._life = wall() // 1000
        self._marks: dict[str, Mark] = {}
        self.url = "memory:"
        self.graphs: Graphs = MemoryGraphs()
        self.generation = 0
        self._lock = threading.RLock()
        self._machines: dict[int, MachineRow] = {}
        self._ids: dict[tuple[str, str], int] = {}
        self._epochs: dict[int, int] = {}
        self._schemas: dict[str, RecordedSchema] = {}
        self._periods: dict[int, list[tuple[int, str]]] = {}
        self._rows: dict[int, list[Row]] = {}
        self._by_number: dict[int, list[Row]] = {}
        self._numbers: set[tuple[int, int, int]] = set()
        self._order: list[Row] = []
        self._last_id = 0

    def open(self) -> int:
        """Return the last stamp; there is nothing to open."""
        return max(
            max((m.last_at for m in self._machines.values()), default=0),
            max((life.last for life in self.graphs.lives()), default=0),
        )

    def close(self) -> None:
        """Keep everything: a twin can be opened again."""

    def register(self, stream: Stream) -> Known:
        """Reserve an epoch; see `Store`."""
        with self._lock:
            key = (stream.identity.owner, stream.identity.name)
            machine_id = self._ids.setdefault(key, len(self._ids) + 1)
            epoch = self._epochs[machine_id] = self._epochs.get(machine_id, 0) + 1
            found = self._machines.get(machine_id)
            if found is None:
                return Known(machine_id, epoch, 0, 0, 0, b"", "")
            return Known(machine_id, epoch, 0, found.last_at, found.machine_tick, found.ticks, found.schema_hash)

    def write(self, rows: Iterable[tuple[Any, ...]], streams: Sequence[Stream]) -> int:
        """Store rows; see `Store`."""
        made = list(rows)
        with self._lock:
            for values in made:
                row = Row(self._last_id + 1, *values)
                number = (row.machine_id, row.epoch, row.seq)
                if number in self._numbers:
                    continue
                self._numbers.add(number)
                self._last_id += 1
                mine = self._rows.setdefault(row.machine_id, [])
                if mine and mine[-1].at > row.at:  # fetched later than it happened
                    mine.insert(bisect_right(mine, row.at, key=lambda r: r.at), row)
                else:
                    mine.append(row)
                insort(self._by_number.setdefault(row.machine_id, []), row, key=_number)
                self._order.append(row)
            for stream in streams:
                self._note(stream)
                self.generation += bool(stream.periods)
            return self._last_id

    def _note(self, stream: Stream) -> None:
        known, identity = stream.known, stream.identity
        assert known is not None
        old = self._machines.get(known.machine_id)
        first = old.first_at if old else known.last_at
        for at, schema in stream.periods:
            self._schemas[schema.hash] = schema
            self._periods.setdefault(known.machine_id, []).append((at, schema.hash))
            first = min(first, at)
        self._machines[known.machine_id] = MachineRow(
            id=known.machine_id,
            owner=identity.owner,
            name=identity.name,
            schema_hash=known.schema_hash,
            tags=identity.tags,
            parent=identity.parent,
            first_at=first,
            last_at=known.last_at,
            epoch=known.epoch,
            seq=known.seq,
            machine_tick=known.machine_tick,
            horizon=old.horizon if old else first,
            ticks=known.ticks,
        )

    def write_logs(self, owner: str, parts: Sequence[LogPart], mark: Mark | None = None) -> bool:
        """Store rows that came from their owner; see `Store`."""
        with self._lock:
            aside = sum([self._move_aside(part) for part in parts]) > 0  # each of them
            rows: list[tuple[int, tuple[Any, ...]]] = []
            for part in parts:
                machine_id = self._ids.setdefault(part.identity.key, len(self._ids) + 1)
                self._epochs[machine_id] = max(self._epochs.get(machine_id, 0), part.epoch)
                rows += [(n, (machine_id, *row)) for n, row in zip(part.order, part.rows, strict=True)]
                self._note_log(machine_id, part)
            rows.sort(key=itemgetter(0))
            self.write([row for _, row in rows], ())
            if mark is not None:
                self._marks[owner] = mark
            self.generation += aside or any(part.periods for part in parts)
            return aside

    def _move_aside(self, part: LogPart) -> bool:
        """Let the log of a machine have its name; tell whether something else had it."""
        owner, name = key = part.identity.key
        machine_id = self._ids.get(key)
        found = None if machine_id is None else self._machines.get(machine_id)
        is_log = found is not None and found.pulled
        if machine_id is None or (is_log and not part.anew):
            return False
        other = earlier_log_of if is_log else updates_of
        away = next(a for i in count(1) if (a := other(owner, i), name) not in self._ids)
        self._ids[away, name] = self._ids.pop(key)
        if found is not None:
            self._machines[machine_id] = replace(found, owner=away)
        return True

    def _note_log(self, machine_id: int, part: LogPart) -> None:
        for at, schema in part.periods:
            self._schemas[schema.hash] = schema
            self._periods.setdefault(machine_id, []).append((at, schema.hash))
        found = self._machines.get(machine_id)
        if found is not None and found.last_at >= part.last_at:
            return
        owner, name = part.identity.key
        self._machines[machine_id] = MachineRow(
            id=machine_id,
            owner=owner,
            name=name,
            schema_hash=part.schema_hash,
            tags=part.identity.tags,
            parent=part.identity.parent,
            first_at=found.first_at if found else part.first_at,
            last_at=part.last_at,
            epoch=part.epoch,
            seq=part.seq,
            machine_tick=part.machine_tick,
            horizon=found.horizon if found else part.horizon,
            ticks=part.ticks,
            pulled=True,
            life=part.life or (found.life if found else 0),
        )

    def rewind(self, owner: str, name: str | None) -> None:
        """Note that logs are gone with their owner; see `Store`."""
        with self._lock:
            for id, machine in self._machines.items():
                if machine.owner == owner and machine.pulled and name in (None, machine.name):
                    self._machines[id] = replace(machine, life=GONE)
            if name is None:
                self._marks[owner] = Mark(GONE, 0)

    def prune(self, machine_id: int, before: int, limit: int) -> int:
        """Delete old rows; see `Store`."""
        with self._lock:
            mine = self._rows.get(machine_id, [])
            many = min(sum(row.at < before for row in mine), limit)
            gone = {row.id for row in mine[:many]}
            del mine[:many]
            self._order = [row for row in self._order if row.id not in gone]
            numbered = self._by_number.get(machine_id, [])
            numbered[:] = [row for row in numbered if row.id not in gone]
            found = self._machines[machine_id]
            self._machines[machine_id] = replace(found, horizon=max(found.horizon, mine[0].at if mine else before))
            return many

    def exists(self) -> bool:
        """Tell that it is there."""
        return True

    def machines(self) -> list[MachineRow]:
        """Return all machines, by id."""
        with self._lock:
            return [self._machines[i] for i in sorted(self._machines)]

    def recorded_schema(self, hash: str) -> RecordedSchema:
        """Return a stored schema."""
        return self._schemas[hash]

    def machine(self, machine_id: int) -> MachineRow:
        """Return one machine."""
        return self._machines[machine_id]

    def find(self, owner: str, name: str) -> MachineRow | None:
        """Return one machine, if it has been written."""
        with self._lock:
            return self._machines.get(self._ids.get((owner, name), 0))

    def numbered(self, machine_id: int, after: tuple[int, int], until: tuple[int, int], limit: int) -> list[Row]:
        """Return rows of a range of numbers; see `Store`."""
        with self._lock:
            mine = self._by_number.get(machine_id, [])
            low = bisect_right(mine, after, key=_number)
            return mine[low : min(low + limit, bisect_right(mine, until, key=_number))]

    def found(self, owner: str, names: Collection[str]) -> dict[str, MachineRow]:
        """Return some of an owner's machines; see `Store`."""
        with self._lock:
            found = [(name, self._machines.get(self._ids.get((owner, name), 0))) for name in names]
            return {name: machine for name, machine in found if machine is not None}

    def owned(self, owner: str, after_id: int, until_id: int, limit: int) -> list[Row]:
        """Return rows of an owner's machines; see `Store`."""
        with self._lock:
            low = bisect_right(self._order, after_id, key=lambda r: r.id)
            high = bisect_right(self._order, until_id, key=lambda r: r.id)
            mine = (r for r in islice(self._order, low, high) if self._machines[r.machine_id].owner == owner)
            return list(islice(mine, limit))

    def mark(self, owner: str) -> Mark | None:
        """Return up to where a journal is here; see `Store`."""
        return self._marks.get(owner)

    def life(self) -> int:
        """Return when it was made; see `Store`."""
        return self._life

    def periods(self) -> list[tuple[int, int, str]]:
        """Return when which schema began; see `Store`."""
        with self._lock:
            return [(i, at, hash) for i in sorted(self._periods) for at, hash in self._periods[i]]

    def periods_of(self, machine_id: int) -> tuple[int, list[tuple[int, str]]]:
        """Return the last moment and the periods of a machine; see `Store`."""
        with self._lock:
            return self._machines[machine_id].last_at, list(self._periods.get(machine_id, ()))

    def period_count(self) -> int:
        """Return the number of all periods."""
        with self._lock:
            return sum(map(len, self._periods.values()))

    def newest(self, machine_id: int, at: int) -> Row | None:
        """Return the newest row at or before `at`."""
        with self._lock:
            mine = self._rows.get(machine_id, [])
            place = bisect_right(mine, at, key=lambda r: r.at)
            return mine[place - 1] if place else None

    def oldest(self, machine_id: int, after: int) -> Row | None:
        """Return the oldest row after `after`."""
        with self._lock:
            mine = self._rows.get(machine_id, [])
            place = bisect_right(mine, after, key=lambda r: r.at)
            return mine[place] if place < len(mine) else None

    def snapshot(self, at: int, machine_ids: Sequence[int] | None) -> list[Standing]:
        """Return where each machine stood; see `Store`."""
        with self._lock:
            ids = sorted(self._rows) if machine_ids is None else machine_ids
            return [_standing(row) for i in ids if (row := self.newest(i, at)) is not None]

    def following(self, after: int, machine_ids: Sequence[int] | None) -> list[Standing]:
        """Return where each machine came to next; see `Store`."""
        with self._lock:
            ids = sorted(self._rows) if machine_ids is None else machine_ids
            return [_standing(row) for i in ids if (row := self.oldest(i, after)) is not None]

    def forgotten(self, at: int) -> list[MachineRow]:
        """Return the machines with a horizon behind a moment."""
        return [m for m in self.machines() if m.first_at <= at < m.horizon]

    def scan(
        self, machine_id: int, low: int, high: int, condition: Condition, limit: int, newest_first: bool
    ) -> list[Row]:
        """Return rows of a window that meet a condition; see `Store`."""
        with self._lock:
            rows = self._window(machine_id, low, high)
            if newest_first:
                rows.reverse()
            out: list[Row] = []
            for row in rows:
                if len(out) == limit:
                    break
                if meets(row, condition):
                    out.append(row)
            return out

    def flips(self, machine_id: int, index: int, low: int, high: int) -> Iterator[tuple[int, bool]]:
        """Yield when a state changed; see `Store`."""
        with self._lock:
            rows = self._window(machine_id, low, high)
        for row in rows:
            _, changed, active = unpack_masks(row)
            if changed >> index & 1:
                yield row.at, bool(active >> index & 1)

    def _window(self, machine_id: int, low: int, high: int) -> list[Row]:
        mine = self._rows.get(machine_id, [])
        return mine[bisect_right(mine, low, key=lambda r: r.at) : bisect_right(mine, high, key=lambda r: r.at)]

    def density(self, low: int, high: int, width: int, machine_ids: Sequence[int] | None) -> list[tuple[int, int, int]]:
        """Return how many rows each part of a window has; see `Store`."""
        counts, errors = Counter[int](), Counter[int]()
        with self._lock:
            for machine_id in self._rows if machine_ids is None else machine_ids:
                for row in self._window(machine_id, low, high):
                    part = (row.at - low - 1) // width
                    counts[part] += 1
                    errors[part] += bool(row.mutation & ERROR)
        return [(part, counts[part], errors[part]) for part in sorted(counts)]

    def feed(self, after_id: int, limit: int, machine_ids: Sequence[int] | None) -> list[Row]:
        """Return rows in the order in which they were stored; see `Store`."""
        with self._lock:
            start = bisect_right(self._order, after_id, key=lambda r: r.id)
            wanted = None if machine_ids is None else set(machine_ids)
            rows = (r for r in self._order[start:] if wanted is None or r.machine_id in wanted)
            return [row for row, _ in zip(rows, range(limit), strict=False)]

    def last_id(self) -> int:
        """Return the greatest id."""
        return self._last_id

    def caused(self, source_machine: str, source_tx: str) -> list[Row]:
        """Return the rows with this cause."""
        with self._lock:
            return [r for r in self._order if r.source_machine == source_machine and r.source_tx == source_tx]

    def nth_newest(self, machine_id: int, n: int) -> int | None:
        """Return when the n-th newest row was."""
        with self._lock:
            mine = self._rows.get(machine_id, [])
            return mine[-n].at if len(mine) >= n else None

    def counts(self) -> dict[int, int]:
        """Return the number of rows of each machine."""
        with self._lock:
            return {i: len(rows) for i, rows in self._rows.items() if rows}

    def size(self) -> tuple[int, int]:
        """Return the number of rows, and of bytes that their variable parts hold."""
        with self._lock:
            return len(self._order), sum(100 + len(r.ticks) + len(r.wide or b"") for r in self._order)


def _number(row: Row) -> tuple[int, int]:
    return row.epoch, row.seq


def _standing(row: Row) -> Standing:
    return Standing(row.machine_id, row.at, row.epoch, row.seq, row.ticks)


def meets(row: Row, condition: Condition) -> bool:
    """Tell whether a row meets a condition."""
    called, changed, active = unpack_masks(row)
    c = condition
    return (
        (not c.called or called & c.called != 0)
        and (not c.changed or changed & c.changed != 0)
        and changed & active & c.activated == c.activated
        and changed & ~active & c.deactivated == c.deactivated
        and (not c.kinds or row.mutation & KIND in c.kinds)
        and (c.caused_by is None or row.source_machine == c.caused_by)
    )
