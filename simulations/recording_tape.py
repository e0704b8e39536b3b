"""Tapes: what a recorded run writes into a history's database, in batches and in simulated time.

A simulation is no shell: nothing waits in it, and no other thread may run beside it. So these write when there is
enough, from where they are called, and what they write is the same rows as those of `history.writer` and of a recorded
graph.
"""

from __future__ import annotations

from collections.abc import Sequence

from history.graphs import GraphRow, Graphs
from history.store import Store
from history.stream import Item, Stream

BATCH = 20_000  # rows of one commit
Texts = tuple[str, ...]
"""The key of a vertex (four texts) or of an edge (ten), as a graph's table holds them."""


def peer_key(peer: str) -> Texts:
    """Return the key of a peer."""
    return ("peer", peer, "", "")


def machine_key(peer: str, machine: str) -> Texts:
    """Return the key of a machine."""
    return ("machine", peer, machine, "")


def edge_key(link: str, source: Texts, target: Texts) -> Texts:
    """Return the key of an edge."""
    return (link, *source, *target, "")


class RowTape:
    """Takes what recorders append, and writes it.

    Attributes:
        rows: that were written.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._items: list[Item] = []
        self.rows = 0

    def append(self, item: Item, *, always: bool = False) -> None:
        """Take an item; it is written at once if there are many."""
        self._items.append(item)
        if len(self._items) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Write all that there is. Of the lives of a machine, each is written before the next one begins."""
        while self._items:
            lives: dict[tuple[str, str], Stream] = {}
            end = len(self._items)
            for at, item in enumerate(self._items):
                if lives.setdefault(item[0].identity.key, item[0]) is not item[0]:
                    end = at
                    break
            self._write(self._items[:end], list(lives.values()))
            del self._items[:end]

    def _write(self, items: Sequence[Item], streams: list[Stream]) -> None:
        new = [stream for stream in streams if stream.known is None]
        for stream, known in zip(new, self._store.register_all(new), strict=True):
            stream.begin(known)
        self._store.write((item[0].encode(item) for item in items), streams)
        for stream in streams:
            stream.periods.clear()
        self.rows += len(items)


class GraphTape:
    """Takes what comes into a graph and goes, and writes it. Moments never decrease.

    Attributes:
        changes: how often something came or went.
    """

    def __init__(self, graphs: Graphs, at: int) -> None:
        self._graphs = graphs
        self._life = graphs.begin("", at)
        self._last = self._life.began
        self._number = 0
        self._open: dict[Texts, int] = {}
        self._new: dict[int, GraphRow] = {}
        self._gone: list[tuple[bool, int, int]] = []
        self.changes = 0

    def __contains__(self, key: Texts) -> bool:
        """Tell whether something is there."""
        return key in self._open

    def put(self, at: int, key: Texts, *tags: str) -> None:
        """Let something come; nothing, if it is there."""
        if key not in self._open:
            self._last = max(at, self._last)
            self._number += 1
            self._open[key] = self._number
            self._new[self._number] = GraphRow(self._life.id, self._number, key, tags, self._last)
            self._changed()

    def take(self, at: int, key: Texts) -> None:
        """Let something go; nothing, if it is not there."""
        number = self._open.pop(key, None)
        if number is None:
            return
        self._last = max(at, self._last)
        row = self._new.get(number)
        if row is not None:
            self._new[number] = row._replace(until=self._last)
        else:
            self._gone.append((_is_edge(key), number, self._last))
        self._changed()

    def _changed(self) -> None:
        self.changes += 1
        if len(self._new) + len(self._gone) >= BATCH:
            self.flush(self._last)

    def flush(self, at: int, *, ended: bool = False) -> None:
        """Write all that there is; it is complete up to a moment."""
        self._last = max(at, self._last)
        rows = list(self._new.values())
        vertices = [row for row in rows if not _is_edge(row.key)]
        edges = [row for row in rows if _is_edge(row.key)]
        self._graphs.write(self._life.id, self._last, vertices, edges, self._gone, ended=ended)
        self._new, self._gone = {}, []


def _is_edge(key: Texts) -> bool:
    return len(key) > 4
