"""Questions about the transitions of a window: those of one machine or of several, in one order, page by page.

However long the window is, a few rows of each machine are in memory at a time: what reads on goes on where it was.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from history.answers import Record, as_record
from history.codec import KINDS, RecordedSchema, Row
from history.directory import Entry, Name
from history.errors import QuestionError
from history.moments import FIRST, Moments
from history.store import EVERY, Condition
from history.stream import bits
from history.times import When
from machine.errors import did_you_mean

HELD = 50_000  # rows in memory at a time, over all machines of a question; about 50 MB
Found = tuple[Row, Entry, RecordedSchema]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of records; give `next` as ``after`` for the following one. None: that was all."""

    records: tuple[Record, ...]
    next: tuple[int, int] | None


class Transitions(Moments):
    """Ask a store what happened in a window, which is ``t1 < at <= t2``."""

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


def _listed(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _kind(name: str) -> int:
    if name not in KINDS:
        raise QuestionError(f"{name!r} is no kind of mutation{did_you_mean(name, KINDS)}")
    return KINDS.index(name)


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
