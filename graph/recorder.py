"""Graphs that write themselves down: every change goes to a history's database, in batches, by the history's writer.

    async with am.open_history(url) as history, am.open_graph(history) as graph:
        graph.follow(machine)

A recording is a life of the graph, see `history.graphs`. While nothing changes it gives a sign of life now and then: if
its process ends without a word, that is how exactly its end is known. Should the database fail for longer than the
buffer lasts, the changes in it are dropped and counted, and a new life begins with all that is there then.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import trio

from graph.errors import BeyondHorizonError, TakenOverError
from graph.graph import KEEP, Graph
from graph.keeper import Keeper
from graph.parts import Change, Key, Vertex, texts_of
from graph.past import PastGraph
from graph.teller import Teller
from graph.view import View
from history.errors import StorageError
from history.graphs import GraphRow, Graphs
from history.history import History
from machine import Reader
from machine.beside import beside
from pubsub.peer import Peer

logger = logging.getLogger("asyncmachine.graph")
BATCH: Final = 5_000  # changes of one commit: the history's own rows wait for it


@dataclass(frozen=True, slots=True)
class GraphStatistics:
    """What a recorder has done. ``changes`` = ``stored`` + ``waiting`` + ``dropped`` + ``refused`` + ``lost``.

    Attributes:
        dropped: did not fit into the buffer; each time a new life began.
        refused: have names that no database takes.
        lost: could not be written before the end.
        lives: that were begun.
        failing: what the database says, while it does not work.
    """

    changes: int
    stored: int
    waiting: int
    dropped: int
    refused: int
    lost: int
    lives: int
    failing: str | None


class RecordedGraph(Graph):
    """A graph that is recorded. Made by `open_graph`.

    Attributes:
        name: of the graph.
        teller: what tells others of this peer's edges; None: nothing does.
    """

    def __init__(
        self,
        history: History,
        name: str,
        *,
        peer: Peer | None,
        peer_of: Callable[[Reader], str] | None,
        states: bool,
        stamp: Callable[[], int] | None,
        buffer: int,
        interval: float,
        sign: float,
        keep: int | None = KEEP,
        max_age: str | timedelta | None = None,
    ) -> None:
        self._stamp = stamp or history.clock.stamp
        super().__init__(self._stamp, peer=peer, peer_of=peer_of, states=states, keep=keep, max_age=max_age)
        self.name = name
        self.teller: Teller | None = None
        self._history = history
        self._buffer, self._interval, self._sign = buffer, interval, sign
        self._changes: list[Change] = []
        self._sent: list[Change] = []  # that are being written
        self._batch = _Batch()
        self._keeper = Keeper(0)
        self._stored_graph = PastGraph(history.store, name)
        self._known_to = 0  # up to when all is stored
        self._counted = self._stored = self._dropped = self._refused = self._lost = self._lives = 0
        self._failing: Exception | None = None
        self._stopping = self._over = self._is_quiet = False
        self._wake, self._hurry, self._progress = trio.Event(), trio.Event(), trio.Event()
        self._scope = trio.CancelScope(shield=True)
        self.listen(self._take)

    def statistics(self) -> GraphStatistics:
        """Return all counters."""
        return GraphStatistics(
            changes=self._counted,
            stored=self._stored,
            waiting=len(self._changes) + len(self._sent),
            dropped=self._dropped,
            refused=self._refused,
            lost=self._lost,
            lives=self._lives,
            failing=None if self._failing is None else str(self._failing),
        )

    def as_of(self, at: int | None = None) -> View:
        """Return the graph as it was at a time, ns since 1970; None: as it is now. It does not change any more.

        What this process has forgotten is read from the history's database, here and now: some 10 to 50 ms for 10,000
        machines. For many such questions ask a `PastGraph` in another thread.

        Raises:
            BeyondHorizonError: it is not there either, or not yet.
        """
        if at is None or at >= self.horizon:
            return super().as_of(at)
        if at > self._known_to:
            raise BeyondHorizonError(at, self.horizon)
        return self._stored_graph.as_of(at)

    async def sync(self) -> None:
        """Wait until all that has changed before this call is stored, and will survive the end of the process.

        Raises:
            StorageError: some of it was given up.
            TakenOverError: somebody else records a graph of this name now.
        """
        target = self._counted
        while not self._over and self._counted - len(self._changes) - len(self._sent) < target:
            progress = self._progress
            self._wake.set()
            self._hurry.set()
            await progress.wait()
        await trio.lowlevel.checkpoint()
        if isinstance(self._failing, TakenOverError):
            raise self._failing
        if self._lost:
            raise StorageError(f"{self._lost} changes of the graph {self.name!r} were given up: {self._failing}")

    # -- inner

    async def _tell_others(self, teller: Teller, scope: trio.CancelScope) -> None:
        with scope:
            await teller.run()

    def _follow_peer(self) -> None:
        """Wait with that until the recording has begun: then what is stored has the same times as what is here."""

    def _take(self, change: Change) -> None:
        self._counted += 1
        if self._over:
            self._lost += 1
            return
        if len(self._changes) >= self._buffer:
            self._dropped += len(self._changes)
            self._changes.clear()
            self._batch.is_broken = True
        self._changes.append(change)
        if not self._wake.is_set():
            self._wake.set()

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Write what comes, until the end; `_stop` sets how long the end may take."""
        with self._scope:
            await self._begin()
            super()._follow_peer()
            task_status.started()
            while not self._over:
                with trio.move_on_after(self._sign) as silence:
                    await self._wake.wait()
                    with trio.move_on_after(self._interval):
                        await self._hurry.wait()
                is_due = silence.cancelled_caught or self._hurry.is_set() or self._changes
                self._wake, self._hurry = trio.Event(), trio.Event()
                if is_due:
                    await self._drain()
        self._end()

    def _stop(self) -> None:
        """Let what waits be written, and the life end."""
        self._stopping = True
        self._scope.deadline = trio.current_time() + self._history.writer.limits.closing
        self._wake.set()
        self._hurry.set()

    def _end(self) -> None:
        """Take no more, and count what could not be written."""
        self._over = self._batch.is_over = True
        self.unlisten(self._take)
        if self.peers is not None:
            self.peers.ignore()
        lost = len(self._changes) + len(self._sent)
        self._changes.clear()
        self._sent.clear()
        self._lost += lost
        if lost:
            logger.error("%d changes of the graph %r were given up: %s", lost, self.name, self._failing)
        self._tell()

    async def _begin(self) -> None:
        """Begin a life, with all that is there already."""
        graphs, at = self._history.store.graphs, self._stamp()
        life = await self._history.run_job(lambda: graphs.begin(self.name, at))
        if self._stamp == self._history.clock.stamp:
            self._history.clock.resume(life.began)
        self._lives += 1
        self._batch, self._keeper = _Batch(life.id, life.began), Keeper(life.id)
        self._dropped += len(self._changes) if self._lives > 1 else 0
        # all of the same moment: they are written at once, and the graph is never seen in parts
        self._changes = [Change(0, life.began, True, part.key, part.tags) for part in self.live]
        self._counted += len(self._changes)

    async def _drain(self) -> None:
        """Write all that has come; again and again, if it does not work."""
        pause = self._history.writer.limits.retry
        while not self._over:
            try:
                if self._batch.is_broken and not self._sent:
                    await self._begin()
                if not await self._write():
                    self._failing = TakenOverError(
                        f"somebody else records a graph {self.name!r} in {self._history.store.url} now:"
                        " give each a name of its own"
                    )
                    logger.error("%s", self._failing)
                    self._over = True
                    return
            except StorageError as error:
                if self._failing is None or str(self._failing) != str(error):
                    logger.error("%s; %d changes of the graph wait", error, len(self._changes) + len(self._sent))
                self._failing = error
                if self._history.writer.finished:
                    self._over = True
                    return
                await trio.sleep(pause)
                pause = min(2 * pause, self._history.writer.limits.max_retry)
                continue
            self._failing = None
            self._tell()
            await self._keep()
            if not self._changes and not self._stopping:
                return

    async def _write(self) -> bool:
        """Write the next batch; tell whether this life goes on."""
        if not self._sent:
            self._sent = _cut(self._changes)
            del self._changes[: len(self._sent)]
            # complete up to now, if that is all; a batch is never torn from what happened at the same moment
            self._batch.take(self._sent, self._sent[-1].at if self._changes else self._stamp())
        batch, graphs, ended = self._batch, self._history.store.graphs, self._stopping and not self._changes
        keeper = self._keeper

        def write() -> bool:
            if goes_on := batch.write(graphs, ended=ended):
                keeper.take(*batch.rows)
            return goes_on

        self._is_quiet = not self._sent
        goes_on = await self._history.run_job(write)
        if goes_on:
            self._refused += batch.refused
            self._stored += len(self._sent) - batch.refused
            self._sent = []
            self._known_to = batch.last
            self._over = ended
        return goes_on

    async def _keep(self) -> None:
        """Store a checkpoint, if one is due. There is one less if that does not work."""
        keeper, batch, graphs = self._keeper, self._batch, self._history.store.graphs
        if not keeper.is_due(is_busy=bool(self._changes), is_quiet=self._is_quiet or self._over):
            return
        at = batch.last - self._over  # the last moment at which something was there
        body = await trio.to_thread.run_sync(keeper.make, at)
        try:
            await self._history.run_job(lambda: graphs.keep(batch.life, at, body))
        except StorageError as error:
            logger.warning("%s; a checkpoint of the graph %r is left out", error, self.name)

    def _tell(self) -> None:
        progress, self._progress = self._progress, trio.Event()
        progress.set()


class _Batch:
    """Changes on their way into a store, and the numbers of the rows that are open there."""

    def __init__(self, life: int = 0, began: int = 0) -> None:
        self.life, self.began = life, began
        self.is_broken = False  # changes are missing: this life cannot go on
        self.is_over = False
        self.refused = 0
        self._number = 0
        self._open: dict[Key, int] = {}
        self._changes: Sequence[Change] = ()
        self._last = 0
        self._rows: tuple[list[GraphRow], list[GraphRow], list[tuple[bool, int, int]]] | None = None

    def take(self, changes: Sequence[Change], last: int) -> None:
        """Take the next changes, and up to when they are all."""
        self._changes, self._last = changes, max(last, self.began)
        self._rows, self.refused = None, 0

    @property
    def last(self) -> int:
        """Up to when all is complete that was taken."""
        return self._last

    @property
    def rows(self) -> tuple[list[GraphRow], list[GraphRow], list[tuple[bool, int, int]]]:
        """What was written: vertices, edges, and which have gone."""
        return ([], [], []) if self._rows is None else self._rows

    def write(self, graphs: Graphs, *, ended: bool) -> bool:
        """Store them; in the writer's thread."""
        if self.is_over:  # it waited for longer than the end could
            raise StorageError("the recording has ended")
        if self._rows is None:
            self._rows = self._make()
        return graphs.write(self.life, self._last, *self._rows, ended=ended)

    def _make(self) -> tuple[list[GraphRow], list[GraphRow], list[tuple[bool, int, int]]]:
        rows: dict[int, tuple[bool, GraphRow]] = {}
        gone: list[tuple[bool, int, int]] = []
        for change in self._changes:
            is_edge = not isinstance(change.key, Vertex)
            if change.came:
                texts = texts_of(change.key)
                if not _fits(*texts, *change.tags):
                    self.refused += 1
                    continue
                self._number += 1
                self._open[change.key] = number = self._number
                rows[number] = is_edge, GraphRow(self.life, number, texts, change.tags, max(change.at, self.began))
            elif (number := self._open.pop(change.key, 0)) == 0:
                self.refused += 1
            elif number in rows:
                rows[number] = is_edge, rows[number][1]._replace(until=change.at)
            else:
                gone.append((is_edge, number, change.at))
        vertices = [row for is_edge, row in rows.values() if not is_edge]
        return vertices, [row for is_edge, row in rows.values() if is_edge], gone


def _cut(changes: list[Change]) -> list[Change]:
    """Return the first changes, but never one without the others of its moment."""
    end = min(BATCH, len(changes))
    while end < len(changes) and changes[end].at == changes[end - 1].at:
        end += 1
    return changes[:end]


def _fits(*texts: str) -> bool:
    """Tell whether every database takes these: no null, and no half of a character."""
    text = "".join(texts)
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


@asynccontextmanager
async def open_graph(
    history: History,
    name: str = "",
    *,
    peer: Peer | None = None,
    peer_of: Callable[[Reader], str] | None = None,
    states: bool = True,
    stamp: Callable[[], int] | None = None,
    tell: bool = False,
    buffer: int = 1_000_000,
    interval: float = 0.05,
    sign: float = 10.0,
    keep: int | None = KEEP,
    max_age: str | timedelta | None = None,
) -> AsyncIterator[RecordedGraph]:
    """Open a graph that is recorded in a history; at the end of the block its recording ends.

    Args:
        history: where it is recorded, and whose clock it goes by. Open it outside of this one.
        name: of the graph; several in one database need names of their own.
        peer, peer_of, states: see `Graph`.
        stamp: returns the time, ns since 1970, never the same twice, and never less; by default the history's own. What
            is replayed has another time than what is on the wall.
        tell: let others know this peer's own edges, see `Teller`; `open_teller` does it without a recording.
        buffer: changes that may wait to be written.
        interval: seconds that a change waits at most before its commit begins.
        sign: seconds between two signs of life while nothing changes.
        keep, max_age: what of it stays in memory, see `Graph`; `RecordedGraph.as_of` reads what is older from there.

    Raises:
        StorageError: the database does not work.
    """
    options: dict[str, Any] = {"buffer": buffer, "interval": interval, "sign": sign, "keep": keep, "max_age": max_age}
    graph = RecordedGraph(history, name, peer=peer, peer_of=peer_of, states=states, stamp=stamp, **options)
    telling = trio.CancelScope()

    def end(nursery: trio.Nursery) -> None:
        telling.cancel()
        graph._stop()

    async with beside(end) as nursery:
        await nursery.start(graph._run)
        if tell and peer is not None:
            graph.teller = Teller(graph.live, peer)
            nursery.start_soon(graph._tell_others, graph.teller, telling)
        yield graph
