"""Retention: letting go of the past, by age and by count, in small steps between the writer's batches."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import trio

from history.errors import QuestionError, StorageError
from history.times import parse_span

if TYPE_CHECKING:
    from history.history import History
    from history.store import MachineRow

logger = logging.getLogger("asyncmachine.history")
STEP = 1000  # rows deleted at once: about 7 ms


class Retention:
    """Prune a history. ``pruned`` counts the rows that were let go."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.pruned = 0

    async def run(self, max_age: str | timedelta | None, max_rows: int | None, every: float) -> None:
        """Prune now and then, for ever."""
        while True:
            try:
                await self.prune(max_age=max_age, max_rows=max_rows)
            except StorageError as error:
                logger.warning("retention waits: %s", error)  # the writer tells the user about the same trouble
            await trio.sleep(every)

    async def prune(self, *, max_age: str | timedelta | None, max_rows: int | None) -> int:
        """Prune once; return how many rows that were."""
        check_limits(max_age, max_rows)
        history, count = self._history, 0
        cutoff = None if max_age is None else history.clock.now() - parse_span(max_age)
        for machine in await trio.to_thread.run_sync(history.store.machines):
            before = await trio.to_thread.run_sync(self._base, machine, cutoff, max_rows)
            while before is not None:
                gone = await history.run_job(lambda m=machine.id, b=before: history.store.prune(m, b, STEP))  # type: ignore[misc]
                count += gone
                self.pruned += gone
                if gone < STEP:
                    break
        return count + await self._prune_graphs(cutoff, max_rows)

    async def _prune_graphs(self, cutoff: int | None, max_rows: int | None) -> int:
        """Let go of the parts of graphs that have gone long ago. What is still there stays, however old it is."""
        history, graphs, count = self._history, self._history.store.graphs, 0
        lives = await trio.to_thread.run_sync(graphs.lives)
        for graph in dict.fromkeys(life.graph for life in lives):
            nth = None if max_rows is None else await trio.to_thread.run_sync(graphs.nth_gone, graph, max_rows + 1)
            before = max((at for at in (cutoff, nth) if at is not None), default=None)
            while before is not None:
                gone = await history.run_job(lambda g=graph, b=before: graphs.prune(g, b, STEP))  # type: ignore[misc]
                count += gone
                self.pruned += gone
                if gone < STEP:
                    break
        return count

    def _base(self, machine: MachineRow, cutoff: int | None, max_rows: int | None) -> int | None:
        """Return when the row was that becomes the base, and the horizon; None if nothing is to go."""
        store = self._history.store
        bases = []
        if cutoff is not None and (row := store.newest(machine.id, cutoff)) is not None:
            bases.append(row.at)
        if max_rows is not None and (at := store.nth_newest(machine.id, max_rows)) is not None:
            bases.append(at)
        base = max(bases, default=None)
        return base if base is not None and base > machine.horizon else None


def check_limits(max_age: str | timedelta | None, max_rows: int | None) -> None:
    """Refuse what cannot be meant, before anything is done."""
    if max_age is not None:
        parse_span(max_age)
    if max_rows is not None and max_rows < 1:
        raise QuestionError(f"max_rows={max_rows}: at least one row of each machine stays, as the base")
