"""Graphs that were recorded in a history: asked straight from its database, by whatever process, live or long after."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from heapq import merge
from typing import Final

import numpy as np

from graph.checkpoints import Tables
from graph.errors import BeyondHorizonError, NotRecordedError
from graph.names import Names
from graph.packed import PackedColumns, one_of_each, pack
from graph.parts import Change, Key, key_of
from graph.spans import Difference, difference
from graph.view import View
from graph.window import Window
from history.graphs import OPEN, GraphLife, GraphRow
from history.store import Store

LOOK: Final = 5_000  # changes between two looks at the horizon
NAMES: Final = 1_000_000  # texts and edges that are kept for the next question
WINDOWS: Final = 8  # lives of which something is kept


class PastGraph:
    """A recorded graph; it answers as a live `Graph` does. Any thread may ask.

    What was recorded later than what is stored is not known here: the graph of a later moment is the last one that is
    known, until its recording has ended. What was read for a question is kept, some 10 MB for 10,000 machines: other
    moments near it cost what has changed in between. `forget` lets go of it.

    Args:
        store: of a history that is open: ``history.store``.
        name: of the graph; None: all that were recorded there, as one. Of a part that several of them have, the first
            counts.
    """

    def __init__(self, store: Store, name: str | None = None) -> None:
        self._store = store
        self._name = name
        self._lock = threading.Lock()
        self.forget()

    def __repr__(self) -> str:
        return f"<PastGraph {'of all' if self._name is None else repr(self._name)} in {self._store.url}>"

    def forget(self) -> None:
        """Let go of all that was read: the next question reads it again. Views that one has stay as they are."""
        self._names = Names(self._store.url)
        self._windows: dict[int, Window] = {}

    def lives(self) -> list[GraphLife]:
        """Return its recordings, by age.

        Raises:
            NotRecordedError: there is none.
        """
        known = self._store.graphs.lives()
        found = [life for life in known if self._name is None or life.graph == self._name]
        if found:
            return found
        if not known:
            raise NotRecordedError(f"no graph was recorded in {self._store.url}: a program does so with open_graph")
        names = ", ".join(repr(name) for name in dict.fromkeys(life.graph for life in known))
        raise NotRecordedError(f"no graph {self._name!r} was recorded in {self._store.url}, but {names}")

    def latest(self) -> int:
        """Return the last moment of which something is known, in ns."""
        return max(life.end for life in self.lives())

    def horizon(self) -> int:
        """Return the first moment that retention has left, in ns; 0: it has let go of nothing."""
        return max(life.horizon for life in self.lives())

    def as_of(self, at: int | None = None) -> View:
        """Return the graph as it was at a time, ns since 1970; None: as it was when it was last known.

        Raises:
            BeyondHorizonError: retention has let go of that moment.
        """
        with self._lock:
            return self._view(at)

    def diff(self, t1: int, t2: int | None = None) -> Difference:
        """Return what has come and what has gone from one time to another; None: to when it was last known.

        Raises:
            BeyondHorizonError: retention has let go of one of them.
        """
        with self._lock:
            return difference(self._view(t1), self._view(t2))

    def changes(self, since: int | None = None) -> Iterator[Change]:
        """Yield each change after a moment, in order; None: each that is kept.

        Those from the first make the same graph; behind a horizon, together with the graph as of that. To go on, ask
        again with the moment of the last one. They are read as they are asked for, up to what is stored now.

        Raises:
            NotRecordedError: several graphs were recorded there, and none was named.
            BeyondHorizonError: retention has let go of some of them, also while they are being read.
        """
        lives = self.lives()
        names = list(dict.fromkeys(life.graph for life in lives))
        if len(names) > 1:
            raise NotRecordedError(
                f"name the graph of which you want the changes: {', '.join(repr(name) for name in names)}"
            )
        after = max(life.horizon for life in lives) if since is None else since
        self._check(after, lives)
        return self._changes(after, lives)

    # -- inner

    def _changes(self, after: int, lives: list[GraphLife]) -> Iterator[Change]:
        graphs = self._store.graphs
        befores = (2 * life.pruned + graphs.changes_between(life.id, 0, min(after, life.last)) for life in lives)
        number = sum(befores)
        for life in lives:
            if life.last <= after:
                continue
            # of what happens at the same moment edges go first, and then comes what comes, as it came
            streams = (
                self._events(life, after, edges, came=came, rank=2 if came else 0 if edges else 1)
                for came in (False, True)
                for edges in (False, True)
            )
            for count, (at, rank, _, row) in enumerate(merge(*streams)):
                if count % LOOK == LOOK - 1:
                    self._check(at, self.lives())
                number += 1
                yield Change(number, at, rank == 2, self._key(row), row.tags)
        self._check(after, self.lives())

    def _events(
        self, life: GraphLife, after: int, edges: bool, *, came: bool, rank: int
    ) -> Iterator[tuple[int, int, int, GraphRow]]:
        graphs = self._store.graphs
        for row in (graphs.came if came else graphs.went)(edges, life.id, after, life.last):
            yield row.since if came else row.until, rank, row.number, row

    def _view(self, at: int | None) -> View:
        names = self._names
        if len(names.vertices) + len(names.tags) + len(names.edges) > NAMES:
            self.forget()
        while True:
            lives = self.lives()
            when = max(life.end for life in lives) if at is None else at
            self._check(when, lives)
            there = [(life, min(when, life.end)) for life in lives if _has(life, when)]
            is_known = all(life.id in self._windows and self._windows[life.id].covers(end) for life, end in there)
            tables = [self._tables(life, end) for life, end in there]
            if is_known or self.horizon() == max(life.horizon for life in lives):
                break
            self.forget()  # something was let go while it was being read
        if len(there) == 1:
            both = [PackedColumns(self._names, table) for table in tables[0]]
            rows = [columns.at(there[0][1]) for columns in both]
        else:
            some = [
                [table.some(table.there(end)) for table in pair] for pair, (_, end) in zip(tables, there, strict=True)
            ]
            some = some or [[pack((), self._names, edges=edges) for edges in (False, True)]]
            both = [PackedColumns(self._names, one_of_each(list(same))) for same in zip(*some, strict=True)]
            rows = [np.arange(len(columns.keys)) for columns in both]
        return View(when, both[0], rows[0], both[1], rows[1], len(self._names.vertices))

    def _tables(self, life: GraphLife, at: int) -> Tables:
        """Return what is known of a life, with that moment."""
        window = self._windows.pop(life.id, None) or Window(self._store.graphs, self._names, life.id)
        self._windows[life.id] = window  # the last one asked for
        if len(self._windows) > WINDOWS:
            del self._windows[next(iter(self._windows))]
        return window.tables(at, life.horizon)

    def _check(self, at: int, lives: list[GraphLife]) -> None:
        horizon = max(life.horizon for life in lives)
        if at < horizon:
            raise BeyondHorizonError(at, horizon)

    def _key(self, row: GraphRow) -> Key:
        try:
            return key_of(row.key)
        except ValueError as error:
            raise self._names.unknown(str(error)) from None


def _has(life: GraphLife, at: int) -> bool:
    """Tell whether something of a life was there at a moment, as far as one knows."""
    return life.began <= at <= (life.end if life.ended else OPEN)
