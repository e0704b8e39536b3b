"""Graphs in brief: numbers instead of names, for a page that knows all names and moves in time.

A machine's number is that of its row in the store, and a state counts as its machine. What takes a megabyte in words
takes some 50 kB like this, and numpy makes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

from asyncmachine.web.answers import BriefGraph, BriefPeer
from asyncmachine.web.roster import Roster
from graph.names import NULL, Names
from graph.packed import PackedColumns
from graph.parts import PIPES, Kind, Link, Part, Vertex
from graph.view import View

NOBODY: Final = -(1 << 62)  # what is not recorded has no number
NONE: Final = NULL.encode()
OTHER, PEER, MACHINE = range(3)
KINDS: Final = {Kind.PEER.value.encode(): PEER, Kind.MACHINE.value.encode(): MACHINE}
Whole = NDArray[np.int64]
Kinds = NDArray[np.int8]


class Numbering:
    """Which number each vertex of a recorded graph has. What was found out is kept; any thread may ask.

    Args:
        roster: the machines of its store.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._lock = threading.Lock()
        self._begin(None)

    def _begin(self, names: Names | None) -> None:
        self._names = names
        self._selves: frozenset[bytes] = frozenset()  # peers that have recorded it
        self._machines = 0  # how many there were in the roster
        self._known: dict[tuple[bytes, bytes], int] = {}
        self._ids: Whole = np.zeros(0, dtype=np.int64)  # by the number of the vertex in the names
        self._kinds: Kinds = np.zeros(0, dtype=np.int8)

    def brief(
        self,
        view: View,
        *,
        called: Callable[[str], str],
        shown: Collection[Link],
        counted: Collection[Link],
        pipes_of: int | None,
        most: int,
    ) -> tuple[BriefGraph, dict[str, int], bool]:
        """Return a graph in brief; how many edges it has of each kind that is counted; and whether some were left out.

        Args:
            view: the graph at a moment, of a `PastGraph`.
            called: the name of a peer.
            shown, counted: kinds of edges.
            pipes_of: the number of a machine whose pipes are shown in any case.
            most: edges that are returned.
        """
        (vertices, rows), (edges, edge_rows) = view.tables
        assert isinstance(vertices, PackedColumns)
        assert isinstance(edges, PackedColumns)
        texts = vertices.life
        assert isinstance(texts, Names)
        there = vertices.rows.ends[rows, 0]
        kinds = self._kinds_of(texts)
        peers = [vertices.part(row) for row in rows[kinds[there] == PEER].tolist()]
        ids = self._numbers(texts, frozenset(_peer(part).encode() for part in peers if "self" in part.tags))
        ids[there[kinds[there] == PEER]] = -1 - np.arange(len(peers))
        machines = ids[there[(kinds[there] == MACHINE) & (ids[there] != NOBODY)]]
        is_there = np.zeros(max(int(ids.max(initial=0)), 0) + 1 + len(peers), dtype=np.bool_)
        is_there[machines] = True
        is_there[len(is_there) - len(peers) :] = True  # as -1, -2, …
        kind = edges.rows.kind[edge_rows]
        numbers = np.bincount(kind, minlength=1)
        links = {number: texts.kinds[number][0] for number in np.nonzero(numbers)[0].tolist()}
        counts: dict[str, int] = {}
        for number, link in links.items():
            if link in counted:
                counts[link.value] = counts.get(link.value, 0) + int(numbers[number])
        ends = ids[edges.rows.ends[edge_rows]]
        held = (ends != NOBODY).all(axis=1)
        held[held] = is_there[ends[held]].all(axis=1)
        found: dict[str, list[int]] = {}
        left, is_cut = most, False
        for link in dict.fromkeys((*shown, *(PIPES if pipes_of is not None else ()))):
            chosen = held & np.isin(kind, [number for number, other in links.items() if other is link])
            if link not in shown:
                chosen &= (ends == pipes_of).any(axis=1)
            some = ends[chosen][:left]
            is_cut = is_cut or int(chosen.sum()) > left
            left -= len(some)
            if len(some):
                found[link.value] = some.reshape(-1).tolist()
        told = [BriefPeer(peer=_peer(part), label=called(_peer(part))) for part in peers]
        return BriefGraph(peers=told, machines=machines.tolist(), edges=found), counts, is_cut

    def _kinds_of(self, names: Names) -> Kinds:
        """Return what each vertex of some names is."""
        with self._lock:
            if names is not self._names:
                self._begin(names)
            known, count = len(self._kinds), len(names.vertices)
            if count > known:
                texts = names.vertices.texts(np.arange(known, count))
                more = [KINDS.get(text.partition(NONE)[0], OTHER) for text in texts]
                self._kinds = np.concatenate((self._kinds, np.array(more, dtype=np.int8)))
            return self._kinds

    def _numbers(self, names: Names, selves: frozenset[bytes]) -> Whole:
        """Return the numbers of all vertices of some names; a copy."""
        every = self._roster.all()
        with self._lock:
            if names is not self._names:
                self._begin(names)
            if len(every) != self._machines or not selves <= self._selves:
                self._machines, self._selves = len(every), self._selves | selves
                self._known = {(one.row.owner.encode(), one.row.name.encode()): one.row.id for one in every}
                self._look_up(names, np.nonzero(self._ids == NOBODY)[0])
            known, count = len(self._ids), len(names.vertices)
            if count > known:
                self._ids = np.concatenate((self._ids, np.full(count - known, NOBODY, dtype=np.int64)))
                self._look_up(names, np.arange(known, count))
            return self._ids.copy()

    def _look_up(self, names: Names, numbers: NDArray[np.integer]) -> None:
        """Find the machines of some vertices."""
        known = self._known
        for number, text in zip(numbers.tolist(), names.vertices.texts(numbers), strict=True):
            kind, peer, machine, _ = text.split(NONE)
            if kind == b"peer":
                continue
            found = known.get((peer, machine))
            if found is None and (not peer or peer in self._selves):
                found = known.get((b"", machine))  # those of the process that recorded have no owner there
            if found is not None:
                self._ids[number] = found


def _peer(part: Part) -> str:
    assert isinstance(part.key, Vertex)
    return part.key.peer
