"""Asking without blocking: each question runs in a thread of trio's, and what comes next is waited for.

A question that has begun is answered, or raises, before the store is let go of; see `History.close`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from itertools import islice
from typing import Any, ParamSpec, TypeVar

import trio

from history.answers import Diff, Interval, MachineInfo, Moment, Network, Record
from history.directory import Name
from history.errors import HistoryError
from history.hlc import HybridClock
from history.questions import Page, Questions
from history.store import Store
from history.times import When
from history.writer import Writer

P = ParamSpec("P")
T = TypeVar("T")


class Asking:
    """The part of a `History` that answers.

    All questions of `Questions` are async methods here; ``questions`` is the synchronous form, for other threads and
    for whom a hop to another thread costs too much.
    """

    writer: Writer

    def __init__(self, store: Store, clock: HybridClock) -> None:
        self.store = store
        self.questions = Questions(store, clock.latest)
        self._committed = trio.Event()
        self._closed = self._gone = False  # takes nothing more; answers nothing more
        self._asking = 0  # questions and followers under way
        self._answered = trio.Event()

    async def machines(self) -> list[MachineInfo]:
        """See `Questions.machines`."""
        return await self._ask(self.questions.machines)

    async def as_of(self, machine: Name, at: When | None = None) -> Moment:
        """See `Questions.as_of`."""
        return await self._ask(self.questions.as_of, machine, at)

    async def network(self, at: When | None = None, machines: Name | Iterable[Name] | None = None) -> Network:
        """See `Questions.network`."""
        return await self._ask(self.questions.network, at, machines)

    async def diff(
        self, t1: When, t2: When | None = None, machines: Name | Iterable[Name] | None = None
    ) -> dict[str, Diff]:
        """See `Questions.diff`."""
        return await self._ask(self.questions.diff, t1, t2, machines)

    async def page(self, limit: int = 50, **question: Any) -> Page:
        """See `Questions.page`."""
        return await self._ask(self.questions.page, limit, **question)

    async def between(
        self, t1: When | None = None, t2: When | None = None, machines: Name | Iterable[Name] | None = None, **more: Any
    ) -> AsyncGenerator[Record, None]:
        """Yield what `Questions.between` yields, a few hundred at a time."""
        iterator = await self._ask(self.questions.between, t1, t2, machines, **more)
        while chunk := await self._ask(_take, iterator, 500):
            for record in chunk:
                yield record

    async def intervals(
        self, machine: Name, state: str, t1: When | None = None, t2: When | None = None
    ) -> list[Interval]:
        """Return what `Questions.intervals` yields, as a list."""
        return await self._ask(lambda: list(self.questions.intervals(machine, state, t1, t2)))

    async def activated_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """See `Questions.activated_between`."""
        return await self._ask(self.questions.activated_between, machine, state, t1, t2)

    async def deactivated_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """See `Questions.deactivated_between`."""
        return await self._ask(self.questions.deactivated_between, machine, state, t1, t2)

    async def active_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """See `Questions.active_between`."""
        return await self._ask(self.questions.active_between, machine, state, t1, t2)

    async def inactive_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """See `Questions.inactive_between`."""
        return await self._ask(self.questions.inactive_between, machine, state, t1, t2)

    async def uptime(
        self, state: str, t1: When, t2: When | None = None, machines: Name | Iterable[Name] | None = None
    ) -> float:
        """See `Questions.uptime`."""
        return await self._ask(self.questions.uptime, state, t1, t2, machines)

    async def cause(self, record: Record) -> Record | None:
        """See `Questions.cause`."""
        return await self._ask(self.questions.cause, record)

    async def effects(self, record: Record) -> list[Record]:
        """See `Questions.effects`."""
        return await self._ask(self.questions.effects, record)

    async def changes(
        self, since: When | Record | None = None, machines: Name | Iterable[Name] | None = None
    ) -> AsyncGenerator[Record, None]:
        """Yield past records, then live ones as they are committed: each once, in the order in which they came in.

        Args:
            since: a moment; or the last record that was seen, to go on behind it; None: from now on.
            machines: one, several, or all.

        Ends when the history is closed; closing waits a while (``closing``, see `Limits`) for who lags behind. Who may
        stop before the end puts it into ``async with contextlib.aclosing(…)``.
        """
        self._begin()
        try:
            low = None
            if isinstance(since, Record):
                after = since.id
            else:
                low = None if since is None else await self._ask(self.questions._at, since)
                after = await self._ask(self._position, low)
            while not self._gone:
                committed, finished = self._committed, self.writer.finished
                records = await self._ask(self.questions.feed, after, 1000, machines)
                for record in records:
                    after = record.id
                    if low is None or record.at > low:
                        yield record
                if not records:
                    if finished:
                        return
                    await committed.wait()
        finally:
            self._end()

    def _position(self, since: When | None) -> int:
        return self.store.last_id() if since is None else self.questions.position(since)

    async def _ask(self, question: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._gone:
            self._alive()
        self._begin()
        try:
            return await trio.to_thread.run_sync(lambda: question(*args, **kwargs))
        finally:
            self._end()

    def _begin(self) -> None:
        self._asking += 1

    def _end(self) -> None:
        self._asking -= 1
        if not self._asking:
            self._answered.set()

    def announce(self) -> None:
        """Wake who waits for rows: there are new ones."""
        committed, self._committed = self._committed, trio.Event()
        committed.set()

    def _alive(self) -> None:
        if self._closed:
            raise HistoryError("this history is closed: open it again with open_history")


def _take(iterator: Any, count: int) -> list[Record]:
    return list(islice(iterator, count))
