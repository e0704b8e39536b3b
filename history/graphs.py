"""What a store keeps of graphs: rows of vertices and edges, each with from when until when it was there.

A *life* is one recording of a graph, from its beginning to its end; a graph has one after the other. Each life knows up
to when it is complete (``last``): what is said about a later moment is what was there at that one. A life whose process
ended without a word is closed when the next one of its graph begins, just after its ``last``: nobody knows more.

What happened up to ``last`` does not change any more, but retention lets go of what had gone up to a graph's horizon.
From there on all is complete.

A *checkpoint* is all that was there at a moment, packed by whoever writes it: so that nobody has to read a row for each
part to know it. It is a copy; without it the rows say the same.

Keys are tuples of texts here. What they mean is the graph's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

OPEN = (1 << 63) - 1  # "until" of what is still there


@dataclass(frozen=True, slots=True)
class GraphLife:
    """One recording of a graph. Moments are in ns.

    Attributes:
        id: of the life; grows.
        graph: its name.
        began, last: complete from when up to when.
        ended: whether nothing more will come.
        horizon: of its graph: what retention has let go was not there any more then; 0: nothing was let go.
        pruned: how many rows that were, of this life and of earlier ones that are gone with all they had.
    """

    id: int
    graph: str
    began: int
    last: int
    ended: bool
    horizon: int = 0
    pruned: int = 0

    @property
    def end(self) -> int:
        """The last moment at which something of it was there."""
        return self.last - 1 if self.ended else self.last


class GraphRow(NamedTuple):
    """A vertex or an edge that was there while ``since <= T < until``. ``number``: of its life, as it came."""

    life: int
    number: int
    key: tuple[str, ...]
    tags: tuple[str, ...]
    since: int
    until: int = OPEN


class Graphs(ABC):
    """The part of a store that keeps graphs.

    The writer's thread calls `begin`, `write`, `keep` and `prune`, any thread the others.
    """

    @abstractmethod
    def begin(self, graph: str, at: int) -> GraphLife:
        """Begin a life of a graph, and close what an earlier one of it left open. It begins after all that is there."""

    @abstractmethod
    def write(
        self,
        life: int,
        last: int,
        vertices: Sequence[GraphRow],
        edges: Sequence[GraphRow],
        gone: Sequence[tuple[bool, int, int]],
        *,
        ended: bool = False,
    ) -> bool:
        """Store rows in one transaction; tell whether the life goes on here, or was closed by a later one.

        A row whose (life, number) is there already is left out. Nothing is stored if the life was closed.

        Args:
            life: which.
            last: complete up to when now.
            vertices, edges: that came; those that are gone since have their ``until``.
            gone: (whether it is an edge, number, until) of rows that were stored before.
            ended: whether it ends with that: what is still there is closed at `last`.
        """

    @abstractmethod
    def lives(self) -> list[GraphLife]:
        """Return all lives, by id."""

    @abstractmethod
    def rows(self, edges: bool, life: int, at: int) -> Iterator[GraphRow]:
        """Yield the vertices or edges of a life that were there at a moment, by (until, number)."""

    @abstractmethod
    def came(self, edges: bool, life: int, after: int, until: int) -> Iterator[GraphRow]:
        """Yield those with ``after < row.since <= until``, by (since, number)."""

    @abstractmethod
    def went(self, edges: bool, life: int, after: int, until: int) -> Iterator[GraphRow]:
        """Yield those with ``after < row.until <= until``, by (until, number)."""

    @abstractmethod
    def ends(self, edges: bool, life: int, after: int, until: int) -> Iterator[tuple[int, int]]:
        """Yield number and end of those that `went` yields: several times as fast."""

    @abstractmethod
    def changes_between(self, life: int, after: int, until: int, most: int = OPEN) -> int:
        """Return how often something came or went in ``(after, until]``, of what is kept; count to `most` only."""

    # -- checkpoints

    @abstractmethod
    def keep(self, life: int, at: int, body: bytes) -> None:
        """Store a checkpoint of a moment up to which the life is complete. One of the same moment is there to stay."""

    @abstractmethod
    def kept(self, life: int, at: int) -> tuple[int, ...]:
        """Return the moments of the checkpoints nearest to a moment: the last at or before it, the first after it."""

    @abstractmethod
    def checkpoint(self, life: int, at: int) -> bytes | None:
        """Return the checkpoint of a moment; None: there is none, or it was let go."""

    # -- retention

    @abstractmethod
    def nth_gone(self, graph: str, n: int) -> int | None:
        """Return when the n-th last of the parts of a graph that are gone went (1: the last); None: there are fewer."""

    @abstractmethod
    def prune(self, graph: str, before: int, limit: int) -> int:
        """Let go of at most `limit` rows of what had gone up to a moment; return how many there were.

        The horizon moves there with the first of them, and no further than the last moment at which something of the
        graph was there: that one is always known. Checkpoints from before go, and lives of which nothing is left.
        """
